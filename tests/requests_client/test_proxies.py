"""A payment in plain http does not pass a proxy that the owner does not trust with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from paypercall import wire
from paypercall.paying import PaymentDeclined
from paypercall.requests import Session
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market
from tests.paying.proxy import Proxy, open_proxy


@pytest.fixture(scope="module")
def open_for_module() -> Iterator[Proxy]:
    with open_proxy() as proxy:
        yield proxy


@pytest.fixture
def proxy(open_for_module: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """A proxy that the environment names."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("http_proxy", open_for_module.url)
    open_for_module.seen.clear()
    return open_for_module


def test_this_machine_is_not_paid_through_a_proxy_that_the_environment_names(
    market: Market, api: Session, proxy: Proxy
) -> None:
    rows, url = len(market.rows()), market.site.url + "/proxied"
    assert api.get_402_info(url) is not None
    with pytest.raises(PaymentDeclined, match=r"NO_PROXY=127\.0\.0\.1,localhost") as declined:
        api.get(url)
    assert declined.value.code == "origin_not_allowed"
    assert len(proxy.seen) == 2
    assert not any(wire.PACKAGE in headers for headers in proxy.seen)
    assert len(market.rows()) == rows


def test_this_machine_is_paid_where_the_environment_has_no_proxy_for_it(
    market: Market, api: Session, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    assert api.get(market.site.url + "/direct").ok
    assert proxy.seen == []


def test_a_proxy_gets_payments_for_the_origins_that_the_budget_lists(market: Market, proxy: Proxy) -> None:
    with Session(market.client, replace(BUDGET, origins=[market.site.url])) as api:
        assert api.get(market.site.url + "/trusted").ok
    assert [wire.PACKAGE in headers for headers in proxy.seen] == [False, True]


def test_a_proxy_that_is_named_in_the_call_is_none_less(
    market: Market, api: Session, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy")
    with pytest.raises(PaymentDeclined):
        api.get(market.site.url + "/named", proxies={"http": proxy.url})
    assert not any(wire.PACKAGE in headers for headers in proxy.seen)
