"""Merchants that cheat with prices, payees and places get one payment at most, within the limits, over any library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from paypercall import wire
from paypercall.paying import PaymentDeclined, PaymentRejected
from tests.parties import customer_on
from tests.paying.fixtures import BUDGET
from tests.paying.libraries import Answer, Api, ApiMaker
from tests.paying.merchant import OWN_PAYMENTS, Market, Reply, Seen, changed

Honest = Callable[[], Reply]


def amounts(market: Market) -> list[int]:
    """What the payments that came are worth, in their order; one that came again is among them once."""
    paid = {
        signed["amount_spent"]: signed["payment_amount"]
        for signed in (package["signed_message"] for package in market.site.packages)
    }
    return list(paid.values())


def lead_to(place: str, status: int = 307) -> Reply:
    """A redirection."""
    return Reply(status, [("Location", place)], b"")


# --- prices and payees ------------------------------------------------------------------------------------------------


def test_402_for_ever_gets_one_payment_and_no_more(market: Market, api: Api[Answer], url: str) -> None:
    market.site.trick = lambda seen, honest: market.site.ask()
    before = market.spent()
    with pytest.raises(PaymentRejected) as rejected:
        api.request("GET", url)
    assert rejected.value.response.status_code == 402
    assert len(market.site.packages) == 1
    for number in range(3):
        with pytest.raises(PaymentRejected):
            api.request("GET", f"{url}?{number}")
    assert amounts(market) == [100]
    assert market.spent() - before == 100
    assert market.rows()[-1]["state"] == "pending"


@pytest.mark.parametrize("status", [402, 409])
@pytest.mark.parametrize("refund", ["!!", "own"])
def test_a_refusal_with_a_refund_that_is_none_gets_one_payment_and_no_more(
    market: Market, api: Api[Answer], url: str, status: int, refund: str
) -> None:
    def refuse(seen: Seen, honest: Honest) -> Reply:
        asked = market.site.ask()
        if seen.package is None:
            return asked
        brought = wire.encode_package(seen.package) if refund == "own" else refund
        return Reply(status, changed(asked, {wire.PACKAGE: brought}).headers, b"")

    before, market.site.trick = market.spent(), refuse
    for number in range(3):
        with suppress(PaymentRejected):
            assert api.request("GET", f"{url}?{number}").status_code == status
    assert (amounts(market), market.spent() - before) == ([100], 100)
    assert market.rows()[-1]["state"] == "pending"


@pytest.mark.parametrize("status", [402, 404, 500])
def test_a_refund_without_a_receipt_counts(market: Market, api: Api[Answer], url: str, status: int) -> None:
    before, market.site.view = market.spent(), lambda seen: Reply(status, [], b"")
    market.site.trick = lambda seen, honest: changed(honest(), {wire.RECEIPT: None})
    with suppress(PaymentRejected):
        assert api.request("GET", url).status_code == status
    assert (amounts(market), market.spent() - before) == ([100], 0)
    assert market.rows()[-1]["state"] == "refunded"


def raise_price(market: Market, *kept: str) -> None:
    """Has each request cost more than the one before; what the answers say of payments is left out, if it is named."""
    prices = count(100, 100)

    def ask_for_more(seen: Seen, honest: Honest) -> Reply:
        market.site.price = next(prices)
        return changed(honest(), dict.fromkeys(kept))

    market.site.trick = ask_for_more


def test_a_price_that_is_raised_each_time_gets_two_payments_which_come_back(
    market: Market, api: Api[Answer], url: str
) -> None:
    raise_price(market)
    before = market.spent()
    with pytest.raises(PaymentRejected):
        api.request("GET", url)
    assert amounts(market) == [100, 200]
    assert market.spent() == before
    assert [row["state"] for row in market.rows()[-2:]] == ["refunded", "refunded"]


@pytest.mark.parametrize(
    "kept, state",
    [
        ((wire.PACKAGE,), "refund_due"),
        ((wire.PACKAGE, wire.RECEIPT), "pending"),
        ((wire.PACKAGE, wire.RECEIPT, wire.CODE), "pending"),
    ],
)
def test_a_price_that_is_raised_each_time_by_who_keeps_what_was_paid_gets_one_payment_a_call_up_to_the_limit(
    market: Market, make_api: ApiMaker[Answer], url: str, kept: tuple[str, ...], state: str
) -> None:
    raise_price(market, *kept)
    before, rows = market.spent(), len(market.rows())
    api = make_api(replace(BUDGET, per_call=450), patience=0.0)
    for calls in (1, 2):
        with pytest.raises(PaymentRejected):
            api.request("GET", url)
        assert (len(amounts(market)), market.spent() - before) == (calls, sum(amounts(market)))
    with pytest.raises(PaymentDeclined) as declined:
        api.request("GET", url)
    assert declined.value.code == "above_per_call"
    assert [row["state"] for row in market.rows()[rows:]] == [state, state]


def test_a_price_raised_above_the_limit_is_not_paid_though_the_first_payment_came_back(
    market: Market, api: Api[Answer], url: str
) -> None:
    api.request("GET", url)
    market.site.price = 501
    before = market.spent()
    with pytest.raises(PaymentDeclined) as declined:
        api.request("GET", url)
    assert declined.value.code == "above_per_call"
    assert market.spent() == before


def test_a_merchant_that_gives_no_receipts_cannot_raise_its_price_unasked(
    market: Market, make_api: ApiMaker[Answer], url: str
) -> None:
    market.site.trick = lambda seen, honest: changed(honest(), {wire.RECEIPT: None})
    api = make_api(replace(BUDGET, approve=lambda offer, last: False))
    assert api.request("GET", url).status_code == 200
    market.site.price = 150
    with pytest.raises(PaymentDeclined) as declined:
        api.request("GET", url)
    assert declined.value.code == "not_approved"


def test_another_payee_than_before_is_not_paid(market: Market, api: Api[Answer], url: str) -> None:
    api.request("GET", url)
    other = "YZ4HY66BSTM2FFMEQRPFVSZ2WMHCG3L3"
    market.site.trick = lambda seen, honest: changed(market.site.ask(), {wire.ADDRESS: other})
    before = market.spent()
    with pytest.raises(PaymentRejected):
        api.request("GET", url)
    with pytest.raises(PaymentDeclined) as declined:
        api.request("GET", url + "/new")
    assert declined.value.code == "payee_not_allowed"
    assert market.spent() - before == 100


@pytest.mark.parametrize(
    "status, code",
    [
        (400, "wrong_shape"),
        (402, "payment_required"),
        (402, "uneconomic"),
        (409, "several_payments"),
        (409, "no_name_that_is_known"),
        (503, "ledger_unreachable"),
    ],
)
def test_a_merchant_that_takes_a_payment_and_refuses_it_by_name_gets_no_other_one(
    market: Market, make_api: ApiMaker[Answer], url: str, status: int, code: str
) -> None:
    def refuse(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        return reply if seen.package is None else Reply(status, [(wire.CODE, code)], b"")

    market.site.trick = refuse
    before, api = market.spent(), make_api(patience=0.0)
    for number in range(3):
        with suppress(PaymentRejected):
            assert api.request("GET", f"{url}?{number}").status_code == status
    assert (amounts(market), market.spent() - before) == ([100], 100)
    assert market.rows()[-1]["state"] == "pending"


def test_a_merchant_that_says_of_each_payment_that_it_was_used_before_gets_one_a_call(
    market: Market, api: Api[Answer], url: str
) -> None:
    def refuse(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        return reply if seen.package is None else Reply(409, [(wire.CODE, "payment_used")], b"")

    market.site.trick = refuse
    before = market.spent()
    for calls in (1, 2):
        assert api.request("GET", url).status_code == 409
        assert (amounts(market), market.spent() - before) == ([100] * calls, 100 * calls)
    assert [row["state"] for row in market.rows()[-2:]] == ["given_up", "given_up"]


# --- terms ------------------------------------------------------------------------------------------------------------


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
    market: Market, api: Api[Answer], url: str, changes: dict[str, str], code: str
) -> None:
    market.site.trick = lambda seen, honest: changed(market.site.ask(), changes)
    with pytest.raises(PaymentDeclined) as declined:
        api.request("GET", url)
    assert declined.value.code == code
    assert market.site.packages == []


def test_no_channel_is_opened_that_the_merchant_would_not_take(
    market: Market, make_api: ApiMaker[Answer], url: str, tmp_path: Path
) -> None:
    market.site.trick = lambda seen, honest: changed(market.site.ask(), {wire.CHANNEL_TIMEOUTS: "1-2"})
    with customer_on(market.net, tmp_path, market.client.peer_address) as newcomer:
        api = make_api(client=newcomer)
        api.terms(url)
        with pytest.raises(PaymentDeclined) as declined:
            api.request("GET", url)
        assert declined.value.code == "wrong_timeout"
        assert newcomer.aa_address is None


@pytest.mark.parametrize(
    "changes",
    [
        {wire.PRICE: "100 bytes"},
        {wire.PRICE: "1" * 60_000},
        {wire.ADDRESS: "\xff"},
        {wire.METHODS: None},
        {wire.CHANNEL_TIMEOUTS: "for ever"},
    ],
)
def test_garbage_in_the_terms_is_a_402_that_is_not_paid(
    market: Market, api: Api[Answer], url: str, changes: dict[str, str | None]
) -> None:
    market.site.trick = lambda seen, honest: changed(market.site.ask(), changes)
    assert api.request("GET", url).status_code == 402
    assert market.site.packages == []


# --- redirections -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 307])
def test_a_payment_is_not_carried_to_another_origin_by_a_redirection(
    market: Market, api: Api[Answer], url: str, status: int
) -> None:
    api.terms(url)
    terms = market.site.ask()
    market.other.trick = lambda seen, honest: terms
    market.site.trick = lambda seen, honest: lead_to(market.other.url + "/take", status)
    assert api.request("GET", url).status_code == 402
    assert len(market.site.packages) == 1
    assert len(market.other.seen) == 1
    assert market.other.packages == []


@pytest.mark.parametrize("asks_only", [False, True])
def test_payments_of_the_programs_own_are_not_carried_to_another_origin_by_a_redirection(
    market: Market, api: Api[Answer], url: str, asks_only: bool
) -> None:
    market.site.trick = lambda seen, honest: lead_to(market.other.url + "/take")
    headers = {**OWN_PAYMENTS, "X-Kept": "yes"}
    if asks_only:
        api.terms(url, headers=headers)
    else:
        api.request("GET", url, headers=headers)
    [stolen] = market.other.seen
    assert stolen.headers.get("X-Kept") == "yes"
    assert [name for name in OWN_PAYMENTS if stolen.headers.get(name) is not None] == []
    assert all(market.site.seen[0].headers.get(name) for name in OWN_PAYMENTS)


def test_an_unpaid_redirection_to_another_origin_gets_nothing_either(
    market: Market, api: Api[Answer], url: str
) -> None:
    terms = market.site.ask()
    market.other.trick = lambda seen, honest: terms
    market.site.trick = lambda seen, honest: lead_to(market.other.url + "/take", 302)
    assert api.request("GET", url).status_code == 402
    assert market.other.packages == []


def test_a_redirection_within_the_origin_is_paid_where_it_leads_to(
    market: Market, api: Api[Answer], url: str
) -> None:
    def move(seen: Seen, honest: Honest) -> Reply:
        return honest() if "moved" in seen.path else lead_to(url + "/moved", 308)

    market.site.trick = move
    assert api.request("POST", url, content=b"body").json() == {"method": "POST", "length": 4}
    assert len(market.site.packages) == 1


def test_redirections_from_one_page_to_the_next_are_paid_once_though_there_is_no_receipt(
    market: Market, api: Api[Answer], url: str
) -> None:
    numbers = count(101)

    def lead_on(seen: Seen, honest: Honest) -> Reply:
        market.site.price = next(numbers)
        reply = honest()
        return reply if seen.package is None else lead_to(f"{url}/{market.site.price}", 302)

    market.site.trick = lead_on
    assert api.request("GET", url).status_code == 402
    assert len(market.site.packages) == 1


def test_redirections_from_one_paid_page_to_the_next_are_paid_once(
    market: Market, api: Api[Answer], url: str
) -> None:
    numbers = count()

    def lead_on(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        if seen.package is None:
            return reply
        return Reply(302, [*reply.headers, ("Location", f"{url}/{next(numbers)}")], b"")

    market.site.trick = lead_on
    before = market.spent()
    assert api.request("GET", url).status_code == 402
    assert market.spent() - before == 100


def test_a_redirection_to_nowhere_is_the_librarys_own_error(
    market: Market, api: Api[Answer], url: str
) -> None:
    market.site.view = lambda seen: lead_to("ftp://127.0.0.1/", 302)
    with pytest.raises(api.no_answer):
        api.request("GET", url)
    assert market.rows()[-1]["state"] == "answered"


# --- no answer --------------------------------------------------------------------------------------------------------


@pytest.fixture
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payment is sent again at once."""
    monkeypatch.setattr("paypercall.paying.exchange._SHORTEST_PAUSE", 0.01)


@pytest.mark.usefixtures("_in_a_hurry")
def test_headers_beyond_all_bounds_are_no_answer_and_the_payment_stays_the_same(
    market: Market, api: Api[Answer], url: str
) -> None:
    api.terms(url)
    market.site.trick = lambda seen, honest: Reply(200, [("X", "y" * 300_000)], b"")
    with pytest.raises(api.no_answer):
        api.request("GET", url)
    assert len(market.site.packages) == 3
    assert amounts(market) == [100]


@pytest.mark.usefixtures("_in_a_hurry")
def test_a_merchant_that_hangs_is_left_after_the_time_that_the_program_allows(
    market: Market, api: Api[Answer], url: str
) -> None:
    api.terms(url)
    is_over = threading.Event()

    def hang(seen: Seen, honest: Honest) -> Reply:
        is_over.wait(10.0)
        return Reply(200, [], b"")

    market.site.trick = hang
    try:
        with pytest.raises(api.timed_out):
            api.request("GET", url, timeout=0.1)
    finally:
        is_over.set()
    assert len(market.site.packages) <= 3
    assert amounts(market) == [100]
