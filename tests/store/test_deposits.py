"""Deposits are pending until the agent has answered them, and settled from then on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paypercall.store import DepositState, OutboxKind, OutboxState, Store
from tests.store.samples import channel, unit_hash

AA_ADDRESS = channel().aa_address


@pytest.fixture(autouse=True)
def known_channel(store: Store) -> None:
    """Adds the channel that the rows belong to."""
    with store.transaction() as books:
        books.channels.add(channel(), created_at=1)


def add(store: Store, amount: int) -> int:
    with store.transaction() as books:
        row = books.outbox.add(OutboxKind.REFILL, aa_address=AA_ADDRESS, period=1, details={}, now=10)
        books.deposits.add(None, row, AA_ADDRESS, amount, now=10)
    return row


def test_pending_deposits_are_summed(store: Store) -> None:
    add(store, 5)
    add(store, 7)
    with store.transaction() as books:
        books.deposits.add(unit_hash(1), None, AA_ADDRESS, 100, now=10)
        assert books.deposits.pending(AA_ADDRESS) == 112
        assert books.deposits.pending(channel("other").aa_address) == 0
        assert books.deposits.pending_by_channel() == {AA_ADDRESS: 112}


def test_whether_any_deposit_may_open_a_channel_is_told_over_all_channels(store: Store) -> None:
    with store.reading() as books:
        assert not books.deposits.may_open_any()
    row = add(store, 5)
    with store.transaction() as books:
        assert books.deposits.may_open_any()
        books.deposits.set_unit(row, unit_hash(1))
        books.deposits.settle(unit_hash(1), DepositState.CONFIRMED)
        assert not books.deposits.may_open_any()


def test_an_unanswered_deposit_counts_no_more_and_can_be_answered_still(store: Store) -> None:
    row = add(store, 5)
    with store.transaction() as books:
        books.outbox.signed(row, {"unit": unit_hash(1)}, now=11)
        books.deposits.set_unit(row, unit_hash(1))
        assert not books.deposits.awaits_answer(AA_ADDRESS, 1)
        books.outbox.finished(row, OutboxState.STABLE, now=12)
        assert books.deposits.awaits_answer(AA_ADDRESS, 1)
        assert books.deposits.settle(unit_hash(1), DepositState.GIVEN_UP) == 5
        assert books.deposits.pending(AA_ADDRESS) == 0
        assert books.deposits.overdue(stable_before=100) == []
        assert books.deposits.awaits_answer(AA_ADDRESS, 1)
        assert not books.deposits.awaits_answer(AA_ADDRESS, 2)
        assert books.deposits.settle(unit_hash(1), DepositState.CONFIRMED) == 5
        assert not books.deposits.awaits_answer(AA_ADDRESS, 1)


def test_an_unanswered_deposit_may_open_its_channel_until_the_period_has_ended(store: Store) -> None:
    row = add(store, 5)
    with store.transaction() as books:
        books.outbox.signed(row, {"unit": unit_hash(1)}, now=11)
        books.deposits.set_unit(row, unit_hash(1))
        books.outbox.finished(row, OutboxState.STABLE, now=12)
        assert books.deposits.settle(unit_hash(1), DepositState.GIVEN_UP) == 5
        assert books.deposits.may_open_any()
        record = books.channels.lock(AA_ADDRESS)
        assert record is not None
        books.channels.save(record.channel, replace(record.channel, period=2))
        assert not books.deposits.may_open_any()


@pytest.mark.parametrize("outcome", [DepositState.CONFIRMED, DepositState.REFUSED, DepositState.FAILED])
def test_a_settled_deposit_is_not_pending_any_more(store: Store, outcome: DepositState) -> None:
    row = add(store, 5)
    with store.transaction() as books:
        books.deposits.set_unit(row, unit_hash(1))
        assert books.deposits.settle(unit_hash(2), outcome) is None
        assert books.deposits.settle(unit_hash(1), outcome) == 5
        assert books.deposits.settle(unit_hash(1), outcome) is None
        assert books.deposits.pending(AA_ADDRESS) == 0
        assert books.deposits.pending_by_channel() == {}


@pytest.mark.parametrize("number", [1, 2])
def test_a_deposit_is_settled_by_any_unit_that_was_signed_for_it(store: Store, number: int) -> None:
    row = add(store, 5)
    with store.transaction() as books:
        for each in (1, 2):
            books.outbox.signed(row, {"unit": unit_hash(each)}, now=11)
            books.deposits.set_unit(row, unit_hash(each))
        assert books.deposits.settle(unit_hash(number), DepositState.CONFIRMED) == 5
        assert books.deposits.pending(AA_ADDRESS) == 0


def test_a_deposit_counts_as_posted_once_the_hub_has_taken_it(store: Store) -> None:
    row = add(store, 5)
    with store.transaction() as books:
        books.deposits.add(unit_hash(9), None, AA_ADDRESS, 100, now=10)
        assert books.deposits.pending(AA_ADDRESS, posted_only=True) == 100
        books.outbox.signed(row, {"unit": unit_hash(1)}, now=11)
        assert books.deposits.pending(AA_ADDRESS, posted_only=True) == 100
        books.outbox.posted(row, now=12)
        assert books.deposits.pending(AA_ADDRESS, posted_only=True) == 105
        books.outbox.finished(row, OutboxState.STABLE, now=13)
        assert books.deposits.pending(AA_ADDRESS, posted_only=True) == 105
        books.deposits.settle(unit_hash(1), DepositState.CONFIRMED)
        assert books.deposits.pending(AA_ADDRESS, posted_only=True) == 100


def test_a_deposit_that_is_cancelled_is_not_pending_any_more(store: Store) -> None:
    cancelled, confirmed, _ = (add(store, 5) for _ in range(3))
    with store.transaction() as books:
        books.deposits.set_unit(confirmed, unit_hash(1))
        books.deposits.settle(unit_hash(1), DepositState.CONFIRMED)
        for row in (cancelled, confirmed):
            books.deposits.cancel(row)
        assert books.deposits.pending(AA_ADDRESS) == 5


def test_a_pending_deposit_is_found_once_it_is_signed(store: Store) -> None:
    row = add(store, 5)
    with store.transaction() as books:
        assert not books.deposits.has_signed(AA_ADDRESS)
        books.deposits.set_unit(row, unit_hash(1))
        assert books.deposits.has_signed(AA_ADDRESS)
        assert not books.deposits.has_signed(channel("other").aa_address)
        books.deposits.settle(unit_hash(1), DepositState.CONFIRMED)
        assert not books.deposits.has_signed(AA_ADDRESS)


def test_deposits_that_are_stable_for_long_and_unanswered_are_found(store: Store) -> None:
    early, late, posted, confirmed = (add(store, 5) for _ in range(4))
    with store.transaction() as books:
        for number, row in enumerate((early, late, posted, confirmed)):
            books.outbox.signed(row, {"unit": unit_hash(number)}, now=11)
            books.deposits.set_unit(row, unit_hash(number))
            books.outbox.posted(row, now=12)
        for row, stable_at in ((early, 20), (late, 30), (confirmed, 20)):
            books.outbox.finished(row, OutboxState.STABLE, now=stable_at)
        books.deposits.settle(unit_hash(3), DepositState.CONFIRMED)
        assert books.deposits.overdue(stable_before=30) == [unit_hash(0)]
        assert books.deposits.overdue(stable_before=31) == [unit_hash(0), unit_hash(1)]


def test_what_became_of_the_peers_deposit_is_noted_once_for_each_channel(store: Store) -> None:
    other_address = channel("other").aa_address
    with store.transaction() as books:
        books.channels.add(channel("other"), created_at=1)
        for state in (DepositState.REFUSED, DepositState.CONFIRMED):
            books.deposits.note(unit_hash(1), AA_ADDRESS, state, now=10)
        assert books.deposits.is_settled(unit_hash(1), AA_ADDRESS)
        assert not books.deposits.is_settled(unit_hash(1), other_address)
        assert not books.deposits.is_settled(unit_hash(2), AA_ADDRESS)
        assert books.deposits.settle(unit_hash(1), DepositState.CONFIRMED) is None
        assert books.deposits.pending(AA_ADDRESS) == 0


def test_a_deposit_of_mine_is_settled_when_it_is_not_pending_any_more(store: Store) -> None:
    row = add(store, 5)
    with store.transaction() as books:
        books.deposits.set_unit(row, unit_hash(1))
        books.deposits.note(unit_hash(1), AA_ADDRESS, DepositState.FAILED, now=10)
        assert not books.deposits.is_settled(unit_hash(1), AA_ADDRESS)
        assert books.deposits.settle(unit_hash(1), DepositState.CONFIRMED) == 5
        assert books.deposits.is_settled(unit_hash(1), AA_ADDRESS)
