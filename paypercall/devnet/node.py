"""The one node of the network: its ledger, clock, witnesses and journal behind one lock.

Whoever posts, asks or advances goes through here, from any thread. Listeners hear of what happened in the
order in which it happened, while the lock is held: they must not block.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any

from paypercall.devnet.clock import Clock
from paypercall.devnet.form import Refused
from paypercall.devnet.graph import Vertex
from paypercall.devnet.journal import Journal
from paypercall.devnet.ledger import Event, Ledger
from paypercall.devnet.validation import UnknownParents, validate
from paypercall.devnet.wallets import Witnesses, compose_from_ledger
from paypercall.obyte.composer import Draft
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import Unit

BROKEN_OFF = "the network has stopped: a change of its ledger was broken off"
DOUBLE_SPEND = "The transaction would be non-serial (a double spend)"
MAX_STEPS_TO_SETTLE = 1000
SHORTEST_CHAIN = 5  # for one witness; below that there is no proof to give


class Node:
    """The network's node.

    Args:
        ledger: With everything that the journal holds.
        clock: The network's.
        witnesses: Their keys and preferences.
        journal: Where accepted units go.
    """

    def __init__(self, ledger: Ledger, clock: Clock, witnesses: Witnesses, journal: Journal) -> None:
        self.lock = RLock()
        self.ledger = ledger
        self.clock = clock
        self.witnesses = witnesses
        self._journal = journal
        self._listeners: list[Callable[[Event], None]] = []
        self._refusals: list[str] = []
        self._is_changing = False  # stays true when a change is broken off, as by Ctrl-C or a full disk
        self._late_witnesses = 0  # that have to write before a majority has told the time
        ledger.take_events()

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Has a function called with everything that happens from now on."""
        with self.lock:
            self._listeners.append(listener)

    def refuse_next(self, message: str) -> None:
        """Has the next posted unit refused with a message, for tests of what clients do then."""
        with self.lock:
            self._refusals.append(message)

    def post(self, joint: Any) -> Vertex:
        """Takes a unit from `post_joint`.

        Raises:
            Refused: With the text for the client.
        """
        with self.lock:
            self._require_whole_ledger()
            unit = _check_joint(joint)
            if self._refusals:
                raise Refused(self._refusals.pop(0))
            if unit["unit"] in self.ledger.graph.vertices:
                raise Refused("known")
            try:
                verdict = validate(self.ledger, joint, self.clock.now())
            except UnknownParents as error:
                raise Refused("unknown parents") from error
            if not verdict.is_serial:
                raise Refused(DOUBLE_SPEND)
            return self._add(unit)

    def take(self, joint: Any) -> Vertex | None:
        """Takes a unit that somebody passes on, even if it contradicts another one.

        Returns:
            None when the unit is known.

        Raises:
            Refused: With the text for the sender.
            UnknownParents: A parent is unknown.
        """
        with self.lock:
            self._require_whole_ledger()
            unit = _check_joint(joint)
            if unit["unit"] in self.ledger.graph.vertices:
                return None
            verdict = validate(self.ledger, joint, self.clock.now())
            return self._add(unit, verdict.rivals, verdict.is_spoilt)

    def pay(self, key: Key, draft: Draft) -> Vertex:
        """Composes and adds a unit of one of the network's own keys.

        Raises:
            InsufficientFunds: The key's coins do not suffice.
            Refused: A change of the ledger was broken off.
        """
        with self.lock:
            self._require_whole_ledger()
            return self._add(compose_from_ledger(self.ledger, self.clock.now(), key, draft))

    def step(self) -> bool:
        """Adds a witness unit if anything waits for one, or too few have told the time since the clock was moved.

        Returns:
            Whether it did.

        Raises:
            Refused: A change of the ledger was broken off.
        """
        with self.lock:
            self._require_whole_ledger()
            if self._has_proofs and not (self.ledger.has_unproven_units or self._late_witnesses):
                return False
            self._late_witnesses = max(0, self._late_witnesses - 1)
            self._add(self.witnesses.compose_next(self.ledger, self.clock.now(), self.clock.milliseconds()))
            return True

    def begin(self) -> None:
        """Adds the first witness units of a new network."""
        while not self._has_proofs:
            self.step()

    @property
    def _has_proofs(self) -> bool:
        majority = self.ledger.network.majority_of_order_providers
        return len(self.ledger.graph.main_chain) > majority * (SHORTEST_CHAIN - 1)

    def settle(self) -> None:
        """Adds witness units until everything, answers of agents included, is stable and provable."""
        with self.lock:
            for _ in range(MAX_STEPS_TO_SETTLE):
                if not self.step():
                    return
            raise RuntimeError("the network does not come to rest")

    def advance(self, seconds: int) -> None:
        """Moves the clock ahead; on a ledger in use, others would have posted meanwhile."""
        with self.lock:
            self.clock.advance(seconds)
            self._late_witnesses = self.ledger.network.majority_of_order_providers
            self._journal.write_clock(self.clock.ahead)

    def favour(self, unit: str) -> None:
        """Has the witnesses include a unit before what contradicts it, so that it wins."""
        with self.lock:
            self.witnesses.favoured.add(unit)

    def _add(self, unit: Unit, rivals: tuple[Vertex, ...] = (), is_spoilt: bool = False) -> Vertex:
        self._is_changing = True
        vertex = self.ledger.add(unit, rivals=rivals, spoilt=is_spoilt)
        self._journal.write_unit(unit, [rival.hash for rival in rivals], is_spoilt)
        self._is_changing = False
        for event in self.ledger.take_events():
            for listener in self._listeners:
                listener(event)
        return vertex

    def _require_whole_ledger(self) -> None:
        if self._is_changing:
            raise Refused(BROKEN_OFF)


def _check_joint(joint: Any) -> Unit:
    unit = joint.get("unit") if isinstance(joint, dict) else None
    if not isinstance(unit, dict) or not unit.get("unit"):
        raise Refused("no unit")
    if joint.get("ball"):
        raise Refused("no ball via post_joint")
    if "unsigned" in joint:
        raise Refused("unsigned unit")
    if not isinstance(unit["unit"], str):
        raise Refused("invalid unit")
    unit.pop("main_chain_index", None)
    unit.pop("actual_tps_fee", None)
    if not isinstance(unit.get("version"), str):
        raise Refused("invalid version")
    return unit
