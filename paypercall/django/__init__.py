"""Payable views for Django: an installable app, `INSTALLED_APPS = [..., "paypercall.django"]`, and its middleware,
`MIDDLEWARE = ["paypercall.django.middleware.PaymentMiddleware", ...]`, where it stands first.

    from paypercall.django import payment

    @payment.required(100)
    def temperature(request): ...

The settings are `PAYPERCALL = {...}` (those of `conf.example.py`, by their names) and `WALLET`.
"""

from __future__ import annotations

from paypercall.django.decorator import Payment
from paypercall.paywall import WrongUse

__all__ = ["Payment", "WrongUse", "payment"]

payment = Payment()
"""The project's. It reads the settings when it is first needed."""
