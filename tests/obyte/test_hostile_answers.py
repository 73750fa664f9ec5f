"""Whatever a hub answers to the smaller questions: it is refused with an error of ours, or nothing false is believed.

Histories have `test_hostile_history.py`; here are definitions, agents and their answers, order providers and assets.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.contract import BASE_AGENTS, ChannelParameters, read_definition
from paypercall.obyte.errors import HubError, ObyteError
from paypercall.obyte.hub_answers import RESPONSES_IN_PAGE, read_index
from paypercall.obyte.keys import Key
from paypercall.obyte.light import LightClient
from paypercall.obyte.shape import is_address, is_hash
from paypercall.obyte.unit import hash_to_sign, payload_hash, unit_hash
from tests.obyte.test_agent_responses import hash_of, row
from tests.obyte.test_hostile_history import JSON, Change
from tests.obyte.test_light import ScriptedHub, asset_joint, client, recorded_cases

AGENT = ChannelParameters(Key(b"\1" * 32).address, Key(b"\2" * 32).address, "base", "salt", 3600)
LIAR = Key(b"\3" * 32)
PROVIDERS = [Key(bytes([number]) * 32).address for number in range(1, 13)]
PAGE = [row(1_000 + number, 2 * number) for number in range(RESPONSES_IN_PAGE)]


def changed(data: st.DataObject, answer: Any) -> Any:
    """An answer with something dropped, swapped, twisted or put in, or any other JSON."""
    if data.draw(st.integers(0, 4)) == 0:
        return data.draw(JSON)
    answer = copy.deepcopy(answer)
    change = Change(data, answer)
    for _ in range(data.draw(st.integers(1, 3))):
        with suppress(KeyError, IndexError, TypeError, AttributeError):
            change.apply()
    return answer


def answered(ask: Callable[[LightClient], Any], *answers: Any) -> Any:
    """What a client makes of answers, or None if it refuses one with an error of the hub."""
    try:
        return ask(client(ScriptedHub(*answers)))
    except HubError:
        return None


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_order_providers_are_addresses_whatever_is_answered(data: st.DataObject) -> None:
    providers = answered(LightClient.order_providers, changed(data, PROVIDERS))
    assert providers is None or (providers and all(map(is_address, providers)))


@settings(max_examples=200, deadline=None)
@given(JSON | st.integers(-2, 2))
def test_the_last_index_is_one_whatever_is_answered(answer: Any) -> None:
    try:
        index = read_index(answer)
    except HubError:
        return
    assert type(index) is int
    assert index >= 0


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_agent_is_known_by_its_definition_whatever_is_answered_about_agents(data: st.DataObject) -> None:
    """Nothing else of the answer counts: an address follows from the definition, or there is no channel."""
    definitions = [AGENT.definition, ["autonomous agent", {"base_aa": "X", "params": {}}]]
    rows = [{"address": AGENT.aa_address, "definition": each, "unit": hash_of(1)} for each in definitions]
    found = answered(lambda light: light.agents(BASE_AGENTS.values(), {}), changed(data, rows)) or []
    for parameters in map(read_definition, found):
        assert parameters is None or read_definition(parameters.definition) == parameters


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_an_agent_answered_are_hashes_of_units_whatever_the_pages_say(data: st.DataObject) -> None:
    pages = [changed(data, PAGE) for _ in range(3)]
    answers = answered(lambda light: light.agent_answers("AGENT"), *pages, [])
    if answers is not None:
        assert all(map(is_hash, answers.units))
        assert set(answers.later_answers) <= set(answers.units)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_assets_definition_is_the_one_of_its_hash_whatever_is_answered(data: st.DataObject) -> None:
    """Also when the hub chose the hash itself, which whoever names the asset may have been told."""
    answer = changed(data, {"joint": asset_joint()})
    assets = [asset_joint()["unit"]["unit"]]
    with suppress(ObyteError, KeyError, TypeError, AttributeError):
        assets.append(unit_hash(answer["joint"]["unit"]))
    for asset in assets:
        definition = answered(lambda light, asset=asset: light.asset_definition(asset), answer)
        if definition is not None:
            messages = answer["joint"]["unit"]["messages"]
            assert payload_hash(definition) in [message.get("payload_hash") for message in messages]
            assert unit_hash(answer["joint"]["unit"]) == asset


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_signature_is_believed_by_a_definition_of_another_address(data: st.DataObject) -> None:
    network, cases = recorded_cases()
    case = cases["double_spend_included"]
    response = copy.deepcopy(case["response"])
    [unproven] = [
        joint["unit"]
        for joint in response["joints"]
        if joint["unit"]["unit"] in case["expected"]["not_proven"]
    ]
    [author] = unproven["authors"]
    author["authentifiers"] = {"r": LIAR.sign(hash_to_sign(unproven))}
    unproven["unit"] = unit_hash(unproven)
    other = {"definition_chash": author["address"], "definition": LIAR.definition, "is_stable": True}
    hub = ScriptedHub(response, changed(data, other))
    with suppress(HubError):
        history = client(hub, network).history(["A"])
        [entry] = [entry for entry in history.units if entry.hash == unproven["unit"]]
        assert not entry.is_signature_checked


@pytest.mark.parametrize("joint", [1, None, [], {}, {"unit": {}}, {"unit": {"unit": 1}}])
def test_a_joint_that_is_not_the_first_unit_is_refused_before_anything_else_is_asked(joint: Any) -> None:
    hub = ScriptedHub(PROVIDERS)
    hub.first_joint = joint
    with pytest.raises(HubError, match="the hub gave another unit"):
        client(hub).order_providers()
    assert hub.asked == []
