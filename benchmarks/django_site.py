"""A Django project with the same view free, verifying a package itself, and paid for; called through WSGI."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from benchmarks.in_process import PATH, Call, wsgi_call
from benchmarks.merchant import Merchant, see_ledger, settings_in, wallet_of
from paypercall.conf import Conf
from paypercall.store import Store

BY_HAND = "X-Package"
"""Carries the package to the view that verifies it by itself: those that pay are kept from views."""

PRICE = 100
UNPAID_PATH = "/free"
VERIFIED_PATH = "/verified"


@dataclass(frozen=True, slots=True)
class Site:
    """The project.

    Attributes:
        party: The merchant that it pays.
        unpaid: Calls the free view.
        verified: Calls the one that verifies a package by itself.
        paid: Calls the one that is paid for.
    """

    party: Merchant
    unpaid: Call
    verified: Call
    paid: Call


@contextmanager
def open_django(folder: Path) -> Iterator[Site]:
    """Sets the project up, which can be done once in a process."""
    payments = settings_in(folder)
    wallet = wallet_of(Conf.from_settings(payments))
    settings.configure(
        SECRET_KEY="of a benchmark",
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["paypercall.django"],
        MIDDLEWARE=["paypercall.django.middleware.PaymentMiddleware"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "project.sqlite")}
        },
        PAYPERCALL=payments,
        WALLET=lambda: wallet,
        LOGGING_CONFIG=None,
    )
    django.setup()
    logging.getLogger("django").setLevel(logging.CRITICAL)
    from paypercall.django import payment  # it needs the settings

    def verified(request: HttpRequest) -> JsonResponse:
        accepted = server.verify_payment_package(request.headers[BY_HAND])
        assert accepted.error is None, accepted
        return temperature(request)

    settings.ROOT_URLCONF = (
        path(UNPAID_PATH.lstrip("/"), temperature),
        path(VERIFIED_PATH.lstrip("/"), verified),
        path(PATH.lstrip("/"), payment.required(PRICE)(temperature)),
    )
    server, store = payment.project.server.server, Store(payments["database_url"])
    see_ledger(store)
    app = get_wsgi_application()
    try:
        calls = (wsgi_call(app, each) for each in (UNPAID_PATH, VERIFIED_PATH, PATH))
        yield Site(Merchant(server, store), *calls)
    finally:
        store.close()
        payment.close()
        wallet.close()


def temperature(request: HttpRequest) -> JsonResponse:
    """The view."""
    return JsonResponse({"celsius": 21})
