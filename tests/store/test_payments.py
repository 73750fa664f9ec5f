"""A payment is booked once, and a package that was sent is found again by its key."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from paypercall.store import AcceptedPayment, SentPackage, Store, StoreError
from tests.store.samples import channel, package

AA_ADDRESS = channel().aa_address
SECRET = "".join(("bearer", "money"))  # in pieces, because a traceback shows the lines of this file


@pytest.fixture(autouse=True)
def known_channel(store: Store) -> None:
    """Adds the channel that the rows belong to."""
    with store.transaction() as books:
        books.channels.add(channel(), created_at=1)


def add_sent(store: Store, key: Any, amount: int = 4) -> None:
    with store.transaction() as books:
        books.payments.add_sent(
            AA_ADDRESS, key, period=1, amount=amount, amount_spent=9, package={"é": [SECRET, amount]}, now=7
        )


def test_an_accepted_payment_is_found_by_what_it_is_about(store: Store) -> None:
    with store.transaction() as books:
        number = books.payments.add(package(channel(), amount_spent=9, amount=4), "base", 7)
    assert number is not None
    with store.reading() as books:
        assert books.payments.find(AA_ADDRESS, 1, 9) == AcceptedPayment(
            number, AA_ADDRESS, 1, 9, 4, "base", f"{9:064x}", 7
        )
        assert books.payments.find(AA_ADDRESS, 2, 9) is None
        assert books.payments.find(AA_ADDRESS, 1, 8) is None


def test_a_payment_with_the_same_amount_spent_is_booked_once_a_period(store: Store) -> None:
    later = channel(period=2)
    with store.transaction() as books:
        first = books.payments.add(package(channel(), amount_spent=9, amount=4), "base", 7)
        assert books.payments.add(package(channel(), amount_spent=9, amount=5), "base", 8) is None
        second = books.payments.add(package(channel(), amount_spent=10), "base", 9)
        third = books.payments.add(package(later, amount_spent=9), "base", 9)
    assert None not in (first, second, third)
    assert len({first, second, third}) == 3
    with store.reading() as books:
        payment = books.payments.find(AA_ADDRESS, 1, 9)
    assert payment is not None
    assert payment.amount == 4


def test_accepted_payments_are_summed_over_all_periods(store: Store) -> None:
    with store.transaction() as books:
        books.payments.add(package(channel(), amount_spent=9, amount=4), "base", 7)
        books.payments.add(package(channel(period=2), amount_spent=3, amount=3), "base", 8)
        assert books.payments.total_accepted(AA_ADDRESS) == 7
        assert books.payments.total_accepted(channel("other").aa_address) == 0


def test_a_payment_in_an_unknown_channel_is_not_booked(store: Store) -> None:
    with pytest.raises(StoreError), store.transaction() as books:
        books.payments.add(package(channel("other"), amount_spent=1), "base", 7)


def test_a_sent_package_is_found_by_its_key(store: Store) -> None:
    add_sent(store, "order 1")
    with store.reading() as books:
        assert books.payments.sent(AA_ADDRESS, "order 1") == SentPackage(1, 4, 9, {"é": [SECRET, 4]})
        assert books.payments.sent(AA_ADDRESS, "order 2") is None
        assert books.payments.sent(channel("other").aa_address, "order 1") is None


def test_a_key_is_taken_once_in_a_channel(store: Store) -> None:
    add_sent(store, "order 1")
    with pytest.raises(StoreError):
        add_sent(store, "order 1", amount=5)
    with store.reading() as books:
        sent = books.payments.sent(AA_ADDRESS, "order 1")
    assert sent is not None
    assert sent.amount == 4


@pytest.mark.parametrize("key", ["order 1", None], ids=["repeated", "missing"])
def test_no_error_and_no_log_shows_a_package(
    store: Store, caplog: pytest.LogCaptureFixture, key: str | None
) -> None:
    caplog.set_level("DEBUG")
    add_sent(store, "order 1")
    with pytest.raises(StoreError) as caught:
        add_sent(store, key)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert SECRET not in shown
    assert caught.value.code == "database"


def test_a_sent_package_does_not_show_in_its_repr() -> None:
    assert "secret" not in repr(SentPackage(1, 4, 9, {"secret": 1}))
