"""Which agents become channels: those that a customer announced, once the ledger shows them, and one's own lost ones.

An announcement costs nothing, so announced agents are only watched, in a bounded list that expires; the books take a
channel up when the ledger shows a unit that pays to its agent. The list is never full, the oldest makes room: an honest
customer's deposit is on the ledger within seconds. One key pushes out only its own. With many keys an attacker must get
`MAX_ANNOUNCED` signed announcements verified within those seconds, again and again, to keep newcomers out, who are told
to try again and announce anew; a host that sees so many limits its rate, as for any flood. Nobody who has a channel
notices.

A channel that is older than these books is taken up in restore mode: this node may have signed in it before its memory
begins. Whether it is, only the agent's whole history tells: of any other, who announces it may choose the part.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from paypercall.channel import Channel, distrust
from paypercall.contract import ChannelParameters, defined_agents, read_trigger
from paypercall.events import Event, EventKind, Events
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.settlement.lease import Lease, LeaseLost
from paypercall.store import Books, Store

logger = logging.getLogger(__name__)

MAX_ANNOUNCED = 1_000
"""Announced agents that are watched at a time; of more, the newest."""

MAX_ANNOUNCED_BY_CUSTOMER = 5
"""Announced agents of one customer that are watched at a time; of more, the newest."""

ANNOUNCEMENT_SECONDS = 600
"""How long an announced agent is watched before the ledger shows it."""


class Discovery:
    """Takes channels up into the books.

    Args:
        store: The books.
        my_address: The wallet's.
        events: Told of each new channel.
        clock: Seconds.
    """

    def __init__(self, store: Store, my_address: str, events: Events, clock: Callable[[], int]) -> None:
        self._store = store
        self._my_address = my_address
        self._events = events
        self._clock = clock
        self._looked_for: set[str] = set()

    def announced_addresses(self) -> list[str]:
        """The agents that are watched because a customer announced them; drops those that have expired."""
        with self._store.reading() as books:
            announced = books.announced.addresses()
            has_expired = books.announced.has_older(self._clock() - ANNOUNCEMENT_SECONDS)
        if not has_expired:
            return announced
        # Without the lease: the time that has passed is the same for all, and an announcement is no part of the books.
        with self._store.transaction() as books:
            books.announced.expire(self._clock() - ANNOUNCEMENT_SECONDS)
            return books.announced.addresses()

    def announced_anew(self) -> list[str]:
        """The announced agents that were not looked for in every history since this was asked last.

        An announcement may go and come again while its agent is followed; units may have been passed over meanwhile.
        """
        announced = self.announced_addresses()
        anew = [address for address in announced if address not in self._looked_for]
        self._looked_for = set(announced)
        return anew

    def look_at(self, history: History, whole: AbstractSet[str], lease: Lease) -> set[str]:
        """Takes up the announced channels that a history shows, and those that this wallet once created.

        Args:
            history: Verified.
            whole: The addresses that it shows from their beginning.
            lease: Must be held.

        Returns:
            The announced agents that it shows, but not from their beginning: they are not taken up by it.

        Raises:
            LeaseLost: When another process has taken over, for which an old look would forget too little.
        """
        shown = history.by_address()
        with self._store.reading() as books:
            announced = books.announced.all()
            candidates = [(parameters, True) for parameters in announced]
            candidates += [
                (parameters, False)
                for parameters in self._created_by_me(history)
                if books.channels.get(parameters.aa_address) is None
            ]
        self._looked_for.intersection_update(parameters.aa_address for parameters in announced)
        in_part: set[str] = set()
        for parameters, is_announced in candidates:
            aa_address = parameters.aa_address
            try:
                entries = [entry for entry in shown.get(aa_address, ()) if _concerns(parameters, entry)]
                if entries and is_announced and aa_address not in whole:
                    in_part.add(aa_address)
                elif entries:
                    self._take_up(parameters, entries, is_announced, lease)
            except LeaseLost:
                raise
            except Exception:
                # One channel must not keep the node from the others; the next look takes it up.
                logger.exception("channel %s: could not be taken up", aa_address)
        return in_part

    def _created_by_me(self, history: History) -> list[ChannelParameters]:
        return [
            parameters
            for entry in history.units
            if entry.unit["authors"][0]["address"] == self._my_address and not entry.is_final_bad
            for parameters in defined_agents(entry.unit)
            if parameters.address_b == self._my_address
        ]

    def _take_up(
        self, parameters: ChannelParameters, entries: Sequence[HistoryUnit], is_announced: bool, lease: Lease
    ) -> None:
        with self._store.transaction() as books:
            lease.require(books)
            is_forgotten = not is_announced or self._may_be_forgotten(books, entries)
            channel = Channel(parameters, self._my_address, is_known_by_peer=is_announced)
            if is_forgotten:
                is_new = add_forgotten(books, channel, self._clock())
            else:
                is_new = books.channels.add(channel, created_at=self._clock())
            books.announced.remove(channel.aa_address)
        if not is_new:
            return
        if is_forgotten:
            logger.warning(
                "channel %s is older than these books: nothing is signed in it before its next period",
                channel.aa_address,
            )
        self._events.publish(
            Event(EventKind.CHANNEL_CREATED, channel.aa_address, channel.period, parameters.asset)
        )

    def _may_be_forgotten(self, books: Books, entries: Sequence[HistoryUnit]) -> bool:
        """Whether the channel is older than these books, or has a unit of this wallet that they do not know."""
        identity = books.node.identity()
        assert identity is not None, "the books are claimed before a node is made"
        for entry in entries:
            if entry.unit["timestamp"] < identity.complete_since:
                return True
            is_mine = entry.unit["authors"][0]["address"] == self._my_address
            if is_mine and books.outbox.by_unit(entry.hash) is None:
                return True
        return False


def add_forgotten(books: Books, channel: Channel, now: int) -> bool:
    """Takes a channel up in which this wallet may have signed what these books do not know, within a transaction.

    Which period that may have been, only all that its agent has answered tells: it is out of use until that is taken
    (`memory.Memory.trust_next_periods`), for what shows the channel may not show how far it has got.

    Returns:
        Whether it is new to the books.
    """
    return books.channels.add(distrust(channel), created_at=now)


def _concerns(parameters: ChannelParameters, entry: HistoryUnit) -> bool:
    """Whether a unit is the agent's, or may trigger it, and is what it says: proven, or signed by its author."""
    if entry.unit["authors"][0]["address"] == parameters.aa_address:
        return entry.is_stable
    if entry.is_final_bad or not (entry.is_stable or entry.is_signature_checked):
        return False
    return bool(entry.unit.get("messages")) and read_trigger(parameters, entry.unit) is not None
