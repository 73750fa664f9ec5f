"""One channel's step: what becomes of its books when the ledger shows an answer, or a unit on its way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from paypercall.backing import HANGING_SECONDS, LOSS_WINDOW_SECONDS, NO_BACKING, UNANSWERED_SECONDS, Backing
from paypercall.channel import Decision
from paypercall.contract import (
    AgentEvent,
    ChannelParameters,
    Closed,
    Closing,
    Opened,
    close_draft,
    deposit_draft,
    read_trigger,
)
from paypercall.obyte.composer import Draft
from paypercall.obyte.proof import HistoryUnit
from paypercall.settlement.transition import Answer, Transition
from paypercall.settlement.upkeep import decide_to_close
from paypercall.store import OutboxKind, OutboxState
from tests.settlement.merchant_books import MerchantBooks, merchant_books
from tests.two_sides import CUSTOMER, Ledger


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


@pytest.fixture
def channel(books: MerchantBooks) -> ChannelParameters:
    return books.open(CUSTOMER)


@pytest.fixture
def ledger(channel: ChannelParameters) -> Ledger:
    return Ledger(channel)


def on_its_way(ledger: Ledger, draft: Draft) -> HistoryUnit:
    """A unit of the customer that is not stable yet, and signed as it should be."""
    unit = ledger.compose(CUSTOMER.address, draft)
    return HistoryUnit(
        unit,
        unit["unit"],
        is_stable=False,
        is_final_bad=False,
        main_chain_index=None,
        is_signature_checked=True,
        is_stripped=False,
    )


def show(
    books: MerchantBooks,
    channel: ChannelParameters,
    *shown: HistoryUnit,
    answers: Sequence[AgentEvent] = (),
    asked_at: int | None = None,
) -> None:
    """Lets a look at the ledger, by default one of now, show units on their way and answers of the agent."""
    triggers = [(trigger, entry) for entry in shown if (trigger := read_trigger(channel, entry.unit))]
    with books.store.transaction() as store:
        Transition(store, channel.aa_address, books.time).run(
            triggers,
            [Answer(event, f"answer {event.event_id}") for event in answers],
            books.time if asked_at is None else asked_at,
        )


def give_up(books: MerchantBooks, channel: ChannelParameters, entry: HistoryUnit) -> None:
    """Lets no hub show a unit any more, which is not proven to be void."""
    with books.store.transaction() as store:
        Transition(store, channel.aa_address, books.time).note_double_spend(entry.hash)


def opened(event_id: int, period: int, amount: int, trigger_unit: str | None = None) -> Opened:
    return Opened(event_id, period, 0, amount, trigger_unit=trigger_unit or f"deposit {event_id}")


def closing(event_id: int, period: int, owed: int, timestamp: int) -> Closing:
    return Closing(event_id, period, CUSTOMER.address, 0, owed, f"close {event_id}", timestamp)


def closed(event_id: int, period: int) -> Closed:
    return Closed(event_id, period, is_fraud_proven=False, paid_to_a=10_000, paid_to_b=10_000)


def test_a_lie_that_the_peer_is_not_known_to_have_signed_is_no_reason_to_accuse_it(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    """A hub can invent it, and with it have a fraud proof sent that the agent refuses, for its fees."""
    show(books, channel, answers=[opened(1, 1, 50_000)])
    books.sign(channel, 40_000)
    lie = on_its_way(ledger, close_draft(channel, period=1, transferred_from_me=0, sent_by_peer=None))
    show(books, channel, replace(lie, is_signature_checked=False))
    assert (books.channel(channel).freeze, books.unconfirmed(channel)) == (None, ())
    with books.store.reading() as store:
        assert store.outbox.unfinished() == []
    show(books, channel, lie)
    freeze = books.channel(channel).freeze
    assert freeze is not None
    assert freeze.decision is Decision.FRAUD_PROOF
    with books.store.reading() as store:
        assert [row.kind for row in store.outbox.unfinished()] == [OutboxKind.FRAUD_PROOF]


def test_of_several_lies_in_one_period_the_first_alone_is_answered_at_first_sight(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    """The peer can sign as many as it likes, and have a hub show them to this node alone: each proof would bounce."""
    show(books, channel, answers=[opened(1, 1, 50_000)])
    books.sign(channel, 40_000)
    for owed in range(3):
        lie = close_draft(channel, period=1, transferred_from_me=owed, sent_by_peer=None)
        show(books, channel, on_its_way(ledger, lie))
        with books.store.transaction() as store:
            for row in store.outbox.unfinished():
                store.outbox.finished(row.id, OutboxState.STABLE, books.time)
            books.time += 10 * UNANSWERED_SECONDS
            decide_to_close(store, channel.aa_address, books.time)
    with books.store.reading() as store:
        kinds = [row.kind for row in store.outbox.of_period(channel.aa_address, 1)]
    assert kinds.count(OutboxKind.FRAUD_PROOF) == 1


def test_what_was_not_covered_when_the_period_ended_is_a_loss_and_counts_for_a_while(
    books: MerchantBooks, channel: ChannelParameters
) -> None:
    show(books, channel, answers=[opened(1, 1, 50_000)])
    books.sign(channel, 70_000)
    assert books.exposure() == 20_000
    show(books, channel, answers=[closing(2, 1, 50_000, books.time), closed(3, 1)])
    assert (books.exposure(), books.channel(channel).counted_exposure) == (20_000, 0)
    books.time += LOSS_WINDOW_SECONDS + 1
    assert books.exposure() == 0


def test_a_close_that_was_too_late_for_its_period_does_not_close_the_next_one(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    """It bounces, and nothing ever answers it; a deposit on its way is for the next period."""
    show(books, channel, answers=[opened(1, 1, 50_000)])
    late = on_its_way(ledger, close_draft(channel, period=1, transferred_from_me=0, sent_by_peer=None))
    show(books, channel, late, on_its_way(ledger, deposit_draft(channel, 30_000, with_definition=False)))
    assert books.backing(channel) == Backing(is_closing=True)
    show(books, channel, answers=[closing(2, 1, 0, books.time), closed(3, 1)])
    assert books.backing(channel) == Backing(amount=30_000)


def test_each_period_is_as_old_as_its_own_first_deposit(
    books: MerchantBooks, channel: ChannelParameters
) -> None:
    """Else a channel would be swept early, or a closed one be found due for ever."""

    def opened_at() -> int | None:
        with books.store.reading() as store:
            record = store.channels.get(channel.aa_address)
        assert record is not None
        return record.opened_at

    first = books.time
    show(books, channel, answers=[opened(1, 1, 50_000)])
    books.time += 100
    show(books, channel, answers=[opened(2, 1, 80_000)])
    assert opened_at() == first
    show(books, channel, answers=[closing(3, 1, 0, books.time), closed(4, 1)])
    assert opened_at() is None
    books.time += 100
    show(books, channel, answers=[opened(5, 2, 50_000)])
    assert opened_at() == first + 200


def test_a_unit_that_was_given_up_backs_again_once_it_is_proven_good_and_not_before(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    """That it was double-spent was only a hub's silence, and that it is there again would only be a hub's word."""
    deposit = on_its_way(ledger, deposit_draft(channel, 50_000, with_definition=True))
    show(books, channel, deposit)
    give_up(books, channel, deposit)
    show(books, channel, deposit)
    assert books.backing(channel) == Backing(is_double_spent=True)
    show(books, channel, replace(deposit, is_stable=True, is_final_bad=True))
    assert books.backing(channel) == Backing(is_double_spent=True)
    show(books, channel, replace(deposit, is_stable=True))
    assert books.backing(channel) == Backing(amount=50_000)


def test_a_unit_that_is_proven_good_is_not_given_up_when_a_hub_does_not_show_it(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    deposit = on_its_way(ledger, deposit_draft(channel, 50_000, with_definition=True))
    show(books, channel, deposit)
    books.sign(channel, 40_000)
    show(books, channel, replace(deposit, is_stable=True))
    give_up(books, channel, deposit)
    assert books.backing(channel) == Backing(amount=50_000)
    assert books.channel(channel).counted_exposure == 40_000


def test_a_loss_that_the_agents_answer_makes_good_counts_no_more(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    deposit = on_its_way(ledger, deposit_draft(channel, 50_000, with_definition=True))
    show(books, channel, deposit)
    books.sign(channel, 40_000)
    give_up(books, channel, deposit)
    assert (books.exposure(), books.channel(channel).counted_exposure) == (40_000, 0)
    show(books, channel, replace(deposit, is_stable=True))
    assert books.exposure() == 40_000
    show(books, channel, answers=[opened(1, 1, 50_000, deposit.hash)])
    assert (books.exposure(), books.channel(channel).written_off) == (0, 0)


def test_what_a_deposit_makes_good_of_a_loss_is_all_that_counts_no_more(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    """Neither another channel's loss nor that of an earlier period is made good by it."""
    show(books, channel, answers=[opened(1, 1, 50_000)])
    books.sign(channel, 70_000)
    show(books, channel, answers=[closing(2, 1, 50_000, books.time), closed(3, 1)])
    other = books.open(CUSTOMER, "another salt")
    for parameters in (channel, other):
        deposit = on_its_way(ledger, deposit_draft(parameters, 50_000, with_definition=True))
        show(books, parameters, deposit)
        books.sign(parameters, 40_000)
        give_up(books, parameters, deposit)
    assert books.exposure() == 100_000
    show(books, channel, answers=[opened(4, 2, 30_000)])
    assert (books.exposure(), books.channel(channel).counted_exposure) == (70_000, 0)
    show(books, channel, answers=[opened(5, 2, 90_000)])
    assert books.exposure() == 60_000


