"""A session pays for its calls by itself: once, in one round trip where the price is known, and never above a limit."""

from __future__ import annotations

import json
import os
import pickle
import signal
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from paypercall import wire
from paypercall.calls import PartyClosed
from paypercall.client import Client
from paypercall.errors import Refusal
from paypercall.methods import Channel, Order, PaymentMethod
from paypercall.paid_call import PaidCall
from paypercall.paying import Budget, Limits, PaymentDeclined, WrongBudget, WrongOffer
from paypercall.paying.clients import ClientFactory
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Paywall, Price, Request
from paypercall.requests import PaymentAdapter, Session
from paypercall.store import Books
from tests.parties import customer_on, merchant_on
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen, Site, changed


def path(request: pytest.FixtureRequest) -> str:
    """A path of the test's own, whose price nobody knows yet."""
    return "/" + str(request.node.name)


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return market.site.url + path(request)


def test_the_first_call_asks_for_the_price_and_further_ones_pay_at_once(
    market: Market, api: Session, url: str
) -> None:
    before = market.spent()
    for calls in (1, 2, 3):
        assert api.get(url).json() == {"method": "GET", "length": 0}
        assert len(market.site.seen) == calls + 1
    assert [seen.package is not None for seen in market.site.seen] == [False, True, True, True]
    assert market.spent() - before == 300


@pytest.mark.parametrize("is_known", [False, True])
def test_a_request_with_a_payment_of_the_programs_own_gets_no_other(
    market: Market, api: Session, url: str, is_known: bool
) -> None:
    if is_known:
        api.get_402_info(url)
    rows = len(market.rows())
    own = wire.encode_package(market.client.create_payment_package(100))
    market.signed_besides += 100
    assert api.get(url, headers={wire.PACKAGE: own}).ok
    assert api.get(url, headers={wire.TOKEN: "unknown"}).status_code == 402
    assert [wire.encode_package(package) for package in market.site.packages] == [own]
    assert len(market.rows()) == rows


@pytest.mark.parametrize("name", [wire.UNIT, wire.TRANSFER])
def test_a_request_that_pays_in_another_way_gets_no_payment_besides(
    market: Market, api: Session, url: str, name: str
) -> None:
    assert api.get(url).ok
    market.site.seen.clear()
    assert api.get(url, headers={name: "a payment"}).status_code == 402
    assert market.site.packages == []


class Voucher(PaymentMethod):
    """A host's own way to pay."""

    name = "voucher"
    payment_headers = ("Payment-Voucher",)

    def get_402_headers(self, price: int, asset: str) -> dict[str, str]:
        return {}

    def redeem_payment(self, payment: dict[str, Any], order: Order) -> PaidCall:
        return order.collect(payment["Payment-Voucher"], order.price, lambda _: None)


@pytest.mark.parametrize("name", ["Payment-Voucher", "PAYMENT-VOUCHER", "payment-voucher"])
def test_a_request_that_pays_in_a_way_of_the_hosts_own_gets_no_payment_besides(
    market: Market, api: Session, url: str, name: str
) -> None:
    assert api.get(url).ok
    market.site.seen.clear()
    rows, paywall = len(market.rows()), market.site.paywall
    market.site.paywall = Paywall(market.server.calls, [Channel(market.server), Voucher()])
    try:
        assert api.get(url, headers={name: f"good for {name}"}).ok
    finally:
        market.site.paywall = paywall
    assert (market.site.packages, len(market.rows())) == ([], rows)


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_what_only_asks_about_a_resource_never_pays(
    market: Market, api: Session, url: str, method: str
) -> None:
    api.get_402_info(url)
    terms = market.site.honestly(market.site.seen[-1])
    assert terms.status == 402
    market.site.trick = lambda seen, honest: terms
    for _ in range(2):
        assert api.request(method, url).status_code == 402
    assert market.site.packages == []


def test_an_existing_channel_is_paid_over_though_the_merchant_takes_no_new_one_like_it(
    market: Market, api: Session, url: str
) -> None:
    assert api.get(url).ok
    market.site.trick = lambda seen, honest: changed(honest(), {wire.CHANNEL_TIMEOUTS: "1-2"})
    assert api.get(url + "?other").ok
    with Session(market.client, BUDGET) as newcomer:
        assert newcomer.get(url + "/other").ok


def test_a_price_is_known_to_the_next_process_from_the_books(market: Market, api: Session, url: str) -> None:
    api.get(url)
    with Session(market.client, BUDGET) as later:
        later.get(url)
    assert len(market.site.seen) == 3


