"""Merchants that cheat get one payment at most, within the limits, and what they do is told."""

from __future__ import annotations

import contextlib
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import requests

from paypercall import wire
from paypercall.errors import PaypercallError
from paypercall.events import Event, EventKind
from paypercall.methods import Channel
from paypercall.paying import NotYetAccepted, PaymentDeclined, PaymentRejected, PeriodOver, RefundMissing
from paypercall.paywall import Paywall
from paypercall.requests import Session
from tests.parties import customer_on, merchant_on
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import OWN_PAYMENTS, Market, Reply, Seen, changed
from tests.paywall.merchant import Headers

Honest = Callable[[], Reply]


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return f"{market.site.url}/{request.node.name}"


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


def ask(market: Market) -> Reply:
    """The honest 402."""
    return market.site.honestly(Seen("GET", "/terms", Headers({}), b""))


def test_402_for_ever_gets_one_payment_and_no_more(
    market: Market, api: Session, url: str, events: list[Event]
) -> None:
    market.site.trick = lambda seen, honest: ask(market)
    before = market.spent()
    with pytest.raises(PaymentRejected) as rejected:
        api.get(url)
    assert rejected.value.response.status_code == 402
    assert len(market.site.packages) == 1
    for number in range(3):
        with pytest.raises(PaymentRejected):
            api.get(f"{url}?{number}")
    assert len({str(package) for package in market.site.packages}) == 1
    assert market.spent() - before == 100
    assert market.rows()[-1]["state"] == "pending"


def test_402_for_ever_with_honest_refunds_gets_two_payments_and_gives_both_back(
    market: Market, api: Session, url: str
) -> None:
    prices = count(100, 10)

    def raise_price(seen: Seen, honest: Honest) -> Reply:
        market.site.price = next(prices)
        return honest()

    market.site.trick = raise_price
    before = market.spent()
    with pytest.raises(PaymentRejected):
        api.get(url)
    assert [package["signed_message"]["payment_amount"] for package in market.site.packages] == [100, 110]
    assert market.spent() == before
    assert [row["state"] for row in market.rows()[-2:]] == ["refunded", "refunded"]


def test_a_price_raised_above_the_limit_is_not_paid_though_the_first_payment_came_back(
    market: Market, api: Session, url: str
) -> None:
    api.get(url)
    market.site.price = 501
    before = market.spent()
    with pytest.raises(PaymentDeclined) as declined:
        api.get(url)
    assert declined.value.code == "above_per_call"
    assert market.spent() == before


