"""The watcher: turns what the ledger shows into channel transitions, each in one transaction under the channel's lock.

It believes only what is proven: answers of an agent count once they are stable. Units that are not stable yet are
followed as unconfirmed; a close among them that claims too little is answered at first sight. It sends nothing itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from paypercall.backing import UNANSWERED_SECONDS, Limits, UnconfirmedUnit, weigh_unconfirmed
from paypercall.channel import Channel, Decision, Status, apply_event, decide_answer, write_off
from paypercall.contract import (
    AgentEvent,
    Closed,
    Closing,
    DepositRefused,
    Opened,
    Trigger,
    TriggerKind,
    read_response,
    read_trigger,
)
from paypercall.events import Event, EventKind, Events
from paypercall.obyte.light import LightClient
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.commands import KIND_OF_DECISION, details_of_command
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.lease import Lease, LeaseLost
from paypercall.settlement.memory import Memory
from paypercall.store import Books, DepositState, OutboxState, Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer of an agent, with the unit that carries it."""

    event: AgentEvent
    unit: str


class Watcher:
    """Follows the wallet's address and the agents of all its channels.

    Args:
        store: The books.
        light: Gives verified histories.
        wallet: Is told of its own units.
        discovery: Decides which agents become channels.
        memory: Notices by what the ledger shows that the books are not the newest.
        lease: Must be held by this process when anything is saved: after a sleep its look at the ledger may be old.
        events: Told what happened, after it is saved.
        clock: Seconds, this node's own.
    """

    def __init__(
        self,
        store: Store,
        light: LightClient,
        wallet: Wallet,
        discovery: Discovery,
        memory: Memory,
        lease: Lease,
        events: Events,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._light = light
        self._wallet = wallet
        self._discovery = discovery
        self._memory = memory
        self._lease = lease
        self._events = events
        self._clock = clock
        self._followed: set[str] = set()
        # A unit that reached the hub while it answered may be missing in an answer whose proof reaches beyond it, so
        # each request begins where the answer before the last one ended.
        self._asked_from: int | None = None
        self._proven_to: int | None = None

    @property
    def followed(self) -> frozenset[str]:
        """The addresses of which everything that the ledger has shown is taken."""
        return frozenset(self._followed)

    def has_new_addresses(self) -> bool:
        """Whether the books name an agent that is not followed yet."""
        return not self._followed.issuperset(self._addresses())

    def refresh(self) -> None:
        """Fetches what is new, and everything of agents that are new or have an answer missing.

        Raises:
            HubError: When the hub is out of reach; what was not taken is fetched again.
            ProofError: When the hub's answer does not prove what it says.
            LeaseLost: When another process has taken over.
        """
        addresses = self._addresses()
        new = [address for address in addresses if address not in self._followed]
        known = [address for address in addresses if address in self._followed]
        seen: set[str] = set()
        asked_at = self._clock()
        if known:
            history = self._light.history(known, min_main_chain_index=self._asked_from)
            self._take(history, asked_at)
            seen.update(entry.hash for entry in history.units)
            self._asked_from = self._proven_to
            self._proven_to = history.last_ball_main_chain_index or self._proven_to
        if new:
            history = self._light.history(new)
            # Before it is taken: what cannot be taken is not followed, and fetched again.
            self._followed.update(new)
            self._take(history, asked_at)
            seen.update(entry.hash for entry in history.units)
            if not known:
                self._proven_to = history.last_ball_main_chain_index
        self._followed.intersection_update(addresses)
        self._look_for_vanished(seen)

    def _addresses(self) -> list[str]:
        with self._store.reading() as books:
            channels = books.channels.addresses(self._wallet.address)
        return [self._wallet.address, *channels, *self._discovery.announced_addresses()]

    @contextmanager
    def _transaction(self) -> Iterator[Books]:
        with self._store.transaction() as books:
            self._lease.require(books)
            yield books

    def _take(self, history: History, asked_at: int) -> None:
        self._wallet.absorb(history)
        self._discovery.look_at(history)
        # After what is new was taken up, for whose sake a unit may count; before anything is decided.
        self._memory.compare(history)
        self._finish_own_units(history.units)
        by_address: dict[str, list[HistoryUnit]] = {}
        for entry in history.units:
            for address in entry.addresses:
                by_address.setdefault(address, []).append(entry)
        with self._store.reading() as books:
            records = [books.channels.get(address) for address in by_address]
        for record in records:
            if record is None:
                continue
            aa_address = record.channel.aa_address
            try:
                self._take_channel(record.channel, by_address[aa_address], asked_at)
            except LeaseLost:
                raise
            except Exception:
                # One channel must not blind the node to all others; all of it is fetched again.
                logger.exception("channel %s: could not take what the ledger shows", aa_address)
                self._followed.discard(aa_address)

    def _take_channel(self, channel: Channel, entries: Sequence[HistoryUnit], asked_at: int) -> None:
        triggers: list[tuple[Trigger, HistoryUnit]] = []
        answers: list[_Answer] = []
        for entry in entries:
            if entry.unit["authors"][0]["address"] == channel.aa_address:
                answer = read_response(channel.parameters, entry.unit) if entry.is_stable else None
                if answer is not None:
                    answers.append(_Answer(answer, entry.hash))
                continue
            trigger = read_trigger(channel.parameters, entry.unit) if entry.unit.get("messages") else None
            if trigger is not None:
                triggers.append((trigger, entry))
        if not triggers and not answers:
            return
        answers.sort(key=lambda answer: answer.event.event_id)
        with self._transaction() as books:
            published = _Transition(books, channel.aa_address, self._clock()).run(triggers, answers, asked_at)
        for event in published:
            self._events.publish(event)
        if any(event.kind is EventKind.CLOSED for event in published):
            logger.info("channel %s: a period has ended", channel.aa_address)
        with self._store.reading() as books:
            record = books.channels.get(channel.aa_address)
        if record is not None and record.channel.known_event_id > record.channel.last_event_id:
            logger.warning("channel %s: an answer of the agent is missing, fetching all", channel.aa_address)
            self._followed.discard(channel.aa_address)

    def _finish_own_units(self, entries: Iterable[HistoryUnit]) -> None:
        mine = {entry.hash: entry for entry in entries if entry.is_stable and self._is_mine(entry)}
        if not mine:
            return
        with self._store.reading() as books:
            rows = [row for row in books.outbox.unfinished() if not mine.keys().isdisjoint(row.units)]
        for row in rows:
            shown = [mine[unit] for unit in row.units if unit in mine]
            with self._transaction() as books:
                if any(not entry.is_final_bad for entry in shown):
                    books.outbox.finished(row.id, OutboxState.STABLE, self._clock())
                # Of several units of a row one may have lost and another still win.
                elif all(unit in mine or self._wallet.has_lost(unit) for unit in row.units):
                    books.outbox.finished(row.id, OutboxState.FAILED, self._clock())
                    books.deposits.settle(shown[0].hash, DepositState.FAILED)

    def _is_mine(self, entry: HistoryUnit) -> bool:
        return bool(entry.unit["authors"][0]["address"] == self._wallet.address)

    def _look_for_vanished(self, seen: set[str]) -> None:
        """Asks for unanswered units by name that a hub no longer lists: it hides those that conflict with another.

        An answer leaves out what conflicts or is unknown. A refusal says nothing about any unit (ocore `light`).
        """
        with self._store.reading() as books:
            missing = {unit for unit in books.unconfirmed.all_unanswered_units() if unit not in seen}
        if not missing:
            return
        asked_at = self._clock()
        history = self._light.history([], requested_units=sorted(missing))
        alive = tuple(entry for entry in history.units if entry.hash in missing and not entry.is_final_bad)
        for unit in sorted(missing.difference(entry.hash for entry in alive)):
            self._mark_double_spent(unit)
        self._take(replace(history, units=alive), asked_at)

    def _mark_double_spent(self, unit: str) -> None:
        logger.warning("unit %s is double-spent or unknown to the hub: it backs nothing", unit)
        with self._store.reading() as books:
            aa_addresses = books.unconfirmed.channels_of(unit)
        for aa_address in aa_addresses:
            with self._transaction() as books:
                _Transition(books, aa_address, self._clock()).note_double_spend(unit)


class _Transition:
    """One channel's step: all that one look at the ledger showed of it, in one transaction."""

    def __init__(self, books: Books, aa_address: str, now: int) -> None:
        self._books = books
        self._aa_address = aa_address
        self._now = now
        self._published: list[Event] = []
        self._has_lost_backing = False

    def run(
        self, triggers: Sequence[tuple[Trigger, HistoryUnit]], answers: Sequence[_Answer], asked_at: int
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

    def _apply(self, channel: Channel, answer: _Answer) -> Channel:
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

    def _end_period(self, channel: Channel, event: Closed, answer: _Answer) -> None:
        if channel.counted_exposure:
            self._books.totals.add_loss(channel.parameters.asset, channel.counted_exposure, self._now)
        self._books.periods.add(
            channel, is_fraud_proven=event.is_fraud_proven, unit=answer.unit, now=self._now
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
        is_known = self._books.unconfirmed.knows(self._aa_address, trigger.unit)
        if entry.is_stable:
            # The agent's answer is stable a moment later; a unit first seen stable has been answered, or never will be.
            if is_known:
                self._books.unconfirmed.mark_stable(trigger.unit, self._now)
                self._drop_unanswered(trigger.unit, asked_at)
            return channel
        # A hub that lags behind may show a unit without the answer that an earlier look has taken.
        is_settled = self._books.deposits.is_settled(trigger.unit, self._aa_address)
        if is_known or is_settled or not entry.is_signature_checked:
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

    def note_double_spend(self, unit: str) -> None:
        """Lets a unit back nothing any more, where it is known."""
        record = self._books.channels.lock(self._aa_address)
        if record is not None:
            self._see_double_spend(unit)
            self._books.channels.save(record.channel, self._write_off_losses(record.channel))

    def _see_double_spend(self, unit: str) -> None:
        self._has_lost_backing |= self._books.unconfirmed.mark_double_spent(self._aa_address, unit)

    def _drop_unanswered(self, unit: str, asked_at: int) -> None:
        """Forgets a unit that had been stable for long when the hub was asked and triggered nothing: it has bounced."""
        for row in self._books.unconfirmed.of(self._aa_address):
            is_unanswered = row.stable_since is not None and asked_at - row.stable_since > UNANSWERED_SECONDS
            if row.unit == unit and is_unanswered:
                self._has_lost_backing |= self._books.unconfirmed.answered(self._aa_address, unit)
                if row.kind is TriggerKind.DEPOSIT:
                    self._books.deposits.note(unit, self._aa_address, DepositState.FAILED, self._now)

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
            self._books.totals.add_loss(channel.parameters.asset, loss, self._now)
        return after

    def _answer_at_first_sight(self, channel: Channel, trigger: Trigger) -> Channel:
        is_peers_close = trigger.kind is TriggerKind.CLOSE and trigger.sender == channel.peer_address
        if not is_peers_close or trigger.period != channel.period or channel.status is not Status.OPEN:
            return channel
        if trigger.owed_by_sender is None or trigger.owed_by_sender >= channel.signed_by_peer:
            return channel
        if channel.freeze and channel.freeze.decision is Decision.FRAUD_PROOF:
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
