"""The channel endpoint's address: `path("payment", include("paypercall.django.urls"))`."""

from __future__ import annotations

from django.urls import path

from paypercall.django.endpoint import answer

app_name = "paypercall"
urlpatterns = [path("", answer, name="endpoint")]
