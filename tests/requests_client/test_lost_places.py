"""A process that sleeps between its place in the budget and its signature, while another one takes its call over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from paypercall.errors import Refusal, RefusalCode
from paypercall.paying import PaymentDeclined, places
from paypercall.requests import Session
from paypercall.store import Books
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, call_of

Sleep = Callable[[Callable[[], None]], None]


@pytest.fixture
def url(market: Market) -> str:
    with Session(market.client, BUDGET) as api:
        assert api.get(market.site.url + "/lost").ok
    return market.site.url + "/lost"


@pytest.fixture
def before_signing(market: Market, monkeypatch: pytest.MonkeyPatch) -> Sleep:
    """Has something happen once, when a payment is about to be signed."""
    really_pay = market.client.pay_for

    def meanwhile(happens: Callable[[], None]) -> None:
        def pay_for(amount: int, key: str, require: Callable[[Books], None]) -> dict[str, Any]:
            monkeypatch.setattr(market.client, "pay_for", really_pay)
            happens()
            return really_pay(amount, key, require)

        monkeypatch.setattr(market.client, "pay_for", pay_for)

    return meanwhile


def in_another_process(market: Market, monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """As if the lease of the last call had run out, and another process came to it."""
    with market.client.store.transaction() as books:
        books.bought_calls.save(replace(call_of(books, market.rows()[-1]), runs_until=1))
    with monkeypatch.context() as other:
        other.setattr(places._this, "run", "b" * 32)
        do()


def test_a_place_that_another_process_gave_back_is_not_signed_for(
    market: Market, url: str, monkeypatch: pytest.MonkeyPatch, before_signing: Sleep
) -> None:
    spent, signed = market.spent(), market.client.balance().owed_by_me
    budget = type(BUDGET)(500, spent + 100, 500_000)

    def take_over() -> None:
        def fail(*_: object) -> None:
            raise Refusal(RefusalCode.CHANNEL_CLOSING, "it cannot sign")

        with Session(market.client, budget) as other:
            with monkeypatch.context() as closing:
                closing.setattr(market.client, "pay_for", fail)
                with pytest.raises(Refusal):
                    other.get(url)
            assert other.get(url + "?another").ok

    before_signing(lambda: in_another_process(market, monkeypatch, take_over))
    with Session(market.client, budget) as api, pytest.raises(PaymentDeclined) as declined:
        api.get(url)
    assert declined.value.code == "above_per_hour"
    assert market.spent() - spent == market.client.balance().owed_by_me - signed == 100


def test_a_call_whose_place_was_given_back_takes_another_if_the_budget_has_one(
    market: Market, url: str, monkeypatch: pytest.MonkeyPatch, before_signing: Sleep
) -> None:
    spent = market.spent()

    def take_over() -> None:
        def fail(*_: object) -> None:
            raise Refusal(RefusalCode.CHANNEL_CLOSING, "it cannot sign")

        with monkeypatch.context() as closing, Session(market.client, BUDGET) as other:
            closing.setattr(market.client, "pay_for", fail)
            with pytest.raises(Refusal):
                other.get(url)

    before_signing(lambda: in_another_process(market, monkeypatch, take_over))
    with Session(market.client, BUDGET) as api:
        assert api.get(url).ok
    assert market.spent() - spent == 100


def test_nothing_is_signed_long_after_its_place_was_taken(
    market: Market, url: str, monkeypatch: pytest.MonkeyPatch, before_signing: Sleep
) -> None:
    spent, rows = market.spent(), len(market.rows())
    now = places.wall_clock()

    def sleep() -> None:
        monkeypatch.setattr(places, "wall_clock", lambda: now + places.PLACE_SECONDS + 10)

    before_signing(sleep)
    with Session(market.client, BUDGET) as api:
        assert api.get(url).ok
    [row] = market.rows()[rows:]
    assert row["made_at"] > now + places.PLACE_SECONDS
    assert market.spent() - spent == 100


def test_of_two_that_have_a_call_the_one_that_signs_keeps_its_place(
    market: Market, url: str, monkeypatch: pytest.MonkeyPatch, before_signing: Sleep
) -> None:
    spent = market.spent()

    def take_over() -> None:
        with Session(market.client, BUDGET) as other:
            assert other.get(url).ok

    before_signing(lambda: in_another_process(market, monkeypatch, take_over))
    with Session(market.client, BUDGET) as api:
        assert api.get(url).ok
    assert len({str(package) for package in market.site.packages[-2:]}) == 1
    assert market.spent() - spent == 100


def test_a_place_that_another_process_has_taken_over_is_not_given_back(
    market: Market, url: str, before_signing: Sleep
) -> None:
    rows = len(market.rows())

    def take_over_and_fail() -> None:
        with market.client.store.transaction() as books:
            books.bought_calls.save(replace(call_of(books, market.rows()[-1]), run="b" * 32))
        raise Refusal(RefusalCode.CHANNEL_CLOSING, "it cannot sign")

    before_signing(take_over_and_fail)
    with Session(market.client, BUDGET) as api, pytest.raises(Refusal):
        api.get(url)
    [row] = market.rows()[rows:]
    assert (row["state"], row["run"]) == ("pending", "b" * 32)
    market.signed_besides -= row["amount"]  # the other process has still to sign it
