"""Histories from real hubs: each proves to us what it proves to ocore, no less and no more."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.obyte.errors import ProofError
from paypercall.obyte.proof import History, verify_history
from paypercall.obyte.unit import stripped_unit
from tests.obyte.hub_answers import (
    HubAnswer,
    all_answers,
    final_bad,
    histories,
    history_named,
    stable,
    tampered_answers,
)


@pytest.mark.parametrize("answer", histories(), ids=str)
def test_a_real_history_proves_what_it_proves_to_ocore(answer: HubAnswer) -> None:
    history = verify_history(answer.response, answer.network)
    assert stable(history) == sorted(answer.verdict["proven_stable"])
    assert final_bad(history) == sorted(answer.verdict.get("proven_nonserial", []))
    unproven = sorted(unit.hash for unit in history.units if not unit.is_stable)
    assert unproven == sorted(answer.verdict["not_proven"])


CONFLICTS = [answer for answer in all_answers() if answer.sequences]


@pytest.mark.parametrize("answer", CONFLICTS, ids=str)
def test_of_units_that_conflict_no_more_is_believed_than_the_hub_knew_itself(answer: HubAnswer) -> None:
    entries = {entry.hash: entry for entry in verify_history(answer.response, answer.network).units}
    for unit, (sequence, is_stable) in answer.sequences.items():
        entry = entries.get(unit)
        if sequence == "temp-bad":
            assert entry is None or not (entry.is_stable or entry.is_final_bad)
        else:
            assert is_stable and entry is not None
            assert (entry.is_stable, entry.is_final_bad) == (True, sequence == "final-bad")


def test_of_both_networks_all_conflicts_are_tested_before_and_after_they_were_decided() -> None:
    outcomes = [sorted(answer.sequences.values()) for answer in CONFLICTS]
    undecided, decided = [("temp-bad", False)] * 2, [("final-bad", True), ("good", True)]
    assert (outcomes.count(undecided), outcomes.count(decided)) == (6, 4)
    assert len(outcomes) == 10


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


@pytest.mark.parametrize("answer", histories(), ids=str)
def test_a_history_of_another_network_is_refused(answer: HubAnswer) -> None:
    other = next(known.network for known in histories() if known.network != answer.network)
    assert verify_history(answer.response, answer.network)
    with pytest.raises(ProofError):
        verify_history(answer.response, other)


@pytest.mark.parametrize("answer", histories(), ids=str)
def test_parents_and_spent_units_come_first(answer: HubAnswer) -> None:
    history = verify_history(answer.response, answer.network)
    assert_earlier_first(history)
    indices = [unit.main_chain_index for unit in history.units if unit.is_stable]
    assert indices == sorted(indices)


def assert_earlier_first(history: History) -> None:
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


@pytest.mark.parametrize("name", ["two_own_units_unconfirmed_chained", "aa_closed", "skiplist_full"])
@settings(max_examples=20)
@given(data=st.data())
def test_the_order_of_the_units_does_not_depend_on_the_hub(name: str, data: st.DataObject) -> None:
    answer = history_named(name)
    joints = [{**joint, "unit": {**joint["unit"]}} for joint in answer.response["joints"]]
    for joint in joints:
        del joint["unit"]["main_chain_index"]
    shuffled = {**answer.response, "joints": data.draw(st.permutations(joints))}
    assert_earlier_first(verify_history(shuffled, answer.network))


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


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, None, 7, {}], ids=lambda text: repr(text)[:10])
def test_an_agents_response_that_is_no_json_text_is_refused(text: Any) -> None:
    answer = history_named("aa_bounced_no_response_unit")
    response = copy.deepcopy(answer.response)
    response["aa_responses"][0]["response"] = text
    with pytest.raises(ProofError, match="no JSON"):
        verify_history(response, answer.network)
