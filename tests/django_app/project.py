"""A Django project with payable views of every kind, configured once for the process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import django
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.management import call_command
from django.http import Http404, HttpRequest, HttpResponse

from paypercall.devnet import Devnet
from paypercall.methods import Channel, Order, PaymentMethod
from paypercall.paid_call import PaidCall
from paypercall.payment_server import PaymentServer
from tests.parties import settings_for, wallet_on

IS_DJANGO_5 = django.VERSION >= (5, 0)
"""Django 4.2 does not notice that a client has gone, and its `cache_page` takes no async view."""

RUNS: list[str] = []
"""The views that ran."""

REPORTED: list[str] = []
"""The exceptions that the project's own middleware saw."""


class ErrorReporting:
    """Sees the exceptions of views, and answers for some; replaces some answers."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.answer_async(request) if self.is_async else self.replaced(self.get_response(request))

    async def answer_async(self, request: HttpRequest) -> HttpResponse:
        response = await self.get_response(request)
        if request.path_info != "/left-early":
            return self.replaced(response)
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            raise RuntimeError("as some libraries make of a cancellation") from None
        return response  # type: ignore[no-any-return]

    def replaced(self, response: HttpResponse) -> HttpResponse:
        """Flat pages stand in for some that are not there, and a fault in this is one."""
        if "X-Fault" in response:
            raise RuntimeError("a fault of a middleware")
        return HttpResponse("a flat page") if "X-Flat-Page" in response else response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        REPORTED.append(f"{request.path_info}: {exception}")
        return HttpResponse("answered by middleware") if str(exception) == "reported" else None


class Coupon(PaymentMethod):
    """A method of the host's own, which cannot give back."""

    name: ClassVar[str] = "coupon"
    payment_headers: ClassVar[tuple[str, ...]] = ("Coupon",)

    def get_402_headers(self, price: int, asset: str) -> Mapping[str, str]:
        return {"Coupon-Accepted": "yes"}

    def redeem_payment(self, payment: Mapping[str, Any], order: Order) -> PaidCall:
        return order.take(payment["Coupon"], order.price)


def methods(server: PaymentServer) -> list[PaymentMethod]:
    """The ways to pay."""
    return [Channel(server, "/payment"), Coupon()]


def configure(net: Devnet, folder: Path) -> None:
    """Sets the project up, with its tables."""
    payments = settings_for(net, folder)
    del payments["database_url"]
    payments["methods"] = "tests.django_app.project.methods"
    wallet = wallet_on(net)
    settings.configure(
        SECRET_KEY="of a test",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.django_app.urls",
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "paypercall.django"],
        MIDDLEWARE=[
            "paypercall.django.middleware.PaymentMiddleware",
            "django.middleware.gzip.GZipMiddleware",
            "django.middleware.http.ConditionalGetMiddleware",
            "django.middleware.common.CommonMiddleware",
            "tests.django_app.project.ErrorReporting",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(folder / "project.sqlite"),
                "ATOMIC_REQUESTS": True,
            }
        },
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {}}],
        PAYPERCALL=payments,
        WALLET=lambda: wallet,
        LOGGING_CONFIG=None,
    )
    django.setup()
    call_command("migrate", verbosity=0)


def parts() -> Iterator[bytes]:
    """A stream."""
    yield from (b"data: 0\n\n", b"data: 1\n\n")


async def async_parts() -> AsyncIterator[bytes]:
    """A stream for an async server."""
    for part in parts():
        yield part


def parts_that_break_off() -> Iterator[bytes]:
    """A stream whose view fails in the middle."""
    yield b"data: 0\n\n"
    raise ValueError("a fault of the view")


async def async_parts_that_break_off() -> AsyncIterator[bytes]:
    """The same for an async server."""
    for part in parts_that_break_off():
        yield part


ENDED = threading.Event()
"""That a stream without an end was ended."""


def endless_parts() -> Iterator[bytes]:
    """A stream that fails when it is ended, as only a client that hangs up has it."""
    try:
        while True:
            yield b"data: 0\n\n" * 1000
    except GeneratorExit:
        ENDED.set()
        raise ValueError("there are more") from None


async def endless_async_parts() -> AsyncIterator[bytes]:
    """The same for an async server, which cancels it."""
    try:
        while True:
            yield b"data: 0\n\n"
            await asyncio.sleep(60)
    except asyncio.CancelledError:
        ENDED.set()
        raise ValueError("there are more") from None


def price_of_what_is_left(request: Any, kind: str) -> int | None:
    """A price of things of which there is one of each."""
    if request.get_full_path() not in RUNS:
        return 100
    if kind == "free":
        return None
    raise Http404 if kind == "gone" else LookupError(kind)


async def async_price_of_what_is_left(request: Any, kind: str) -> int | None:
    """The same for async views."""
    return price_of_what_is_left(request, kind)


def length_price(request: Any, length: int) -> int:
    """A price by the view's argument and the query."""
    return length * int(request.GET.get("factor", "1"))
