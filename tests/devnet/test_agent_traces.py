"""The model of the channel agent against all that real agents on a real network were recorded to do."""

from __future__ import annotations

import pytest

from tests.devnet.recorded import Replayed, recording, replay, trace_names

NOT_MODELLED: frozenset[tuple[str, int]] = frozenset()
"""The recorded steps, as (trace, number), for which the model does not claim to know the answer."""

every_trace = pytest.mark.parametrize("name", trace_names())


def answered(name: str) -> list[Replayed]:
    return [replayed for replayed in replay(name) if replayed.execution is not None]


def test_the_recording_is_complete() -> None:
    traces = recording()["traces"]
    assert len(traces) == 26
    assert sum(len(trace["steps"]) for trace in traces) == 597


def test_the_model_knows_the_answer_to_every_recorded_trigger() -> None:
    passed = {
        (name, replayed.step["n"])
        for name in trace_names()
        for replayed in replay(name)
        if replayed.is_trigger and replayed.execution is None
    }
    assert passed == NOT_MODELLED


@every_trace
def test_the_same_triggers_bounce_and_for_the_same_reason(name: str) -> None:
    for replayed in answered(name):
        assert replayed.execution is not None
        assert replayed.execution.is_bounced == replayed.recorded["bounced"], replayed.step["note"]
        assert replayed.execution.error == replayed.recorded["error"], replayed.step["note"]


@every_trace
def test_the_agent_tells_the_same_data(name: str) -> None:
    for replayed in answered(name):
        assert replayed.response is not None
        assert replayed.response.data == replayed.recorded.get("data"), replayed.step["note"]


@every_trace
def test_the_agent_remembers_the_same(name: str) -> None:
    for replayed in replay(name):
        assert replayed.state.variables() == replayed.step["state"], replayed.step["note"]
        recorded_size = replayed.step["storage_size"]
        assert recorded_size is None or replayed.state.storage_size == recorded_size, replayed.step["note"]


@every_trace
def test_the_agent_pays_the_same_and_keeps_the_same(name: str) -> None:
    for replayed in answered(name):
        assert replayed.execution is not None
        paid = {}
        for message in (replayed.execution.unit or {"messages": []})["messages"]:
            if message["app"] == "payment":
                asset = message["payload"].get("asset", "base")
                paid[asset] = [
                    (output["address"], output["amount"]) for output in message["payload"]["outputs"]
                ]
        recorded = {
            asset: [(payment["address"], payment["amount"]) for payment in payments]
            for asset, payments in replayed.recorded.get("payments", {}).items()
        }
        assert paid == recorded, replayed.step["note"]
        kept = {asset: amount for asset, amount in replayed.step["balances"].items() if amount}
        assert replayed.balances == kept, replayed.step["note"]


@every_trace
def test_the_same_side_gets_all_that_is_left(name: str) -> None:
    for replayed in answered(name):
        assert replayed.response is not None
        takers = {
            (asset, payment.address)
            for asset, payments in replayed.response.payments.items()
            for payment in payments
            if payment.amount is None
            and asset in replayed.recorded["payments"]  # all of nothing is no payment
        }
        recorded = {
            (payment["asset"], payment["address"]) for payment in replayed.recorded.get("send_all", [])
        }
        assert takers == recorded, replayed.step["note"]


@every_trace
def test_the_response_units_are_the_same_to_the_byte(name: str) -> None:
    for replayed in answered(name):
        assert replayed.execution is not None
        unit = replayed.execution.unit
        recorded = replayed.recorded.get("response_joint")
        assert (unit is None) == (recorded is None), replayed.step["note"]
        if unit is not None and recorded is not None:
            assert {**unit, "actual_tps_fee": None} == recorded["unit"], replayed.step["note"]
            fees = unit["headers_commission"] + unit["payload_commission"]
            assert fees == replayed.recorded["fees"]["total_paid"], replayed.step["note"]
