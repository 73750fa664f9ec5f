"""The app as Django knows it."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig


class PaypercallConfig(AppConfig):
    """Payable views. Its tables are made by `manage.py migrate`, and are no models: the books are kept elsewhere."""

    name = "paypercall.django"
    label = "paypercall"
    verbose_name = "Payments for requests"

    def ready(self) -> None:
        """Registers the checks."""
        import_module("paypercall.django.checks")
