"""A process that is forked while another thread makes a client, or learns a price, pays in the child all the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from paypercall.client import Client
from paypercall.methods import Channel
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Paywall
from paypercall.requests import Session
from paypercall.store.errors import StoreError
from tests.parties import merchant_on
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Site


class Maker:
    """Makes no client: takes its time in the process that it is of, and fails."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.has_begun, self.may_end, self.has_ended = Event(), Event(), Event()

    def __call__(self, payee: str, asset: str) -> Client:
        if os.getpid() == self.process:
            self.has_begun.set()
            self.may_end.wait(10.0)
            self.has_ended.set()
        raise StoreError("no client is made")


@pytest.fixture
def elsewhere(market: Market, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The site of another payee, and its address."""
    with merchant_on(market.net, tmp_path) as merchant:
        server = PaymentServer(merchant)
        with closing(Site(Paywall(server.calls, [Channel(server)]))) as site:
            yield site.url, merchant.address


def passes_in_child(check: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        signal.alarm(5)
        passed = False
        try:
            passed = check()
        finally:
            os._exit(0 if passed else 1)
    return os.waitpid(child, 0) == (child, 0)


def test_a_fork_while_a_client_is_made_keeps_no_call_of_the_child_waiting(
    market: Market, elsewhere: tuple[str, str]
) -> None:
    (url, payee), maker = elsewhere, Maker()

    def has_failed() -> bool:
        try:
            api.get(url)
        except StoreError:
            return True
        return False

    with Session(market.client, replace(BUDGET, payees=[payee]), clients=maker) as api:
        assert api.get(market.site.url).ok
        maker_thread = Thread(target=has_failed)
        maker_thread.start()
        maker.has_begun.wait(10.0)
        try:
            assert api.get(market.site.url + "?parent").ok
            assert passes_in_child(lambda: api.get(market.site.url + "?child").ok and has_failed())
            assert not maker.has_ended.is_set()
        finally:
            maker.may_end.set()
            maker_thread.join()


def test_a_fork_while_a_price_is_learned_keeps_no_call_of_the_child_waiting(market: Market) -> None:
    with Session(market.client, BUDGET) as api:
        assert api.get(market.site.url).ok
        with api.get_adapter(market.site.url)._payer.prices._lock:
            assert passes_in_child(lambda: api.get(market.site.url + "?child").ok)
