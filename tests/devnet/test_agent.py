"""The rules of the channel agent, one by one, where the recorded traces say little or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paypercall.devnet.agent import (
    BASE_AGENT,
    AgentParameters,
    AgentState,
    Closing,
    NotModelled,
    Party,
    Trigger,
)
from tests.devnet.scene import STRANGER, TIMEOUT, TOKEN, A, B, Scene, outputs, some_hash


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_first_deposit_opens_period_one(scene: Scene) -> None:
    response = scene.respond(scene.trigger(B, bytes=50_000))
    assert response.state == AgentState(period=1, event_id=2, balance_b=50_000)
    assert response.data == {
        "open": 1,
        "period": 1,
        A.address: 0,
        B.address: 50_000,
        "event_id": 1,
        "trigger_unit": scene.trigger(B).unit,
    }


def test_exactly_the_bounce_fee_is_no_deposit(scene: Scene) -> None:
    assert scene.respond(scene.trigger(B, bytes=10_000)).error == "neither case is true in messages"


def test_a_deposit_keeps_fifteen_digits_only() -> None:
    scene = Scene(TOKEN)
    scene.state = AgentState(period=1, event_id=2, balance_a=1_000_000_000_000_000)
    state = scene.respond(scene.trigger(A, tokens=1)).state
    assert state.balance_a == 1_000_000_000_000_000


def test_who_closes_starts_the_clock_at_the_time_of_the_ledger(scene: Scene) -> None:
    scene.deposit(B, 50_000)
    scene.send(B, {"close": 1, "period": 1, "transferredFromMe": 7})
    assert scene.state.closing == Closing(Party.B, scene.time, spent_by_a=0, spent_by_b=7)
    assert scene.state.closing is not None
    assert scene.state.closing.claim == 7


def test_a_node_keeps_huge_claims_as_doubles(scene: Scene) -> None:
    scene.deposit(B, 50_000)
    scene.send(
        A, {"close": 1, "period": 1, "transferredFromMe": 1e300, "sentByPeer": scene.package(B, "9e299")}
    )
    variables = scene.state.variables()
    assert (variables["spentByA"], variables["spentByB"]) == (1e300, 9e299)


def test_a_close_may_claim_more_than_was_ever_deposited(scene: Scene) -> None:
    scene.deposit(B, 50_000)
    package = scene.package(B, 10**12)
    assert not scene.send(A, {"close": 1, "period": 1, "sentByPeer": package}).is_bounced
    assert scene.state.closing is not None
    assert scene.state.closing.spent_by_b == 10**12


@pytest.mark.parametrize(
    "wait, error", [(TIMEOUT - 1, "too early"), (TIMEOUT, None)], ids=["a second early", "on the second"]
)
def test_who_closed_may_confirm_once_the_timeout_is_over(scene: Scene, wait: int, error: str | None) -> None:
    scene.deposit(B, 50_000)
    scene.send(B, {"close": 1, "period": 1})
    scene.time += wait
    assert scene.send(B, {"confirm": 1, "period": 1}).error == error


def test_the_smaller_side_gets_its_balance_and_the_bounce_fee_and_the_larger_side_the_rest(
    scene: Scene,
) -> None:
    scene.deposit(B, 100_000)
    scene.send(B, {"close": 1, "period": 1, "transferredFromMe": 30_000})
    available = scene.balance("base") + 10_000
    kept = scene.state.storage_size
    execution = scene.send(A, {"confirm": 1, "period": 1})
    assert execution.unit is not None
    fees = execution.unit["headers_commission"] + execution.unit["payload_commission"]
    assert outputs(execution) == {
        A.address: 40_000,
        B.address: available - 40_000 - fees - kept,
        scene.aa_address: kept,
    }


def test_a_confirmation_may_add_to_what_the_sender_owes(scene: Scene) -> None:
    scene.deposit(B, 100_000)
    scene.send(A, {"close": 1, "period": 1})
    execution = scene.send(B, {"confirm": 1, "period": 1, "additionalTransferredFromMe": 20_000})
    assert outputs(execution)[A.address] == 30_000


@pytest.mark.parametrize("sender", [A, B, STRANGER], ids=["the peer", "the liar", "anyone"])
def test_a_fraud_proof_pays_everything_to_whoever_sends_it(sender: Any) -> None:
    scene = Scene(TOKEN)
    scene.deposit(B, 100_000)
    proof = scene.package(B, 1)
    scene.send(B, {"close": 1, "period": 1})
    execution = scene.send(sender, {"fraud_proof": 1, "sentByPeer": proof})
    assert outputs(execution, TOKEN) == {sender.address: 100_000}
    assert set(outputs(execution)) == {sender.address, scene.aa_address}
    assert scene.state.period == 2


def test_a_package_that_shows_no_more_than_the_claim_proves_nothing(scene: Scene) -> None:
    scene.deposit(B, 100_000)
    proof = scene.package(B, 500)
    scene.send(B, {"close": 1, "period": 1, "transferredFromMe": 500})
    execution = scene.send(A, {"fraud_proof": 1, "sentByPeer": proof})
    assert execution.error == "the peer didn't lie in his favor"


def test_a_refused_deposit_comes_back_and_counts_as_an_event(scene: Scene) -> None:
    scene.deposit(B, 100_000)
    scene.send(B, {"close": 1, "period": 1})
    before = scene.state
    execution = scene.deposit(A, 60_000)
    assert outputs(execution)[A.address] == 50_000
    assert scene.state == replace(before, event_id=before.event_id + 1)


@pytest.mark.parametrize("value", [{"x": "y" * 300}, ["z"] * 200], ids=["object", "array"])
def test_a_large_object_instead_of_an_amount_is_not_modelled(scene: Scene, value: Any) -> None:
    scene.deposit(B, 100_000)
    with pytest.raises(NotModelled):
        scene.send(B, {"close": 1, "period": 1, "transferredFromMe": value})


def test_an_object_for_a_period_cannot_be_compared(scene: Scene) -> None:
    scene.deposit(B, 100_000)
    package = scene.package(B, 5, period={"x": 1})
    error = scene.send(A, {"close": 1, "period": 1, "sentByPeer": package}).error
    assert error == "objects cannot be compared with other types"


def test_amounts_too_large_to_add_bounce(scene: Scene) -> None:
    scene.deposit(B, 100_000)
    scene.send(A, {"close": 1, "period": 1, "transferredFromMe": 1.7e308})
    execution = scene.send(B, {"confirm": 1, "period": 1, "additionalTransferredFromMe": "1e308"})
    assert execution.error is None  # the two have opposite signs for either side
    scene.deposit(B, 100_000)
    scene.send(A, {"close": 1, "period": 2, "sentByPeer": scene.package(B, 1.7e308)})
    execution = scene.send(B, {"confirm": 1, "period": 2, "additionalTransferredFromMe": 1e308})
    assert execution.error == "not finite in +"


def test_the_second_agent_that_a_unit_pays_bounces(scene: Scene) -> None:
    trigger = replace(scene.trigger(B, bytes=50_000), is_second=True)
    assert scene.respond(trigger).error == "a second primary trigger from the same unit is not allowed"


def test_a_trigger_is_read_out_of_a_unit(scene: Scene) -> None:
    to_agent = {"address": scene.aa_address, "amount": 7}
    unit: dict[str, Any] = {
        "unit": some_hash("trigger"),
        "authors": [{"address": B.address}, {"address": A.address}],
        "messages": [
            {"app": "data", "payload": {"first": 1}},
            {"app": "data", "payload": {"second": 1}},
            {"app": "payment", "payload": {"asset": TOKEN, "outputs": [to_agent, to_agent]}},
            {"app": "payment", "payload": {"outputs": [to_agent, {"address": B.address, "amount": 9}]}},
        ],
    }
    trigger = Trigger.from_unit(unit, scene.aa_address, timestamp=5, main_chain_index=6)
    assert trigger == Trigger(
        unit["unit"], B.address, {TOKEN: 14, "base": 7}, {"first": 1}, timestamp=5, main_chain_index=6
    )
    assert list(trigger.outputs) == [TOKEN, "base"]


def definition(**changes: Any) -> list[Any]:
    parameters = {"addressA": A.address, "addressB": B.address, "asset": "base", "timeout": 60, "salt": "s"}
    return ["autonomous agent", {"base_aa": BASE_AGENT, "params": {**parameters, **changes}}]


def test_a_timeout_may_be_a_numeric_text() -> None:
    assert AgentParameters.from_definition(definition(timeout="60")).timeout == 60


@pytest.mark.parametrize(
    "odd",
    [
        ["sig", {"pubkey": A.public_key}],
        ["autonomous agent", {"base_aa": A.address, "params": {}}],
        ["autonomous agent", {"base_aa": BASE_AGENT}],
        ["autonomous agent", {"messages": []}],
        "autonomous agent",
        definition(addressA=B.address),
        definition(addressA=1),
        definition(addressB="B"),
        definition(asset="bytes"),
        definition(asset=False),
        definition(timeout=0.5),
        definition(timeout="soon"),
        definition(timeout=True),
    ],
    ids=repr,
)
def test_agents_that_are_no_channels_are_not_modelled(odd: Any) -> None:
    with pytest.raises(NotModelled):
        AgentParameters.from_definition(odd)
