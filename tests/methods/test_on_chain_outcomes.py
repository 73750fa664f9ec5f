"""What becomes of a payment by a unit when the ledger takes its time, a rival turns up, or somebody crashes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import pytest

from paypercall import wire
from paypercall.methods import OnChain
from paypercall.methods.on_chain import CLOCKS_DIFFER_SECONDS
from paypercall.methods.waiting import MAX_WAITING
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.errors import HubTimeout
from paypercall.obyte.light import LightClient
from paypercall.obyte.unit import Unit
from paypercall.paywall import Answer, Running
from tests.methods.ledger_shop import (
    ANSWER,
    PRICE,
    LedgerShop,
    code_of,
    open_ledger_shop,
    pass_on,
    stranger_to,
)


class Crash(BaseException):
    """The merchant's process dies here."""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[LedgerShop]:
    with open_ledger_shop(tmp_path) as shop:
        yield shop


@pytest.fixture
def patient_shop(tmp_path: Path) -> Iterator[LedgerShop]:
    with open_ledger_shop(tmp_path, only_when_stable=True) as shop:
        shop.net.hold()
        yield shop


def rivals(shop: LedgerShop) -> tuple[dict[str, Any], Unit]:
    """A payment to the merchant, and a unit that spends the same coins otherwise."""
    with stranger_to(shop) as stranger:
        value = stranger.offer()
        own = Output(stranger.wallet.address, PRICE)
        return value, stranger.compose(Draft({"base": (own,)}))


# --- stability -------------------------------------------------------------------------------------------------------


def test_the_terms_tell_that_only_final_units_are_served(patient_shop: LedgerShop) -> None:
    terms = OnChain(patient_shop.server, only_when_stable=True).get_402_headers(PRICE, "base")
    assert "served=stable" in terms[wire.UNIT_TERMS]


def test_a_unit_is_served_once_it_is_final_whatever_the_price_is_by_then(patient_shop: LedgerShop) -> None:
    unit = patient_shop.prepare()
    for _ in range(2):
        waiting = patient_shop.ask(unit)
        assert code_of(waiting) == (409, "payment_pending")
        assert isinstance(waiting, Answer) and dict(waiting.headers)["Retry-After"] == "10"
    assert patient_shop.is_posted(unit.payment.hash)
    assert code_of(patient_shop.ask(unit, path="/other")) == (409, "payment_used")
    patient_shop.net.settle()
    patient_shop.sell(unit, price=5 * PRICE, asset="A" * 43 + "=")


@pytest.mark.parametrize(
    "dearer",
    [{"more": {"Prefer": "quality=high"}}, {"more": {"Host": "dear.example"}}, {"root_path": "/dear"}],
)
def test_a_unit_that_waits_for_a_cheap_request_does_not_buy_a_dear_one_that_differs_in_its_headers_only(
    patient_shop: LedgerShop, dearer: dict[str, Any]
) -> None:
    unit = patient_shop.prepare()
    cheap: dict[str, Any] = {"more": {"Prefer": "quality=low", "X-Request-ID": "1"}}
    assert code_of(patient_shop.ask(unit, **cheap)) == (409, "payment_pending")
    assert code_of(patient_shop.ask(unit, price=5 * PRICE, **dearer)) == (409, "payment_used")
    patient_shop.net.settle()
    assert code_of(patient_shop.ask(unit, price=5 * PRICE, **dearer)) == (409, "payment_used")
    cheap["more"]["X-Request-ID"] = "2"
    patient_shop.sell(unit, price=5 * PRICE, **cheap)


def test_a_unit_that_lost_while_it_was_waited_for_buys_nothing(patient_shop: LedgerShop) -> None:
    value, rival = rivals(patient_shop)
    assert code_of(patient_shop.ask_with(value)) == (409, "payment_pending")
    pass_on(patient_shop.net, rival)
    patient_shop.net.favour(rival["unit"])
    assert code_of(patient_shop.ask_with(value)) == (409, "payment_pending")
    patient_shop.net.settle()
    assert patient_shop.net.sequence(value["unit"]["unit"]) == "final-bad"
    assert code_of(patient_shop.ask_with(value)) == (402, "double_spent")
    assert not patient_shop.is_booked(value["unit"]["unit"])


def test_a_unit_that_won_against_a_rival_is_served(patient_shop: LedgerShop) -> None:
    value, rival = rivals(patient_shop)
    assert code_of(patient_shop.ask_with(value)) == (409, "payment_pending")
    pass_on(patient_shop.net, rival)
    patient_shop.net.favour(value["unit"]["unit"])
    patient_shop.net.settle()
    assert isinstance(patient_shop.ask_with(value), Running)


# --- rivals, without waiting -----------------------------------------------------------------------------------------


def test_a_unit_whose_rival_is_on_the_ledger_is_not_served(shop: LedgerShop) -> None:
    value, rival = rivals(shop)
    pass_on(shop.net, rival)
    assert code_of(shop.ask_with(value)) == (402, "unit_refused")
    assert not shop.is_booked(value["unit"]["unit"])


def test_a_unit_that_the_hub_has_taken_beside_a_rival_is_not_served_before_it_has_won(
    shop: LedgerShop,
) -> None:
    shop.net.hold()
    value, rival = rivals(shop)
    pass_on(shop.net, rival)
    pass_on(shop.net, value["unit"])
    assert code_of(shop.ask_with(value)) == (409, "payment_pending")
    shop.net.favour(value["unit"]["unit"])
    shop.net.settle()
    assert isinstance(shop.ask_with(value, price=5 * PRICE), Running)


# --- lost books ------------------------------------------------------------------------------------------------------