def test_a_402_after_the_payment_without_a_refund_is_told(
    market: Market, api: Session, url: str, events: list[Event]
) -> None:
    def keep(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        terms = ask(market)
        return terms if seen.package is None else Reply(402, [*terms.headers, *receipts(reply)], b"")

    market.site.trick = keep
    with pytest.raises(PaymentRejected):
        api.get(url)
    assert len(market.site.packages) == 1
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert (events[0].amount, events[0].aa_address) == (100, market.client.aa_address)


def receipts(reply: Reply) -> list[tuple[str, str]]:
    return [pair for pair in reply.headers if pair[0] == wire.RECEIPT]


def test_another_payee_than_before_is_not_paid(market: Market, api: Session, url: str) -> None:
    api.get(url)
    other = "YZ4HY66BSTM2FFMEQRPFVSZ2WMHCG3L3"
    market.site.trick = lambda seen, honest: changed(ask(market), {wire.ADDRESS: other})
    before = market.spent()
    with pytest.raises(PaymentRejected):
        api.get(url)
    with pytest.raises(PaymentDeclined) as declined:
        api.get(url + "/new")
    assert declined.value.code == "payee_not_allowed"
    assert market.spent() - before == 100


@pytest.mark.parametrize(
    "changes, code",
    [
        ({wire.NETWORK: "4.0"}, "wrong_network"),
        ({wire.METHODS: "onchain"}, "wrong_method"),
        ({wire.AGENT_VERSIONS: "9.9"}, "wrong_method"),
        ({wire.ASSET: "A" * 43 + "="}, "asset_not_allowed"),
    ],
)
def test_what_cannot_be_paid_from_here_is_not_paid(
    market: Market, api: Session, url: str, changes: dict[str, str], code: str
) -> None:
    market.site.trick = lambda seen, honest: changed(ask(market), changes)
    with pytest.raises(PaymentDeclined) as declined:
        api.get(url)
    assert declined.value.code == code
    assert market.site.packages == []


def test_no_channel_is_opened_that_the_merchant_would_not_take(
    market: Market, url: str, tmp_path: Path
) -> None:
    market.site.trick = lambda seen, honest: changed(ask(market), {wire.CHANNEL_TIMEOUTS: "1-2"})
    with customer_on(market.net, tmp_path, market.client.peer_address) as newcomer:
        with Session(newcomer, BUDGET) as api:
            api.get_402_info(url)
            with pytest.raises(PaymentDeclined) as declined:
                api.get(url)
        assert declined.value.code == "wrong_timeout"
        assert newcomer.aa_address is None


@pytest.mark.parametrize(
    "changes",
    [
        {wire.PRICE: "100 bytes"},
        {wire.PRICE: "1" * 60_000},
        {wire.ADDRESS: "\x00"},
        {wire.METHODS: None},
        {wire.CHANNEL_TIMEOUTS: "for ever"},
    ],
)
def test_garbage_in_the_terms_is_a_402_that_is_not_paid(
    market: Market, api: Session, url: str, changes: dict[str, str | None]
) -> None:
    market.site.trick = lambda seen, honest: changed(ask(market), changes)
    assert api.get(url).status_code == 402
    assert market.site.packages == []


@pytest.mark.parametrize("headers", [[("X", "y" * 70_000)], [("X", "y")] * 200])
def test_headers_beyond_all_bounds_are_no_answer_and_the_payment_stays_the_same(
    market: Market, api: Session, url: str, headers: list[tuple[str, str]]
) -> None:
    api.get_402_info(url)
    market.site.trick = lambda seen, honest: Reply(200, headers, b"")
    with pytest.raises(requests.RequestException):
        api.get(url)
    assert len(market.site.packages) == 3
    assert len({str(package) for package in market.site.packages}) == 1


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
    market: Market, api: Session, url: str, events: list[Event], change: dict[str, object]
) -> None:
    def forge(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        for _, text in receipts(reply):
            reply = changed(reply, {wire.RECEIPT: json.dumps({**json.loads(text), **change})})
        return reply

    market.site.trick = forge
    assert api.get(url).ok
    assert EventKind.RECEIPT_DISPUTED in kinds_of(market, events)
    assert market.rows()[-1]["refund"] == 0


def test_an_answer_without_a_receipt_is_told_and_the_price_asked_for_again_next_time(
    market: Market, api: Session, url: str, events: list[Event]
) -> None:
    market.site.trick = lambda seen, honest: changed(honest(), {wire.RECEIPT: None})
    assert api.get(url).ok
    assert kinds_of(market, events) == [EventKind.RECEIPT_DISPUTED]
    assert market.rows()[-1]["state"] == "given_up"
    market.site.seen.clear()
    market.site.trick = lambda seen, honest: Reply(200, [], b"free now")
    with Session(market.client, BUDGET) as next_program:
        for each in (api, next_program):
            assert each.get(url).ok
    assert market.site.packages == []


def forged_refunds(market: Market, api: Session, url: str) -> dict[str, str]:
    """Headers that give nothing back: one of another call, one that was changed, one of the customer's own, garbage."""
    market.site.view = lambda seen: Reply(404, [], b"")
    old = wire.decode_package(api.get(url + "/old").headers[wire.PACKAGE])
    assert isinstance(old, dict)
    market.site.begin()
    market.signed_besides += 1
    more = {**old["signed_message"], "payment_amount": 10**6, "amount_spent": 10**6}
    return {
        "old": wire.encode_package(old),
        "changed": wire.encode_package({**old, "signed_message": more}),
        "own": wire.encode_package(market.client.create_payment_package(1)),
        "garbage": "!" * 100,
        "long": "A" * 20_000,
    }


@pytest.mark.parametrize("kind", ["old", "changed", "own", "garbage", "long"])
def test_a_forged_refund_is_told_not_booked_and_raised_where_that_is_wanted(
    market: Market, api: Session, url: str, events: list[Event], kind: str
) -> None:
    forged = forged_refunds(market, api, url)[kind]
    before = market.spent()

    def forge(seen: Seen, honest: Honest) -> Reply:
        if seen.package is None:
            return honest()
        return changed(Reply(404, honest().headers, b""), {wire.PACKAGE: forged})

    market.site.trick = forge
    assert api.get(url).status_code == 404
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert market.rows()[-1]["refund"] == 0
    with Session(market.client, BUDGET, strict=True) as strict, pytest.raises(RefundMissing) as missing:
        strict.get(url)
    assert missing.value.response.status_code == 404
    assert market.spent() - before == 200


def test_a_refund_that_the_receipt_promises_and_that_does_not_come_is_told(
    market: Market, api: Session, url: str, events: list[Event]
) -> None:
    market.site.view = lambda seen: Reply(404, [], b"")
    market.site.trick = lambda seen, honest: changed(honest(), {wire.PACKAGE: None})
    assert api.get(url).status_code == 404
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]


