"""The owner is asked about every price that has risen, whatever became of the calls before, and its yes is `True`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count

import pytest

from paypercall import wire
from paypercall.paying import Offer, PaymentDeclined, PaymentRejected
from paypercall.requests import Session
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Seen, changed

Honest = Callable[[], Reply]


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return f"{market.site.url}/{request.node.name}"


class Owner:
    """Notes what it is asked: the price, and the one before. Says the same each time."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[int, int]] = []

    def __call__(self, offer: Offer, last: int) -> bool:
        self.asked.append((offer.price, last))
        return self.answer  # type: ignore[return-value]


def session(market: Market, owner: Owner) -> Session:
    return Session(market.client, replace(BUDGET, approve=owner), patience=0)


def code_of(api: Session, url: str) -> str:
    with pytest.raises(PaymentDeclined) as declined:
        api.get(url)
    return declined.value.code


@pytest.mark.parametrize("answer", ["no", 1, None, object()])
def test_an_answer_of_the_owners_that_is_not_true_is_a_no(market: Market, url: str, answer: object) -> None:
    with session(market, Owner(answer)) as api:
        assert api.get(url).ok
        market.site.price = 150
        assert code_of(api, url) == "not_approved"


def test_a_price_that_is_raised_within_a_call_is_asked_about_though_the_first_one_came_back(
    market: Market, url: str
) -> None:
    owner, before = Owner(False), market.spent()
    with session(market, owner) as api:
        api.get_402_info(url)
        market.site.price = 500
        assert code_of(api, url) == "not_approved"
    assert (owner.asked, market.spent() - before) == ([(500, 100)], 0)


@pytest.mark.parametrize("kept", [(), (wire.PACKAGE,), (wire.PACKAGE, wire.RECEIPT)])
def test_a_price_that_is_raised_each_time_is_asked_about_whatever_became_of_the_last_payment(
    market: Market, url: str, kept: tuple[str, ...]
) -> None:
    owner, prices = Owner(False), count(100, 100)

    def ask_for_more(seen: Seen, honest: Honest) -> Reply:
        market.site.price = next(prices)
        return changed(honest(), dict.fromkeys(kept))

    market.site.trick = ask_for_more
    with session(market, owner) as api:
        for _ in range(3):
            with suppress(PaymentRejected, PaymentDeclined):
                api.get(url)
    assert {last for _, last in owner.asked} == {100}
    assert {seen["signed_message"]["payment_amount"] for seen in market.site.packages} == {100}


@pytest.mark.parametrize("tells_price", [True, False])
@pytest.mark.parametrize("is_next_program", [True, False])
def test_a_price_that_has_fallen_and_rises_again_is_asked_about(
    market: Market, url: str, tells_price: bool, is_next_program: bool
) -> None:
    def leave_price_out(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        receipt = dict(reply.headers).get(wire.RECEIPT)
        if receipt is None or tells_price:
            return reply
        told = wire.decode_receipt(receipt)
        told.pop("price", None)
        return changed(reply, {wire.RECEIPT: wire.encode_receipt(told)})

    owner, market.site.trick = Owner(True), leave_price_out
    with session(market, owner) as api, session(market, owner) as next_program:
        for price in (400, 10):
            market.site.price = price
            assert api.get(url).ok
        market.site.price = 400
        assert (next_program if is_next_program else api).get(url).ok
    assert owner.asked == [(400, 10)]


def test_the_owner_is_not_asked_about_what_the_limits_do_not_allow(market: Market, url: str) -> None:
    owner = Owner(True)
    with session(market, owner) as api:
        assert api.get(url).ok
        market.site.price = 501
        assert code_of(api, url) == "above_per_call"
    assert owner.asked == []


# --- a price that was shown -------------------------------------------------------------------------------------------


def show(market: Market, api: Session, url: str, price: int) -> None:
    market.site.price = price
    offer = api.get_402_info(url)
    assert offer is not None and offer.price == price


def test_a_price_above_the_one_that_was_shown_is_asked_about_before_anything_is_paid(
    market: Market, url: str
) -> None:
    owner, before = Owner(False), market.spent()
    with session(market, owner) as api:
        show(market, api, url + "?of=1", 100)
        show(market, api, url + "?of=2", 120)
        market.site.price = 150
        assert code_of(api, url + "?of=3") == "not_approved"
    assert (owner.asked, market.site.packages, market.spent() - before) == ([(150, 120)], [], 0)


def test_the_price_that_was_shown_for_the_call_itself_is_not_asked_about(market: Market, url: str) -> None:
    owner = Owner(False)
    with session(market, owner) as api:
        show(market, api, url + "?of=2", 120)
        show(market, api, url + "?of=1", 100)
        market.site.price = 120
        assert api.get(url + "?of=2").ok
    assert owner.asked == []


def test_a_price_that_was_only_shown_is_asked_about_if_it_is_above_the_one_that_was_paid(
    market: Market, url: str
) -> None:
    owner = Owner(True)
    with session(market, owner) as api:
        assert api.get(url).ok
        show(market, api, url, 150)
        assert api.get(url).ok
        assert api.get(url).ok
    assert owner.asked == [(150, 100)]


def test_what_was_shown_counts_until_the_next_call_is_paid(market: Market, url: str) -> None:
    owner = Owner(True)
    with session(market, owner) as api:
        for number, price in enumerate((50, 60)):
            show(market, api, f"{url}?shown={number}", price)
        market.site.price = 100
        for number in range(2):
            assert api.get(f"{url}?paid={number}").ok
    assert owner.asked == [(100, 60)]
