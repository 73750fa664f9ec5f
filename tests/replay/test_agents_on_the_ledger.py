"""The local network's agents against the recorded life of real ones, from the posted trigger to the paid answer.

`tests/devnet/test_agent_traces.py` compares the rules byte for byte; here the whole ledger has to find the same
triggers, run them at the same time and in the same order, and pay with coins of its own.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest

from tests.devnet.recorded import recording, trace_names
from tests.replay.agent_on_ledger import AgentOnLedger, Happened

INPUT_BYTES = 89
"""What one coin more or fewer in an answer costs: the coins are as many as there were, but of another age."""

every_trace = pytest.mark.parametrize("name", trace_names())


@cache
def played(name: str) -> tuple[str, tuple[Happened, ...]]:
    """The agent's address and all steps of a trace."""
    trace = next(trace for trace in recording()["traces"] if trace["name"] == name)
    agent = AgentOnLedger(trace, [asset["asset"] for asset in recording()["assets"]])
    return agent.aa_address, tuple(agent.play())


def answered(name: str) -> list[Happened]:
    return [happened for happened in played(name)[1] if happened.step["result"] is not None]


def test_every_recorded_step_is_taken() -> None:
    assert sum(len(played(name)[1]) for name in trace_names()) == 597


@every_trace
def test_the_same_units_trigger_the_agent_and_the_same_bounce(name: str) -> None:
    for happened in played(name)[1]:
        result, answer = happened.step["result"], happened.answer
        assert (answer is None) == (result is None), happened.step["note"]
        if answer is not None:
            assert answer.error == result["error"], happened.step["note"]
            assert (answer.response is None) == (result["response_unit"] is None), happened.step["note"]


@every_trace
def test_the_agent_says_the_same_and_remembers_the_same(name: str) -> None:
    for happened in played(name)[1]:
        step = happened.step
        assert happened.state == step["state"], step["note"]
        assert step["storage_size"] in (None, happened.storage_size), step["note"]
    for happened in answered(name):
        assert data_of(happened) == happened.step["result"].get("data"), happened.step["note"]


def data_of(happened: Happened) -> Any:
    for message in messages_of(happened):
        if message["app"] == "data":
            return message["payload"]
    return None


def messages_of(happened: Happened) -> list[Any]:
    response = happened.answer.response if happened.answer else None
    return list(response.unit["messages"]) if response else []


def paid_by(happened: Happened, aa_address: str) -> Counter[tuple[str, str]]:
    """What an answer paid to others, by asset and address."""
    return Counter(
        {
            (message["payload"].get("asset", "base"), output["address"]): output["amount"]
            for message in messages_of(happened)
            if message["app"] == "payment"
            for output in message["payload"]["outputs"]
            if output["address"] != aa_address
        }
    )


def recorded_payments(happened: Happened, aa_address: str) -> Counter[tuple[str, str]]:
    return Counter(
        {
            (asset, payment["address"]): payment["amount"]
            for asset, payments in happened.step["result"].get("payments", {}).items()
            for payment in payments
            if payment["address"] != aa_address
        }
    )


def fees_of(happened: Happened) -> int:
    response = happened.answer.response if happened.answer else None
    return response.unit["headers_commission"] + response.unit["payload_commission"] if response else 0


@every_trace
def test_the_agent_pays_the_same_but_for_the_fees_of_its_units(name: str) -> None:
    aa_address, _ = played(name)
    for happened in answered(name):
        ours = paid_by(happened, aa_address)
        theirs = recorded_payments(happened, aa_address)
        assert ours.keys() == theirs.keys(), happened.step["note"]
        takers = {payment["address"] for payment in happened.step["result"].get("send_all", [])}
        for (asset, address), amount in theirs.items():
            if asset == "base" and address in takers:  # who gets what is left bears the fees
                assert_only_inputs_differ(ours[asset, address], amount, happened)
            else:
                assert ours[asset, address] == amount, happened.step["note"]
        fees = (happened.step["result"].get("fees") or {}).get("total_paid", 0)
        assert_only_inputs_differ(fees_of(happened), fees, happened)


@every_trace
def test_the_agent_keeps_the_same_but_for_the_fees_of_its_units(name: str) -> None:
    for happened in played(name)[1]:
        recorded = {asset: amount for asset, amount in happened.step["balances"].items() if amount}
        assert happened.balances.keys() == recorded.keys(), happened.step["note"]
        for asset, amount in recorded.items():
            if asset == "base":
                assert_only_inputs_differ(happened.balances[asset], amount, happened)
            else:
                assert happened.balances[asset] == amount, happened.step["note"]


def assert_only_inputs_differ(ours: int, theirs: int, happened: Happened) -> None:
    assert (ours - theirs) % INPUT_BYTES == 0, happened.step["note"]
    assert abs(ours - theirs) <= 3 * INPUT_BYTES, happened.step["note"]


@every_trace
def test_no_byte_and_no_token_comes_from_nowhere_or_gets_lost(name: str) -> None:
    aa_address, steps = played(name)
    before: Counter[str] = Counter()
    for happened in steps:
        kept = before + Counter(happened.step["trigger"]["outputs"])
        for (asset, _), amount in paid_by(happened, aa_address).items():
            kept[asset] -= amount
        kept["base"] -= fees_of(happened)
        assert +kept == Counter(happened.balances), happened.step["note"]
        before = Counter(happened.balances)


def test_nearly_all_payments_are_the_same_to_the_byte() -> None:
    """So that the tolerance above hides nothing."""
    same = [
        paid_by(happened, played(name)[0]) == recorded_payments(happened, played(name)[0])
        for name in trace_names()
        for happened in answered(name)
    ]
    assert same.count(True) > 0.9 * len(same)
