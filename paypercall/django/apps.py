"""The app as Django knows it."""

from __future__ import annotations

from django.apps import AppConfig


class PaypercallConfig(AppConfig):
    """Payable views. Its tables are made by `manage.py migrate`, and are no models: the books are kept elsewhere."""

    name = "paypercall.django"
    label = "paypercall"
    verbose_name = "Payments for requests"
