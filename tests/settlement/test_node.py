"""The node's thread when the database or the ledger's answers fail it: it goes on, and misses nothing."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import Channel, Status
from paypercall.client import Client
from paypercall.contract import Opened
from paypercall.devnet import Devnet
from paypercall.events import Event
from paypercall.server import Server
from paypercall.settlement import reader
from paypercall.settlement.lease import LEASE_SECONDS
from paypercall.settlement.transition import Answer, Transition
from paypercall.settlement.upkeep import add_deposit
from paypercall.store import OutboxKind, Store, StoreError, database
from tests.parties import conf_for, pay, wait_until, wait_until_open, wallet_on
from tests.two_sides import CUSTOMER, channel_parameters


def test_a_database_that_is_busy_for_long_does_not_end_settlement(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    merchant = Server(wallet=wallet_on(net), conf=conf_for(net, tmp_path / "merchant"))
    with closing(sqlite3.connect(tmp_path / "merchant" / "paypercall.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.ERROR):
            merchant.start_node()
            wait_until(lambda: "settlement failed" in caplog.text, "the node has met the lock")
    wait_until(lambda: merchant._node_health().synced_at is not None, "the node goes on")
    merchant.close_node()
    merchant.wallet.close()


def test_what_cannot_be_taken_from_the_first_history_is_fetched_again(
    net: Devnet, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(customer, merchant, 40_000)
    wait_until_open(customer, merchant)
    merchant.close_node()
    customer.close()
    wait_until(lambda: customer.balance().status is Status.CLOSING, "the customer closes")
    really_take = reader.Reader._take_channel
    failures: list[str] = []

    def take(self: reader.Reader, channel: Channel, *args: Any) -> None:
        if not failures:
            failures.append(channel.aa_address)
            raise StoreError("the database failed: disk I/O error")
        really_take(self, channel, *args)

    monkeypatch.setattr(reader.Reader, "_take_channel", take)
    merchant.start_node()
    wait_until(lambda: len(customer.settled_periods()) == 1, "the merchant has seen the close and confirms")
    assert failures == [customer.aa_address]


def test_a_node_that_loses_the_lease_waits_for_it_and_goes_on(
    net: Devnet, merchant: Server, customer: Client, caplog: pytest.LogCaptureFixture
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    name, now = merchant.wallet.address, merchant._node.now() + LEASE_SECONDS
    with merchant._store.transaction() as books:
        assert books.lease.take(name, "another process", now, LEASE_SECONDS)
    with caplog.at_level(logging.WARNING):
        net.fund(merchant.address, 5_000)
        customer.sweep()
        wait_until(lambda: "another process" in caplog.text, "the merchant finds the lease lost")
    with merchant._store.transaction() as books:
        books.lease.release(name, "another process")
    wait_until(lambda: len(customer.settled_periods()) == 1, "the merchant confirms the close")
    assert "settlement failed" not in caplog.text


def test_a_deposit_stays_pending_while_an_answer_before_its_own_is_missing(tmp_path: Path) -> None:
    """Else it would count neither as pending nor as confirmed, and be made a second time."""
    parameters = channel_parameters()
    with closing(Store(f"sqlite:///{tmp_path}/books.sqlite")) as store, store.transaction() as books:
        channel = Channel(parameters, CUSTOMER.address)
        books.channels.add(channel, created_at=1)
        add_deposit(books, OutboxKind.OPEN, channel, 100_000, now=1)
        (row,) = books.outbox.unfinished()
        books.deposits.set_unit(row.id, "deposit")
        answers = [
            Answer(Opened(2, 1, 0, 100_000, "deposit"), "second answer"),
            Answer(Opened(1, 1, 50_000, 0, "of the payee"), "first answer"),
        ]
        take_answers(books, parameters.aa_address, answers[:1])
        assert books.deposits.pending(parameters.aa_address) == 100_000
        take_answers(books, parameters.aa_address, answers[::-1])
        assert books.deposits.pending(parameters.aa_address) == 0


def take_answers(books: Any, aa_address: str, answers: list[Answer]) -> list[Event]:
    return Transition(books, aa_address, now=2).run((), answers, asked_at=2)
