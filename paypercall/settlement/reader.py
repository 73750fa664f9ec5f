"""Takes what a history shows into the wallet and the books, each channel's part in one transaction.

It believes only what is proven: answers of an agent count once they are stable. Units that are not stable yet are
followed as unconfirmed; a close among them that claims too little is answered at first sight. It asks no hub.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass

from paypercall.channel import Channel, doubt_answers, trust_answers
from paypercall.contract import Trigger, read_response, read_trigger
from paypercall.events import EventKind, Events
from paypercall.obyte.final_units import FinalUnit
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.lease import Lease, LeaseLost
from paypercall.settlement.memory import Memory
from paypercall.settlement.transition import Answer, Transition
from paypercall.store import Books, DepositState, OutboxState, Position, Store, Subject

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a history.

    Attributes:
        changed: The channels that went on by it.
        doubtful: The channels of which an answer is missing, or which could not be taken, and announced agents that
            are not shown from their beginning: ask for all of theirs.
    """

    changed: frozenset[str]
    doubtful: frozenset[str]


class Reader:
    """Takes histories, for one wallet and its channels.

    Args:
        store: The books.
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
        wallet: Wallet,
        discovery: Discovery,
        memory: Memory,
        lease: Lease,
        events: Events,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._wallet = wallet
        self._discovery = discovery
        self._memory = memory
        self._lease = lease
        self._events = events
        self._clock = clock
        self._unsaved: list[FinalUnit] = []
        self._passed = 0

    @contextmanager
    def _transaction(self) -> Iterator[Books]:
        with self._store.transaction() as books:
            self._lease.require(books)
            yield books

    def take(self, history: History, asked_at: int, whole: AbstractSet[str] = frozenset()) -> Taken:
        """Takes what a history shows.

        Args:
            history: Verified.
            asked_at: When the hub was asked for it, in seconds.
            whole: The addresses that it shows from their beginning.

        Raises:
            LeaseLost: When another process has taken over.
        """
        self._wallet.absorb(history)
        self._save_coins()
        doubtful = self._discovery.look_at(history, whole, self._lease)
        # After what is new was taken up, for whose sake a unit may count; before anything is decided.
        self._memory.compare(history, self._lease)
        self._finish_own_units(history.units)
        by_address = history.by_address()
        with self._store.reading() as books:
            records = [books.channels.get(address) for address in by_address]
        changed: set[str] = set()
        for record in records:
            if record is None:
                continue
            aa_address = record.channel.aa_address
            try:
                if self._take_channel(record.channel, by_address[aa_address], asked_at):
                    changed.add(aa_address)
                if self._lacks_answer(aa_address):
                    doubtful.add(aa_address)
            except LeaseLost:
                raise
            except Exception:
                # One channel must not blind the node to all others; all of it is fetched again.
                logger.exception("channel %s: could not take what the ledger shows", aa_address)
                doubtful.add(aa_address)
        return Taken(frozenset(changed), frozenset(doubtful))

    def recall(self) -> None:
        """Tells the wallet which of its units are final by the books, and finds out which are not in there yet."""
        with self._store.reading() as books:
            saved = books.coins.all()
        self._wallet.learn(saved)
        known = {(final.unit, final.outcome) for final in saved}
        finals = self._wallet.final_units()
        self._unsaved = [final for final in finals if (final.unit, final.outcome) not in known]
        self._passed = len(finals)

    def _save_coins(self) -> None:
        """Saves what the wallet has learnt, before anything builds on it; after a failure it is tried again."""
        finals = self._wallet.final_units(after=self._passed)
        self._unsaved += finals
        self._passed += len(finals)
        if not self._unsaved:
            return
        with self._transaction() as books:
            books.coins.add(self._unsaved)
        self._unsaved = []

    def note_look(self, main_chain_index: int) -> None:
        """Tells the wallet that all of its units were asked for, of which those below an index are taken."""
        self._wallet.ask_from(main_chain_index)

    def save_positions(self, positions: Mapping[Subject, Position]) -> None:
        """Saves how far all is taken.

        Raises:
            LeaseLost: When another process has taken over.
        """
        if not positions:
            return
        with self._transaction() as books:
            for subject, position in positions.items():
                books.positions.put(subject, position)

    def _take_channel(self, channel: Channel, entries: Sequence[HistoryUnit], asked_at: int) -> bool:
        """Takes what concerns a channel, and tells whether it went on by it."""
        triggers: list[tuple[Trigger, HistoryUnit]] = []
        answers: list[Answer] = []
        for entry in entries:
            if entry.unit["authors"][0]["address"] == channel.aa_address:
                answer = read_response(channel.parameters, entry.unit) if entry.is_stable else None
                if answer is not None:
                    answers.append(Answer(answer, entry.hash))
                continue
            trigger = read_trigger(channel.parameters, entry.unit) if entry.unit.get("messages") else None
            if trigger is not None:
                triggers.append((trigger, entry))
        if not triggers and not answers:
            return False
        answers.sort(key=lambda answer: answer.event.event_id)
        with self._transaction() as books:
            published = Transition(books, channel.aa_address, self._clock()).run(triggers, answers, asked_at)
        for event in published:
            self._events.publish(event)
        if any(event.kind is EventKind.CLOSED for event in published):
            logger.info("channel %s: a period has ended", channel.aa_address)
        return bool(published)

    def _lacks_answer(self, aa_address: str) -> bool:
        with self._store.reading() as books:
            record = books.channels.get(aa_address)
        if record is None or not record.channel.lacks_answer:
            return False
        logger.warning("channel %s: an answer of the agent is missing, fetching all", aa_address)
        return True

    def doubt(self, aa_address: str) -> None:
        """Stops a channel, because not all that its agent has answered could be read.

        Raises:
            LeaseLost: When another process has taken over.
        """
        self._change(aa_address, doubt_answers)

    def trust(self, aa_address: str) -> None:
        """Ends that.

        Raises:
            LeaseLost: When another process has taken over.
        """
        self._change(aa_address, trust_answers)

    def _change(self, aa_address: str, rule: Callable[[Channel], Channel]) -> None:
        with self._transaction() as books:
            record = books.channels.lock(aa_address)
            if record is not None:
                books.channels.save(record.channel, rule(record.channel))

    def _finish_own_units(self, entries: Iterable[HistoryUnit]) -> None:
        mine = {entry.hash: entry for entry in entries if entry.is_stable and self._is_mine(entry)}
        if not mine:
            return
        with self._store.reading() as books:
            rows = [row for row in books.outbox.unfinished() if not mine.keys().isdisjoint(row.units)]
        for row in rows:
            shown = [mine[unit] for unit in row.units if unit in mine]
            with self._transaction() as books:
                won = next((entry.hash for entry in shown if not entry.is_final_bad), None)
                if won is not None:
                    books.outbox.finished(row.id, OutboxState.STABLE, self._clock(), won=won)
                # Of several units of a row one may have lost and another still win.
                elif all(unit in mine or self._wallet.has_lost(unit) for unit in row.units):
                    books.outbox.finished(row.id, OutboxState.FAILED, self._clock())
                    books.deposits.settle(shown[0].hash, DepositState.FAILED)

    def _is_mine(self, entry: HistoryUnit) -> bool:
        return bool(entry.unit["authors"][0]["address"] == self._wallet.address)

    def give_up(self, unit: str) -> None:
        """Lets a unit that no hub shows any more back nothing, unless it is proven to be good.

        Raises:
            LeaseLost: When another process has taken over.
        """
        with self._store.reading() as books:
            aa_addresses = books.unconfirmed.channels_of(unit)
        for aa_address in aa_addresses:
            with self._transaction() as books:
                is_new = Transition(books, aa_address, self._clock()).note_double_spend(unit)
            if is_new:
                logger.warning(
                    "channel %s: unit %s is double-spent or unknown to the hub and backs nothing",
                    aa_address,
                    unit,
                )
