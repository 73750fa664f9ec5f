"""The graph of units: parents, main chain, stability and balls.

Follows ocore's rules for a net whose order providers, the witnesses, write units in turn and on one chain: best
parents, witnessed levels, main chain indexes, the last ball that is stable in view of given parents, skiplists. It
knows nothing of money, agents or connections, and trusts its caller to add only units whose parents it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from paypercall.obyte.unit import Unit, ball_hash


class Sequence(Enum):
    """Whether a unit stands alone with what it spends and says (ocore `units.sequence`)."""

    GOOD = "good"
    TEMP_BAD = "temp-bad"
    FINAL_BAD = "final-bad"


@dataclass(slots=True, eq=False, repr=False)
class Vertex:
    """A unit and its place in the graph.

    Attributes:
        unit: The unit as on the wire; stripped of its content once it is final-bad.
        hash: Its unit hash.
        authors: Addresses, sorted.
        parents: In the order of their hashes.
        level: The longest way to the genesis unit.
        witnessed_level: The level on the way along the best parents from which on a majority of witnesses wrote units.
        last_ball: The vertex of its last ball unit; None for the genesis unit.
        is_response: True when an agent made it.
        main_chain_index: None until a witness unit includes it.
        latest_included_index: The index of the newest main chain unit that it includes.
        actual_tps_fee: What was charged in the end, bytes; None while unknown.
        parent_balls: Sorted; known once stable.
        skiplist: Main chain units that its ball refers to besides its parents'.
    """

    unit: Unit
    hash: str
    authors: tuple[str, ...]
    parents: tuple[Vertex, ...]
    best_parent: Vertex | None
    level: int
    witnessed_level: int
    last_ball: Vertex | None
    is_response: bool
    sequence: Sequence
    latest_included_index: int
    main_chain_index: int | None = None
    is_on_main_chain: bool = False
    is_stable: bool = False
    ball: str | None = None
    parent_balls: tuple[str, ...] = ()
    skiplist: tuple[Vertex, ...] = ()
    actual_tps_fee: int | None = None

    def __repr__(self) -> str:
        return f"Vertex({self.hash!r}, {self.sequence.value}, {self.main_chain_index})"

    @property
    def timestamp(self) -> int:
        """Seconds of the ledger's time."""
        return int(self.unit["timestamp"])

    @property
    def last_ball_index(self) -> int:
        """The main chain index of its last ball; the genesis unit counts as its own."""
        return 0 if self.last_ball is None else self.last_ball.main_chain_index or 0


@dataclass(frozen=True, slots=True)
class Outlook:
    """The part of the main chain that nobody has witnessed yet: other units may still change it.

    Attributes:
        chain: The units after the newest witnessed one, the oldest first.
        indexes: The index of everything that they include, by unit.
    """

    chain: tuple[Vertex, ...]
    indexes: Mapping[str, int]

    def index_of(self, vertex: Vertex) -> int | None:
        """The index of any unit, as far as there is one."""
        index = vertex.main_chain_index
        return self.indexes.get(vertex.hash) if index is None else index


