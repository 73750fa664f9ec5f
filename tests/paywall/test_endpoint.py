"""The channel endpoint, without any framework, on a local network."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from paypercall import Client, wire
from paypercall.devnet import Devnet
from paypercall.errors import Refusal
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Endpoint, PriceTag, Request, Resource
from tests.parties import customer_on, merchant_on, open_channel, wait_until
from tests.paywall.merchant import Headers, Shop, headers_of, open_shop

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
RESOURCES = (
    Resource("GET", "/answer", PriceTag(100)),
    Resource("GET", "/free", PriceTag(None)),
    Resource("POST", "/answer/<name>", PriceTag(lambda request, name: len(name))),
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def ask(
    shop: Shop, method: str, body: bytes = b"", headers: dict[str, str] | None = None, query: str = ""
) -> Answer:
    endpoint = Endpoint(shop.server, lambda: RESOURCES)
    return endpoint.answer(Request(method, "/payment", query, Headers(headers or {}), body))


def content(answer: Answer) -> dict[str, Any]:
    assert headers_of(answer)["Cache-Control"] == "no-store"
    told = json.loads(answer.body)
    assert isinstance(told, dict)
    return told


def problem_in(answer: Answer) -> tuple[int, str]:
    assert headers_of(answer)["Content-Type"] == "application/problem+json"
    return answer.status, content(answer)["code"]


def new_customer(shop: Shop, deposit_amount: int = 100_000) -> Client:
    """Another customer of the shop, with books of its own."""
    folder = shop.server.server.conf.data_dir / secrets.token_hex(4)
    return customer_on(shop.net, folder, shop.server.server.address, deposit_amount=deposit_amount)


@contextmanager
def leaving_customer(shop: Shop) -> Iterator[tuple[Client, str]]:
    """A customer with an open channel that is worth closing, and the query that names it."""
    with new_customer(shop, 200_000) as customer:
        package = customer.create_payment_package(125_000)
        assert ask(shop, "PUT", headers={wire.PACKAGE: wire.encode_package(package)}).status == 200
        query = f"aa_address={customer.aa_address}"
        wait_until(lambda: content(ask(shop, "GET", query=query))["status"] == "open", "the channel is open")
        yield customer, query


def announced_by(package: dict[str, Any]) -> dict[str, Any]:
    parameters = package["signed_message"]["channel_parameters"]
    assert isinstance(parameters, dict)
    return parameters


def test_it_tells_the_terms_and_the_prices(shop: Shop) -> None:
    answer = ask(shop, "GET")
    assert answer.status == 200
    assert content(answer) == {
        "address": shop.server.server.address,
        "network": shop.net.network.version,
        "agent_versions": ["1.1"],
        "min_timeout": 60,
        "max_timeout": 604_800,
        "assets": ["base"],
        "unconfirmed": {"base": {"max_by_channel": 500_000, "max_by_asset": 1_000_000, "minimum_seconds": 0}},
        "resources": [
            {"method": "GET", "path": "/answer", "price": 100, "asset": "base"},
            {"method": "GET", "path": "/free", "price": 0, "asset": "base"},
            {"method": "POST", "path": "/answer/<name>", "price": "varies", "asset": "base"},
        ],
    }


def test_head_and_options_answer_without_a_body(shop: Shop) -> None:
    head = ask(shop, "HEAD")
    assert (head.status, head.body, head.headers) == (200, b"", ask(shop, "GET").headers)
    options = ask(shop, "OPTIONS")
    assert (options.status, options.body) == (204, b"")
    assert headers_of(options)["Allow"] == "GET, HEAD, OPTIONS, POST, PUT, DELETE"


def test_any_other_method_is_told_which_ones_there_are(shop: Shop) -> None:
    answer = ask(shop, "PATCH")
    assert problem_in(answer) == (405, "wrong_method")
    assert headers_of(answer)["Allow"] == "GET, HEAD, OPTIONS, POST, PUT, DELETE"


def test_a_channel_is_announced_before_its_first_payment_and_known_after_that(shop: Shop) -> None:
    with new_customer(shop) as other:
        aa_address = open_channel(other)
        parameters = announced_by(other.create_payment_package(1))
        body = json.dumps({"channel_parameters": parameters}).encode()
        answer = ask(shop, "POST", body, JSON)
        assert (answer.status, content(answer)) == (202, {"aa_address": aa_address})
        wait_until(
            lambda: ask(shop, "GET", query=f"aa_address={aa_address}").status == 200, "it is in the books"
        )
        again = ask(shop, "POST", body, JSON)
        assert (again.status, content(again)) == (200, {"aa_address": aa_address})


def test_of_a_channel_only_what_the_ledger_shows_is_told(shop: Shop) -> None:
    package = shop.pay()
    assert ask(shop, "PUT", headers={wire.PACKAGE: wire.encode_package(package)}).status == 200
    query = f"aa_address={shop.client.aa_address}"
    wait_until(lambda: content(ask(shop, "GET", query=query))["status"] == "open", "the channel is open")
    assert content(ask(shop, "GET", query=query)) == {
        "aa_address": shop.client.aa_address,
        "status": "open",
        "period": 1,
        "asset": "base",
        "deposited": 100_000,
        "accepts_payments": True,
    }


def test_a_payment_gets_a_token_and_the_same_one_when_it_is_sent_again(shop: Shop) -> None:
    package = shop.pay()
    compact = wire.encode_package(package)
    text = json.dumps(package)
    first = ask(shop, "PUT", headers={wire.PACKAGE: compact})
    told = content(first)
    assert first.status == 200 and len(told["token"]) == 43
    assert told["receipt"] == wire.decode_receipt(headers_of(first)[wire.RECEIPT])
    assert told["receipt"]["amount"] == 100
    assert text.encode() not in first.body
    for again in (
        ask(shop, "PUT", headers={wire.PACKAGE: text}),
        ask(shop, "PUT", text.encode(), JSON),
        ask(shop, "PUT", json.dumps({wire.FIELD: package}).encode(), JSON),
        ask(shop, "PUT", json.dumps({wire.FIELD: text}).encode(), JSON),
        ask(shop, "PUT", urlencode({wire.FIELD: text}).encode(), FORM),
        ask(shop, "PUT", urlencode({wire.FIELD: compact}).encode(), FORM),
    ):
        assert (again.status, content(again)) == (200, told)


def test_a_payment_that_is_not_accepted_is_answered_with_how_to_pay(shop: Shop) -> None:
    package = shop.pay()
    message = package["signed_message"]
    forged = {**package, "signed_message": {**message, "amount_spent": message["amount_spent"] + 1}}
    assert problem_in(ask(shop, "PUT", headers={wire.PACKAGE: wire.encode_package(forged)})) == (
        400,
        "wrong_signature",
    )
    other_network = {**package, "version": "4.0"}
    answer = ask(shop, "PUT", headers={wire.PACKAGE: wire.encode_package(other_network)})
    assert problem_in(answer) == (402, "wrong_version")
    assert headers_of(answer)[wire.ADDRESS] == shop.server.server.address
    assert ask(shop, "PUT", headers={wire.PACKAGE: wire.encode_package(package)}).status == 200


def test_a_payment_for_a_request_gets_no_token(shop: Shop) -> None:
    package = shop.pay()
    shop.ask(package)
    answer = ask(shop, "PUT", headers={wire.PACKAGE: wire.encode_package(package)})
    assert problem_in(answer) == (409, "payment_used")


def test_two_payments_at_once_are_refused_and_neither_is_taken(shop: Shop) -> None:
    one, other = shop.pay(), shop.pay()
    compact, body = wire.encode_package(one), json.dumps(other).encode()
    answers = [
        ask(shop, "PUT", body, {**JSON, wire.PACKAGE: compact}),
        ask(shop, "PUT", urlencode({wire.FIELD: compact}).encode(), {**FORM, wire.PACKAGE: compact}),
        ask(shop, "PUT", urlencode([(wire.FIELD, compact), (wire.FIELD, body)]).encode(), FORM),
        ask(
            shop, "PUT", b'{"payment_package": %b, "payment_package": "%b"}' % (body, compact.encode()), JSON
        ),
    ]
    assert [problem_in(answer) for answer in answers] == [(400, "several_payments")] * 4
    assert shop.server.server.verify_payment_package(one).error is None
    assert shop.server.server.verify_payment_package(other).error is None


def test_a_customer_has_its_channel_closed_and_may_ask_again(shop: Shop) -> None:
    with leaving_customer(shop) as (leaver, query):
        signature = leaver.close_request()
        assert content(ask(shop, "GET", query=query))["accepts_payments"] is True
        closed = ask(shop, "DELETE", query=query, headers={wire.SIGNATURE: signature})
        assert closed.status in (200, 202)
        assert content(closed)["accepts_payments"] is False
        assert ask(shop, "DELETE", query=query, headers={wire.SIGNATURE: signature}).status == 200
        wait_until(lambda: content(ask(shop, "GET", query=query))["status"] != "open", "it is closing")


def test_a_close_that_would_cost_more_than_it_brings_is_refused(shop: Shop) -> None:
    with new_customer(shop) as small:
        package = small.create_payment_package(100)
        assert ask(shop, "PUT", headers={wire.PACKAGE: wire.encode_package(package)}).status == 200
        headers = {wire.SIGNATURE: small.close_request()}
        answer = ask(shop, "DELETE", query=f"aa_address={small.aa_address}", headers=headers)
        assert problem_in(answer) == (409, "uneconomic")


def test_a_close_in_an_asset_is_granted_for_ten_times_its_cost_and_refused_below(tmp_path: Path) -> None:
    """Its cost is in bytes: whoever is closed for one unit of a worthless asset is paid for it."""
    with Devnet(speed=20) as net:
        asset = net.issue_asset(10_000)
        limits = dict.fromkeys(("base", asset))
        settings: dict[str, Any] = {"max_unsettled_by_channel": limits, "max_unsettled_by_asset": limits}
        settings |= {"accepted_assets": ("base", asset), "cost_of_sweep_by_asset": {asset: 100}}
        in_asset: dict[str, Any] = {"asset": asset, "deposit_amount": 5_000, "refill_threshold": 1_000}
        with (
            merchant_on(net, tmp_path / "merchant", **settings) as merchant,
            customer_on(net, tmp_path / "customer", merchant.address, **in_asset, **settings) as customer,
        ):
            net.fund(customer.address, 10_000, asset)
            net.settle()
            server = PaymentServer(merchant)
            for paid in (1, 999):
                server.receive_payment(customer.create_payment_package(paid))
                assert customer.aa_address is not None
                if paid > 1:
                    merchant.create_payment_package(1, customer.aa_address)
                before = server.status(customer.aa_address)
                with pytest.raises(Refusal) as refusal:
                    server.close(customer.aa_address, customer.close_request())
                assert refusal.value.code == "uneconomic"
                assert server.status(customer.aa_address) == before
                with merchant.store.reading() as books:
                    assert books.outbox.of_period(customer.aa_address, 1) == []
            server.receive_payment(customer.create_payment_package(1))
            server.close(customer.aa_address, customer.close_request())
            wait_until(lambda: net.balance(merchant.address, asset) == 1_000, "the merchant has the asset")


def test_a_close_that_is_decided_but_not_posted_is_answered_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.paywall.endpoint.CLOSING_SECONDS", 0.0)
    with leaving_customer(shop) as (leaver, query):
        answer = ask(shop, "DELETE", query=query, headers={wire.SIGNATURE: leaver.close_request()})
        assert (answer.status, content(answer)["accepts_payments"]) == (202, False)


def test_a_client_without_a_channel_has_nothing_to_close(shop: Shop) -> None:
    with (
        new_customer(shop) as nobody,
        pytest.raises(Refusal, match="there is no channel yet") as refusal,
    ):
        nobody.close_request()
    assert refusal.value.code == "unknown_channel"
