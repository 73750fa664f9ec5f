"""Histories: the answers to `light/get_history`, as the light client believes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.proof import verify_history
from tests.devnet.local_channel import (
    PAYEE,
    PAYER,
    STRANGER,
    UNKNOWN_UNIT,
    channel,
    pay,
)
from tests.devnet.raw_client import RawClient

TRACES = Path(__file__).parents[1] / "traces"


def _history_errors() -> list[Any]:
    network = json.loads((TRACES / "history.json").read_text())["networks"][0]
    return [pytest.param(case, id=case["name"]) for case in network["error_cases"]]


@pytest.mark.parametrize("case", _history_errors())
def test_bad_history_requests_get_the_recorded_errors(
    client: RawClient, net: Devnet, case: dict[str, Any]
) -> None:
    network = json.loads((TRACES / "history.json").read_text())["networks"][0]["network"]
    net.fund(PAYER.address, 1000)
    request = dict(case["request"])
    if request.get("witnesses") == network["witnesses"]:
        request["witnesses"] = list(net.network.order_providers)
    if case["name"] == "err_other_witness":
        request["addresses"] = [PAYER.address]
    assert client.request("light/get_history", request) == case["response"]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("addresses", [PAYER.address] * 2001, "too many addresses"),
        ("requested_joints", [UNKNOWN_UNIT] * 2001, "too many requested joints"),
        ("known_stable_units", [UNKNOWN_UNIT] * 2001, "too many known stable units"),
    ],
)
def test_long_history_requests_are_refused(client: RawClient, field: str, value: Any, error: str) -> None:
    assert client.history(**{"addresses": [PAYER.address], field: value}) == {"error": error}


def test_nothing_to_tell_is_an_empty_object(client: RawClient, net: Devnet) -> None:
    assert client.history(addresses=[PAYER.address]) == {}
    unit = net.fund(PAYER.address, 1000)
    net.settle()
    assert client.history(addresses=[PAYER.address], known_stable_units=[unit]) == {}
    assert client.history(requested_joints=[UNKNOWN_UNIT]) == {}


def test_a_history_proves_what_is_stable_step_by_step(client: RawClient, net: Devnet) -> None:
    net.fund(PAYER.address, 100_000)
    net.settle()
    unit = client.post(PAYER, pay(PAYEE.address))["unit"]
    proven = []
    for _ in range(4):
        history = verify_history(client.history(addresses=[PAYEE.address]), net.network)
        ((vertex),) = [vertex for vertex in history.units if vertex.hash == unit]
        proven.append(vertex.is_stable)
        net.step()
    assert proven == [False, False, False, True]


def test_histories_of_everybody_are_believed_by_the_light_client(busy: RawClient, net: Devnet) -> None:
    net.settle()
    witness = net.network.order_providers[0]
    addresses = [PAYER.address, PAYEE.address, STRANGER.address, channel().aa_address, witness]
    for address in addresses:
        history = verify_history(busy.history(addresses=[address]), net.network)
        assert history.units
        if address != witness:
            assert all(unit.is_stable for unit in history.units)
    everything = verify_history(busy.history(addresses=addresses), net.network)
    assert len(everything.bounces) == 1


def test_a_history_begins_at_the_index_asked_for(busy: RawClient, net: Devnet) -> None:
    net.settle()
    indexes = [j["unit"]["main_chain_index"] for j in busy.history(addresses=[PAYER.address])["joints"]]
    assert indexes == sorted(indexes, reverse=True)
    recent = busy.history(addresses=[PAYER.address], min_mci=indexes[1])["joints"]
    assert [j["unit"]["main_chain_index"] for j in recent] == indexes[:2]


def test_a_unit_that_is_not_stable_has_an_index_already_by_which_it_can_be_left_out(
    client: RawClient, net: Devnet
) -> None:
    net.hold()
    net.fund(PAYER.address, 1000)
    [joint] = client.history(addresses=[PAYER.address])["joints"]
    index = joint["unit"]["main_chain_index"]
    assert "ball" not in joint
    assert len(client.history(addresses=[PAYER.address], min_mci=index)["joints"]) == 1
    assert client.history(addresses=[PAYER.address], min_mci=index + 1) == {}


def test_old_units_are_proven_through_the_skiplist(client: RawClient, net: Devnet) -> None:
    net.fund(PAYER.address, 1000)
    net.settle()
    for _ in range(60):
        net.fund(PAYEE.address, 1)
        net.settle()
    answer = client.history(addresses=[PAYER.address])
    assert len(answer["proofchain_balls"]) < 60
    assert any("skiplist_balls" in ball for ball in answer["proofchain_balls"])
    assert all(unit.is_stable for unit in verify_history(answer, net.network).units)
    genesis = client.history(requested_joints=[net.network.genesis_unit])
    assert verify_history(genesis, net.network).units[0].is_stable


def test_a_history_of_too_many_units_is_refused(
    client: RawClient, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.devnet.history.MAX_ITEMS", 3)
    for _ in range(4):
        net.fund(PAYER.address, 1000)
    assert "too large" in client.history(addresses=[PAYER.address])["error"]


def test_units_that_are_named_as_known_do_not_count_towards_the_limit(
    client: RawClient, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.devnet.history.MAX_ITEMS", 3)
    units = [net.fund(PAYER.address, 1000) for _ in range(6)]
    assert "too large" in client.history(addresses=[PAYER.address], known_stable_units=units[:2])["error"]
    shown = client.history(addresses=[PAYER.address], known_stable_units=units[:3])["joints"]
    assert {joint["unit"]["unit"] for joint in shown} == set(units[3:])
