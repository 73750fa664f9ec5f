"""Payable views of Django Ninja, where a price goes through its `decorate_view`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI
from ninja.decorators import decorate_view
from ninja.errors import HttpError

from paypercall.django import payment
from tests.django_app.project import RUNS

api = NinjaAPI()


@api.get("/report")
@decorate_view(payment.required(100))
def report(request: HttpRequest, year: int) -> dict[str, Any]:
    RUNS.append("ninja")
    if year < 2000:
        raise HttpError(404, "there is none")
    return {"year": year, "amount": payment.amount}


@api.get("/unpaid")
def unpaid(request: HttpRequest) -> dict[str, Any]:
    return {}


urlpatterns = [path("ninja/", api.urls)]
