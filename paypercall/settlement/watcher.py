"""The watcher: follows what the ledger shows of the wallet and its channels, and has each channel take its step.

It believes only what is proven: answers of an agent count once they are stable. Units that are not stable yet are
followed as unconfirmed; a close among them that claims too little is answered at first sight. It sends nothing itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from paypercall.channel import Channel
from paypercall.contract import Trigger, read_response, read_trigger
from paypercall.events import EventKind, Events
from paypercall.obyte.light import LightClient
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.lease import Lease, LeaseLost
from paypercall.settlement.memory import Memory
from paypercall.settlement.transition import Answer, Transition
from paypercall.store import Books, DepositState, OutboxState, Store

logger = logging.getLogger(__name__)


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
            return
        answers.sort(key=lambda answer: answer.event.event_id)
        with self._transaction() as books:
            published = Transition(books, channel.aa_address, self._clock()).run(triggers, answers, asked_at)
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
                Transition(books, aa_address, self._clock()).note_double_spend(unit)