@pytest.mark.parametrize("status", [500, 402])
def test_a_receipt_that_names_no_refund_of_what_was_not_served_is_told_and_raised_where_that_is_wanted(
    market: Market, api: Session, url: str, events: list[Event], status: int
) -> None:
    def keep(seen: Seen, honest: Honest) -> Reply:
        return honest() if seen.package is None else Reply(status, receipts(honest()), b"")

    market.site.trick = keep
    with contextlib.suppress(PaymentRejected):
        assert api.get(url).status_code == status
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    with Session(market.client, BUDGET, strict=True) as strict, pytest.raises(RefundMissing) as missing:
        strict.get(url)
    assert missing.value.response.status_code == status


@pytest.mark.parametrize("status", [400, 404, 409, 451])
def test_a_price_that_is_kept_for_an_error_of_the_clients_is_told_and_may_be_the_merchants_policy(
    market: Market, url: str, events: list[Event], status: int
) -> None:
    paywall = market.site.paywall
    assert paywall is not None
    market.site.view = lambda seen: Reply(status, [], b"")
    market.site.trick = lambda seen, honest: Reply(
        *((reply := honest()).status, reply.headers if seen.package is None else receipts(reply), b"")
    )
    market.site.paywall = Paywall(market.server.calls, [Channel(market.server)], refunds=lambda status: False)
    try:
        with Session(market.client, BUDGET, strict=True) as api:
            assert api.get(url).status_code == status
    finally:
        market.site.paywall = paywall
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert market.rows()[-1]["state"] == "answered"


def test_a_refund_over_a_channel_to_another_payee_is_none(
    market: Market, api: Session, url: str, events: list[Event], tmp_path: Path
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
        assert api.get(url).status_code == 404
        assert other.balance().owed_by_peer == 0
        assert other.verify_payment_package(refund).amount == 100
    assert kinds_of(market, events) == [EventKind.REFUND_MISSING]
    assert market.rows()[-1]["refund"] == 0


@pytest.mark.parametrize(
    "kind", [PaymentRejected, NotYetAccepted, RefundMissing, PeriodOver, PaymentDeclined]
)
def test_what_a_call_raises_can_be_sent_to_another_process(kind: type[PaypercallError]) -> None:
    error = PaymentDeclined("text", code="x") if kind is PaymentDeclined else kind("text")
    if kind is not PaymentDeclined:
        error.response = requests.Response()  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.code) == (kind, "text", error.code)
    assert kind is PaymentDeclined or again.response is not None


def test_a_payment_is_not_carried_to_another_origin_by_a_redirection(
    market: Market, api: Session, url: str
) -> None:
    api.get_402_info(url)
    terms = ask(market)
    market.other.trick = lambda seen, honest: terms
    market.site.trick = lambda seen, honest: Reply(307, [("Location", market.other.url + "/take")], b"")
    assert api.get(url).status_code == 402
    assert len(market.site.packages) == 1
    assert len(market.other.seen) == 1
    assert market.other.packages == []


