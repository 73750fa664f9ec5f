"""Where the channels stand is read from the books with few queries, however many channels there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import Channel, Status
from paypercall.contract import ChannelParameters
from paypercall.devnet import Devnet
from paypercall.obyte.amounts import BASE
from paypercall.server import Server
from paypercall.store import Store
from paypercall.store.statements import Connection, Statement
from tests.parties import merchant_on
from tests.two_sides import CUSTOMER


@pytest.fixture
def merchant(tmp_path: Path) -> Iterator[Server]:
    """A merchant whose node is not started, so that nothing but the test asks the books."""
    with Devnet() as net:
        merchant = merchant_on(net, tmp_path, funds=0)
        yield merchant
        merchant.close_node()
        merchant.wallet.close()


@pytest.fixture
def store(merchant: Server, tmp_path: Path) -> Iterator[Store]:
    with closing(Store(f"sqlite:///{tmp_path}/paypercall.sqlite")) as store:
        yield store


def add_channels(store: Store, payee: str, count: int, status: Status = Status.OPEN) -> list[str]:
    """Adds channels, each with two deposits of the merchant's on their way, and returns their addresses."""
    added = []
    with store.transaction() as books:
        for number in range(count):
            parameters = ChannelParameters(payee, CUSTOMER.address, BASE, f"{status.value} {number}", 3600)
            books.channels.add(Channel(parameters, payee, status=status), created_at=0)
            for amount in (number, 1):
                books.deposits.add(None, None, parameters.aa_address, amount, now=0)
            added.append(parameters.aa_address)
    return added


def count_queries(merchant: Server, status: Status | None, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many queries it takes to tell where the channels stand."""
    queries = 0
    run = Connection._run

    def counting(connection: Connection, statement: Statement, values: Mapping[str, Any]) -> None:
        nonlocal queries
        queries += 1
        run(connection, statement, values)

    with monkeypatch.context() as patched:
        patched.setattr(Connection, "_run", counting)
        merchant.channels(status)
    return queries


def test_each_channel_comes_with_its_own_deposits_on_their_way(merchant: Server, store: Store) -> None:
    is_open = add_channels(store, merchant.address, 5)
    is_closed = add_channels(store, merchant.address, 3, Status.CLOSED)
    pending = {balance.aa_address: balance.pending_deposits for balance in merchant.channels()}
    assert list(pending) == sorted(is_open + is_closed)
    assert [pending[aa_address] for aa_address in is_open] == [1, 2, 3, 4, 5]
    assert [balance.aa_address for balance in merchant.channels(Status.CLOSED)] == sorted(is_closed)


@pytest.mark.parametrize("status", [None, Status.OPEN])
def test_a_hundred_more_channels_take_not_one_query_more(
    merchant: Server, store: Store, status: Status | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_channels(store, merchant.address, 1)
    few = count_queries(merchant, status, monkeypatch)
    add_channels(store, merchant.address, 101)
    assert len(merchant.channels(status)) == 101
    assert count_queries(merchant, status, monkeypatch) == few
