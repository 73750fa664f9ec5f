"""A request whose answer takes long is left alone for as long as its worker lives and holds it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from paypercall.call_book import CallBook
from paypercall.methods.base import PaymentMethod
from paypercall.paid_call import Attempt, PaidCall
from paypercall.paywall import Running, heartbeat
from paypercall.paywall.heartbeat import Heartbeat
from paypercall.store import Store
from tests.parties import wait_until


@pytest.fixture
def calls(tmp_path: object) -> Iterator[CallBook]:
    store = Store(f"sqlite:///{tmp_path}/books.sqlite")
    yield CallBook(store)
    store.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.05)


class Voucher(PaymentMethod):
    name = "voucher"
    payment_headers = ("Voucher",)

    def get_402_headers(self, price: int, asset: str) -> dict[str, str]:
        return {}

    def redeem_payment(self, payment: object, order: object) -> PaidCall:
        raise AssertionError("not part of these tests")


def begin(calls: CallBook, payment: str = "1") -> Running:
    """A run whose time is over at once, but for signs of life."""
    call = calls.take(
        Attempt("a", payment, 100, "base", now=0), method="voucher", payment=payment, amount=100
    )
    return Running(call, Voucher(), 100, was_paid_in_body=False)


def runs_until(calls: CallBook, payment: str = "1") -> int:
    with calls._store.transaction() as books:
        call = books.paid_calls.lock("voucher", payment)
    assert call is not None
    return call.runs_until


def is_beating() -> bool:
    return any(thread.name == "paypercall-heartbeat" for thread in threading.enumerate())


def test_a_long_run_gives_signs_of_life_until_it_ends(calls: CallBook) -> None:
    running, beat = begin(calls), Heartbeat(calls)
    first = runs_until(calls)
    beat.add(running)
    wait_until(lambda: runs_until(calls) > first, "a sign of life is given")
    beat.remove(running)
    wait_until(lambda: not is_beating(), "the thread ends")


def test_a_run_that_is_dropped_without_an_end_gives_none(calls: CallBook) -> None:
    beat = Heartbeat(calls)
    beat.add(begin(calls))
    gc.collect()
    wait_until(lambda: not is_beating(), "the thread ends")
    beat.add(begin(calls, "2"))
    gc.collect()
    wait_until(lambda: not is_beating(), "the thread ends again")