@pytest.mark.parametrize("asks_only", [False, True])
def test_payments_of_the_programs_own_are_not_carried_to_another_origin_by_a_redirection(
    market: Market, api: Session, url: str, asks_only: bool
) -> None:
    market.site.trick = lambda seen, honest: Reply(307, [("Location", market.other.url + "/take")], b"")
    call = api.get_402_info if asks_only else api.get
    call(url, headers={**OWN_PAYMENTS, "X-Kept": "yes"})
    [stolen] = market.other.seen
    assert stolen.headers.get("X-Kept") == "yes"
    assert [name for name in OWN_PAYMENTS if stolen.headers.get(name) is not None] == []
    assert all(market.site.seen[0].headers.get(name) for name in OWN_PAYMENTS)


def test_a_merchant_that_gives_no_receipts_cannot_raise_its_price_unasked(market: Market, url: str) -> None:
    market.site.trick = lambda seen, honest: changed(honest(), {wire.RECEIPT: None})
    with Session(market.client, replace(BUDGET, approve=lambda offer, last: False)) as api:
        assert api.get(url).ok
        market.site.price = 150
        with pytest.raises(PaymentDeclined) as declined:
            api.get(url)
    assert declined.value.code == "not_approved"


def test_a_redirection_to_nowhere_is_the_librarys_own_error(market: Market, api: Session, url: str) -> None:
    nowhere = [("Location", "http://127.0.0.1:99999/")]
    market.site.view = lambda seen: Reply(302, nowhere, b"")
    with pytest.raises(requests.exceptions.InvalidURL):
        api.get(url)
    assert market.rows()[-1]["state"] == "answered"


def test_an_unpaid_redirection_to_another_origin_gets_nothing_either(
    market: Market, api: Session, url: str
) -> None:
    terms = ask(market)
    market.other.trick = lambda seen, honest: terms
    market.site.trick = lambda seen, honest: Reply(302, [("Location", market.other.url + "/take")], b"")
    assert api.get(url).status_code == 402
    response = api.get(url, allow_redirects=False)
    assert response.next is not None
    assert api.send(response.next).status_code == 402
    assert market.other.packages == []


def test_a_redirection_within_the_origin_is_paid_where_it_leads_to(
    market: Market, api: Session, url: str
) -> None:
    def move(seen: Seen, honest: Honest) -> Reply:
        return honest() if "moved" in seen.path else Reply(308, [("Location", url + "/moved")], b"")

    market.site.trick = move
    assert api.post(url, data=b"body").json() == {"method": "POST", "length": 4}
    assert len(market.site.packages) == 1


def test_redirections_from_one_page_to_the_next_are_paid_once_though_there_is_no_receipt(
    market: Market, api: Session, url: str
) -> None:
    numbers = count(101)

    def lead_on(seen: Seen, honest: Honest) -> Reply:
        market.site.price = next(numbers)
        reply = honest()
        if seen.package is None:
            return reply
        return Reply(302, [("Location", f"{url}/{market.site.price}")], b"")

    market.site.trick = lead_on
    assert api.get(url).status_code == 402
    assert len(market.site.packages) == 1


def test_redirections_from_one_paid_page_to_the_next_are_paid_once(
    market: Market, api: Session, url: str
) -> None:
    numbers = count()

    def lead_on(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        if seen.package is None:
            return reply
        return Reply(302, [*reply.headers, ("Location", f"{url}/{next(numbers)}")], b"")

    market.site.trick = lead_on
    before = market.spent()
    assert api.get(url).status_code == 402
    assert market.spent() - before == 100


def test_a_merchant_that_hangs_is_left_after_the_time_that_the_program_allows(
    market: Market, api: Session, url: str
) -> None:
    api.get_402_info(url)
    is_over = threading.Event()

    def hang(seen: Seen, honest: Honest) -> Reply:
        is_over.wait(10.0)
        return Reply(200, [], b"")

    market.site.trick = hang
    with pytest.raises(requests.Timeout):
        api.get(url, timeout=0.05)
    is_over.set()
    assert len(market.site.packages) == 3
    assert len({str(package) for package in market.site.packages}) == 1
