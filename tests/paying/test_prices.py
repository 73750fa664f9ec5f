"""Prices are learned from what merchants tell, if they can be paid from here; garbage teaches nothing."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.paying.body import Traits
from paypercall.paying.call import Call
from paypercall.paying.chain import Chain
from paypercall.paying.offer import Offer, Quote
from paypercall.paying.price_list import MAX_LIST, PriceList, read_price_list
from paypercall.paying.prices import Prices

PAYEE = "YZ4HY66BSTM2FFMEQRPFVSZ2WMHCG3L3"
ORIGIN = "https://one.example"
OFFER = Offer(100, "base", PAYEE, "4.0", ("channel",), ("1.1",), "/pay-up", 60, 7200)
LIST: dict[str, Any] = {
    "address": PAYEE,
    "network": "4.0",
    "agent_versions": ["1.1"],
    "min_timeout": 60,
    "max_timeout": 7200,
    "resources": [
        {"method": "GET", "path": "/a", "price": 1, "asset": "base"},
        {"method": "POST", "path": "/a", "price": 2, "asset": "base"},
        {"method": "GET", "path": "/items/<int:number>/{part}", "price": 3, "asset": "base"},
        {"method": "GET", "path": "/varies", "price": "varies", "asset": "base"},
        {"method": "GET", "path": "/free", "price": 0, "asset": "base"},
        {"method": "GET", "path": "/two/<x>", "price": 4, "asset": "base"},
        {"method": "GET", "path": "/two/{x}", "price": 5, "asset": "base"},
    ],
}


def call(path: str = "/a", method: str = "GET") -> Call:
    return Call.of(method, ORIGIN + path, {}, Traits.of(b""), Chain(ORIGIN), None, is_proxied=False)


def read(**changes: Any) -> PriceList:
    return read_price_list(json.dumps({**LIST, **changes}).encode(), "4.0", 3600)


@pytest.mark.parametrize(
    "method, path, price",
    [
        ("GET", "/a", 1),
        ("POST", "/a", 2),
        ("PUT", "/a", None),
        ("GET", "/items/7/x", 3),
        ("GET", "/items/7", None),
        ("GET", "/items/7/x/y", None),
        ("GET", "/varies", None),
        ("GET", "/free", None),
        ("GET", "/two/x", None),
    ],
)
def test_a_list_tells_the_prices_that_do_not_vary(method: str, path: str, price: int | None) -> None:
    quote = read().quote(method, path)
    assert quote == (None if price is None else Quote(price, "base", PAYEE))


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "nobody"},
        {"network": "4.0t"},
        {"agent_versions": ["9.9"]},
        {"agent_versions": "1.1"},
        {"agent_versions": [["1.1"]]},
        {"min_timeout": 3601},
        {"max_timeout": 3599},
        {"max_timeout": None},
        {"resources": None},
        {"resources": [None, 1, {}, {"method": "GET", "path": "/a", "price": True, "asset": "base"}]},
        {"resources": [{"method": "GET", "path": "/a", "price": 1, "asset": "gold"}]},
        {"resources": [{"method": "GET", "path": ["/a"], "price": 1, "asset": "base"}]},
        {
            "resources": [{"method": "GET", "path": "/b", "price": 1, "asset": "base"}] * 1000
            + LIST["resources"]
        },
    ],
)
def test_what_cannot_be_paid_from_here_or_makes_no_sense_is_on_no_list(changes: dict[str, Any]) -> None:
    assert read(**changes).quote("GET", "/a") is None


def test_a_list_that_is_too_long_is_none() -> None:
    text = json.dumps(LIST).encode()
    assert read_price_list(text.ljust(MAX_LIST), "4.0", 3600) == read()
    assert read_price_list(text.ljust(MAX_LIST + 1), "4.0", 3600) == PriceList()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_any_json_is_a_list_or_none(content: Any) -> None:
    for text in (json.dumps(content), json.dumps({**LIST, "resources": content})):
        assert read_price_list(text.encode(), "4.0", 3600).quote("GET", "/b") is None


def test_a_price_that_turned_out_wrong_is_asked_for_though_it_is_on_the_list() -> None:
    prices = Prices("4.0", 3600)
    prices.learn_list(call(), json.dumps(LIST).encode())
    assert prices.quote(call()) == Quote(1, "base", PAYEE)
    prices.learn(call(), None)
    assert prices.quote(call()) is None
    assert prices.must_be_asked_for(call())
    prices.learn_offer(call(), OFFER)
    assert prices.quote(call()) == OFFER.quote


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "4.0t"},
        {"methods": ("onchain",)},
        {"agent_versions": ("9.9",)},
        {"min_timeout": 3601},
        {"max_timeout": 3599},
    ],
)
def test_an_offer_that_cannot_be_paid_from_here_is_not_paid_at_once_the_next_time(
    changes: dict[str, Any],
) -> None:
    prices = Prices("4.0", 3600)
    prices.learn_offer(call(), replace(OFFER, **changes))
    assert prices.quote(call()) is None


def test_a_list_is_asked_for_once_where_a_402_says_it_is() -> None:
    prices = Prices("4.0", 3600)
    assert prices.list_at(call()) == ORIGIN + "/payment"
    prices.learn_offer(call(), OFFER)
    assert prices.list_at(call("/b")) == ORIGIN + "/pay-up"
    prices.learn_offer(call(), replace(OFFER, endpoint="//elsewhere.example/"))
    assert prices.list_at(call("/b")) == ORIGIN + "/pay-up"
    prices.learn_list(call(), None)
    assert prices.list_at(call("/b")) is None


def test_what_is_remembered_is_bounded() -> None:
    prices = Prices("4.0", 3600)
    for number in range(1100):
        prices.learn(call(f"/{number}"), OFFER.quote)
    assert prices.quote(call("/0")) is None
    assert prices.quote(call("/1099")) == OFFER.quote


def test_requests_that_cost_different_amounts_have_each_a_price_of_their_own() -> None:
    prices, dear = Prices("4.0", 3600), replace(OFFER.quote, price=400)
    prices.learn(call("/a?small"), OFFER.quote)
    assert prices.quote(call("/a?other")) == OFFER.quote
    prices.learn(call("/a?big"), dear)
    assert prices.quote(call("/a?small")) == OFFER.quote
    assert prices.quote(call("/a?big")) == dear
    assert prices.quote(call("/a?other")) is None
    assert prices.must_be_asked_for(call("/a?other"))
    for number in range(20):
        prices.learn(call(f"/a?{number}"), dear)
    assert prices.quote(call("/a?other")) == dear, "it has risen for all"


def test_a_price_that_changes_for_one_request_does_not_vary() -> None:
    prices, dear = Prices("4.0", 3600), replace(OFFER.quote, price=400)
    prices.learn(call("/a?x"), OFFER.quote)
    prices.learn(call("/a?x"), dear)
    assert prices.quote(call("/a?y")) == dear


def test_a_price_that_varies_by_the_list_is_known_for_requests_only() -> None:
    prices = Prices("4.0", 3600)
    prices.learn_list(call(), json.dumps(LIST).encode())
    assert prices.must_be_asked_for(call("/varies?x"))
    prices.learn(call("/varies?x"), OFFER.quote)
    assert prices.quote(call("/varies?x")) == OFFER.quote
    assert prices.must_be_asked_for(call("/varies?y"))
    assert not prices.must_be_asked_for(call("/a"))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, 1, 2])), max_size=12))
def test_no_request_is_quoted_another_price_than_it_was_last_told(told: list[tuple[str, int | None]]) -> None:
    prices, last = Prices("4.0", 3600), dict[str, int | None]()
    for query, price in told:
        prices.learn(call(f"/a?{query}"), None if price is None else replace(OFFER.quote, price=price))
        last[query] = price
    for query in "abc":
        quote = prices.quote(call(f"/a?{query}"))
        if quote is not None:
            assert quote.price in ({last[query]} if last.get(query) else set(last.values()))


def test_many_threads_remember_prices_at_once() -> None:
    prices, interval = Prices("4.0", 3600), sys.getswitchinterval()
    calls = [[call(f"/{thread}-{number}") for number in range(600)] for thread in range(8)]

    def learn(each: list[Call]) -> None:
        for one in each:
            prices.learn(one, OFFER.quote)
            prices.quote(one)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(learn, calls))
    finally:
        sys.setswitchinterval(interval)
    assert len(prices._quotes) == 1024