@dataclass(slots=True)
class Graph:
    """All units of a network, and the main chain through them.

    Args:
        witnesses: The addresses of the order providers.

    Attributes:
        vertices: All units, by hash.
        tips: Those without children.
        main_chain: Its units, by index.
        units_by_index: All units that have an index, in the order in which they become stable.
        stable_index: The newest index whose units are stable.
    """

    witnesses: tuple[str, ...]
    vertices: dict[str, Vertex] = field(default_factory=dict)
    tips: dict[str, Vertex] = field(default_factory=dict)
    main_chain: list[Vertex] = field(default_factory=list)
    units_by_index: list[list[Vertex]] = field(default_factory=list)
    stable_index: int = -1
    _unstable_units: dict[str, dict[str, Vertex]] = field(default_factory=dict)
    _stable_units: dict[str, list[Vertex]] = field(default_factory=dict)

    def add(self, unit: Unit, sequence: Sequence = Sequence.GOOD, *, is_response: bool = False) -> Vertex:
        """Adds a unit below its parents; the main chain moves only with `extend_main_chain`."""
        parents = tuple(self.vertices[parent] for parent in unit.get("parent_units", ()))
        best_parent = self.best_parent(parents) if parents else None
        vertex = Vertex(
            unit=unit,
            hash=unit["unit"],
            authors=tuple(author["address"] for author in unit["authors"]),
            parents=parents,
            best_parent=best_parent,
            level=1 + max((parent.level for parent in parents), default=-1),
            witnessed_level=self._witnessed_level(best_parent),
            last_ball=self.vertices[unit["last_ball_unit"]] if "last_ball_unit" in unit else None,
            is_response=is_response,
            sequence=sequence,
            latest_included_index=_latest_included_index(parents),
        )
        self.vertices[vertex.hash] = vertex
        for parent in parents:
            self.tips.pop(parent.hash, None)
        self.tips[vertex.hash] = vertex
        for author in vertex.authors:
            self._unstable_units.setdefault(author, {})[vertex.hash] = vertex
        return vertex

    def best_parent(self, parents: Iterable[Vertex]) -> Vertex:
        """The parent that the main chain would go through (ocore `determineBestParent`)."""
        return min(
            parents,
            key=lambda vertex: (
                -vertex.witnessed_level,
                vertex.level,
                not self.is_of_witness(vertex),
                vertex.hash,
            ),
        )

    def continues_main_chain(self, vertex: Vertex) -> bool:
        """Tells whether the way along the best parents leads through the newest main chain unit."""
        way: Vertex | None = vertex
        while way is not None and not way.is_on_main_chain:
            way = way.best_parent
        return way is self.main_chain[-1]

    def pick_parents(self, candidates: Iterable[Vertex], limit: int) -> list[Vertex]:
        """Picks parents for a new unit so that the main chain goes on through the newest witness unit.

        A candidate that would lead the chain elsewhere is left for a later unit, when it can no longer do so.

        Args:
            candidates: Unrelated units, the most wanted first.
            limit: How many parents a unit may have.
        """
        parents = list(candidates)[:limit]
        while parents:
            best = self.best_parent(parents)
            if self.continues_main_chain(best):
                return sorted(parents, key=lambda vertex: vertex.hash)
            parents.remove(best)
        return [self.main_chain[-1]]

    def includes(self, later: Iterable[Vertex], earlier: Vertex) -> bool:
        """Tells whether `earlier` is one of the later units or an ancestor of one."""
        index = earlier.main_chain_index
        stack, seen = list(later), set()
        while stack:
            vertex = stack.pop()
            if vertex is earlier or (index is not None and vertex.latest_included_index >= index):
                return True
            if (
                vertex.hash in seen
                or vertex.level <= earlier.level
                or (vertex.is_stable and not earlier.is_stable)
            ):
                continue
            seen.add(vertex.hash)
            stack.extend(vertex.parents)
        return False

    def includes_within_index(self, later: Vertex, earlier: Vertex) -> bool:
        """Like `includes` for two units with the same main chain index, none of them asked about others."""
        stack, seen = [later], {later.hash}
        while stack:
            vertex = stack.pop()
            if vertex is earlier:
                return True
            for parent in vertex.parents:
                if parent.main_chain_index == earlier.main_chain_index and parent.hash not in seen:
                    seen.add(parent.hash)
                    stack.append(parent)
        return False

    def stable_in_view(self, parents: Iterable[Vertex]) -> Vertex:
        """The newest main chain unit that is stable for whoever sees only the given units.

        On the way down from the best of them a majority of the witnesses must be met, and once more a majority.
        """
        seen_once = self._find_majority(self.best_parent(parents))
        seen_twice = self._find_majority(seen_once.best_parent) if seen_once else None
        return seen_twice or self.main_chain[0]

    def newest_proven_index(self, chain: Iterable[Vertex]) -> int:
        """The index of the newest last ball that a majority of the witnesses vouches for.

        Args:
            chain: The end of the main chain, the newest unit first, with units of a majority.
        """
        seen: set[str] = set()
        for vertex in chain:
            seen.update(set(self.witnesses).intersection(vertex.authors))
            if len(seen) >= self._majority:
                return vertex.last_ball_index
        raise ValueError("too few witnesses")

    def is_of_witness(self, vertex: Vertex) -> bool:
        """Tells whether an order provider wrote a unit."""
        return not set(self.witnesses).isdisjoint(vertex.authors)

    @property
    def _majority(self) -> int:
        return len(self.witnesses) // 2 + 1

    def _find_majority(self, vertex: Vertex | None) -> Vertex | None:
        """The unit on the way down along the best parents with which a majority of the witnesses is met."""
        seen: set[str] = set()
        while vertex is not None:
            seen.update(set(self.witnesses).intersection(vertex.authors))
            if len(seen) >= self._majority:
                return vertex
            vertex = vertex.best_parent
        return None

    def extend_main_chain(self, tip: Vertex) -> None:
        """Leads the main chain through a new witness unit and gives all that it includes an index."""
        chain = [tip]
        while chain[-1].best_parent is not None and not chain[-1].best_parent.is_on_main_chain:
            chain.append(chain[-1].best_parent)
        if self.main_chain and chain[-1].best_parent is not self.main_chain[-1]:
            raise ValueError("a witness unit must continue the main chain")
        for vertex in reversed(chain):
            index = len(self.main_chain)
            vertex.is_on_main_chain = True
            self.main_chain.append(vertex)
            self.units_by_index.append(self._index_newly_included(vertex, index))

    def outlook(self) -> Outlook:
        """How the main chain goes on if no better unit comes; agents' units do not lead it by themselves."""
        candidates = [
            tip
            for tip in self.tips.values()
            if not (tip.is_response or tip.is_on_main_chain) and tip.sequence is Sequence.GOOD
        ]
        leading = [tip for tip in candidates if self.continues_main_chain(tip)]
        chain: list[Vertex] = []
        vertex = self.best_parent(leading) if leading else None
        while vertex is not None and not vertex.is_on_main_chain:
            chain.insert(0, vertex)
            vertex = vertex.best_parent
        indexes: dict[str, int] = {}
        for index, passed in enumerate(chain, len(self.main_chain)):
            stack = [passed]
            while stack:
                included = stack.pop()
                if included.main_chain_index is None and included.hash not in indexes:
                    indexes[included.hash] = index
                    stack.extend(included.parents)
        return Outlook(tuple(chain), indexes)

    @property
    def newest_index(self) -> int:
        """The last index that there is, even if nobody has witnessed it yet."""
        return len(self.main_chain) + len(self.outlook().chain) - 1

    def give_ball(self, vertex: Vertex) -> None:
        """Makes a unit stable; its parents and skiplist units must be so already."""
        index = vertex.main_chain_index
        if index is None:
            raise ValueError("a unit outside the main chain's reach has no ball")
        if vertex.is_on_main_chain:
            vertex.skiplist = tuple(self.main_chain[similar] for similar in similar_indexes(index))
        vertex.parent_balls = tuple(sorted(_ball(parent) for parent in vertex.parents))
        vertex.ball = ball_hash(
            vertex.hash,
            list(vertex.parent_balls),
            sorted(_ball(skipped) for skipped in vertex.skiplist),
            vertex.sequence is Sequence.FINAL_BAD,
        )
        vertex.is_stable = True
        for author in vertex.authors:
            del self._unstable_units[author][vertex.hash]
            self._stable_units.setdefault(author, []).append(vertex)

    def unstable_units_of(self, address: str) -> list[Vertex]:
        """What an address wrote and is not stable yet, in order of arrival."""
        return list(self._unstable_units.get(address, {}).values())

    def competitors(self, address: str, parents: tuple[Vertex, ...]) -> list[Vertex]:
        """Living units of an address that a new unit of it, with the given parents, fails to include."""
        seen_index = _latest_included_index(parents)
        candidates = self.unstable_units_of(address)
        for vertex in reversed(self._stable_units.get(address, [])):
            if (vertex.main_chain_index or 0) <= seen_index:
                break
            candidates.append(vertex)
        return [
            vertex
            for vertex in candidates
            if vertex.sequence is not Sequence.FINAL_BAD and not self.includes(parents, vertex)
        ]

    def stable_competitors(self, vertex: Vertex) -> list[Vertex]:
        """Stable good units of the same author beside a unit that is just becoming stable (ocore)."""
        rivals = []
        for author in vertex.authors:
            for rival in reversed(self._stable_units.get(author, [])):
                if (rival.main_chain_index or 0) <= vertex.latest_included_index:
                    break
                if rival.sequence is Sequence.GOOD:
                    rivals += self.unrelated(vertex, [rival])
        return rivals

    def unrelated(self, vertex: Vertex, others: Iterable[Vertex]) -> list[Vertex]:
        """Those that share an author with a unit, while neither includes the other."""
        return [
            other
            for other in others
            if not set(other.authors).isdisjoint(vertex.authors)
            and not self.includes([other], vertex)
            and not self.includes([vertex], other)
        ]

    def _witnessed_level(self, best_parent: Vertex | None) -> int:
        vertex = self._find_majority(best_parent)
        return 0 if vertex is None else vertex.level

    def _index_newly_included(self, tip: Vertex, index: int) -> list[Vertex]:
        included, stack = [], [tip]
        while stack:
            vertex = stack.pop()
            if vertex.main_chain_index is not None:
                continue
            vertex.main_chain_index = index
            included.append(vertex)
            stack.extend(vertex.parents)
        included.sort(key=_stability_order)
        for vertex in included:
            vertex.latest_included_index = _latest_included_index(vertex.parents)
        return included


def similar_indexes(index: int) -> tuple[int, ...]:
    """The indexes of the skiplist of a main chain unit (ocore `getSimilarMcis`)."""
    similar: list[int] = []
    divisor = 10
    while index > 0 and index % divisor == 0:
        similar.append(index - divisor)
        divisor *= 10
    return tuple(similar)


def _stability_order(vertex: Vertex) -> tuple[int, str]:
    """Parents first, and the same on every node (ocore)."""
    return vertex.level, vertex.hash


def _latest_included_index(parents: Iterable[Vertex]) -> int:
    return max(
        (
            parent.main_chain_index or 0 if parent.is_on_main_chain else parent.latest_included_index
            for parent in parents
        ),
        default=-1,
    )


def _ball(vertex: Vertex) -> str:
    if vertex.ball is None:
        raise ValueError("a parent or skiplist unit is not stable yet")
    return vertex.ball
