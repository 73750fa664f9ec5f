"""Closing for good: a deposit that is not signed yet is taken back, one that is signed is waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.contract import TriggerKind
from paypercall.devnet import Devnet
from paypercall.obyte.composer import Draft
from paypercall.obyte.errors import HubError
from paypercall.obyte.unit import Unit
from paypercall.results import ChannelTimeout
from paypercall.server import Server
from paypercall.settlement import node, outbox
from paypercall.settlement.upkeep import stop_deposits
from paypercall.store import OutboxKind, OutboxRow, OutboxState
from tests.parties import customer_on, pay, wait_until, wait_until_open
from tests.settlement.test_outbox import ask_tps_fee, triggers_of
from tests.store.conftest import postgresql_server, url

__all__ = ["postgresql_server", "url"]  # fixtures of the tests of the store

DEPOSIT, CLOSE = TriggerKind.DEPOSIT, TriggerKind.CLOSE


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LONGEST_PAUSE", 0)
    monkeypatch.setattr(node, "UPKEEP_SECONDS", 0.2)


def rows(party: Client, kind: OutboxKind, period: int = 1) -> list[OutboxRow]:
    with party._store.reading() as books:
        return [row for row in books.outbox.of_period(party.aa_address, period) if row.kind is kind]


def has_nothing_to_send(party: Client) -> bool:
    with party._store.reading() as books:
        return not books.outbox.unfinished()


@contextmanager
def refill_decided(
    customer: Client, merchant: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OutboxRow]:
    """An open channel with a refill that is too dear to be sent before the end of the block."""
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    with monkeypatch.context() as busy:
        ask_tps_fee(customer, lambda: 30_000, busy)
        pay(customer, merchant, 75_000)
        wait_until(lambda: len(rows(customer, OutboxKind.REFILL)) == 1, "the refill is decided")
        yield rows(customer, OutboxKind.REFILL)[0]


def test_a_refill_that_is_not_signed_is_cancelled(
    net: Devnet, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refill_decided(customer, merchant, monkeypatch):
        with pytest.raises(ChannelTimeout, match="closing unit"):
            customer.close(timeout=0.5)
        (refill,) = rows(customer, OutboxKind.REFILL)
        assert (refill.state, refill.units) == (OutboxState.FAILED, ())
        assert customer.balance().pending_deposits == 0
    wait_until(lambda: customer.balance().period == 2, "the period has ended")
    wait_until(lambda: has_nothing_to_send(customer), "all is done")
    assert triggers_of(net, customer, customer) == [DEPOSIT, CLOSE]
    pay(customer, merchant, 5_000)
    assert triggers_of(net, customer, customer) == [DEPOSIT, CLOSE, DEPOSIT]


def test_a_sweep_keeps_a_refill_for_the_next_period(
    net: Devnet, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    with refill_decided(customer, merchant, monkeypatch) as refill, pytest.raises(ChannelTimeout):
        customer.sweep(timeout=0.5)
    wait_until(lambda: customer.balance().period == 2, "the period has ended")
    wait_until(lambda: customer.balance().deposited_by_me == 100_000, "the refill opens the next one")
    assert [row.id for row in rows(customer, OutboxKind.REFILL)] == [refill.id]


def test_a_channel_whose_opening_deposit_is_not_signed_is_closed_by_cancelling_it(
    net: Devnet, merchant: Server, tmp_path: Path
) -> None:
    with customer_on(net, tmp_path / "poor", merchant.address, funds=0) as customer:
        with pytest.raises(ChannelTimeout):
            customer.create_payment_package(100, timeout=0.5)
        customer.close()
        assert customer.balance().pending_deposits == 0
        assert has_nothing_to_send(customer)
        net.fund(customer.address, 500_000)
        pay(customer, merchant, 100)
        assert [row.state is OutboxState.FAILED for row in rows(customer, OutboxKind.OPEN)] == [True, False]
        assert triggers_of(net, customer, customer) == [DEPOSIT]
    customer.wallet.close()


def test_an_opening_deposit_that_is_signed_is_waited_for(
    net: Devnet, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(_: Unit) -> None:
        raise HubError("the connection was lost")

    customer.look_at_ledger()
    with monkeypatch.context() as cut_off:
        cut_off.setattr(customer.wallet.light, "post", post)
        with pytest.raises(ChannelTimeout):
            customer.create_payment_package(10_000, timeout=0.5)
        wait_until(
            lambda: rows(customer, OutboxKind.OPEN)[0].state is OutboxState.SIGNED, "the deposit is signed"
        )
        with pytest.raises(ChannelTimeout, match="deposit is not confirmed yet"):
            customer.close(timeout=0.5)
        assert customer.balance().pending_deposits == 100_000
    customer.close()
    assert customer.balance().deposited_by_me == 100_000
    assert triggers_of(net, customer, customer) == [DEPOSIT, CLOSE]


def test_closing_creates_no_channel(customer: Client) -> None:
    customer.close()
    with customer._store.reading() as books:
        assert books.channels.addresses(customer.address) == []


def test_a_channel_can_be_closed_again(merchant: Server, customer: Client) -> None:
    pay(customer, merchant, 10_000)
    customer.close()
    customer.close()
    wait_until(lambda: customer.balance().period == 2, "the period has ended")
    customer.close()
    assert customer.balance().status is Status.CLOSED


def test_a_deposit_that_is_cancelled_while_its_unit_is_composed_is_not_sent_and_gives_its_coins_back(
    net: Devnet, merchant: Server, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_composed, may_go_on = threading.Event(), threading.Event()
    with customer_on(net, tmp_path / "customer", merchant.address, database_url=url) as customer:
        pay(customer, merchant, 10_000)
        wait_until_open(customer, merchant)
        really_compose = customer.wallet.compose

        def compose(draft: Draft, **options: Any) -> Unit:
            unit = really_compose(draft, **options)
            is_composed.set()
            may_go_on.wait(20)
            return unit

        monkeypatch.setattr(customer.wallet, "compose", compose)
        pay(customer, merchant, 75_000)
        assert is_composed.wait(20)
        with customer._store.transaction() as books:
            assert books.channels.lock(customer.aa_address)
            stop_deposits(books, customer.aa_address, now=0)
            may_go_on.set()
            time.sleep(0.2)  # lets the other thread come to the transaction that stores the unit
        customer.close()
        wait_until(lambda: customer.balance().period == 2, "the period has ended")
        (refill,) = rows(customer, OutboxKind.REFILL)
        assert (refill.state, refill.units) == (OutboxState.FAILED, ())
        assert triggers_of(net, customer, customer) == [DEPOSIT, CLOSE]
    customer.wallet.close()