def test_the_terms_are_told_without_paying_and_then_the_first_call_pays_at_once(
    market: Market, api: Session, url: str
) -> None:
    before = market.spent()
    offer = api.get_402_info(url)
    assert offer is not None
    assert (offer.price, offer.asset, offer.payee) == (100, "base", market.server.server.address)
    assert api.get_402_info(market.site.url + "/free") is None
    assert market.spent() == before
    api.get(url)
    assert [seen.package is not None for seen in market.site.seen] == [False, False, True]


@pytest.mark.parametrize("status", [302, 304, 401, 404, 500, 503])
def test_an_answer_that_says_nothing_of_the_price_is_not_taken_for_free(
    market: Market, api: Session, url: str, status: int
) -> None:
    market.site.trick = lambda seen, honest: Reply(status, [], b"")
    with pytest.raises(requests.HTTPError, match=str(status)):
        api.get_402_info(url)


def test_a_402_without_terms_is_not_taken_for_free(market: Market, api: Session, url: str) -> None:
    market.site.trick = lambda seen, honest: Reply(402, [], b"")
    with pytest.raises(WrongOffer):
        api.get_402_info(url)


def test_what_is_free_is_not_paid(market: Market, api: Session) -> None:
    before = market.spent()
    for _ in range(2):
        assert api.get(market.site.url + "/free").ok
    assert api.head(market.site.url + "/head").ok
    assert api.options(market.site.url + "/options").ok
    assert market.spent() == before
    assert market.site.packages == []


def test_a_view_that_fails_is_refunded_and_the_refund_counts(market: Market, api: Session, url: str) -> None:
    market.site.view = lambda seen: Reply(500, [], b"broken")
    before = market.spent()
    assert api.get(url).status_code == 500
    assert market.spent() == before
    assert market.rows()[-1]["state"] == "refunded"
    assert market.rows()[-1]["refund"] == 100


def test_of_a_price_that_has_fallen_the_difference_comes_back_and_the_new_one_is_paid_next(
    market: Market, api: Session, url: str
) -> None:
    api.get(url)
    market.site.price = 60
    before = market.spent()
    api.get(url)
    assert market.spent() - before == 60
    assert market.rows()[-1]["refund"] == 40
    api.get(url)
    assert market.site.packages[-1]["signed_message"]["payment_amount"] == 60


