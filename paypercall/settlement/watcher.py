"""The watcher: asks the hub for what is new on the ledger about the wallet and its channels, and has it taken.

It must not be blinded, by a hub that leaves something out or by strangers that send dust. It believes nothing of what
comes, which `reader.py` takes as far as it is proven, and sends nothing itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from threading import Lock
from typing import Any

from paypercall.contract import BOUNCE_FEE
from paypercall.obyte.errors import HistoryTooLarge
from paypercall.obyte.hubs import Session
from paypercall.obyte.light import LightClient
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.obyte.shape import is_hash
from paypercall.settlement.asking import Asked, ask, least
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.elections import Elections
from paypercall.settlement.following import (
    CLOCKS_DIFFER_SECONDS,
    INDICES_BETWEEN_HUBS,
    RECENT_SECONDS,
    Following,
)
from paypercall.settlement.other_hubs import OtherHubs
from paypercall.settlement.progress import Progress
from paypercall.settlement.reader import Reader
from paypercall.store import Store

logger = logging.getLogger(__name__)

TURN_SECONDS = 20
"""How often some quiet addresses are asked about."""

MAX_SHOWN = 2_000
"""Units that are kept to be asked for, because a hub has shown them."""


class Watcher:
    """Follows the wallet's address and the agents of all its channels.

    Args:
        store: The books.
        light: Gives verified histories.
        wallet_address: The wallet's.
        discovery: Tells which agents were announced.
        reader: Takes the histories.
        clock: Seconds, this node's own.
    """

    def __init__(
        self,
        store: Store,
        light: LightClient,
        wallet_address: str,
        discovery: Discovery,
        reader: Reader,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._light = light
        self._wallet_address = wallet_address
        self._discovery = discovery
        self._reader = reader
        self._clock = clock
        self._following = Following(wallet_address, clock)
        self._progress = Progress(store, light, wallet_address, self._following, reader)
        self._elections = Elections(light, clock)
        self._others = OtherHubs(light, wallet_address)
        self._session: Session | None = None
        self._told_by: Session | None = None
        self._reached: int | None = None
        self._listed_at = 0
        self._turn_at = 0
        self._doubtful: set[str] = set()
        self._read_in_part: set[str] = set()
        self._shown: dict[str, None] = {}
        self._shown_lock = Lock()

    @property
    def is_behind(self) -> bool:
        """Whether there are addresses of which this node has not seen yet what the ledger has."""
        return self._following.is_behind

    def is_up_to_date(self, aa_address: str) -> bool:
        """Whether everything that the ledger has shown of a channel is taken."""
        is_whole = aa_address not in self._doubtful and aa_address not in self._read_in_part
        return is_whole and self._following.is_up_to_date(aa_address)

    def show(self, unit: object) -> None:
        """Takes a hint of the hub, which may be anything; called by the thread of the connection.

        Only a unit that could trigger an agent is worth to be asked for: any other costs its sender next to nothing.
        """
        if not isinstance(unit, dict):
            return
        try:
            paid = _bytes_paid(unit)
            hash_ = unit["unit"]
        except (KeyError, TypeError, AttributeError, OverflowError):
            return
        agents = [address for address, amount in paid.items() if amount >= BOUNCE_FEE]
        self._following.touch(agents)
        if any(address in self._following for address in agents) and is_hash(hash_):
            with self._shown_lock:
                self._shown[hash_] = None
                while len(self._shown) > MAX_SHOWN:
                    del self._shown[next(iter(self._shown))]

    def has_new_addresses(self) -> bool:
        """Whether the books name an agent that is not followed yet."""
        return not all(address in self._following for address in self._new_addresses())

    def _new_addresses(self) -> list[str]:
        """The channels added since they were listed last, and what was announced; some may be followed already."""
        with self._store.reading() as books:
            added = books.channels.added_since(self._wallet_address, self._listed_at - CLOCKS_DIFFER_SECONDS)
        return [*added, *self._discovery.announced_addresses()]

    def resume(self) -> None:
        """Goes on from the books; called by whoever begins to hold the lease.

        Raises:
            HubError: When the hub is out of reach.
        """
        with self._store.reading() as books:
            self._read_in_part.update(books.channels.doubted(self._wallet_address))
        session = self._light.session
        self._doubt_other_hub(session)
        reached = self._progress.restore(session.hub)
        if reached is not None:
            self._reached = max(self._reached or 0, reached)

    def refresh(self) -> None:
        """Fetches what is new of all addresses on which something is under way, and of some others.

        Raises:
            HubError: When the hub is out of reach; what was not taken is fetched again.
            ProofError: When the hub's answer does not prove what it says.
            LeaseLost: When another process has taken over.
        """
        self._begin_session()
        self._follow_new()
        was_behind = self._following.is_behind
        active, shown = self._active(), self._shown_units()
        seen = self._ask(active, shown)
        self._forget_shown(shown)
        waiting = [address for address in self._following.next_waiting() if address not in active]
        seen |= self._ask(waiting)
        if self._doubtful:
            seen |= self._ask_again()
        is_turn = not self._following.is_behind and self._clock() - self._turn_at >= TURN_SECONDS
        if is_turn:
            self._turn_at = self._clock()
            seen |= self._look_in_turn(besides=set(active))
        self._look_for_vanished(seen)
        self._note_progress(with_channels=was_behind or is_turn)

    def _note_progress(self, *, with_channels: bool) -> None:
        """Notes how far all is taken; of all channels not each time, for that takes longer the more there are."""
        assert self._session is not None
        is_complete = not self._following.is_behind and not self._doubtful
        self._progress.note(self._session.hub, self._listed_at, with_channels=with_channels and is_complete)

    def _begin_session(self) -> None:
        session = self._light.session
        is_new_hub = self._session is None or not session.is_of_same_hub(self._session)
        self._elections.look(session.hub, is_new=is_new_hub)
        if session == self._session:
            return
        self._doubt_other_hub(session)
        self._following.begin_session()
        self._session = session
        self._turn_at = self._clock()

    def _doubt_other_hub(self, session: Session) -> None:
        """Believes less of how far all is taken if another hub has told it, even if that was in use for a moment."""
        if self._told_by is not None and not session.is_of_same_hub(self._told_by):
            self._doubt_reached()
            self._following.step_back(INDICES_BETWEEN_HUBS)
        self._told_by = session

    def _doubt_reached(self) -> None:
        """Compares how far the last hub told that the main chain had got with what another one says."""
        if self._reached is None:
            return
        index = self._light.parents([self._wallet_address], [self._wallet_address]).last_ball_mci
        if index < self._reached - INDICES_BETWEEN_HUBS:
            logger.warning("one of two hubs lies about the length of the main chain: all is read anew")
            self._following.begin_anew()
            self._reached = None
        else:
            self._reached = min(index, self._reached)

    def _follow_new(self) -> None:
        new = self._new_addresses()
        self._listed_at = self._clock()
        self._following.add(new)
        self._following.begin_anew(self._discovery.announced_anew())

    def _active(self) -> list[str]:
        """The addresses on which something is under way, each once."""
        with self._store.reading() as books:
            unanswered = books.unconfirmed.channels()
        announced = self._discovery.announced_addresses()
        candidates = dict.fromkeys([*self._following.active(), *announced, *unanswered, *self._read_in_part])
        return [address for address in candidates if address in self._following]

    def _shown_units(self) -> list[str]:
        with self._shown_lock:
            return list(self._shown)

    def _forget_shown(self, units: Sequence[str]) -> None:
        with self._shown_lock:
            for unit in units:
                self._shown.pop(unit, None)

    def _ask(self, addresses: Sequence[str], units: Sequence[str] = ()) -> set[str]:
        """Asks about addresses, and for units that were shown, and takes what comes; tells which units came."""
        known: list[str] = []
        new: list[str] = []
        for address in addresses:
            (new if self._following.since([address]) is None else known).append(address)
        return self._ask_from(known, units, self._following.since(known)) | self._ask_from(new, (), None)

    def _ask_from(self, addresses: Sequence[str], units: Sequence[str], since: int | None) -> set[str]:
        if not addresses and not units:
            return set()
        reached_before = self._reached
        asked = self._ask_hub(self._light, addresses, units, since)
        if asked.incomplete:
            other = self._ask_other_hub(sorted(asked.incomplete), since)
            asked = asked.completed_by(other) if other else asked
        self._note_reached(asked.proven)
        self._tell_incomplete(asked.incomplete)
        # The wallet goes on without the coins that it misses.
        in_part = (asked.unproven | asked.incomplete) - {self._wallet_address}
        whole = set(addresses) - in_part
        self._note_read_in_part(in_part, whole)
        # What reached a hub while it answered can be missing below what the answer proves, but not below what was
        # reached before; and a hub that lags behind shows what lies between as not stable yet.
        self._following.asked(whole, reached_before and least(reached_before, asked.proven))
        return set(asked.units)

    def _ask_hub(
        self, light: LightClient, addresses: Sequence[str], units: Sequence[str], since: int | None
    ) -> Asked:
        asked_at = self._clock()
        return ask(
            light,
            self._wallet_address,
            addresses,
            units,
            since,
            lambda history, whole: self._take(history, asked_at, whole),
        )

    def _tell_incomplete(self, incomplete: AbstractSet[str]) -> None:
        """Stops the channels of which no hub could give everything; the wallet asks again at the next start."""
        for address in sorted(incomplete):
            if address == self._wallet_address:
                error = HistoryTooLarge(address)
                logger.error("%s: %s", error.code, error)
                self._progress.note_missing_coins()
                continue
            logger.error("channel %s: stopped, for dust hides what its agent may have answered", address)
            self._reader.doubt(address)

    def _note_read_in_part(self, in_part: AbstractSet[str], whole: AbstractSet[str]) -> None:
        """Has what was read in part asked for again, and lets channels go on that were, and are read whole now."""
        self._following.asked_in_part(in_part)
        for address in sorted(self._read_in_part & whole):
            self._reader.trust(address)
        self._read_in_part = (self._read_in_part - whole) | in_part

    def _note_reached(self, proven: int | None) -> None:
        if proven is not None:
            self._reached = max(self._reached or 0, proven)

    def _ask_again(self) -> set[str]:
        """Asks for the whole history of channels of which something is missing or could not be taken."""
        doubtful, self._doubtful = sorted(self._doubtful), set()
        self._following.begin_anew(doubtful)
        return self._ask([address for address in doubtful if address in self._following])

    def _look_in_turn(self, besides: set[str]) -> set[str]:
        """Asks about some of the quiet addresses: another hub, if there is one, for what this one leaves out."""
        addresses = self._following.next_in_turn()
        if not addresses:
            with self._store.reading() as books:
                channels = books.channels.addresses(self._wallet_address)
            self._following.keep([*channels, *self._discovery.announced_addresses()])
            # Not before: each address is to have its turn at each of the other hubs.
            self._others.go_on()
            addresses = self._following.next_in_turn()
        since = self._following.since(addresses)
        seen = self._ask([address for address in addresses if address not in besides])
        # An announced agent is taken up only where it is shown from its beginning.
        announced = set(self._discovery.announced_addresses()).intersection(addresses)
        followed = [address for address in addresses if address not in announced]
        for some, start in ((followed, since), (sorted(announced), None)):
            other = self._ask_other_hub(some, start) if some else None
            if other is not None:
                seen |= other.units
                for aa_address in sorted(other.changed):
                    logger.warning("channel %s: another hub has shown what this one left out", aa_address)
        return seen

    def _ask_other_hub(self, addresses: Sequence[str], since: int | None) -> Asked | None:
        """Asks another hub about addresses, and has taken what it shows; None if there is none of use."""
        return self._others.ask(
            lambda other: self._ask_hub(other, addresses, (), self._others.index_at(other, since))
        )

    def _look_for_vanished(self, seen: set[str]) -> None:
        """Asks for unanswered units by name that a hub no longer lists: it hides those that conflict with another.

        An answer leaves out what conflicts or is unknown. A refusal says nothing about any unit (ocore `light`). What
        another hub still shows may only not have reached this one yet.
        """
        with self._store.reading() as books:
            missing = {unit for unit in books.unconfirmed.all_unanswered_units() if unit not in seen}
        if not missing:
            return
        asked_at = self._clock()
        history = self._light.history([], requested_units=sorted(missing))
        alive = _alive(history, missing)
        gone = missing.difference(entry.hash for entry in alive)
        other = self._others.ask(lambda hub: hub.history([], requested_units=sorted(gone))) if gone else None
        if other is not None:
            gone.difference_update(entry.hash for entry in _alive(other, gone))
        for unit in sorted(gone):
            self._reader.give_up(unit)
        self._take(replace(history, units=alive), asked_at)

    def _take(self, history: History, asked_at: int, whole: AbstractSet[str] = frozenset()) -> frozenset[str]:
        """Has a history taken, and tells which channels went on by it."""
        self._following.note_recent(_recent_addresses(history))
        taken = self._reader.take(history, asked_at, whole)
        self._doubtful |= taken.doubtful
        return taken.changed


def _alive(history: History, units: AbstractSet[str]) -> tuple[HistoryUnit, ...]:
    """Those of some units that a history shows, and not as void."""
    return tuple(entry for entry in history.units if entry.hash in units and not entry.is_final_bad)


def _bytes_paid(unit: dict[str, Any]) -> dict[str, int]:
    """What a unit of any shape seems to pay in bytes, by address."""
    paid: dict[str, int] = {}
    for message in unit["messages"]:
        if message["app"] != "payment" or "asset" in message["payload"]:
            continue
        for output in message["payload"]["outputs"]:
            paid[output["address"]] = paid.get(output["address"], 0) + output["amount"]
    return paid


def _recent_addresses(history: History) -> set[str]:
    """The addresses of units that are not stable yet, or were made late enough to be answered still."""
    newest = max((entry.unit["timestamp"] for entry in history.units), default=0)
    return {
        address
        for entry in history.units
        if not entry.is_stable or entry.unit["timestamp"] > newest - RECENT_SECONDS
        for address in entry.addresses
    }
