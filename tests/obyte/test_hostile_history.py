"""Histories that a hub broke, mixed up or invented: refused, or proving no more than before.

Nothing but a refusal with a reason may come of them, however they are malformed.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.obyte.errors import ProofError
from paypercall.obyte.proof import History, verify_history
from tests.obyte.hub_answers import (
    HubAnswer,
    final_bad,
    hash_again,
    history_named,
    stable,
    tampered_answers,
)

NO_HASH_COVERS = ("main_chain_index", "actual_tps_fee", "oversize_fee")
UNCOVERED_FIELDS = ("payload_uri", "ball", "is_nonserial", "content_hash", "skiplist_units", "oversize_fee")
GARBAGE: tuple[Any, ...] = (None, True, 0, -1, 7, 0.5, math.nan, 10**30, "", "x", [], {}, [None], {"x": 1})


def contents(history: History) -> dict[str, tuple[str, bool]]:
    """The stable units by hash: the text of what hashes cover, and whether the unit is void."""
    covered = {}
    for unit in history.units:
        if unit.is_stable:
            fields = {name: value for name, value in unit.unit.items() if name not in NO_HASH_COVERS}
            covered[unit.hash] = (json.dumps(fields, sort_keys=True), unit.is_final_bad)
    return covered


def verify_or_refuse(answer: HubAnswer, response: Any) -> History | None:
    """Verifies an answer that may be wrong; whatever is no history must be a refusal with a reason."""
    try:
        return verify_history(response, answer.network)
    except ProofError as error:
        refusal = error
    assert str(refusal)
    return None


def refuses_or_proves_no_more(answer: HubAnswer, response: Any) -> bool:
    """Verifies a changed answer; tells whether it was refused."""
    history = verify_or_refuse(answer, response)
    if history is None:
        return True
    honest = contents(verify_history(answer.response, answer.network))
    assert contents(history).items() <= honest.items()
    return False


@pytest.mark.parametrize("answer", tampered_answers(), ids=str)
def test_a_tampered_answer_is_refused_or_proves_no_more_than_to_ocore(answer: HubAnswer) -> None:
    history = verify_or_refuse(answer, answer.response)
    if history is None:
        return
    assert answer.verdict["ok"]
    assert set(stable(history)) <= set(answer.verdict["proven_stable"])
    assert set(final_bad(history)) == set(stable(history)) & set(answer.verdict["proven_nonserial"])


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "garbage",
    [*GARBAGE, b"{}", {1: 2}, {"joints": nested(100_000)}, nested(100_000), {"joints": {1, 2}}, object()],
    ids=lambda garbage: type(garbage).__name__,
)
def test_garbage_is_refused(garbage: Any) -> None:
    answer = history_named("first_payment_3_witness")
    if garbage == {}:
        return
    with pytest.raises(ProofError):
        verify_history(garbage, answer.network)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, (dict, list)):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from paths(value[key], (*path, key))


def find(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("name", ["first_payment_3_witness", "nonserial_stable", "aa_after_4_witness"])
def test_no_wrong_type_anywhere_crashes_or_proves_more(name: str) -> None:
    answer = history_named(name)
    response = copy.deepcopy(answer.response)
    refusals = []
    for number, path in enumerate(paths(answer.response)):
        if not path:
            continue
        parent, key = find(response, path[:-1]), path[-1]
        kept = parent[key]
        for wrong in GARBAGE[number % 3 :: 3]:
            parent[key] = wrong
            refusals.append(refuses_or_proves_no_more(answer, response))
        parent[key] = kept
    assert refusals.count(True) > refusals.count(False)


@pytest.mark.parametrize(
    "name", ["first_payment_3_witness", "nonserial_stable", "aa_bounced_no_response_unit"]
)
def test_no_missing_field_crashes_or_proves_more(name: str) -> None:
    answer = history_named(name)
    for path in paths(answer.response):
        if path:
            response = copy.deepcopy(answer.response)
            del find(response, path[:-1])[path[-1]]
            refuses_or_proves_no_more(answer, response)


class Change:
    """One random change of an answer, drawn piece by piece."""

    def __init__(self, data: st.DataObject, response: Any) -> None:
        self.data = data
        self.response = response
        self.paths = [path for path in paths(response) if path]

    def apply(self) -> None:
        path = self.draw_path()
        parent, key = find(self.response, path[:-1]), path[-1]
        kind = self.data.draw(st.sampled_from(("drop", "garbage", "swap", "copy", "insert", "twist")))
        if kind == "drop":
            del parent[key]
        elif kind == "garbage":
            parent[key] = self.data.draw(JSON)
        elif kind in ("swap", "copy"):
            self.exchange(parent, key, is_swap=kind == "swap")
        elif kind == "insert" and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif kind == "insert":
            parent[
                self.data.draw(st.sampled_from(("payload_uri", "ball", "is_nonserial", "content_hash")))
            ] = True
        else:
            parent[key] = self.twisted(parent[key])

    def draw_path(self) -> tuple[Any, ...]:
        return self.data.draw(st.sampled_from(self.paths))

    def exchange(self, parent: Any, key: Any, *, is_swap: bool) -> None:
        other = self.draw_path()
        other_parent, other_key = find(self.response, other[:-1]), other[-1]
        mine, theirs = copy.deepcopy(parent[key]), copy.deepcopy(other_parent[other_key])
        parent[key] = theirs
        if is_swap:
            other_parent[other_key] = mine

    def twisted(self, value: Any) -> Any:
        """The same kind of value, a little different."""
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return value + self.data.draw(st.sampled_from((-1, 1, 2**53, 0.0, -value)))
        if isinstance(value, str):
            return value[:-1] + self.data.draw(st.sampled_from(("", "A", "=", "\ud800", "\0", value[:1])))
        if isinstance(value, list):
            return value[::-1]
        return value if value is None else dict(reversed(value.items()))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
CHANGED_ANSWERS = (
    history_named("own_units_after_3_witness"),
    history_named("nonserial_stable", providers=3),
    history_named("aa_bounced"),
    history_named("asset_payment_and_data", providers=3),
    history_named("requested_joints_genesis", providers=3),
)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(CHANGED_ANSWERS), st.integers(1, 3))
def test_no_change_of_an_answer_crashes_or_proves_more(
    data: st.DataObject, answer: HubAnswer, changes: int
) -> None:
    response = copy.deepcopy(answer.response)
    change = Change(data, response)
    for _ in range(changes):
        try:
            change.apply()
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took away what this one wanted to change
    refuses_or_proves_no_more(answer, response)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(CHANGED_ANSWERS), st.integers(1, 3))
def test_no_invented_unit_crashes_or_is_proven(data: st.DataObject, answer: HubAnswer, changes: int) -> None:
    """A hub can hash what it invents: only the ball and the signature are beyond it."""
    response = copy.deepcopy(answer.response)
    change = Change(data, response["joints"])
    for _ in range(changes):
        try:
            change.apply()
        except (KeyError, IndexError, TypeError, AttributeError):
            continue
    for joint in response["joints"]:
        hash_again(joint)
    refuses_or_proves_no_more(answer, response)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_no_json_crashes(garbage: Any) -> None:
    for response in (garbage, {"joints": [garbage], "unstable_mc_joints": [{"unit": garbage}]}):
        history = verify_or_refuse(CHANGED_ANSWERS[0], response)
        assert history is None or history.units == ()
