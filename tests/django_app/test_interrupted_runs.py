"""A worker that is told to end while it answers a paid request: the same payment runs the view anew, and at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import requests
from django.http import HttpRequest, HttpResponse
from django.urls import path

from paypercall import wire
from tests.django_app.conftest import Site

View = Callable[[HttpRequest], Any]


class Interruption:
    """Tells the worker to end, once."""

    def __init__(self, error: BaseException, at: int = 1) -> None:
        self._error = error
        self._at = at
        self.calls = 0

    def pass_by(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            raise self._error


@contextmanager
def payable(view: View, **own_settings: Any) -> Iterator[None]:
    from django.conf import settings
    from django.test import override_settings

    from paypercall.django import Payment

    payment = Payment()
    urls = (path("answer", payment.required(100)(view)),)
    with (
        override_settings(ROOT_URLCONF=urls, PAYPERCALL={**settings.PAYPERCALL, **own_settings}),
        closing(payment),
    ):
        yield


def ask_twice(site: Site) -> requests.Response:
    """What the same package gets after an attempt that was broken off."""
    header = site.header()
    first = site.ask("answer", header)
    assert (first.status_code, wire.RECEIPT in first.headers) == (500, False)
    return site.ask("answer", header)


def test_a_view_that_is_told_to_end_runs_anew_at_once(wsgi: Site) -> None:
    told = Interruption(SystemExit())

    def view(request: HttpRequest) -> HttpResponse:
        told.pass_by()
        return HttpResponse(str(told.calls))

    with payable(view):
        again = ask_twice(wsgi)
    assert (again.status_code, again.text) == (200, "2")


def test_an_async_view_that_is_cancelled_runs_anew_at_once(site: Site) -> None:
    told = Interruption(asyncio.CancelledError())

    async def view(request: HttpRequest) -> HttpResponse:
        told.pass_by()
        return HttpResponse(str(told.calls))

    with payable(view):
        again = ask_twice(site)
    assert (again.status_code, again.text) == (200, "2")


@pytest.mark.parametrize("at", [1, 2])  # after the view, and as the response leaves
def test_a_policy_that_is_told_to_end_leaves_an_answer_to_the_next_attempt_at_once(
    wsgi: Site, at: int
) -> None:
    told = Interruption(SystemExit(), at)

    with payable(lambda request: HttpResponse("42"), refunds=policy(told)):
        again = ask_twice(wsgi)
    assert (again.status_code, again.text) == (200, "42")


@pytest.mark.parametrize("at", [1, 2])
def test_a_policy_that_is_told_to_end_leaves_a_refund_to_the_next_attempt_at_once(
    wsgi: Site, at: int
) -> None:
    told = Interruption(SystemExit(), at)

    def view(request: HttpRequest) -> HttpResponse:
        raise RuntimeError("the view is broken")

    with payable(view, refunds=policy(told)):
        again = ask_twice(wsgi)
    assert (again.status_code, wsgi.refund_in(again)) == (500, 100)


def policy(told: Interruption) -> Callable[[int], bool]:
    def refunds(status: int) -> bool:
        told.pass_by()
        return status >= 500

    return refunds
