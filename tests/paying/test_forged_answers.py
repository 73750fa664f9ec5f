"""Receipts and refunds that are wrong or missing are told and not booked, over any library."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from paypercall import wire
from paypercall.contract import ChannelParameters
from paypercall.events import Event, EventKind
from paypercall.methods import Channel
from paypercall.obyte.amounts import BASE
from paypercall.paying import PaymentRejected, RefundMissing
from paypercall.paywall import Paywall
from tests.parties import merchant_on
from tests.paying.libraries import Answer, Api, ApiMaker
from tests.paying.merchant import Market, Reply, Seen, changed
from tests.two_sides import PAYEE, signed_package

Honest = Callable[[], Reply]


@pytest.fixture
def events(market: Market) -> Iterator[list[Event]]:
    """What is told of merchants that cheat."""
    told: list[Event] = []
    ends = [
        market.client.subscribe(kind, told.append)
        for kind in (EventKind.RECEIPT_DISPUTED, EventKind.REFUND_MISSING)
    ]
    yield told
    for end in ends:
        end()


def kinds_of(market: Market, events: list[Event]) -> list[EventKind]:
    market.client.events.flush(5.0)
    return [event.kind for event in events]


def receipts(reply: Reply) -> list[tuple[str, str]]:
    return [pair for pair in reply.headers if pair[0] == wire.RECEIPT]


# --- receipts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 50},
        {"aa_address": "A" * 32},
        {"asset": "A" * 43 + "="},
        {"accepted": 1},
        {"credit": 10**9},
        {"refund": 101},
        {"amount": "100"},
    ],
)
def test_a_forged_receipt_is_told_and_the_answer_handed_on(
    market: Market, api: Api[Answer], url: str, events: list[Event], change: dict[str, object]
) -> None:
    def forge(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        for _, text in receipts(reply):
            reply = changed(reply, {wire.RECEIPT: json.dumps({**json.loads(text), **change})})
        return reply

    market.site.trick = forge
    assert api.request("GET", url).status_code == 200
    assert EventKind.RECEIPT_DISPUTED in kinds_of(market, events)
    assert market.rows()[-1]["refund"] == 0


def test_an_answer_without_a_receipt_is_told_and_the_price_asked_for_again_next_time(
    market: Market, api: Api[Answer], make_api: ApiMaker[Answer], url: str, events: list[Event]
) -> None:
    market.site.trick = lambda seen, honest: changed(honest(), {wire.RECEIPT: None})
    assert api.request("GET", url).status_code == 200
    assert kinds_of(market, events) == [EventKind.RECEIPT_DISPUTED]
    assert market.rows()[-1]["state"] == "given_up"
    market.site.seen.clear()
    market.site.trick = lambda seen, honest: Reply(200, [], b"free now")
    for each in (api, make_api()):
        assert each.request("GET", url).status_code == 200
    assert market.site.packages == []


# --- refunds ----------------------------------------------------------------------------------------------------------


def test_a_402_after_the_payment_without_a_refund_is_told(
    market: Market, api: Api[Answer], url: str, events: list[Event]
) -> None:
    def keep(seen: Seen, honest: Honest) -> Reply:
        reply, terms = honest(), market.site.ask()
        return terms if seen.package is None else Reply(402, [*terms.headers, *receipts(reply)], b"")

    market.site.trick = keep
    with pytest.raises(PaymentRejected):
        api.request("GET", url)
    assert len(market.site.packages) == 1
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert (events[0].amount, events[0].aa_address) == (100, market.client.aa_address)


def forged_refunds(market: Market, api: Api[Answer], url: str) -> dict[str, str]:
    """Headers that give nothing back: refunds of another call, or to somebody else, what is no refund, garbage."""
    market.site.view = lambda seen: Reply(404, [], b"")
    old = wire.decode_package(api.request("GET", url + "/old").headers[wire.PACKAGE])
    assert isinstance(old, dict)
    market.site.begin()
    market.signed_besides += 1
    more = {**old["signed_message"], "payment_amount": 10**6, "amount_spent": 10**6}
    others = ChannelParameters(PAYEE.address, market.client.address, BASE, "a salt", 3600)
    return {
        "old": wire.encode_package(old),
        "changed": wire.encode_package({**old, "signed_message": more}),
        "own": wire.encode_package(market.client.create_payment_package(1)),
        "others": wire.encode_package(
            signed_package(
                100, key=PAYEE, parameters=others, announce=others, version=market.net.network.version
            )
        ),
        "garbage": "!" * 100,
        "long": "A" * 20_000,
    }


@pytest.mark.parametrize("kind", ["old", "changed", "own", "others", "garbage", "long"])
def test_a_forged_refund_is_told_not_booked_and_raised_where_that_is_wanted(
    market: Market, api: Api[Answer], make_api: ApiMaker[Answer], url: str, events: list[Event], kind: str
) -> None:
    forged = forged_refunds(market, api, url)[kind]
    before = market.spent()

    def forge(seen: Seen, honest: Honest) -> Reply:
        if seen.package is None:
            return honest()
        return changed(Reply(404, honest().headers, b""), {wire.PACKAGE: forged})

    market.site.trick = forge
    assert api.request("GET", url).status_code == 404
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert market.rows()[-1]["refund"] == 0
    with pytest.raises(RefundMissing) as missing:
        make_api(strict=True).request("GET", url)
    assert missing.value.response.status_code == 404
    assert market.spent() - before == 200


def forged_refusal(market: Market, status: int, code: str | None) -> Reply:
    """An answer that says nothing of the payment, or that it was not taken, with what claims to be a refund."""
    terms = market.site.ask().headers if status == 402 else []
    named = {} if code is None else {wire.CODE: code}
    return changed(Reply(status, terms, b""), {**named, wire.PACKAGE: "!" * 100})


LEFT = [(302, None), (404, None), (400, "wrong_shape"), (402, "above_deposit"), (402, None)]


@pytest.mark.parametrize(("status", "code"), [*LEFT, (500, None), (503, None)])
def test_a_forged_refund_with_an_answer_that_takes_no_payment_is_told_and_the_payment_stays_good(
    market: Market, api: Api[Answer], url: str, events: list[Event], status: int, code: str | None
) -> None:
    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else forged_refusal(market, status, code)
    )
    with suppress(PaymentRejected):
        assert api.request("GET", url).status_code == status
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert (market.rows()[-1]["state"], market.rows()[-1]["refund"]) == ("pending", 0)
    market.site.trick = None
    assert api.request("GET", url).status_code == 200
    assert len({str(package) for package in market.site.packages}) == 1


@pytest.mark.parametrize(("status", "code"), LEFT)
def test_a_forged_refund_with_an_answer_that_takes_no_payment_is_raised_where_that_is_wanted(
    market: Market, make_api: ApiMaker[Answer], url: str, events: list[Event], status: int, code: str | None
) -> None:
    strict = make_api(strict=True)
    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else forged_refusal(market, status, code)
    )
    with pytest.raises(RefundMissing) as missing:
        strict.request("GET", url)
    assert missing.value.response.status_code == status
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    market.site.trick = None
    assert strict.request("GET", url + "/another").status_code == 200
    assert len({str(package) for package in market.site.packages}) == 1


def test_no_payment_is_made_anew_after_a_forged_refund_where_that_is_raised(
    market: Market, make_api: ApiMaker[Answer], url: str
) -> None:
    strict = make_api(strict=True)
    market.site.trick = lambda seen, honest: honest() if seen.package is None else Reply(404, [], b"")
    assert strict.request("GET", url).status_code == 404
    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else forged_refusal(market, 409, "payment_used")
    )
    with pytest.raises(RefundMissing):
        strict.request("GET", url + "/another")
    assert len({str(package) for package in market.site.packages}) == 1
    assert market.rows()[-1]["state"] == "given_up"


def test_a_refund_over_a_channel_to_another_payee_is_none(
    market: Market, api: Api[Answer], url: str, events: list[Event], tmp_path: Path
) -> None:
    with (
        merchant_on(market.net, tmp_path) as merchant,
        market.client.for_payee(merchant.address) as other,
    ):
        payment = merchant.verify_payment_package(other.create_payment_package(100))
        assert payment.error is None and payment.aa_address is not None
        refund = merchant.create_payment_package(100, payment.aa_address)
        market.site.view = lambda seen: Reply(404, [], b"")
        market.site.trick = lambda seen, honest: (
            honest()
            if seen.package is None
            else changed(honest(), {wire.PACKAGE: wire.encode_package(refund)})
        )
        assert api.request("GET", url).status_code == 404
        assert other.balance().owed_by_peer == 0
        assert other.verify_payment_package(refund).amount == 100
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert market.rows()[-1]["refund"] == 0


def test_a_refund_that_the_receipt_promises_and_that_does_not_come_is_told_and_raised_where_that_is_wanted(
    market: Market, api: Api[Answer], make_api: ApiMaker[Answer], url: str, events: list[Event]
) -> None:
    market.site.view = lambda seen: Reply(404, [], b"")
    market.site.trick = lambda seen, honest: changed(honest(), {wire.PACKAGE: None})
    assert api.request("GET", url).status_code == 404
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert market.rows()[-1]["state"] == "refund_due"
    with pytest.raises(RefundMissing):
        make_api(strict=True).request("GET", url)


@pytest.mark.parametrize("status", [500, 402])
def test_a_receipt_that_names_no_refund_of_what_was_not_served_is_told_and_raised_where_that_is_wanted(
    market: Market, api: Api[Answer], make_api: ApiMaker[Answer], url: str, events: list[Event], status: int
) -> None:
    def keep(seen: Seen, honest: Honest) -> Reply:
        return honest() if seen.package is None else Reply(status, receipts(honest()), b"")

    market.site.trick = keep
    with suppress(PaymentRejected):
        assert api.request("GET", url).status_code == status
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    with pytest.raises(RefundMissing) as missing:
        make_api(strict=True).request("GET", url)
    assert missing.value.response.status_code == status


@pytest.mark.parametrize("status", [400, 404, 409, 451])
def test_a_price_that_is_kept_for_an_error_of_the_clients_is_told_and_may_be_the_merchants_policy(
    market: Market, make_api: ApiMaker[Answer], url: str, events: list[Event], status: int
) -> None:
    paywall = market.site.paywall
    assert paywall is not None
    market.site.view = lambda seen: Reply(status, [], b"")
    market.site.trick = lambda seen, honest: Reply(
        *((reply := honest()).status, reply.headers if seen.package is None else receipts(reply), b"")
    )
    market.site.paywall = Paywall(market.server.calls, [Channel(market.server)], refunds=lambda status: False)
    try:
        assert make_api(strict=True).request("GET", url).status_code == status
    finally:
        market.site.paywall = paywall
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert market.rows()[-1]["state"] == "answered"
