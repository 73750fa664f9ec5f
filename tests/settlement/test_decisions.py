"""What upkeep decides from the books alone: what is given up, repeated and swept, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.backing import UNANSWERED_SECONDS
from paypercall.channel import Decision, Status
from paypercall.contract import ChannelParameters
from paypercall.costs import SWEEPING_COST
from paypercall.events import Events
from paypercall.settlement.repetition import may_send
from paypercall.settlement.upkeep import SweepingRules, Upkeep, add_deposit, decide_to_close
from paypercall.store import DepositState, OutboxKind, OutboxRow, OutboxState, Refill
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
    rules = SweepingRules({"base": LIMIT}, {}, {"base": SWEEPING_COST})
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


DAY = 24 * 3600
COST = 11_400
"""About what a command costs that the agent does not honour: its bounce fee, and the fees of its unit."""


def close_row(state: OutboxState, updated_at: int) -> OutboxRow:
    return OutboxRow(1, OutboxKind.CLOSE, state, "agent", 1, {}, None, (), 0, None, 0, updated_at)


def times_sent(first_pause: int, until: int, first: Sequence[OutboxRow] = ()) -> list[int]:
    """When a command is sent that the ledger takes within a second, and that no hub ever shows an answer to."""
    rows, sent = list(first), []
    for now in range(until):
        if may_send(rows, first_pause, now):
            sent.append(now)
            rows.append(close_row(OutboxState.STABLE, now + 1))
    return sent


def test_what_is_never_answered_is_sent_less_and_less_often() -> None:
    """Else a hub that leaves an answer out would have the wallet emptied for it."""
    sent = times_sent(UNANSWERED_SECONDS, 4 * DAY)
    on_first_day = sum(time < DAY for time in sent)
    assert on_first_day == 8
    assert len(sent) - on_first_day == 2
    assert on_first_day * COST < 100_000


@given(timeout=st.integers(60, 4 * 3600), early=st.integers(0, 4 * 3600))
@settings(max_examples=20)
def test_an_answer_is_sent_twice_within_any_timeout_even_if_once_was_too_early(
    timeout: int, early: int
) -> None:
    """At first sight it can overtake the close that it answers, and bounce."""
    first_pause = min(UNANSWERED_SECONDS, timeout // 4)
    too_early = close_row(OutboxState.STABLE, -early)
    assert len(times_sent(first_pause, timeout, [too_early])) >= 2


@pytest.mark.parametrize("state", [state for state in OutboxState if not state.is_finished])
def test_nothing_is_sent_twice_at_a_time(state: OutboxState) -> None:
    assert not may_send([close_row(state, 0)], UNANSWERED_SECONDS, 100 * DAY)


def test_what_failed_makes_no_pause_longer() -> None:
    """It has cost nothing: another unit spent the same coins."""
    failed = [close_row(OutboxState.FAILED, -UNANSWERED_SECONDS)] * 10
    assert times_sent(UNANSWERED_SECONDS, 1, failed) == [0]


def test_a_close_that_no_hub_shows_an_answer_to_is_decided_again_ever_more_seldom(
    books: MerchantBooks, channel: ChannelParameters, upkeep: Upkeep
) -> None:
    began = books.time
    with books.store.transaction() as store:
        decide_to_close(store, channel.aa_address, books.time)
    decided_at = [0]
    make_stable(books)
    while books.time < began + DAY:
        books.time += 60
        if upkeep.run():
            decided_at.append(books.time - began)
            make_stable(books)
    assert decided_at == [UNANSWERED_SECONDS * (2**n - 1) for n in range(8)]


def test_no_refill_follows_one_that_is_final_and_unanswered(
    books: MerchantBooks, channel: ChannelParameters, upkeep: Upkeep
) -> None:
    """The agent may have it: a hub that leaves out the answer would be given one deposit after the other."""
    with books.store.transaction() as store:
        store.channels.set_refill(channel.aa_address, Refill(50_000, threshold=10_000))
    assert upkeep.run()
    make_stable(books)
    for _ in range(10):
        books.time += UNANSWERED_SECONDS + 1
        upkeep.run()
    assert unfinished(books) == []
    [deposit] = [f"{1:043}="]
    with books.store.transaction() as store:
        assert store.deposits.settle(deposit, DepositState.CONFIRMED) == 50_000
    assert upkeep.run(), "the hub has shown the answer at last"
    assert [row.kind for row in unfinished(books)] == [OutboxKind.REFILL]


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
            opened = replace(record.channel, status=Status.OPEN, deposited_by_peer=owed)
            store.channels.save(record.channel, opened)
        books.sign(parameters, owed)
    rules = SweepingRules({}, {"base": 1_000_000}, {"base": SWEEPING_COST})
    upkeep = Upkeep(books.store, PAYEE.address, rules, Events(), books.now, books.now)
    for _ in range(3):
        upkeep.run()
    closed = [
        books.channel(ChannelParameters(PAYEE.address, CUSTOMER.address, "base", f"{n}", 3600))
        for n in range(4)
    ]
    assert [channel.freeze is not None for channel in closed] == [True, False, False, False]
