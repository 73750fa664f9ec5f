"""A database that is away for a moment, or a client that cannot be made, has no call paid a second time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from paypercall import wire
from paypercall.client import Client
from paypercall.methods import Channel
from paypercall.paying.clients import ClientFactory
from paypercall.paying.payer import Payer
from paypercall.paying.purchase import Purchase
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Paywall
from paypercall.requests import Session
from paypercall.store import Books, Store
from paypercall.store.errors import StoreError
from tests.parties import merchant_on
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen, Site, changed

Honest = Callable[[], Reply]


@pytest.fixture
def hurried(market: Market) -> Iterator[Session]:
    """A session that sends nothing again within a call."""
    with Session(market.client, BUDGET, patience=0) as session:
        yield session


@pytest.fixture
def url(market: Market, hurried: Session, request: pytest.FixtureRequest) -> str:
    """An address whose price it knows."""
    url = f"{market.site.url}/{request.node.name}"
    hurried.get_402_info(url, "POST")
    return url


def fail_next_write(market: Market, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Gives what has the database be away when this thread next books an outcome."""
    is_away, thread, really_write = threading.Event(), threading.get_ident(), Store.brief_transaction

    @contextmanager
    def brief_transaction(store: Store, *arguments: Any) -> Iterator[Books]:
        is_this = store is market.client.store and threading.get_ident() == thread
        if is_this and is_away.is_set():
            is_away.clear()
            raise StoreError("the database is away")
        with really_write(store, *arguments) as books:
            yield books

    monkeypatch.setattr(Store, "brief_transaction", brief_transaction)
    return is_away.set


def paid(market: Market) -> set[str]:
    return {str(package) for package in market.site.packages}


@pytest.mark.parametrize("answer", ["whole", "none"])
def test_a_call_whose_outcome_could_not_be_written_goes_on_with_the_same_package_at_once(
    market: Market, hurried: Session, url: str, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    before, fail = market.spent(), fail_next_write(market, monkeypatch)

    def serve(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        fail()
        if answer == "none":
            raise Reset
        return reply

    market.site.trick = serve
    with pytest.raises((StoreError, requests.ConnectionError)):
        hurried.post(url, data=b"order")
    market.site.trick = None
    with Session(market.client, BUDGET) as other:
        assert other.post(url, data=b"order").ok
    assert (len(paid(market)), market.site.served, market.spent() - before) == (1, 1, 100)
    assert market.rows()[-1]["state"] == "answered"


def fail_once(market: Market) -> ClientFactory:
    """Makes clients, but for the first one."""
    left = [StoreError("the database is away")]

    def make(payee: str, asset: str) -> Client:
        if left:
            raise left.pop()
        return market.client.for_payee(payee, asset)

    return make


@pytest.mark.parametrize("is_owed", [False, True])
def test_a_call_whose_client_could_not_be_made_goes_on_with_the_same_package_at_once(
    market: Market, tmp_path: Path, is_owed: bool
) -> None:
    rows = len(market.rows())
    with ExitStack() as opened:
        merchant = opened.enter_context(merchant_on(market.net, tmp_path))
        server = PaymentServer(merchant)
        site = opened.enter_context(closing(Site(Paywall(server.calls, [Channel(server)]))))
        budget = replace(BUDGET, payees=[merchant.address])

        def lose(seen: Seen, honest: Honest) -> Reply:
            reply = honest()
            if not is_owed:
                raise Reset
            return changed(reply, {wire.PACKAGE: None})

        with Session(market.client, budget, patience=0) as api:
            api.get_402_info(site.url, "POST")
            site.view = lambda seen: Reply(500, [], b"")
            site.trick = lose
            with suppress(requests.ConnectionError):
                assert api.post(site.url, data=b"order").status_code == 500
        site.begin()
        next_program = Session(market.client, budget, clients=fail_once(market), patience=0)
        with next_program as api:
            with pytest.raises(StoreError):
                api.post(site.url, data=b"order")
            assert api.post(site.url, data=b"order").ok is is_owed
    refunds = [(row["refund"], row["state"]) for row in market.rows()[rows:]]
    assert refunds[0] == (100, "refunded")
    assert len(refunds) == 1 + is_owed


def test_an_unsent_payment_whose_period_could_not_be_looked_up_pays_for_the_next_call(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, site = len(market.rows()), Site(market.site.paywall)
    port = urlsplit(site.url).port or 0
    really_look = Payer.has_left_period

    def fail(self: Payer, purchase: Purchase) -> bool:
        monkeypatch.setattr(Payer, "has_left_period", really_look)
        raise StoreError("the database is away")

    with Session(market.client, BUDGET) as api:
        api.get_402_info(site.url)
        site.close()
        with pytest.raises(requests.ConnectionError):
            api.get(site.url)
        with closing(Site(market.site.paywall, port)):
            monkeypatch.setattr(Payer, "has_left_period", fail)
            with pytest.raises(StoreError):
                api.get(f"{site.url}/another")
            assert api.get(f"{site.url}/another").ok
    assert [row["state"] for row in market.rows()[rows:]] == ["answered"]
