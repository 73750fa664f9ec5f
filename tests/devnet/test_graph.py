"""The graph against a real network: recorded units must get the indexes and balls that they had there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paypercall.devnet.graph import Graph, Sequence, Vertex

RECORDINGS = Path(__file__).parents[1] / "recordings"
WITNESS = "XZ33YNFB76VTXXUGNTNHU3QSD43FSURX"


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for element in value.values():
            yield from _dicts(element)
    elif isinstance(value, list):
        for element in value:
            yield from _dicts(element)


class RealNetwork:
    """What the recordings of some sessions tell of the network that they ran on.

    Attributes:
        units: The whole units, by hash, with the index that they had in the end.
        balls: Balls, by unit.
    """

    def __init__(self, *names: str) -> None:
        self.units: dict[str, dict[str, Any]] = {}
        self.balls: dict[str, str] = {}
        for name in names:
            for line in (RECORDINGS / f"traffic-{name}.jsonl").read_text().splitlines():
                for found in _dicts(json.loads(line).get("msg")):
                    self._take(found)

    def _take(self, found: dict[str, Any]) -> None:
        unit, ball = found.get("unit"), found.get("ball")
        if isinstance(unit, dict) and "messages" in unit and "parent_units" in unit:
            self.units.setdefault(unit["unit"], {}).update(unit)
            unit = unit["unit"]
        if isinstance(unit, str) and isinstance(ball, str):
            self.balls[unit] = ball

    def stretches(self) -> Iterator[list[dict[str, Any]]]:
        """Runs of units without gaps: each has all its parents, but those of the first."""
        by_index: dict[int, list[dict[str, Any]]] = {}
        for unit in self.units.values():
            if unit.get("main_chain_index") is not None:
                by_index.setdefault(unit["main_chain_index"], []).append(unit)
        stretch: list[dict[str, Any]] = []
        for index in range(max(by_index) + 2):
            if index in by_index and by_index[index] and self._is_complete(by_index[index], by_index, index):
                stretch += by_index[index]
                continue
            if sum(unit["authors"][0]["address"] == WITNESS for unit in stretch) >= 10:
                yield stretch
            stretch = list(by_index.get(index, []))

    def _is_complete(
        self, units: list[dict[str, Any]], by_index: dict[int, list[dict[str, Any]]], index: int
    ) -> bool:
        return index - 1 in by_index and all(
            parent in self.units for unit in units for parent in unit["parent_units"]
        )


NETWORKS = {
    "bytes": RealNetwork("client", "server", "extra"),
    "asset": RealNetwork("client-asset"),
}
STRETCHES = [
    pytest.param(
        network, stretch, id=f"{name}-{stretch[0]['main_chain_index']}-{stretch[-1]['main_chain_index']}"
    )
    for name, network in NETWORKS.items()
    for stretch in network.stretches()
]


def _placeholder(index: int, ball: str | None) -> Vertex:
    """A stable witness unit from before the recording."""
    return Vertex(
        unit={"timestamp": 0},
        hash=f"placeholder {index}",
        authors=(WITNESS,),
        parents=(),
        best_parent=None,
        level=index,
        witnessed_level=max(0, index - 1),
        last_ball=None,
        is_response=False,
        sequence=Sequence.GOOD,
        latest_included_index=index - 1,
        main_chain_index=index,
        is_on_main_chain=True,
        is_stable=True,
        ball=ball,
    )


def _graph_before(first_index: int) -> Graph:
    graph = Graph((WITNESS,))
    for index in range(first_index):
        vertex = _placeholder(index, f"ball {index}")
        vertex.best_parent = graph.main_chain[-1] if graph.main_chain else None
        graph.main_chain.append(vertex)
        graph.units_by_index.append([vertex])
    graph.stable_index = first_index - 1
    return graph


def _in_order_of_parents(units: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    waiting = sorted(units, key=lambda unit: (unit["timestamp"], unit["main_chain_index"]))
    hashes = {unit["unit"] for unit in units}
    done: set[str] = set()
    while waiting:
        ready = next(u for u in waiting if all(p in done or p not in hashes for p in u["parent_units"]))
        waiting.remove(ready)
        done.add(ready["unit"])
        yield ready


def _replay(network: RealNetwork, stretch: list[dict[str, Any]]) -> dict[str, Vertex]:
    first_index = stretch[0]["main_chain_index"]
    graph = _graph_before(first_index)
    before = graph.main_chain[-1]
    vertices: dict[str, Vertex] = {}
    for unit in _in_order_of_parents(stretch):
        for name in (*unit["parent_units"], unit["last_ball_unit"]):
            graph.vertices.setdefault(name, before)
        is_response = "authentifiers" not in unit["authors"][0]
        vertex = graph.add(unit, is_response=is_response)
        vertices[vertex.hash] = vertex
        if WITNESS in vertex.authors:
            graph.extend_main_chain(vertex)
            _stabilise(graph, network)
    return vertices


def _stabilise(graph: Graph, network: RealNetwork) -> None:
    newest = graph.stable_in_view([graph.main_chain[-1]]).main_chain_index or 0
    while graph.stable_index < newest:
        graph.stable_index += 1
        for vertex in graph.units_by_index[graph.stable_index]:
            graph.give_ball(vertex)
            if any(not parent.unit.get("unit") for parent in (*vertex.parents, *vertex.skiplist)):
                vertex.ball = network.balls[vertex.hash]  # its ball hangs on one from before the recording


@pytest.mark.parametrize(("network", "stretch"), STRETCHES)
def test_recorded_units_get_the_indexes_and_balls_of_the_real_network(
    network: RealNetwork, stretch: list[dict[str, Any]]
) -> None:
    vertices = _replay(network, stretch)
    compared = 0
    for unit in stretch:
        vertex = vertices[unit["unit"]]
        if vertex.main_chain_index is not None:
            assert vertex.main_chain_index == unit["main_chain_index"]
        if vertex.is_stable and vertex.hash in network.balls:
            assert vertex.ball == network.balls[vertex.hash]
            compared += 1
    assert compared >= 5


@pytest.mark.parametrize(("network", "stretch"), STRETCHES)
def test_recorded_witness_units_refer_to_what_was_stable_in_view_of_their_parents(
    network: RealNetwork, stretch: list[dict[str, Any]]
) -> None:
    vertices = _replay(network, stretch)
    compared = 0
    for unit in stretch:
        vertex = vertices[unit["unit"]]
        if vertex.is_response or unit["last_ball_unit"] not in vertices:
            continue
        graph = Graph((WITNESS,), main_chain=[vertices[stretch[0]["unit"]]])
        assert graph.stable_in_view(vertex.parents).hash == unit["last_ball_unit"]
        compared += 1
    assert compared >= 5


def test_the_recordings_have_stretches_to_compare_with() -> None:
    assert sum(len(parameters.values[1]) for parameters in STRETCHES) > 100


def _candidate(name: str, witnessed_level: int, level: int, author: str) -> Vertex:
    vertex = _placeholder(level, None)
    vertex.hash, vertex.witnessed_level, vertex.authors = name, witnessed_level, (author,)
    return vertex


def test_the_best_parent_is_the_most_witnessed_then_the_lowest_then_the_witness_then_the_smallest() -> None:
    best_first = [
        _candidate("e", 5, 9, "user"),
        _candidate("d", 4, 6, "user"),
        _candidate("z", 4, 7, WITNESS),
        _candidate("a", 4, 7, "user"),
        _candidate("b", 4, 7, "user"),
    ]
    for position in range(len(best_first)):
        candidates = best_first[position:]
        assert Graph((WITNESS,)).best_parent(reversed(candidates)) is candidates[0]


def test_a_unit_competes_with_living_units_of_its_author_that_it_does_not_include() -> None:
    graph = Graph((WITNESS,))
    root = graph.add({"unit": "root", "authors": [{"address": WITNESS}]})
    graph.extend_main_chain(root)
    graph.give_ball(root)
    names = ("included", "beside", "voided", "another")
    for name in names:
        author = "somebody" if name == "another" else "author"
        graph.add({"unit": name, "authors": [{"address": author}], "parent_units": ["root"]})
    graph.vertices["voided"].sequence = Sequence.FINAL_BAD
    rivals = graph.competitors("author", (graph.vertices["included"],))
    assert [rival.hash for rival in rivals] == ["beside"]