def test_a_unit_that_is_older_than_the_books_buys_nothing_unless_they_know_it(shop: LedgerShop) -> None:
    known, old = shop.prepare(), shop.prepare()
    shop.sell(known)
    made_at = old.payment.unit["timestamp"]

    def begin_books(seconds_after: int) -> None:
        with shop.server.server.store.transaction() as books:
            books.node.set_complete_since(made_at + seconds_after)

    begin_books(CLOCKS_DIFFER_SECONDS + 1)
    shop.refuses(wire.encode_unit(old.payment.to_wire()), 402, "unit_too_old")
    assert not shop.is_posted(old.payment.hash)
    again = shop.ask(known)
    assert isinstance(again, Answer) and again.body == ANSWER
    begin_books(CLOCKS_DIFFER_SECONDS)
    shop.sell(old)


# --- crashes and unknown outcomes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_posted", [False, True])
def test_after_a_crash_on_either_side_of_posting_the_same_unit_is_served(
    shop: LedgerShop, monkeypatch: pytest.MonkeyPatch, is_posted: bool
) -> None:
    unit = shop.prepare()
    post = LightClient.post

    def crash(light: LightClient, posted: Unit, **options: Any) -> None:
        if is_posted:
            post(light, posted, **options)
        raise Crash

    with monkeypatch.context() as fault:
        fault.setattr(LightClient, "post", crash)
        with pytest.raises(Crash):
            shop.ask(unit)
    assert shop.is_posted(unit.payment.hash) is is_posted
    assert code_of(shop.ask(unit, path="/other")) == (409, "payment_used")
    before = shop.net.balance(shop.payee)
    shop.sell(unit, price=5 * PRICE)
    assert shop.net.balance(shop.payee) - before == (0 if is_posted else PRICE)


def test_while_the_hub_is_silent_nothing_is_served_and_the_same_unit_is_served_later(
    shop: LedgerShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = shop.prepare()
    monkeypatch.setattr("paypercall.obyte.light.POST_SECONDS", 0.2)
    shop.net.mute()
    answer = shop.ask(unit)
    shop.net.unmute()
    assert code_of(answer) == (503, "hub_timeout")
    assert isinstance(answer, Answer) and dict(answer.headers)["Retry-After"] == "10"
    shop.sell(unit, price=5 * PRICE)


def test_few_units_wait_for_the_hub_at_a_time_and_of_the_others_nothing_is_lost(
    shop: LedgerShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold, may_go_on, waiting = shop.prepare(), Event(), Semaphore(0)
    shop.sell(sold)

    def wait(light: LightClient, posted: Unit, **options: Any) -> None:
        waiting.release()
        assert may_go_on.wait(30)
        raise HubTimeout("the hub is silent")

    monkeypatch.setattr(LightClient, "post", wait)
    with stranger_to(shop) as stranger, ThreadPoolExecutor(MAX_WAITING) as threads:
        first = stranger.offer()
        values = [first] + [
            stranger.forge(first["unit"], lambda unit, number=number: unit.update(timestamp=unit["timestamp"] + number))
            for number in range(1, MAX_WAITING + 1)
        ]  # fmt: skip
        asked = [threads.submit(shop.ask_with, value) for value in values[:MAX_WAITING]]
        try:
            for _ in asked:
                assert waiting.acquire(timeout=30)
            for value, is_booked in ((values[MAX_WAITING], False), (first, True)):
                refused = shop.ask_with(value)
                assert code_of(refused) == (503, "too_many_waiting")
                assert isinstance(refused, Answer) and dict(refused.headers)["Retry-After"] == "2"
                assert shop.is_booked(value["unit"]["unit"]) is is_booked
            again = shop.ask(sold)
            assert isinstance(again, Answer) and again.body == ANSWER
        finally:
            may_go_on.set()
    assert {code_of(outcome.result()) for outcome in asked} == {(503, "hub_timeout")}
    monkeypatch.undo()
    assert isinstance(shop.ask_with(first), Running)


def test_few_units_wait_for_what_the_hub_knows_of_their_authors(
    shop: LedgerShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, waiting = Event(), Semaphore(0)

    def look_up(light: LightClient, address: str) -> None:
        waiting.release()
        assert may_go_on.wait(30)

    monkeypatch.setattr(LightClient, "definition", look_up)
    with stranger_to(shop) as stranger, ThreadPoolExecutor(MAX_WAITING) as threads:
        value = stranger.forge(stranger.offer()["unit"], lambda unit: unit["authors"][0].pop("definition"))
        asked = [threads.submit(shop.ask_with, value) for _ in range(MAX_WAITING)]
        try:
            for _ in asked:
                assert waiting.acquire(timeout=30)
            assert code_of(shop.ask_with(value)) == (503, "too_many_waiting")
        finally:
            may_go_on.set()
    assert {code_of(outcome.result()) for outcome in asked} == {(400, "wrong_signer")}


def test_an_answer_is_given_again_without_the_hub(shop: LedgerShop) -> None:
    unit = shop.prepare()
    shop.sell(unit)
    shop.net.mute()
    again = shop.ask(unit)
    shop.net.unmute()
    assert isinstance(again, Answer) and again.body == ANSWER


def test_a_unit_whose_view_failed_buys_another_answer(shop: LedgerShop) -> None:
    unit = shop.prepare()
    running = shop.ask(unit)
    assert isinstance(running, Running)
    ending = dict(shop.paywall.finish(running, 500, [], b"failed").headers)
    assert wire.decode_receipt(ending[wire.RECEIPT])["used"] is False
    shop.sell(unit, path="/other")
    assert code_of(shop.ask(unit)) == (409, "payment_used")
