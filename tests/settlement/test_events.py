"""What both sides are told of a channel, from the first deposit to the last close, on a real local network."""

from __future__ import annotations

import pytest

from paypercall.client import Client
from paypercall.contract import ChannelParameters, deposit_draft
from paypercall.devnet import Devnet
from paypercall.events import Event, EventKind
from paypercall.obyte.wallet import Draft
from paypercall.party import Party
from paypercall.server import Server
from paypercall.settlement import node, outbox, upkeep
from paypercall.store import OutboxRow
from tests.parties import open_channel, pay, wait_until, wait_until_open
from tests.settlement.test_last_close import refill_decided
from tests.settlement.test_upkeep import count_deposits

Told = tuple[str, int, int]


def record_events(party: Party) -> list[Event]:
    told: list[Event] = []
    for kind in EventKind:
        party.subscribe(kind, told.append)
    return told


def summary_of(told: list[Event]) -> list[Told]:
    """Kind, period and amount of each event."""
    return [(event.kind.value, event.period, event.amount) for event in told]


def test_both_sides_are_told_of_everything_in_the_life_of_a_channel_and_of_nothing_else(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    merchants, customers = record_events(merchant), record_events(customer)
    net.hold()
    pay(customer, merchant, 75_000)
    wait_until(lambda: len(merchants) == 2, "the merchant is told of the channel and the payment")
    net.release()
    wait_until_open(customer, merchant)
    pay(customer, merchant, 10_000)
    wait_until(lambda: (len(merchants), len(customers)) == (5, 4), "both see the refill")
    assert customer.aa_address is not None
    refund = merchant.create_payment_package(1_000, customer.aa_address)
    assert customer.verify_payment_package(refund).amount == 1_000
    assert customer.verify_payment_package(refund).code == "duplicate"
    customer.close()
    wait_until(lambda: (len(merchants), len(customers)) == (7, 7), "both see the end of the period")
    # The thread that finds the channel and the one that waits for it tell of it at the same time.
    assert sorted(summary_of(merchants)[:2]) == [("channel_created", 1, 0), ("payment_received", 1, 75_000)]
    assert sorted(summary_of(merchants)[2:5]) == [
        ("deposit_confirmed", 1, 100_000),
        ("deposit_confirmed", 1, 100_000),
        ("payment_received", 1, 10_000),
    ]
    assert summary_of(merchants)[5:] == [("closing", 1, 0), ("closed", 1, 0)]
    assert summary_of(customers) == [
        ("channel_created", 1, 0),
        ("deposit_confirmed", 1, 100_000),
        ("refilled", 1, 100_000),
        ("deposit_confirmed", 1, 100_000),
        ("payment_received", 1, 1_000),
        ("closing", 1, 0),
        ("closed", 1, 0),
    ]
    told = [*merchants, *customers]
    assert {(event.aa_address, event.asset) for event in told} == {(customer.aa_address, "base")}
    on_the_ledger = {EventKind.DEPOSIT_CONFIRMED, EventKind.CLOSING, EventKind.CLOSED}
    assert all((event.unit is not None) == (event.kind in on_the_ledger) for event in told)


def test_a_refill_that_a_payment_waits_for_is_told(merchant: Server, customer: Client) -> None:
    pay(customer, merchant, 60_000)
    wait_until_open(customer, merchant)
    customers = record_events(customer)
    pay(customer, merchant, 90_000)
    wait_until(lambda: bool(customers), "the customer's host is told")
    assert summary_of(customers)[0] == ("refilled", 1, 100_000)


def test_a_deposit_that_crosses_a_close_is_refused_and_told_to_the_customer(
    net: Devnet, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LONGEST_PAUSE", 0)
    customers = record_events(customer)
    with refill_decided(customer, merchant, monkeypatch):
        net.hold()
        merchant.sweep(customer.aa_address or "")
    wait_until(lambda: count_deposits(net, customer.aa_address or "") == 2, "the refill is posted")
    net.release()
    wait_until(lambda: ("closed", 1, 0) in summary_of(customers), "the period has ended")
    assert [told for told in summary_of(customers) if "refused" in told[0]] == [
        ("deposit_refused", 1, 100_000)
    ]


def test_a_deposit_that_the_agent_has_not_taken_is_told_as_refused(
    customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = record_events(customer)
    monkeypatch.setattr(node, "UPKEEP_SECONDS", 0.2)

    def without_definition(row: OutboxRow, parameters: ChannelParameters) -> Draft:
        return deposit_draft(parameters, row.details["amount"], with_definition=False)

    with monkeypatch.context() as triggering_nothing:
        triggering_nothing.setattr(outbox, "draft_of", without_definition)
        triggering_nothing.setattr(upkeep, "UNANSWERED_SECONDS", -1)
        open_channel(customer)
        wait_until(lambda: len(customers) == 2, "the deposit is given up")
    assert summary_of(customers) == [("channel_created", 1, 0), ("deposit_refused", 1, 100_000)]
    assert customers[1].aa_address == customer.aa_address and customers[1].unit is not None
