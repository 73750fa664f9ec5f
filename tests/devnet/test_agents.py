"""Agents on the ledger: when they answer, in which order, from which money, and what is reported of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paypercall.contract import ChannelParameters
from paypercall.devnet.agent import NotModelled
from paypercall.devnet.agents import updated_variables
from paypercall.devnet.attachment import attach
from paypercall.devnet.fees import required_tps_fee
from paypercall.devnet.graph import Vertex
from paypercall.devnet.wallets import TOTAL_BYTES
from paypercall.obyte.composer import Draft, Output
from tests.devnet.local_node import LocalNode, make_key, payment
from tests.obyte.whole_units import read_whole


def test_an_agent_answers_once_its_trigger_is_stable(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    merchant = make_key(2)
    channel = local.open_channel(customer, merchant, 100_000)
    local.node.step()
    assert not local.ledger.agents.answers
    local.node.step()
    (answer,) = local.ledger.agents.answers
    assert answer.error is None
    assert answer.response is not None
    data = next(m["payload"] for m in answer.response.unit["messages"] if m["app"] == "data")
    assert data["open"] == 1
    assert data[customer.address] == 100_000
    read_whole({"unit": answer.response.unit}, local.ledger.network)
    local.node.settle()
    assert answer.response.is_stable
    assert local.ledger.agents.known[channel.aa_address].balances == {
        "base": local.ledger.books.balance(channel.aa_address)
    }
    assert local.all_bytes() == TOTAL_BYTES


def test_a_payment_before_the_definition_triggers_nothing_but_is_the_agents(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    future = ChannelParameters(make_key(2).address, customer.address, "base", "salt", 600)
    local.pay(customer, future.aa_address, 30_000)
    local.node.settle()
    channel = local.open_channel(customer, make_key(2), 100_000)
    assert channel == future
    local.node.settle()
    assert len(local.ledger.agents.answers) == 1
    balance = local.ledger.agents.known[channel.aa_address].balances["base"]
    assert balance == local.ledger.books.balance(channel.aa_address)
    assert balance > 120_000


def test_triggers_at_one_index_run_in_the_order_of_level_and_hash(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()
    strangers = [local.account(number, 100_000) for number in range(10, 16)]
    newest = local.ledger.graph.main_chain[-1:]
    units = [local.compose(key, payment(channel.aa_address, 20_000), newest) for key in strangers]
    vertices = [local.node.post({"unit": unit}) for unit in units]
    local.node.settle()
    answers = local.ledger.agents.answers[1:]
    assert len(answers) == len(strangers)
    expected = sorted(vertices, key=lambda v: (v.main_chain_index or 0, v.level, v.hash))
    assert [answer.trigger for answer in answers] == expected
    assert all(answer.error == "neither case is true in messages" for answer in answers)
    assert local.all_bytes() == TOTAL_BYTES
    _check_parents_of_answers(local)


def _check_parents_of_answers(local: LocalNode) -> None:
    """One below the other, from the main chain unit of each index on (ocore)."""
    before = None
    for answer in local.ledger.agents.answers[1:]:
        assert answer.response is not None
        anchor = local.ledger.graph.main_chain[answer.index].hash
        if before is None:
            expected = [anchor]
        elif before.index == answer.index:
            expected = [before.response.hash]
        else:
            expected = sorted([before.response.hash, anchor])
        assert answer.response.unit["parent_units"] == expected
        before = answer


def test_a_bounced_trigger_is_sent_back_without_the_fee(local: LocalNode) -> None:
    customer, stranger = local.account(1, 500_000), local.account(3, 100_000)
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()
    before = local.ledger.books.balance(stranger.address)
    trigger = local.pay(stranger, channel.aa_address, 30_000)
    local.node.settle()
    fees = before - 30_000 - local.ledger.books.balance(stranger.address) + 20_000
    assert fees == sum(trigger.unit[name] for name in ("headers_commission", "payload_commission", "tps_fee"))


def test_an_agent_in_an_asset_pays_out_what_it_was_paid(local: LocalNode) -> None:
    asset = local.faucet.issue_asset(1_000_000)
    customer = local.account(1, 500_000)
    local.account(1, 70_000, asset=asset)
    channel = local.open_channel(customer, make_key(2), 50_000, asset)
    local.node.settle()
    assert local.ledger.books.balance(channel.aa_address, asset) == 50_000
    local.send_data(customer, channel.aa_address, {"close": 1, "period": 1})
    local.node.settle()
    local.node.advance(601)
    local.send_data(customer, channel.aa_address, {"confirm": 1, "period": 1})
    local.node.settle()
    assert local.ledger.books.balance(channel.aa_address, asset) == 0
    assert local.ledger.books.balance(customer.address, asset) == 70_000
    assert local.all_bytes() == TOTAL_BYTES


def test_the_time_that_an_agent_sees_can_be_moved(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()
    local.send_data(customer, channel.aa_address, {"close": 1, "period": 1})
    local.node.settle()
    local.send_data(customer, channel.aa_address, {"confirm": 1, "period": 1})
    local.node.settle()
    assert local.ledger.agents.answers[-1].error == "too early"
    local.node.advance(600)
    local.send_data(customer, channel.aa_address, {"confirm": 1, "period": 1})
    local.node.settle()
    assert local.ledger.agents.answers[-1].error is None
    assert local.ledger.books.balance(customer.address) > 450_000
    assert local.all_bytes() == TOTAL_BYTES


def test_an_agent_that_is_published_again_stays_what_it_was(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()
    before = local.ledger.agents.known[channel.aa_address]
    assert local.open_channel(customer, make_key(2), 50_000) == channel
    local.node.settle()
    after = local.ledger.agents.known[channel.aa_address]
    assert after is before
    assert after.state.balance_b == 150_000
    assert after.balances["base"] == local.ledger.books.balance(channel.aa_address)


def test_a_trigger_that_the_rules_do_not_model_bounces_with_their_words(
    local: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise NotModelled("too exotic")

    monkeypatch.setattr("paypercall.devnet.agents.execute", refuse)
    local.open_channel(local.account(1, 500_000), make_key(2), 100_000)
    local.node.settle()
    (answer,) = local.ledger.agents.answers
    assert answer.error == "too exotic"
    assert answer.response is None


def test_an_agent_spends_its_own_change_before_that_is_stable(local: LocalNode) -> None:
    customer, merchant = local.account(1, 900_000), local.account(2, 100_000)
    channel = local.open_channel(customer, merchant, 400_000)
    local.send_data(customer, channel.aa_address, {"close": 1, "period": 1, "transferredFromMe": 150_000})
    local.send_data(merchant, channel.aa_address, {"confirm": 1, "period": 1})
    local.node.step()
    local.node.step()
    answers = local.ledger.agents.answers
    assert [answer.error for answer in answers] == [None] * 3
    responses = [answer.response for answer in answers if answer.response is not None]
    assert len(responses) == 3
    assert not any(response.is_stable for response in responses)
    inputs = next(m["payload"]["inputs"] for m in responses[2].unit["messages"] if m["app"] == "payment")
    assert responses[1].hash in {source["unit"] for source in inputs}
    local.node.settle()
    assert local.ledger.books.balance(merchant.address) > 240_000
    assert local.all_bytes() == TOTAL_BYTES


def test_an_agent_counts_once_it_is_known_at_the_last_ball(local: LocalNode) -> None:
    customer, stranger = local.account(1, 500_000), local.account(3, 100_000)
    before = local.ledger.graph.main_chain[-1:]
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()

    def count(parents: list[Vertex] | None) -> int:
        ledger, now = local.ledger, local.node.clock.now()
        return attach(ledger, now, [stranger.address], [channel.aa_address], None, parents).count_triggers

    assert count(None) == 1
    assert count(before) == 0
    unit = local.compose(stranger, payment(channel.aa_address, 20_000), before)
    assert unit["tps_fee"] == required_tps_fee(1)
    local.node.post({"unit": unit})
    local.node.settle()
    assert len(local.ledger.agents.answers) == 2


def test_the_second_agent_that_a_unit_pays_bounces(local: LocalNode) -> None:
    """Possible only while the network does not know the agents yet: later such a unit is refused."""
    customer = local.account(1, 900_000)
    merchants = [make_key(2), make_key(5)]
    channels = [local.open_channel(customer, merchant, 50_000) for merchant in merchants]
    outputs = {"base": tuple(Output(channel.aa_address, 30_000) for channel in channels)}
    both = local.node.post({"unit": local.compose(customer, Draft(outputs=outputs))})
    local.node.settle()
    answers = [answer for answer in local.ledger.agents.answers if answer.trigger is both]
    assert [answer.agent for answer in answers] == sorted(channel.aa_address for channel in channels)
    assert answers[0].error is None
    assert answers[1].error is not None
    assert local.all_bytes() == TOTAL_BYTES


TRACES = json.loads((Path(__file__).parents[1] / "traces" / "agent_traces.json").read_text())["traces"]


def _changes(trace: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    before: dict[str, Any] = {}
    for step in trace["steps"]:
        if step.get("updated_state_vars") is not None:
            yield before, step["state"], step["updated_state_vars"]
        before = step["state"]


@pytest.mark.parametrize("trace", [pytest.param(trace, id=trace["name"]) for trace in TRACES])
def test_changes_of_the_state_are_reported_as_by_a_real_hub(trace: dict[str, Any]) -> None:
    for before, after, reported in _changes(trace):
        assert updated_variables(before, after) == reported


def test_the_traces_have_changes_to_compare_with() -> None:
    assert sum(len(list(_changes(trace))) for trace in TRACES) > 300
