"""What upkeep decides from the books alone: what is given up, repeated and swept, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from paypercall.backing import UNANSWERED_SECONDS
from paypercall.channel import Decision, Status
from paypercall.contract import ChannelParameters
from paypercall.events import Events
from paypercall.settlement.upkeep import SweepingRules, Upkeep, add_deposit, decide_to_close
from paypercall.store import OutboxKind, OutboxRow, OutboxState
from tests.settlement.merchant_books import MerchantBooks, merchant_books
from tests.two_sides import CUSTOMER, PAYEE

LIMIT = 100_000


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


@pytest.fixture
def channel(books: MerchantBooks) -> ChannelParameters:
    """A channel that is open."""
    parameters = books.open(CUSTOMER)
    with books.store.transaction() as store:
        record = store.channels.lock(parameters.aa_address)
        assert record is not None
        opened = replace(
            record.channel, status=Status.OPEN, deposited_by_peer=500_000, last_event_id=1, known_event_id=1
        )
        store.channels.save(record.channel, opened)
    return parameters


@pytest.fixture
def upkeep(books: MerchantBooks) -> Upkeep:
    rules = SweepingRules(max_unsettled_by_channel={"base": LIMIT}, max_unsettled_by_asset={})
    return Upkeep(books.store, PAYEE.address, rules, Events(), books.now, books.now)


def unfinished(books: MerchantBooks) -> list[OutboxRow]:
    with books.store.reading() as store:
        return store.outbox.unfinished()


def make_stable(books: MerchantBooks) -> None:
    """Lets the ledger have taken the unit of the only row that is under way, while the agent says nothing."""
    (row,) = unfinished(books)
    unit = {"unit": f"{row.id:043}=", "messages": []}
    with books.store.transaction() as store:
        store.outbox.signed(row.id, unit, books.time)
        if row.kind is OutboxKind.REFILL:
            store.deposits.set_unit(row.id, unit["unit"])
        store.outbox.finished(row.id, OutboxState.STABLE, books.time)


def test_a_deposit_of_mine_that_the_agent_did_not_take_counts_no_more_after_a_while(
    books: MerchantBooks, channel: ChannelParameters, upkeep: Upkeep
) -> None:
    """It has bounced: what is signed on the strength of it would not be covered."""
    with books.store.transaction() as store:
        add_deposit(store, OutboxKind.REFILL, books.channel(channel), 50_000, books.time)
    make_stable(books)

    def pending() -> int:
        with books.store.reading() as store:
            return store.deposits.pending(channel.aa_address)

    books.time += UNANSWERED_SECONDS
    assert not upkeep.run()
    assert pending() == 50_000
    books.time += 1
    assert upkeep.run()
    assert pending() == 0


def test_a_close_that_the_agent_did_not_take_is_decided_again_after_a_pause(
    books: MerchantBooks, channel: ChannelParameters, upkeep: Upkeep
) -> None:
    """Else the channel would stay frozen for ever."""
    books.sign(channel, 40_000)
    with books.store.transaction() as store:
        assert decide_to_close(store, channel.aa_address, books.time)
    (first,) = unfinished(books)
    assert not upkeep.run()
    make_stable(books)
    books.time += UNANSWERED_SECONDS - 1
    assert not upkeep.run()
    books.time += 1
    assert upkeep.run()
    (second,) = unfinished(books)
    assert (second.kind, second.period, second.details) == (OutboxKind.CLOSE, 1, first.details)
    assert second.id != first.id


@pytest.mark.parametrize("owed, is_swept", [(LIMIT * 4 // 5, False), (LIMIT * 4 // 5 + 1, True)])
def test_a_channel_is_swept_once_more_than_four_fifths_of_its_limit_is_unsettled(
    books: MerchantBooks, channel: ChannelParameters, upkeep: Upkeep, owed: int, is_swept: bool
) -> None:
    books.sign(channel, owed)
    assert upkeep.run() == is_swept
    freeze = books.channel(channel).freeze
    assert (freeze is not None and freeze.decision is Decision.CLOSE) == is_swept
    assert [row.kind for row in unfinished(books)] == [OutboxKind.CLOSE] * is_swept


def test_no_more_channels_are_swept_for_an_assets_limit_than_bring_it_below(books: MerchantBooks) -> None:
    """Closes take long when customers are gone, and what they will settle must not have others closed meanwhile."""
    for number, owed in enumerate([300_000, 200_000, 200_000, 150_000]):
        parameters = books.open(CUSTOMER, salt=f"{number}")
        with books.store.transaction() as store:
            record = store.channels.lock(parameters.aa_address)
            assert record is not None
            opened = replace(record.channel, status=Status.OPEN, deposited_by_peer=owed, signed_by_peer=owed)
            store.channels.save(record.channel, opened)
    rules = SweepingRules(max_unsettled_by_channel={}, max_unsettled_by_asset={"base": 1_000_000})
    upkeep = Upkeep(books.store, PAYEE.address, rules, Events(), books.now, books.now)
    for _ in range(3):
        upkeep.run()
    closed = [
        books.channel(ChannelParameters(PAYEE.address, CUSTOMER.address, "base", f"{n}", 3600))
        for n in range(4)
    ]
    assert [channel.freeze is not None for channel in closed] == [True, False, False, False]
