"""A payment in plain http does not pass a proxy that the owner does not trust with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from paypercall import wire
from paypercall.httpx import AsyncPaymentTransport, PaymentTransport
from paypercall.paying import Budget, PaymentDeclined
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market
from tests.paying.proxy import Proxy, open_proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with open_proxy() as proxy:
        yield proxy


def get(market: Market, budget: Budget, inner: httpx.HTTPTransport | None, url: str) -> int:
    transport = PaymentTransport(market.client, budget, transport=inner)
    with httpx.Client(transport=transport) as api:
        return api.get(url).status_code


def get_without_blocking(
    market: Market, budget: Budget, inner: httpx.AsyncHTTPTransport | None, url: str
) -> int:
    async def call() -> int:
        transport = AsyncPaymentTransport(market.client, budget, transport=inner)
        async with httpx.AsyncClient(transport=transport) as api:
            return (await api.get(url)).status_code

    return asyncio.run(call())


def get_by_proxy(market: Market, budget: Budget, proxy: Proxy, url: str, *, is_blocking: bool) -> int:
    if is_blocking:
        return get(market, budget, httpx.HTTPTransport(proxy=proxy.url), url)
    return get_without_blocking(market, budget, httpx.AsyncHTTPTransport(proxy=proxy.url), url)


@pytest.mark.parametrize("is_blocking", [True, False])
def test_this_machine_is_paid_through_the_transports_proxy_only_where_the_budget_says_so(
    market: Market, proxy: Proxy, is_blocking: bool
) -> None:
    url = f"{market.site.url}/proxied/{is_blocking}"
    trusting = replace(BUDGET, origins=[market.site.url])
    with pytest.raises(PaymentDeclined, match="NO_PROXY"):
        get_by_proxy(market, BUDGET, proxy, url, is_blocking=is_blocking)
    assert [wire.PACKAGE in headers for headers in proxy.seen] == [False]
    assert get_by_proxy(market, trusting, proxy, url, is_blocking=is_blocking) == 200
    assert [wire.PACKAGE in headers for headers in proxy.seen] == [False, False, True]


def test_a_proxy_that_the_environment_names_is_asked_for_no_paid_call(
    market: Market, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy.url)
    assert get(market, BUDGET, None, market.site.url + "/direct") == 200
    assert get_without_blocking(market, BUDGET, None, market.site.url + "/direct") == 200
    assert proxy.seen == []
