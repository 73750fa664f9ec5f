"""One channel's step: what one look at the ledger shows of it becomes its next state, in one transaction.

Runs within a transaction of the caller, who has read what was looked at, and publishes the events once it is saved.
Answers of the agent come first, then the units on their way to it, then what is lost by what came to nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from paypercall.backing import Limits, UnconfirmedUnit, is_overdue, weigh_unconfirmed
from paypercall.channel import Channel, Decision, Status, apply_event, write_off
from paypercall.contract import AgentEvent, Closed, Closing, DepositRefused, Opened, Trigger, TriggerKind
from paypercall.decisions import decide_answer
from paypercall.events import Event, EventKind
from paypercall.obyte.proof import HistoryUnit
from paypercall.settled import settled_with
from paypercall.settlement.commands import KIND_OF_DECISION, details_of_command
from paypercall.store import Books, DepositState, OutboxKind

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of an agent, with the unit that carries it."""

    event: AgentEvent
    unit: str


class Transition:
    """One channel's step: all that one look at the ledger showed of it, in one transaction."""

    def __init__(self, books: Books, aa_address: str, now: int) -> None:
        self._books = books
        self._aa_address = aa_address
        self._now = now
        self._published: list[Event] = []
        self._has_lost_backing = False

    def run(
        self, triggers: Sequence[tuple[Trigger, HistoryUnit]], answers: Sequence[Answer], asked_at: int
    ) -> list[Event]:
        """Takes the step, and tells what to publish when it is saved; `asked_at` is when the ledger was looked at."""
        record = self._books.channels.lock(self._aa_address)
        if record is None:
            return []
        channel = record.channel
        for answer in answers:
            channel = self._apply(channel, answer)
        for trigger, entry in triggers:
            channel = self._see(channel, trigger, entry, asked_at)
        self._books.channels.save(record.channel, self._write_off_losses(channel))
        return self._published

    def _apply(self, channel: Channel, answer: Answer) -> Channel:
        event = answer.event
        after = apply_event(channel, event)
        if event.event_id > after.last_event_id:
            # An answer before this one is missing: all are fetched again, and then this one is taken, too.
            return after
        trigger_unit = None if isinstance(event, Closed) else event.trigger_unit
        if trigger_unit is not None:
            self._books.unconfirmed.answered(self._aa_address, trigger_unit)
            self._settle_deposit(channel, event, trigger_unit)
        if after.last_event_id == channel.last_event_id:
            return after
        if isinstance(event, Opened):
            if channel.status is Status.CLOSED:
                self._books.channels.set_opened_at(self._aa_address, self._now)
            mine = after.deposited_by_me - channel.deposited_by_me
            peers = after.deposited_by_peer - channel.deposited_by_peer
            self._books.totals.make_good(self._aa_address, channel.written_off - after.written_off)
            self._publish(EventKind.DEPOSIT_CONFIRMED, after, answer.unit, mine or peers)
        elif isinstance(event, Closing):
            self._publish(EventKind.CLOSING, after, answer.unit)
        elif isinstance(event, Closed):
            self._end_period(channel, event, answer)
        return after

    def _settle_deposit(self, channel: Channel, event: AgentEvent, trigger_unit: str) -> None:
        if isinstance(event, Closing):
            return
        is_refused = isinstance(event, DepositRefused)
        state = DepositState.REFUSED if is_refused else DepositState.CONFIRMED
        amount = self._books.deposits.settle(trigger_unit, state)
        if amount is None:
            self._books.deposits.note(trigger_unit, self._aa_address, state, self._now)
        elif is_refused:
            self._publish(EventKind.DEPOSIT_REFUSED, channel, trigger_unit, amount)

    def _end_period(self, channel: Channel, event: Closed, answer: Answer) -> None:
        if channel.counted_exposure:
            self._books.totals.add_loss(channel.parameters.asset, channel.counted_exposure, self._now)
        self._books.periods.add(
            channel,
            settled_with(channel, event),
            is_fraud_proven=event.is_fraud_proven,
            unit=answer.unit,
            now=self._now,
        )
        self._books.channels.set_opened_at(self._aa_address, None)
        self._books.unconfirmed.forget_commands(self._aa_address)
        self._publish(EventKind.CLOSED, channel, answer.unit)
        if event.is_fraud_proven:
            self._publish(EventKind.FRAUD_PROVED, channel, answer.unit)

    def _see(self, channel: Channel, trigger: Trigger, entry: HistoryUnit, asked_at: int) -> Channel:
        """Takes note of a unit to the agent that no answer has settled."""
        if entry.is_final_bad:
            self._see_double_spend(trigger.unit)
            return channel
        known = self._books.unconfirmed.get(self._aa_address, trigger.unit)
        if known is not None:
            self._see_again(known, entry, asked_at)
            return channel
        # The agent's answer is stable a moment later; a unit first seen stable has been answered, or never will be.
        # A hub that lags behind may show a unit without the answer that an earlier look has taken.
        is_settled = self._books.deposits.is_settled(trigger.unit, self._aa_address)
        if entry.is_stable or is_settled or not entry.is_signature_checked:
            return channel
        self._books.unconfirmed.see(
            self._aa_address,
            UnconfirmedUnit(
                unit=trigger.unit,
                sender=trigger.sender,
                kind=trigger.kind,
                amount=trigger.amount,
                has_data=trigger.has_data,
                has_definition=trigger.has_definition,
                first_seen=self._now,
            ),
        )
        return self._answer_at_first_sight(channel, trigger)

    def note_double_spend(self, unit: str) -> bool:
        """Lets a unit back nothing until it is proven to be good after all, unless it is; says whether that is new."""
        record = self._books.channels.lock(self._aa_address)
        if record is None:
            return False
        self._see_double_spend(unit)
        self._books.channels.save(record.channel, self._write_off_losses(record.channel))
        return self._has_lost_backing

    def _see_double_spend(self, unit: str) -> None:
        self._has_lost_backing |= self._books.unconfirmed.mark_double_spent(self._aa_address, unit)

    def _see_again(self, known: UnconfirmedUnit, entry: HistoryUnit, asked_at: int) -> None:
        """Follows a unit that hangs, or becomes stable, or had been so for long and triggered nothing: it bounced."""
        if not entry.is_stable:
            self._has_lost_backing |= known.stable_since is None and is_overdue(known, asked_at)
            return
        self._books.unconfirmed.mark_stable(known.unit, self._now)
        if known.stable_since is None or not is_overdue(known, asked_at):
            return
        self._has_lost_backing |= self._books.unconfirmed.answered(self._aa_address, known.unit)
        if known.kind is TriggerKind.DEPOSIT:
            self._books.deposits.note(known.unit, self._aa_address, DepositState.FAILED, self._now)

    def _write_off_losses(self, channel: Channel) -> Channel:
        """Books as lost what is backed by nothing any more, if a unit has come to nothing."""
        if not self._has_lost_backing:
            return channel
        rows = self._books.unconfirmed.of(self._aa_address)
        left = weigh_unconfirmed(
            # A close that is on its way may bounce; when it does not, its period ends with what is lost then.
            [row for row in rows if row.kind is not TriggerKind.CLOSE or row.is_double_spent],
            peer_address=channel.peer_address,
            is_agent_known=channel.last_event_id > 0,
            limits=Limits(),
            now=self._now,
        )
        after, loss = write_off(channel, left)
        if loss:
            self._books.totals.add_loss(
                channel.parameters.asset, loss, self._now, aa_address=self._aa_address
            )
        return after

    def _answer_at_first_sight(self, channel: Channel, trigger: Trigger) -> Channel:
        is_peers_close = trigger.kind is TriggerKind.CLOSE and trigger.sender == channel.peer_address
        if not is_peers_close or trigger.period != channel.period or channel.status is not Status.OPEN:
            return channel
        if trigger.owed_by_sender is None or trigger.owed_by_sender >= channel.signed_by_peer:
            return channel
        # Only once: whoever signs many such closes, and shows them to this node alone, could have each answered.
        rows = self._books.outbox.of_period(self._aa_address, channel.period)
        if any(row.kind is OutboxKind.FRAUD_PROOF for row in rows):
            return channel
        after, command = decide_answer(channel, trigger.owed_by_sender)
        assert command.decision is Decision.FRAUD_PROOF
        self._books.outbox.add(
            KIND_OF_DECISION[command.decision],
            aa_address=self._aa_address,
            period=command.period,
            details=details_of_command(command),
            now=self._now,
        )
        logger.warning("channel %s: the peer closes with a lie, its fraud is being proved", self._aa_address)
        return after

    def _publish(self, kind: EventKind, channel: Channel, unit: str, amount: int = 0) -> None:
        self._published.append(
            Event(kind, channel.aa_address, channel.period, channel.parameters.asset, amount, unit)
        )
