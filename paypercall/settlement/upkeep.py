"""Upkeep: what a node decides by itself. It answers closes, ends its own after the timeout, sweeps and refills.

Each decision freezes the channel and writes the outbox row in one transaction. A command that the ledger has taken
and the agent did not honour is decided again, with the same content, after a pause that grows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from paypercall.backing import UNANSWERED_SECONDS
from paypercall.channel import Channel, Status, refill_due
from paypercall.decisions import Command, decide_answer, decide_close, decide_timeout, may_confirm_own_close
from paypercall.errors import Refusal
from paypercall.events import Event, EventKind, Events
from paypercall.settlement.commands import COMMANDS, DEPOSITS, KIND_OF_DECISION, details_of_command
from paypercall.settlement.repetition import may_send
from paypercall.store import Books, ChannelRecord, DepositState, OutboxKind, OutboxState, Store
from paypercall.sweeping import cost_of_sweep, is_worth_sweeping, sweep_threshold

logger = logging.getLogger(__name__)

SWEEPS_AT_ONCE = 20
"""Channels that one round of upkeep decides to sweep at most, so that defences are never kept waiting."""

LOOK_FOR_OVERDUE_SECONDS = 60
"""How often channels past the sweeping period are looked for, or every hundredth of that period, if that is shorter."""


@dataclass(frozen=True, slots=True)
class SweepingRules:
    """When a channel is swept, besides after the sweeping period, which is in the books.

    Attributes:
        max_unsettled_by_channel: By asset: what one peer may owe.
        max_unsettled_by_asset: By asset: what all peers together may owe in channels that are worth a sweep.
        cost_of_sweep_by_asset: By asset: what a sweep costs. What is not named is never swept.
    """

    max_unsettled_by_channel: dict[str, int]
    max_unsettled_by_asset: dict[str, int]
    cost_of_sweep_by_asset: Mapping[str, int]

    def cost_of_sweep(self, asset: str) -> int:
        """What a sweep costs, in units of the asset."""
        return cost_of_sweep(asset, self.cost_of_sweep_by_asset)

    def is_worth_sweeping(self, channel: Channel) -> bool:
        """Whether a close brings more than it costs."""
        return is_worth_sweeping(channel, self.cost_of_sweep(channel.parameters.asset))


class Upkeep:
    """Decides for all channels of one wallet. Used by the lease holder's thread only.

    Args:
        store: The books.
        my_address: The wallet's.
        rules: When to sweep.
        events: Told of refills.
        clock: Seconds, this node's own.
        certain_time: Asks the hub for the least that the ledger's time is for sure, in seconds.
    """

    def __init__(
        self,
        store: Store,
        my_address: str,
        rules: SweepingRules,
        events: Events,
        clock: Callable[[], int],
        certain_time: Callable[[], int],
    ) -> None:
        self._store = store
        self._my_address = my_address
        self._rules = rules
        self._events = events
        self._clock = clock
        self._certain_time = certain_time
        self._overdue_looked_for_at: int | None = None

    def run(self) -> bool:
        """Decides whatever is due now.

        Returns:
            Whether anything was decided.
        """
        return any(
            [
                self._answer_closes(),
                self._repeat_closes(),
                self._give_up_deposits(),
                self._sweep(),
                self._refill(),
            ]
        )

    # --- closing -----------------------------------------------------------------------------------------------------

    def _answer_closes(self) -> bool:
        with self._store.reading() as books:
            closing = books.channels.closing(self._my_address)
        pending = [(record.channel, close) for record in closing if (close := record.channel.pending_close)]
        is_waiting = any(close.initiated_by_me for _, close in pending)
        certain_time = self._certain_time() if is_waiting else 0
        decided = False
        for channel, close in pending:
            if close.initiated_by_me and not may_confirm_own_close(channel, certain_time):
                continue
            try:
                with self._store.transaction() as books:
                    decided |= self._answer(books, channel.aa_address)
            except Exception:
                # One channel must not keep the node from defending the others.
                logger.exception("channel %s: could not answer its close", channel.aa_address)
        return decided

    def _answer(self, books: Books, aa_address: str) -> bool:
        record = books.channels.lock(aa_address)
        close = record.channel.pending_close if record else None
        if record is None or close is None:
            return False
        if close.initiated_by_me:
            channel, command = decide_timeout(record.channel)
        else:
            channel, command = decide_answer(record.channel, close.owed_by_peer)
        return self._commit(books, record.channel, channel, command)

    def _repeat_closes(self) -> bool:
        """Decides again on a close that the ledger took and the agent did not: the channel would stay frozen."""
        with self._store.reading() as books:
            frozen = [
                record
                for record in books.channels.closing(self._my_address)
                if record.channel.freeze and record.channel.status is Status.OPEN
            ]
        decided = [self._try_to_close(record.channel) for record in frozen]
        return any(decided)

    def _try_to_close(self, channel: Channel) -> bool:
        """Decides to close a channel, unless that is on its way already or may not be done."""
        if channel.is_distrusted:
            return False
        try:
            with self._store.transaction() as books:
                return decide_to_close(books, channel.aa_address, self._clock())
        except Refusal as refusal:
            # It may have changed since it was found due; the next round looks again.
            logger.info("channel %s is not closed now: %s", channel.aa_address, refusal)
            return False

    def _commit(self, books: Books, before: Channel, after: Channel, command: Command) -> bool:
        return commit_decision(books, before, after, command, self._clock())

    # --- sweeping and refilling --------------------------------------------------------------------------------------

    def _sweep(self) -> bool:
        with self._store.reading() as books:
            due = self._due_for_sweep(books)
        worth_it = [record.channel for record in due if self._rules.is_worth_sweeping(record.channel)]
        decided = [self._try_to_close(channel) for channel in worth_it]
        if any(decided):
            # There may be more than were swept at once.
            self._overdue_looked_for_at = None
        return any(decided)

    def _due_for_sweep(self, books: Books) -> list[ChannelRecord]:
        due = self._overdue(books)
        for asset, limit in self._rules.max_unsettled_by_channel.items():
            due += books.channels.above_unsettled(asset, sweep_threshold(limit), SWEEPS_AT_ONCE)
        for asset, limit in self._rules.max_unsettled_by_asset.items():
            due += _due_for_asset(books, asset, sweep_threshold(limit), self._rules.cost_of_sweep(asset))
        return due

    def _overdue(self, books: Books) -> list[ChannelRecord]:
        """Channels past the sweeping period, now and then: all that are worth a sweep may be read."""
        # Asked each time: a server of another process may have set it, and this one may have none.
        period = books.node.max_sweeping_period()
        if period is None:
            return []
        now, looked_at = self._clock(), self._overdue_looked_for_at
        if looked_at is not None and 0 <= now - looked_at < min(LOOK_FOR_OVERDUE_SECONDS, period // 100):
            return []
        self._overdue_looked_for_at = now
        return [
            record
            for asset, cost in self._rules.cost_of_sweep_by_asset.items()
            for record in books.channels.due_for_sweep(asset, cost, now - period, SWEEPS_AT_ONCE)
        ]

    def _refill(self) -> bool:
        with self._store.reading() as books:
            records = books.channels.with_refill(self._my_address)
            due = [record.channel.aa_address for record in records if self._is_refill_due(books, record)]
        refilled: list[Event] = []
        for aa_address in due:
            with self._store.transaction() as books:
                event = self._refill_channel(books, aa_address)
            if event is not None:
                refilled.append(event)
                self._events.publish(event)
        return bool(refilled)

    def _give_up_deposits(self) -> bool:
        """Counts my deposits no more that the ledger took long ago and the agent, it seems, did not."""
        before = self._clock() - UNANSWERED_SECONDS
        with self._store.reading() as books:
            if not books.deposits.overdue(before):
                return False
        with self._store.transaction() as books:
            given_up = [_give_up_deposit(books, unit) for unit in books.deposits.overdue(before)]
        for event in given_up:
            logger.warning(
                "the agent is not seen to have taken the deposit in unit %s: it counts no more, and no other follows by"
                " itself until the period has ended, or the hub shows the answer",
                event.unit,
            )
            self._events.publish(event)
        return bool(given_up)

    def _is_refill_due(self, books: Books, record: ChannelRecord) -> bool:
        channel = record.channel
        # Before the agent's first answer its definition may be unknown, and a deposit would trigger nothing.
        if record.refill is None or not channel.last_event_id:
            return False
        # It may be there: a hub can leave out an answer, and would be given one deposit after the other.
        if books.deposits.awaits_answer(channel.aa_address, channel.period):
            return False
        return refill_due(channel, books.deposits.pending(channel.aa_address), record.refill.threshold)

    def _refill_channel(self, books: Books, aa_address: str) -> Event | None:
        record = books.channels.lock(aa_address)
        if record is None or record.refill is None or not self._is_refill_due(books, record):
            return None
        return add_refill(books, record.channel, record.refill.deposit_amount, self._clock())


def _due_for_asset(books: Books, asset: str, threshold: int, cost: int) -> list[ChannelRecord]:
    """The largest channels whose sweep brings what is unsettled in an asset down to a threshold, and no more of them.

    What is about to be closed already will be settled, and must not have others swept meanwhile.
    """
    # The total is kept up to date, so that nothing is summed as long as all of it together is below.
    if books.totals.unsettled(asset) <= threshold:
        return []
    excess = books.channels.sum_to_sweep(asset, cost) - threshold
    if excess <= 0:
        return []
    due: list[ChannelRecord] = []
    for record in books.channels.above_unsettled(asset, cost, SWEEPS_AT_ONCE):
        if excess <= 0:
            break
        due.append(record)
        excess -= record.channel.unsettled
    return due


def is_unsettled_above(books: Books, asset: str, amount: int, cost: int) -> bool:
    """Whether what counts toward an asset's limit is above an amount: what is unsettled, where a sweep is worth it.

    What is not worth a sweep would never be swept, and many such channels would block all others for ever. To have it
    swept at a loss would let customers drain this node. It is at most the `cost` of a sweep for each channel, and a
    limit could not keep it small: whoever takes it back makes room to do so again.
    """
    # Nothing is summed, either, as long as all of it together is below.
    if books.totals.unsettled(asset) <= amount:
        return False
    return books.channels.sum_unsettled(asset, cost) > amount


def decide_to_close(books: Books, aa_address: str, now: int) -> bool:
    """Decides, within a transaction, to close a channel.

    Returns:
        False when a close is on its way already.

    Raises:
        Refusal: When it cannot be closed.
    """
    record = books.channels.lock(aa_address)
    if record is None:
        return False
    if record.channel.status is Status.CLOSING:
        return False
    after, command = decide_close(record.channel)
    return commit_decision(books, record.channel, after, command, now)


def commit_decision(books: Books, before: Channel, after: Channel, command: Command, now: int) -> bool:
    """Saves a decision and its outbox row, unless the same command is on its way or was taken too short a time ago.

    Returns:
        Whether it was saved.
    """
    kind = KIND_OF_DECISION[command.decision]
    # An answer to the peer may have to overtake one's own close; a close waits for whatever is on its way.
    in_the_way = COMMANDS if kind is OutboxKind.CLOSE else {kind}
    is_answer = before.pending_close is not None and not before.pending_close.initiated_by_me
    first_pause = min(UNANSWERED_SECONDS, before.parameters.timeout // 4) if is_answer else UNANSWERED_SECONDS
    rows = books.outbox.of_period(before.aa_address, command.period)
    if not may_send([row for row in rows if row.kind in in_the_way], first_pause, now):
        return False
    books.channels.save(before, after)
    books.outbox.add(
        kind,
        aa_address=before.aa_address,
        period=command.period,
        details=details_of_command(command),
        now=now,
    )
    logger.info(
        "channel %s: decided to %s period %d", before.aa_address, command.decision.value, command.period
    )
    return True


def add_deposit(books: Books, kind: OutboxKind, channel: Channel, amount: int, now: int) -> None:
    """Writes a deposit into the outbox and the books, within a transaction."""
    row = books.outbox.add(
        kind, aa_address=channel.aa_address, period=channel.period, details={"amount": amount}, now=now
    )
    books.deposits.add(None, outbox_id=row, aa_address=channel.aa_address, amount=amount, now=now)


def add_refill(books: Books, channel: Channel, amount: int, now: int) -> Event:
    """Writes a deposit to an agent that is known, and returns the event to publish once that is saved."""
    add_deposit(books, OutboxKind.REFILL, channel, amount, now)
    return Event(EventKind.REFILLED, channel.aa_address, channel.period, channel.parameters.asset, amount)


def _give_up_deposit(books: Books, unit: str) -> Event:
    """Counts a pending deposit no more, and returns the event to publish once that is saved."""
    row = books.outbox.by_unit(unit)
    record = books.channels.get(row.aa_address) if row is not None and row.aa_address is not None else None
    assert row is not None and record is not None, "every deposit that was sent has a row and a channel"
    channel, amount = record.channel, row.details["amount"]
    books.deposits.settle(unit, DepositState.GIVEN_UP)
    return Event(
        EventKind.DEPOSIT_REFUSED, channel.aa_address, channel.period, channel.parameters.asset, amount, unit
    )


def stop_deposits(books: Books, aa_address: str, now: int) -> None:
    """Refills a channel no more, and takes back what was never signed; within a transaction that has it locked.

    A deposit that is signed may be on its way, and stays what it is.
    """
    books.channels.set_refill(aa_address, None)
    for row in books.outbox.unfinished():
        if row.aa_address == aa_address and row.kind in DEPOSITS and row.state is OutboxState.DECIDED:
            books.outbox.finished(row.id, OutboxState.FAILED, now)
            books.deposits.cancel(row.id)
