"""The ledger: units in the graph, what they own and say, and what becomes of them as they turn stable.

It takes units that were checked already (see `validation.py`), and does the rest by itself: a unit of the
witness moves the main chain on, makes older units stable, decides conflicts, runs agents and settles fees.
No clock, no connections, no keys: the same units in the same order always give the same ledger.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from paypercall.devnet.agents import Agents, Answer
from paypercall.devnet.books import Books
from paypercall.devnet.fees import actual_tps_fee, unit_fees
from paypercall.devnet.graph import Graph, Sequence, Vertex
from paypercall.obyte.network import Network
from paypercall.obyte.unit import Unit, stripped_unit


@dataclass(frozen=True, slots=True)
class UnitAdded:
    """A unit entered the ledger."""

    vertex: Vertex


@dataclass(frozen=True, slots=True)
class IndexBecameStable:
    """All units at a main chain index are final."""

    index: int


@dataclass(frozen=True, slots=True)
class AgentAnswered:
    """An agent answered a trigger."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class UnitsWentBad:
    """Units that stood so far are contradicted by another one."""

    vertices: tuple[Vertex, ...]


Event = UnitAdded | IndexBecameStable | AgentAnswered | UnitsWentBad


@dataclass(slots=True)
class Ledger:
    """Everything that the network agrees on.

    Args:
        network: Its constants; its order providers are the witnesses.
        genesis: The first unit.
    """

    network: Network
    genesis: Unit
    graph: Graph = field(init=False)
    books: Books = field(default_factory=Books)
    agents: Agents = field(init=False)
    _units_by_address: defaultdict[str, list[Vertex]] = field(default_factory=lambda: defaultdict(list))
    _definitions: defaultdict[str, list[Vertex]] = field(default_factory=lambda: defaultdict(list))
    _fee_credits: defaultdict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    _events: list[Event] = field(default_factory=list)
    _unproven: list[Vertex] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.graph = Graph(self.network.order_providers)
        self.agents = Agents(self)
        genesis = self.graph.add(self.genesis)
        self._enter(genesis)
        self.graph.extend_main_chain(genesis)
        self._stabilise_index(0)

    @property
    def witnesses(self) -> tuple[str, ...]:
        """The addresses of the order providers."""
        return self.network.order_providers

    @property
    def last_stable(self) -> Vertex:
        """The newest stable main chain unit."""
        return self.graph.main_chain[self.graph.stable_index]

    @property
    def lowest_retrievable_index(self) -> int:
        """The main chain index of the last ball of the newest stable unit: proofs reach down to here."""
        return self.last_stable.last_ball_index

    @property
    def has_unproven_units(self) -> bool:
        """Tells whether a unit, other than the witnesses' own, is above the newest stable unit's last ball."""
        return bool(self._unproven)

    def take_events(self) -> list[Event]:
        """Hands over what happened since the last call."""
        events = self._events
        self._events = []
        return events

    # --- adding ---------------------------------------------------------------------------------------

    def add(self, unit: Unit, *, rivals: Iterable[Vertex] = (), spoilt: bool = False) -> Vertex:
        """Adds a checked unit.

        Args:
            unit: As on the wire.
            rivals: Units of the same authors that it should have included: they and it become temp-bad.
            spoilt: True when it spends what a temp-bad unit gives.
        """
        rivals = tuple(rivals)
        vertex = self.graph.add(unit, Sequence.TEMP_BAD if rivals or spoilt else Sequence.GOOD)
        self._enter(vertex)
        fallen = tuple(r for r in rivals if r.sequence is Sequence.GOOD and not r.is_stable)
        for rival in fallen:
            rival.sequence = Sequence.TEMP_BAD
        if fallen:
            self._events.append(UnitsWentBad(fallen))
        if self.graph.is_of_witness(vertex):
            self.graph.extend_main_chain(vertex)
            self._stabilise(vertex.timestamp)
        return vertex

    def add_response(self, unit: Unit) -> Vertex:
        """Adds a unit that an agent sends."""
        vertex = self.graph.add(unit, is_response=True)
        self._enter(vertex)
        return vertex

    def _enter(self, vertex: Vertex) -> None:
        self.books.enter(vertex)
        self.agents.announce(vertex)
        for address in addresses_of(vertex.unit):
            self._units_by_address[address].append(vertex)
        for author in vertex.unit["authors"]:
            if "definition" in author:
                self._definitions[author["address"]].append(vertex)
        if not self.graph.is_of_witness(vertex):
            self._unproven.append(vertex)
        self._events.append(UnitAdded(vertex))

    # --- asking ---------------------------------------------------------------------------------------

    def units_of(self, address: str) -> list[Vertex]:
        """Units that an address wrote or that pay it, in order of arrival."""
        return self._units_by_address.get(address, [])

    def main_chain_index(self, unit: str) -> int | None:
        """The main chain index of a unit, or None when it has none or is unknown."""
        vertex = self.graph.vertices.get(unit)
        return None if vertex is None else vertex.main_chain_index

    def definition(self, address: str, main_chain_index: int) -> list[Any] | None:
        """The definition of an address that a stable good unit at or before an index reveals."""
        for vertex in self._definitions.get(address, ()):
            index = vertex.main_chain_index
            if (
                vertex.is_stable
                and vertex.sequence is Sequence.GOOD
                and index is not None
                and index <= main_chain_index
            ):
                return _definition_in(vertex, address)
        return None

    def revealed_definition(self, address: str) -> tuple[list[Any], bool] | None:
        """A definition that any good unit reveals, and whether such a unit is stable."""
        good = [v for v in self._definitions.get(address, ()) if v.sequence is Sequence.GOOD]
        if not good:
            return None
        return _definition_in(good[0], address), any(vertex.is_stable for vertex in good)

    def witness_definitions(self) -> list[Vertex]:
        """The stable units in which the order providers revealed their definitions, the oldest first."""
        first = {witness: self._definitions[witness][:1] for witness in self.witnesses}
        found = {
            vertex.hash: vertex for vertices in first.values() for vertex in vertices if vertex.is_stable
        }
        return sorted(found.values(), key=lambda vertex: vertex.level)

    def fee_credit(self, address: str, main_chain_index: int) -> int:
        """What an address paid beyond its TPS fees up to an index, bytes; negative when it owes."""
        credits = self._fee_credits.get(address, [])
        position = bisect_right(credits, main_chain_index, key=lambda credit: credit[0])
        return credits[position - 1][1] if position else 0

    def fees_total(self) -> int:
        """Bytes that all units together have taken out of circulation, unconfirmed ones included."""
        return sum(
            unit_fees(vertex.unit)
            for vertex in self.graph.vertices.values()
            if vertex.sequence is Sequence.GOOD
        )

    # --- stability ------------------------------------------------------------------------------------

    def _stabilise(self, now: int) -> None:
        newest_stable = self.graph.stable_in_view([self.graph.main_chain[-1]])
        for index in range(self.graph.stable_index + 1, (newest_stable.main_chain_index or 0) + 1):
            self._stabilise_index(index)
            answers = self.agents.run_triggers(self.graph.units_by_index[index], index, now)
            self._events += [AgentAnswered(answer) for answer in answers]
            self._settle_tps_fees(index)
            self._events.append(IndexBecameStable(index))
        reach = self.lowest_retrievable_index
        self._unproven = [
            vertex
            for vertex in self._unproven
            if vertex.main_chain_index is None or vertex.main_chain_index > reach
        ]

    def _stabilise_index(self, index: int) -> None:
        vertices = self.graph.units_by_index[index]
        self._decide_conflicts(vertices)
        for vertex in vertices:
            self.graph.give_ball(vertex)
            if vertex.sequence is Sequence.FINAL_BAD:
                vertex.unit = {"unit": vertex.hash, **stripped_unit(vertex.unit)}
            else:
                self.agents.publish(vertex)
        self.graph.stable_index = index

    def _decide_conflicts(self, vertices: list[Vertex]) -> None:
        """Of conflicting units the first to become stable wins; at one index the smallest hash (ocore)."""
        winners: list[Vertex] = []
        for vertex in sorted(vertices, key=lambda vertex: vertex.hash):
            if vertex.sequence is not Sequence.TEMP_BAD:
                continue
            rivals = self.graph.stable_competitors(vertex) + self.graph.unrelated(vertex, winners)
            if rivals:
                self._void(vertex)
            else:
                vertex.sequence = Sequence.GOOD
                winners.append(vertex)

    def _void(self, vertex: Vertex) -> None:
        if vertex.sequence is Sequence.FINAL_BAD:
            return
        vertex.sequence = Sequence.FINAL_BAD
        for heir in self.books.void(vertex):
            self._void(heir)

    def _settle_tps_fees(self, index: int) -> None:
        for vertex in self.graph.units_by_index[index]:
            if vertex.is_response or vertex.sequence is not Sequence.GOOD:
                continue
            count_responses = len(self.agents.answers_by_trigger.get(vertex.hash, ()))
            vertex.actual_tps_fee = actual_tps_fee(count_responses)
            surplus = vertex.unit.get("tps_fee", 0) - vertex.actual_tps_fee
            for address, share in fee_shares(vertex.unit).items():
                credit = self.fee_credit(address, index) + surplus * share // 100
                self._fee_credits[address].append((index, credit))


def addresses_of(unit: Unit) -> list[str]:
    """Authors and payees of a unit, each once, in order of appearance."""
    addresses = [author["address"] for author in unit["authors"]]
    for message in unit.get("messages", ()):
        if message["app"] == "payment":
            addresses += [output["address"] for output in message["payload"]["outputs"]]
    return list(dict.fromkeys(addresses))


def fee_shares(unit: Unit) -> dict[str, int]:
    """Who bears the TPS fee of a unit, in percent (ocore `getTpsFeeRecipients`)."""
    authors = [author["address"] for author in unit["authors"]]
    recipients = {
        recipient["address"]: recipient["earned_headers_commission_share"]
        for recipient in unit.get("earned_headers_commission_recipients", ())
    }
    if recipients and set(recipients) <= set(authors):
        return recipients
    return {authors[0]: 100}


def _definition_in(vertex: Vertex, address: str) -> list[Any]:
    definitions = [author["definition"] for author in vertex.unit["authors"] if author["address"] == address]
    return list(definitions[0])
