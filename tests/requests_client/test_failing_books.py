"""A database that is away for a moment, or a client that cannot be made, has no call paid a second time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests

from paypercall.requests import Session
from paypercall.store import Books, Store
from paypercall.store.errors import StoreError
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen

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