def test_requests_that_cost_different_amounts_are_each_paid_what_they_cost(
    market: Market, api: Session, url: str
) -> None:
    def sell(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        market.site.price = 400 if "big" in seen.path else 10
        return honest()

    def pays_at_once(session: Session, query: str) -> bool:
        market.site.seen.clear()
        assert session.get(url + query).ok
        return len(market.site.seen) == 1

    market.site.trick = sell
    rows = len(market.rows())
    assert not pays_at_once(api, "?small")
    assert not pays_at_once(api, "?big")
    assert [pays_at_once(api, query) for query in ("?small", "?big", "?small", "?big")] == [True] * 4
    assert not pays_at_once(api, "?small=2")
    assert pays_at_once(api, "?small=2")
    with Session(market.client, BUDGET) as later:
        assert pays_at_once(later, "?small=2")
    with Session(market.client, BUDGET) as later:
        api.get(url + "?big")
        assert not pays_at_once(later, "?small=3")
    kept = [(row["amount"], row["refund"]) for row in market.rows()[rows:] if row["state"] == "answered"]
    assert {refund for _, refund in kept} == {0}


def sell_for_less(market: Market) -> None:
    """Has the view give back 30 of the price."""
    paywall = market.site.paywall
    assert paywall is not None

    def sell(seen: Seen, _: object) -> Reply:
        path = urlsplit(seen.path)
        request = Request(seen.method, path.path, path.query, seen.headers, seen.body)
        outcome = paywall.begin(request, Price(100))
        if isinstance(outcome, Answer):
            return Reply(outcome.status, list(outcome.headers), outcome.body)
        outcome.refund(30)
        ending = paywall.finish(outcome, 200, [], b"sold")
        return Reply(200, list(ending.headers), b"sold")

    market.site.trick = sell


def test_a_view_that_gives_a_part_back_is_paid_the_whole_price_the_next_time(
    market: Market, api: Session, url: str
) -> None:
    sell_for_less(market)
    rows, asked = len(market.rows()), []
    for calls in (1, 2, 3):
        assert api.get(url).ok
        assert len(market.site.seen) == calls + 1
    assert [(row["amount"], row["refund"]) for row in market.rows()[rows:]] == [(100, 30)] * 3
    with Session(
        market.client, replace(BUDGET, approve=lambda offer, last: bool(asked.append(last)))
    ) as later:
        assert later.get(url).ok
        assert later.get(url).ok
    assert asked == []
    assert [seen.package is not None for seen in market.site.seen[4:]] == [False, True, True]


@pytest.mark.parametrize("price", [None, 0, 101, 10**15])
def test_a_receipt_that_tells_no_price_that_was_paid_has_it_asked_for_the_next_time(
    market: Market, api: Session, url: str, price: int | None
) -> None:
    sell_for_less(market)
    sell = market.site.trick
    assert sell is not None

    def tell(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        reply = sell(seen, honest)
        text = dict(reply.headers).get(wire.RECEIPT)
        if text is None:
            return reply
        receipt = {name: value for name, value in json.loads(text).items() if name != "price"}
        told = receipt if price is None else {**receipt, "price": price}
        return changed(reply, {wire.RECEIPT: json.dumps(told)})

    market.site.trick = tell
    assert api.get(url).ok
    assert api.get(url).ok
    assert [seen.package is not None for seen in market.site.seen] == [False, True, False, True]


def test_what_is_free_by_now_is_not_paid_again(market: Market, api: Session, url: str) -> None:
    api.get(url)
    before, market.site.price = market.spent(), 0
    assert api.get(url).ok
    assert market.spent() == before
    market.site.trick = lambda seen, honest: Reply(200, [], b"free")
    assert api.get(url).ok
    assert market.site.seen[-1].package is None


def test_a_price_that_has_risen_is_paid_within_the_limits_after_what_was_too_little_came_back(
    market: Market, api: Session, url: str
) -> None:
    api.get(url)
    market.site.price = 150
    before = market.spent()
    assert api.get(url).ok
    assert market.spent() - before == 150
    assert [row["refund"] for row in market.rows()[-2:]] == [100, 0]


def test_a_price_above_the_last_one_is_asked_about_and_not_paid_when_refused(
    market: Market, url: str
) -> None:
    asked: list[tuple[int, int]] = []

    def approve(offer: object, last: int) -> bool:
        asked.append((offer.price, last))  # type: ignore[attr-defined]
        return offer.price <= 150  # type: ignore[attr-defined]

    with Session(market.client, replace(BUDGET, approve=approve)) as api:
        api.get(url)
        market.site.price = 150
        assert api.get(url).ok
        market.site.price = 200
        before = market.spent()
        with pytest.raises(PaymentDeclined) as declined:
            api.get(url)
        assert declined.value.code == "not_approved"
        assert market.spent() == before
        api.get_402_info(url)
        with pytest.raises(PaymentDeclined):
            api.get(url)
        assert market.spent() == before
    assert asked == [(150, 100), (200, 150), (200, 150)]


@pytest.mark.parametrize(
    "budget, code",
    [
        (Budget(99, 500_000, 500_000), "above_per_call"),
        (Budget(500, 99, 500_000), "above_per_hour"),
        (Budget(500, 500_000, 99), "above_per_day"),
        (replace(BUDGET, origins=["https://other.example"]), "origin_not_allowed"),
        (replace(BUDGET, asset="A" * 43 + "="), "asset_not_allowed"),
    ],
)
def test_what_the_budget_does_not_allow_is_not_paid(
    market: Market, url: str, budget: Budget, code: str
) -> None:
    before, rows = market.spent(), len(market.rows())
    with Session(market.client, budget) as api, pytest.raises(PaymentDeclined) as declined:
        api.get(url)
    assert declined.value.code == code
    assert (market.spent(), len(market.rows())) == (before, rows)
    assert market.site.packages == []


def test_a_single_call_may_have_a_limit_of_its_own(market: Market, api: Session, url: str) -> None:
    with pytest.raises(PaymentDeclined) as declined:
        api.get(url, max_price=99)
    assert declined.value.code == "above_max_price"
    assert api.get(url, max_price=100).ok
    assert api.get(url).ok
    with pytest.raises(PaymentDeclined):
        api.get(url, max_price=99)
    assert len(market.site.packages) == 2


@pytest.mark.parametrize("max_price", [True, -1, 100.0, float("nan"), "100", [100]])
def test_a_limit_of_a_call_that_is_no_number_of_units_is_refused_before_anything_is_sent(
    market: Market, api: Session, url: str, max_price: Any
) -> None:
    api.get_402_info(url)
    market.site.seen.clear()
    for method, path in (("GET", ""), ("HEAD", ""), ("GET", "/unknown")):
        with pytest.raises(WrongBudget) as wrong:
            api.request(method, url + path, max_price=max_price)
        assert wrong.value.code == "wrong_max_price"
    assert market.site.seen == []
    with pytest.raises(PaymentDeclined):
        api.get(url, max_price=0)


@pytest.mark.parametrize("patience", [True, -1.0, float("nan"), float("inf"), "60", None])
def test_a_patience_that_is_no_number_of_seconds_is_refused(market: Market, patience: Any) -> None:
    with pytest.raises(WrongBudget) as wrong:
        Session(market.client, BUDGET, patience=patience)
    assert wrong.value.code == "wrong_patience"


def test_two_budgets_in_one_asset_are_refused(market: Market) -> None:
    with pytest.raises(WrongBudget):
        Session(market.client, [BUDGET, Budget(1, 1, 1)])


def test_a_price_that_was_above_a_limit_is_asked_for_again(market: Market, api: Session, url: str) -> None:
    market.site.price = 501
    with pytest.raises(PaymentDeclined):
        api.get(url)
    market.site.price = 100
    assert api.get(url).ok


def test_limits_of_an_origin_hold_over_all_sessions(market: Market, url: str) -> None:
    spent = sum(row["amount"] - row["refund"] for row in market.rows() if row["origin"] == market.site.url)
    budget = replace(BUDGET, by_origin={market.site.url: Limits(per_hour=spent + 200)})
    for _ in range(2):
        with Session(market.client, budget) as api:
            api.get(url)
    with Session(market.client, budget) as api, pytest.raises(PaymentDeclined) as declined:
        api.get(url)
    assert declined.value.code == "above_per_hour"


def test_limits_of_a_payee_hold_over_all_its_origins(market: Market, url: str) -> None:
    payee = market.client.peer_address
    spent = sum(row["amount"] - row["refund"] for row in market.rows() if row["payee"] == payee)
    budget = replace(BUDGET, by_payee={payee: Limits(per_call=100, per_hour=spent + 200)})
    site = Site(market.site.paywall)
    try:
        with Session(market.client, budget) as api:
            assert api.get(url).ok
            assert api.get(site.url).ok
            for each in (url, site.url):
                with pytest.raises(PaymentDeclined) as declined:
                    api.get(each)
                assert declined.value.code == "above_per_hour"
            site.price = 101
            with pytest.raises(PaymentDeclined) as declined:
                api.get(site.url + "/dear")
            assert declined.value.code == "above_per_call"
    finally:
        site.close()


def test_an_adapter_pays_in_a_session_that_is_there_already(market: Market, url: str) -> None:
    with requests.Session() as session:
        session.mount(market.site.url, PaymentAdapter(market.client, BUDGET))
        assert session.get(url).ok
        assert session.get(market.other.url).ok


def test_a_request_that_is_sent_twice_is_paid_twice(market: Market, api: Session, url: str) -> None:
    request = api.prepare_request(requests.Request("GET", url))
    assert [api.send(request).status_code for _ in range(2)] == [200, 200]
    assert market.site.served == 2


def test_another_payee_on_the_list_is_paid_over_a_channel_of_its_own(
    market: Market, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with merchant_on(market.net, tmp_path_factory.mktemp("second")) as merchant:
        server = PaymentServer(merchant)
        site = Site(Paywall(server.calls, [Channel(server)]))
        try:
            with Session(market.client, BUDGET) as api, pytest.raises(PaymentDeclined) as declined:
                api.get(site.url)
            assert declined.value.code == "payee_not_allowed"
            budget = replace(BUDGET, payees=[merchant.address])
            with Session(market.client, budget) as api:
                for _ in range(2):
                    assert api.get(site.url).ok
                assert api.get(url).ok
            made: list[Client] = []

            def make(payee: str, asset: str) -> Client:
                assert (payee, asset) == (merchant.address, "base")
                made.append(market.client.for_payee(payee, asset))
                return made[-1]

            with Session(market.client, [budget, replace(budget, asset="A" * 43 + "=")], clients=make) as api:
                assert api.get(site.url).ok
                [client] = made
                assert client.balance().spendable
            with pytest.raises(PartyClosed):
                client.balance()
            assert market.client.balance()
        finally:
            site.close()
        [channel] = merchant.channels()
    assert channel.accepted_from_peer == 300
    assert channel.aa_address != market.client.aa_address


def test_no_payment_is_left_in_what_the_program_and_its_logs_see(
    market: Market, api: Session, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    response = api.get(url)
    assert wire.PACKAGE not in response.request.headers
    package = wire.encode_package(market.site.packages[-1])

    def hang_up(seen: Seen, _: object) -> Reply:
        raise Reset

    market.site.trick = hang_up
    with pytest.raises(requests.ConnectionError) as failed:
        api.get(url)
    last = wire.encode_package(market.site.packages[-1])
    assert failed.value.request is not None
    assert wire.PACKAGE not in failed.value.request.headers
    for secret in (package, last):
        assert secret not in caplog.text
        assert secret not in repr(failed.value)
        assert secret not in repr(failed.getrepr(showlocals=False))


def test_what_cannot_be_paid_is_taken_back_before_another_call_could_go_on_with_it(
    market: Market, url: str
) -> None:
    owners: list[str | None] = []

    class Watched(Client):
        def sent_by_books(self, books: Books, idempotency_key: str) -> dict[str, Any] | None:
            owners.append(market.rows()[-1]["run"])
            return super().sent_by_books(books, idempotency_key)

    rows, market.site.price = len(market.rows()), 300_000
    lavish = Budget(1_000_000, 1_000_000, 1_000_000)
    with (
        Watched(market.client.peer_address, wallet=market.client.wallet, conf=market.client.conf) as client,
        Session(client, lavish) as api,
        pytest.raises(Refusal),
    ):
        api.get(url)
    assert len(owners) == 1
    assert None not in owners
    assert len(market.rows()) == rows


def test_a_client_that_would_pay_another_or_keep_other_books_is_not_used(
    market: Market, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with merchant_on(market.net, tmp_path_factory.mktemp("third")) as merchant:
        server = PaymentServer(merchant)
        site = Site(Paywall(server.calls, [Channel(server)]))
        makers: list[ClientFactory] = [
            lambda payee, asset: market.client.for_payee(market.client.peer_address, asset),
            lambda payee, asset: customer_on(market.net, tmp_path_factory.mktemp("fourth"), payee),
        ]
        try:
            for make in makers:
                budget = replace(BUDGET, payees=[merchant.address])
                with Session(market.client, budget, clients=make) as api, pytest.raises(WrongBudget):
                    api.get(site.url)
            assert site.packages == []
        finally:
            site.close()


def test_a_process_that_was_forked_has_connections_of_its_own(market: Market, api: Session, url: str) -> None:
    def all_are_answered(who: str) -> bool:
        queries = [f"?{who}{number}" for number in range(5)]
        return all(api.get(url + query, timeout=3.0).text.endswith(query) for query in queries)

    market.site.view = lambda seen: Reply(200, [], seen.path.encode())
    api.get(url)
    before = market.spent()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        passed = False
        try:
            passed = all_are_answered("child")
        finally:
            os._exit(0 if passed else 1)
    assert all_are_answered("parent")
    assert os.waitpid(child, 0) == (child, 0)
    assert market.spent() - before == 1000
    assert len(market.site.packages) == market.site.served == 11


def set_cookies(seen: Seen, honest: Callable[[], Reply]) -> Reply:
    """A merchant that sets cookies with its 402."""
    reply = honest()
    more = [("Set-Cookie", "sid=new; Path=/"), ("Set-Cookie", "elsewhere=1; Path=/elsewhere")]
    return reply if reply.status != 402 else Reply(reply.status, [*reply.headers, *more], reply.body)


def test_cookies_that_come_with_a_402_go_along_with_the_payment_and_are_kept(
    market: Market, api: Session, url: str
) -> None:
    market.site.trick = set_cookies
    api.cookies.update({"sid": "old", "mine": "1"})
    assert api.get(url).ok
    cookies = [set((seen.headers.get("Cookie") or "").split("; ")) for seen in market.site.seen]
    assert cookies == [{"sid=old", "mine=1"}, {"sid=new", "mine=1"}]
    assert [cookie.value for cookie in api.cookies if cookie.name == "elsewhere"] == ["1"]
    assert "new" in [cookie.value for cookie in api.cookies if cookie.name == "sid"]


@pytest.mark.parametrize("copy", [deepcopy, lambda api: pickle.loads(pickle.dumps(api))])
def test_a_session_cannot_be_copied_with_what_it_has_paid(
    market: Market, api: Session, copy: Callable[[Session], Session]
) -> None:
    with pytest.raises(TypeError, match="PaymentAdapter cannot be copied or pickled"):
        copy(api)
