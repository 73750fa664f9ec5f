"""The one node of the network: its ledger, clock, witness and journal behind one lock.

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
from paypercall.devnet.wallets import Witness, compose_from_ledger
from paypercall.obyte.composer import Draft
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import Unit

DOUBLE_SPEND = "The transaction would be non-serial (a double spend)"
MAX_STEPS_TO_SETTLE = 1000
SHORTEST_CHAIN = 5  # below that there is no proof to give


class Node:
    """The network's node.

    Args:
        ledger: With everything that the journal holds.
        clock: The network's.
        witness: Its key and preferences.
        journal: Where accepted units go.
    """

    def __init__(self, ledger: Ledger, clock: Clock, witness: Witness, journal: Journal) -> None:
        self.lock = RLock()
        self.ledger = ledger
        self.clock = clock
        self.witness = witness
        self._journal = journal
        self._listeners: list[Callable[[Event], None]] = []
        self._refusals: list[str] = []
        self._has_leapt = False
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
            unit = _check_joint(joint)
            if unit["unit"] in self.ledger.graph.vertices:
                return None
            verdict = validate(self.ledger, joint, self.clock.now())
            return self._add(unit, verdict.rivals, verdict.is_spoilt)

    def pay(self, key: Key, draft: Draft) -> Vertex:
        """Composes and adds a unit of one of the network's own keys.

        Raises:
            InsufficientFunds: The key's coins do not suffice.
        """
        with self.lock:
            return self._add(compose_from_ledger(self.ledger, self.clock.now(), key, draft))

    def step(self) -> bool:
        """Adds a witness unit if anything waits for one, or nobody has told the time since the clock was moved.

        Returns:
            Whether it did.
        """
        with self.lock:
            is_long = len(self.ledger.graph.main_chain) >= SHORTEST_CHAIN
            if is_long and not (self.ledger.has_unproven_units or self._has_leapt):
                return False
            self._has_leapt = False
            self._add(self.witness.compose_next(self.ledger, self.clock.now(), self.clock.milliseconds()))
            return True

    def begin(self) -> None:
        """Adds the first witness units of a new network."""
        while len(self.ledger.graph.main_chain) < SHORTEST_CHAIN:
            self.step()

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
            self._has_leapt = True
            self._journal.write_clock(self.clock.ahead)

    def favour(self, unit: str) -> None:
        """Has the witness include a unit before what contradicts it, so that it wins."""
        with self.lock:
            self.witness.favoured.add(unit)

    def _add(self, unit: Unit, rivals: tuple[Vertex, ...] = (), is_spoilt: bool = False) -> Vertex:
        vertex = self.ledger.add(unit, rivals=rivals, spoilt=is_spoilt)
        self._journal.write_unit(unit, [rival.hash for rival in rivals], is_spoilt)
        for event in self.ledger.take_events():
            for listener in self._listeners:
                listener(event)
        return vertex


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