def test_a_unit_that_is_proven_good_and_triggers_nothing_makes_no_loss_good(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    deposit = on_its_way(ledger, deposit_draft(channel, 50_000, with_definition=True))
    show(books, channel, deposit)
    books.sign(channel, 40_000)
    give_up(books, channel, deposit)
    show(books, channel, replace(deposit, is_stable=True))
    books.time += UNANSWERED_SECONDS + 1
    show(books, channel, replace(deposit, is_stable=True))
    assert books.unconfirmed(channel) == ()
    assert (books.exposure(), books.channel(channel).counted_exposure) == (40_000, 0)


def test_a_deposit_that_hangs_blocks_the_limit_neither_for_ever_nor_when_it_is_taken_after_all(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    """The loss counts for a while, however often the hub shows that it still hangs."""
    deposit = on_its_way(ledger, deposit_draft(channel, 50_000, with_definition=True))
    show(books, channel, deposit)
    books.sign(channel, 40_000)
    books.time += HANGING_SECONDS
    show(books, channel, deposit)
    assert (books.backing(channel), books.channel(channel).counted_exposure) == (Backing(50_000), 40_000)
    books.time += 1
    for _ in range(3):
        show(books, channel, deposit)
        assert (books.backing(channel), books.channel(channel).counted_exposure) == (NO_BACKING, 0)
        assert books.exposure() == 40_000
    books.time += LOSS_WINDOW_SECONDS + 1
    show(books, channel, deposit)
    assert books.exposure() == 0
    show(books, channel, replace(deposit, is_stable=True))
    assert books.backing(channel) == Backing(50_000)
    show(books, channel, answers=[opened(1, 1, 50_000, deposit.hash)])
    assert books.channel(channel).deposited_by_peer == 50_000
    assert (books.exposure(), books.channel(channel).written_off) == (0, 0)


def test_what_another_deposit_backs_is_no_loss_when_one_hangs(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    first, second = (
        on_its_way(ledger, deposit_draft(channel, amount, with_definition=True))
        for amount in (50_000, 30_000)
    )
    show(books, channel, first)
    books.sign(channel, 40_000)
    books.time += HANGING_SECONDS + 1
    show(books, channel, second, first)
    assert books.backing(channel) == Backing(30_000)
    assert (books.exposure(), books.channel(channel).counted_exposure) == (40_000, 30_000)
    show(books, channel, replace(first, is_stable=True), answers=[opened(1, 1, 50_000, first.hash)])
    assert books.exposure() == 0


def test_a_pause_between_a_look_and_what_is_made_of_it_lets_no_deposit_hang(
    books: MerchantBooks, channel: ChannelParameters, ledger: Ledger
) -> None:
    deposit = on_its_way(ledger, deposit_draft(channel, 50_000, with_definition=True))
    show(books, channel, deposit)
    books.sign(channel, 40_000)
    asked_at = books.time
    books.time += HANGING_SECONDS + 1
    show(books, channel, deposit, asked_at=asked_at)
    assert books.channel(channel).counted_exposure == 40_000
