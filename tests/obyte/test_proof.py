"""Histories from real hubs: what is proven is marked so; nothing else ever is, whatever a hub sends."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.obyte.errors import ObyteError, ProofError
from paypercall.obyte.proof import History, verify_history
from paypercall.obyte.unit import (
    headers_size,
    message_payload_hash,
    stripped_unit,
    total_payload_size,
    unit_hash,
)
from tests.obyte.hub_answers import HubAnswer, all_answers, histories, history_named, tampered_answers

NO_HASH_COVERS = ("main_chain_index", "actual_tps_fee", "oversize_fee")
UNCOVERED_FIELDS = ("payload_uri", "ball", "is_nonserial", "content_hash", "skiplist_units", "oversize_fee")
GARBAGE: tuple[Any, ...] = (None, True, 0, -1, 7, 0.5, math.nan, 10**30, "", "x", [], {}, [None], {"x": 1})


def stable(history: History) -> list[str]:
    return sorted(unit.hash for unit in history.units if unit.is_stable)


def final_bad(history: History) -> list[str]:
    return sorted(unit.hash for unit in history.units if unit.is_final_bad)


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


@pytest.mark.parametrize("answer", histories(), ids=str)
def test_a_real_history_proves_what_it_proves_to_ocore(answer: HubAnswer) -> None:
    history = verify_history(answer.response, answer.network)
    assert stable(history) == sorted(answer.verdict["proven_stable"])
    assert final_bad(history) == sorted(answer.verdict.get("proven_nonserial", []))
    unproven = sorted(unit.hash for unit in history.units if not unit.is_stable)
    assert unproven == sorted(answer.verdict["not_proven"])


def test_all_answers_are_tested() -> None:
    assert (len(all_answers()), len(histories()), len(tampered_answers())) == (216, 178, 42)


@pytest.mark.parametrize("answer", [answer for answer in all_answers() if answer.response == {}], ids=str)
def test_an_empty_answer_is_an_empty_history(answer: HubAnswer) -> None:
    assert verify_history(answer.response, answer.network) == History((), (), None)


@pytest.mark.parametrize(
    "answer", [answer for answer in all_answers() if "error" in answer.response], ids=str
)
def test_an_error_of_the_hub_is_no_history(answer: HubAnswer) -> None:
    with pytest.raises(ProofError, match="no joints"):
        verify_history(answer.response, answer.network)


def test_a_definition_that_was_masked_on_the_way_is_noticed() -> None:
    [masked] = [answer for answer in all_answers() if "payload hash" in answer.verdict.get("error", "")]
    with pytest.raises(ProofError, match="wrong payload hash"):
        verify_history(masked.response, masked.network)


@pytest.mark.parametrize("answer", tampered_answers(), ids=str)
def test_a_tampered_answer_is_refused_or_proves_no_more_than_to_ocore(answer: HubAnswer) -> None:
    history = verify_or_refuse(answer, answer.response)
    if history is None:
        return
    assert answer.verdict["ok"]
    assert set(stable(history)) <= set(answer.verdict["proven_stable"])
    assert set(final_bad(history)) == set(stable(history)) & set(answer.verdict["proven_nonserial"])


@pytest.mark.parametrize("answer", histories(), ids=str)
def test_a_history_of_another_network_is_refused(answer: HubAnswer) -> None:
    other = next(known.network for known in histories() if known.network != answer.network)
    assert verify_or_refuse(answer, answer.response)
    with pytest.raises(ProofError):
        verify_history(answer.response, other)


@pytest.mark.parametrize("answer", histories(), ids=str)
def test_parents_and_spent_units_come_first(answer: HubAnswer) -> None:
    history = verify_history(answer.response, answer.network)
    position = {unit.hash: i for i, unit in enumerate(history.units)}
    for unit in history.units:
        spent = [
            spent.get("unit")
            for message in unit.unit.get("messages", ())
            if message["app"] == "payment"
            for spent in message["payload"]["inputs"]
        ]
        for earlier in (*unit.unit.get("parent_units", ()), *spent):
            assert position.get(earlier, -1) < position[unit.hash]
    indices = [unit.main_chain_index for unit in history.units if unit.is_stable]
    assert indices == sorted(indices)


def test_verifying_changes_nothing_in_the_answer() -> None:
    answer = history_named("aa_mixed_responded")
    before = copy.deepcopy(answer.response)
    verify_history(answer.response, answer.network)
    assert answer.response == before


def test_the_last_ball_is_the_newest_one_that_a_majority_vouches_for() -> None:
    """With one provider the tip names it; with three it takes the newest two units of different providers."""
    for providers in (1, 3):
        answer = history_named("own_units_after_2_witness", providers=providers)
        history = verify_history(answer.response, answer.network)
        named = answer.response["unstable_mc_joints"][providers // 2]["unit"]["last_ball_unit"]
        index = next(
            joint["unit"]["main_chain_index"]
            for joint in answer.response["unstable_mc_joints"]
            if joint["unit"]["unit"] == named
        )
        assert history.last_ball_main_chain_index == index


def test_a_last_ball_just_below_the_shown_main_chain_has_an_index_too() -> None:
    answer = history_named("own_units_after_2_witness")
    response = copy.deepcopy(answer.response)
    chain = response["unstable_mc_joints"]
    last_ball_unit = chain[0]["unit"]["last_ball_unit"]
    hashes = [joint["unit"]["unit"] for joint in chain]
    del chain[hashes.index(last_ball_unit) :]
    expected = verify_history(answer.response, answer.network).last_ball_main_chain_index
    assert verify_history(response, answer.network).last_ball_main_chain_index == expected


def test_only_bounces_are_reported_as_such() -> None:
    answer = history_named("aa_mixed_responded")
    history = verify_history(answer.response, answer.network)
    assert len(answer.response["aa_responses"]) == 3
    assert [bounce["bounced"] for bounce in history.bounces] == [1]


def test_an_agents_unit_is_nobodys_word_until_it_is_stable() -> None:
    early = history_named("aa_after_3_witness")
    late = history_named("aa_bounced")
    response_unit = early.response["aa_responses"][0]["response_unit"]
    judged = [
        next(
            unit
            for unit in verify_history(answer.response, answer.network).units
            if unit.hash == response_unit
        )
        for answer in (early, late)
    ]
    assert [(unit.is_stable, unit.is_signature_checked) for unit in judged] == [(False, False), (True, True)]


def test_a_void_unit_is_stripped_and_final_bad() -> None:
    answer = history_named("double_spend_stable")
    history = verify_history(answer.response, answer.network)
    assert [(unit.is_final_bad, unit.is_stripped) for unit in history.units] == [(False, False), (True, True)]


def test_a_good_unit_that_arrives_stripped_is_stable_with_unknown_payments() -> None:
    answer = history_named("first_payment_3_witness")
    response = copy.deepcopy(answer.response)
    response["joints"][0]["unit"] = strip(response["joints"][0]["unit"])
    [unit] = verify_history(response, answer.network).units
    assert unit.is_stable
    assert unit.is_stripped
    assert not unit.is_final_bad


def test_a_stripped_unit_without_proof_counts_for_nothing() -> None:
    answer = history_named("first_payment_2_witness")
    response = copy.deepcopy(answer.response)
    response["joints"][0]["unit"] = strip(response["joints"][0]["unit"])
    [unit] = verify_history(response, answer.network).units
    assert (unit.is_stable, unit.is_signature_checked, unit.is_stripped) == (False, False, True)
    del response["joints"][0]["ball"]
    with pytest.raises(ProofError, match="no ball"):
        verify_history(response, answer.network)


def strip(unit: dict[str, Any]) -> dict[str, Any]:
    kept = {"unit": unit["unit"], "main_chain_index": unit["main_chain_index"]}
    return {**stripped_unit(unit), **kept}


def test_a_joint_given_twice_is_refused() -> None:
    answer = history_named("first_payment_3_witness")
    response = copy.deepcopy(answer.response)
    response["joints"] *= 2
    with pytest.raises(ProofError, match="twice"):
        verify_history(response, answer.network)


def test_a_number_that_python_tells_apart_and_the_hash_does_not_is_refused() -> None:
    answer = history_named("first_payment_3_witness")
    for disguise in (float, lambda amount: amount + 0.0):
        response = copy.deepcopy(answer.response)
        output = response["joints"][0]["unit"]["messages"][0]["payload"]["outputs"][0]
        output["amount"] = disguise(output["amount"])
        with pytest.raises(ProofError, match="not what a hub would send"):
            verify_history(response, answer.network)


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


def hash_again(joint: Any) -> None:
    """Makes all hashes and sizes of a changed unit right, as far as it still is one."""
    try:
        unit = joint["unit"]
        for message in unit.get("messages", ()):
            message["payload_hash"] = message_payload_hash(message, unit["version"])
        if "content_hash" not in unit:
            unit["headers_commission"] = headers_size(unit)
            unit["payload_commission"] = total_payload_size(unit)
        unit["unit"] = unit_hash(unit)
    except (ObyteError, KeyError, TypeError, AttributeError):
        return


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_no_json_crashes(garbage: Any) -> None:
    for response in (garbage, {"joints": [garbage], "unstable_mc_joints": [{"unit": garbage}]}):
        history = verify_or_refuse(CHANGED_ANSWERS[0], response)
        assert history is None or history.units == ()
