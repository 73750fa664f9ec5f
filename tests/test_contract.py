"""The agent as its parties see it, against the reference's addresses and the recorded life of real agents."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from paypercall.contract import (
    BOUNCE_FEE,
    ChannelParameters,
    Closed,
    Closing,
    DepositRefused,
    Opened,
    Trigger,
    TriggerKind,
    close_draft,
    confirm_draft,
    deposit_draft,
    fraud_proof_draft,
    read_definition,
    read_response,
    read_trigger,
)
from paypercall.errors import PaypercallError, Refusal, RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.obyte.canonical import json_source_string
from paypercall.obyte.composer import Draft, Output
from tests.two_sides import (
    ASSET,
    CUSTOMER,
    PAYEE,
    STRANGER,
    World,
    channel_parameters,
    refusal_code,
    signed_package,
)
from tests.vectors import Case, load_cases

Step = dict[str, Any]

AGENT = channel_parameters().aa_address


# --- parameters and addresses ----------------------------------------------------------------------------


def vector_parameters(given: dict[str, Any]) -> ChannelParameters:
    """The parameters of a case as they stand; the reference takes any false version for its default."""
    return ChannelParameters(
        given.get("addressA"),  # type: ignore[arg-type]
        given.get("addressB"),  # type: ignore[arg-type]
        given.get("asset"),  # type: ignore[arg-type]
        given.get("salt"),  # type: ignore[arg-type]
        given.get("timeout"),  # type: ignore[arg-type]
        str(given.get("version") or "1.1"),
    )


def refused_code(parameters: ChannelParameters) -> RefusalCode | None:
    try:
        parameters.check()
    except Refusal as refusal:
        return refusal_code(refusal)
    return None


def is_taken_by_the_reference(case: Case) -> bool:
    return "ok" in case["aa_address"]


def test_every_golden_channel_has_its_definition_and_its_address() -> None:
    cases = [case for case in load_cases("channel_address.json") if is_taken_by_the_reference(case)]
    assert len(cases) == 99
    for case in cases:
        parameters = vector_parameters(case["input"])
        written = json_source_string(parameters.definition)
        assert written == json_source_string(case["definition"]), case["name"]
        assert parameters.aa_address == case["aa_address"]["ok"], case["name"]


def test_what_the_reference_cannot_make_a_channel_of_is_refused() -> None:
    cases = [case for case in load_cases("channel_address.json") if not is_taken_by_the_reference(case)]
    assert len(cases) == 21
    for case in cases:
        assert refused_code(vector_parameters(case["input"])) is not None, case["name"]


def is_an_honest_channel(given: dict[str, Any]) -> bool:
    """Where we are stricter than the reference, stated a second time."""
    salt, timeout, asset = given["salt"], given.get("timeout"), given.get("asset")
    return (
        given["addressA"] != given["addressB"]
        and given["addressA"].isupper()
        and (asset == "base" or (isinstance(asset, str) and len(asset) == 44))
        and isinstance(salt, str)
        and 0 < len(salt) <= 50
        and all(" " <= letter <= "~" for letter in salt)
        and type(timeout) is int
        and timeout > 0
    )


def test_of_the_references_channels_only_those_with_odd_parameters_are_refused() -> None:
    accepted = 0
    for case in load_cases("channel_address.json"):
        if not is_taken_by_the_reference(case):
            continue
        code = refused_code(vector_parameters(case["input"]))
        expected_code = None if is_an_honest_channel(case["input"]) else RefusalCode.WRONG_PARAMETERS
        if case["input"].get("timeout", 0) == 9007199254740993:
            continue  # JavaScript cannot tell it from its neighbour, so it may be refused or not
        assert code is expected_code, case["name"]
        accepted += code is None
    assert accepted > 60


def test_parameters_are_read_back_from_the_definition_in_a_unit() -> None:
    for parameters in (channel_parameters(), channel_parameters(ASSET, timeout=1)):
        assert read_definition(parameters.definition) == parameters
        assert read_definition(json.loads(json.dumps(parameters.definition))) == parameters


@pytest.mark.parametrize(
    "definition",
    [
        None,
        [],
        {},
        "autonomous agent",
        PAYEE.definition,
        ["autonomous agent"],
        ["autonomous agent", {}],
        ["autonomous agent", {"messages": []}],
        ["autonomous agent", {"base_aa": AGENT, "params": channel_parameters().definition[1]["params"]}],
        ["autonomous agent", {**channel_parameters().definition[1], "params": {}}],
        ["autonomous agent", {**channel_parameters().definition[1], "params": None}],
        [*channel_parameters().definition, {}],
    ],
    ids=lambda definition: str(definition)[:40],
)
def test_a_definition_of_anything_else_has_no_parameters(definition: object) -> None:
    assert read_definition(definition) is None


@pytest.mark.parametrize(
    "changes",
    [{"timeout": True}, {"timeout": "600"}, {"salt": ""}, {"salt": 5}, {"addressA": CUSTOMER.address}],
    ids=str,
)
def test_a_definition_with_odd_parameters_has_none(changes: dict[str, Any]) -> None:
    kind, body = channel_parameters().definition
    assert read_definition([kind, {**body, "params": {**body["params"], **changes}}]) is None


def with_parameters(**changes: Any) -> ChannelParameters:
    fields = {
        "address_a": PAYEE.address,
        "address_b": CUSTOMER.address,
        "asset": BASE,
        "salt": "salt",
        "timeout": 600,
        "version": "1.1",
    }
    return ChannelParameters(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"salt": ""},
        {"salt": "s" * 51},
        {"salt": None},
        {"salt": 5},
        {"salt": "a\x00b"},
        {"salt": "\ud800"},
        {"salt": "\u00e9"},
        {"salt": "a\nb"},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": "600"},
        {"timeout": 600.0},
        {"timeout": True},
        {"timeout": None},
        {"asset": ""},
        {"asset": None},
        {"asset": "bytes"},
        {"asset": "BASE"},
        {"asset": ASSET[:-1]},
        {"asset": ASSET + "\n"},
        {"asset": "!" * 44},
        {"asset": "A" * 45},
        {"address_a": ""},
        {"address_a": None},
        {"address_a": PAYEE.address.lower()},
        {"address_b": PAYEE.address},
        {"address_b": CUSTOMER.address[:-1] + "="},
        {"address_a": CUSTOMER.address},
    ],
    ids=ascii,
)
def test_a_channel_with_an_odd_parameter_is_refused(changes: dict[str, Any]) -> None:
    assert refused_code(with_parameters(**changes)) is RefusalCode.WRONG_PARAMETERS


@pytest.mark.parametrize("version", ["1.0", "1.2", "2", "", None, 1.1, ["1.1"], "1.1 "])
def test_a_channel_of_an_unknown_agent_version_is_refused(version: Any) -> None:
    assert refused_code(with_parameters(version=version)) is RefusalCode.WRONG_AGENT_VERSION


def test_a_channel_with_plain_parameters_is_fine() -> None:
    assert refused_code(with_parameters()) is None
    assert refused_code(with_parameters(asset=ASSET, salt="~ " * 25, timeout=1)) is None


def test_each_parameter_changes_the_address() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"address_a": STRANGER.address},
        {"address_b": STRANGER.address},
        {"asset": ASSET},
        {"salt": "salt2"},
        {"timeout": 601},
        {"address_a": CUSTOMER.address, "address_b": PAYEE.address},
    ]
    assert len({with_parameters(**change).aa_address for change in changes}) == len(changes)


# --- the recorded life of real agents --------------------------------------------------------------------


@cache
def traces() -> list[Step]:
    text = (Path(__file__).parent / "traces" / "agent_traces.json").read_text(encoding="ascii")
    found: list[Step] = json.loads(text)["traces"]
    return found


every_trace = pytest.mark.parametrize("trace", traces(), ids=lambda trace: str(trace["name"]))


def parameters_of(trace: Step) -> ChannelParameters:
    given = trace["params"]
    return ChannelParameters(
        given["addressA"], given["addressB"], given["asset"], given["salt"], given["timeout"]
    )


def trigger_of(trace: Step, step: Step) -> Trigger | None:
    return read_trigger(parameters_of(trace), step["trigger"]["joint"]["unit"])


def answer_to(step: Step) -> Step:
    """The data of the agent's recorded answer; empty when it bounced or the unit triggered nothing."""
    return (step["result"] or {}).get("data") or {}


def paid_to(step: Step, asset: str, address: str) -> int:
    """What the agent was recorded to pay to an address."""
    payments = step["result"]["payments"].get(asset, [])
    return sum(payment["amount"] for payment in payments if payment["address"] == address)


def is_from_party(trace: Step, step: Step) -> bool:
    return step["trigger"]["address"] in (trace["params"]["addressA"], trace["params"]["addressB"])


@every_trace
def test_every_recorded_agent_has_the_address_of_its_parameters(trace: Step) -> None:
    assert parameters_of(trace).aa_address == trace["aa_address"]
    assert parameters_of(trace).definition == trace["aa_definition"]


@every_trace
def test_units_that_give_the_agent_too_few_bytes_are_no_triggers(trace: Step) -> None:
    for step in trace["steps"]:
        is_enough = step["trigger"]["outputs"].get("base", 0) >= BOUNCE_FEE
        assert (trigger_of(trace, step) is not None) == is_enough, step["note"]


@every_trace
def test_every_trigger_is_read_with_its_unit_its_sender_and_what_it_carries(trace: Step) -> None:
    for step in trace["steps"]:
        trigger = trigger_of(trace, step)
        if trigger is None:
            continue
        recorded = step["trigger"]
        assert (trigger.unit, trigger.sender) == (recorded["unit"], recorded["address"])
        assert trigger.has_data == (recorded["data"] is not None), step["note"]
        assert trigger.has_definition == recorded["carried_definition"], step["note"]


def asked_for(answer: Step) -> TriggerKind:
    """Which kind of trigger the agent gives an answer to."""
    if "closed" in answer:
        return TriggerKind.FRAUD_PROOF if "fraud_proof" in answer else TriggerKind.CONFIRM
    return TriggerKind.CLOSE if "closing" in answer else TriggerKind.DEPOSIT


@every_trace
def test_every_accepted_trigger_is_read_as_what_the_agent_took_it_for(trace: Step) -> None:
    for step in trace["steps"]:
        trigger, answer = trigger_of(trace, step), answer_to(step)
        if not answer:
            continue
        assert trigger is not None
        assert trigger.kind is asked_for(answer), step["note"]
        deposit = step["trigger"]["outputs"].get(trace["params"]["asset"], 0)
        assert trigger.amount == (deposit if trigger.kind is TriggerKind.DEPOSIT else 0), step["note"]


@every_trace
def test_every_accepted_close_is_read_with_its_period_and_its_claim(trace: Step) -> None:
    for step in trace["steps"]:
        trigger, answer = trigger_of(trace, step), answer_to(step)
        if "closing" in answer:
            assert trigger is not None
            assert trigger.owed_by_sender == int(float(answer[trigger.sender])), step["note"]
            assert trigger.period == answer["period"], step["note"]
        elif trigger is not None and trigger.kind is not TriggerKind.CLOSE:
            assert trigger.owed_by_sender == 0, step["note"]


@every_trace
def test_what_asks_the_agent_for_nothing_is_read_as_nothing(trace: Step) -> None:
    state: Step = {}
    for step in trace["steps"]:
        trigger, result = trigger_of(trace, step), step["result"] or {}
        if result.get("error") == "neither case is true in messages" and trigger is not None:
            assert trigger.kind is not TriggerKind.DEPOSIT or not is_from_party(trace, step), step["note"]
            if "close_initiated_by" in state:
                assert trigger.kind is not TriggerKind.CONFIRM, step["note"]
            elif is_from_party(trace, step):
                assert trigger.kind is not TriggerKind.CLOSE, step["note"]
        state = step["state"]


@every_trace
def test_every_answer_is_read_as_recorded(trace: Step) -> None:
    parameters = parameters_of(trace)
    address_a, address_b = parameters.address_a, parameters.address_b
    for step in trace["steps"]:
        if not (step["result"] or {}).get("response_joint"):
            continue
        unit, data = step["result"]["response_joint"]["unit"], answer_to(step)
        event = read_response(parameters, unit)
        if not data:
            assert event is None, step["note"]
            continue
        if "open" in data:
            expected: object = Opened(
                data["event_id"], data["period"], data[address_a], data[address_b], step["trigger"]["unit"]
            )
        elif "closing" in data:
            expected = Closing(
                data["event_id"],
                data["period"],
                step["trigger"]["address"],
                data[address_a],
                data[address_b],
                step["trigger"]["unit"],
                step["state"]["close_start_ts"],
            )
        elif "closed" in data:
            expected = Closed(
                data["event_id"],
                data["period"],
                data.get("fraud_proof") == 1,
                *(paid_to(step, trace["params"]["asset"], address) for address in (address_a, address_b)),
            )
        else:
            assert "refused" in data
            expected = DepositRefused(data["event_id"], step["trigger"]["unit"])
        assert event == expected, step["note"]


@every_trace
def test_the_agents_own_units_are_no_triggers(trace: Step) -> None:
    for step in trace["steps"]:
        if (step["result"] or {}).get("response_joint"):
            unit = step["result"]["response_joint"]["unit"]
            assert read_trigger(parameters_of(trace), unit) is None


@every_trace
def test_events_are_numbered_without_a_gap(trace: Step) -> None:
    answers = [answer_to(step) for step in trace["steps"]]
    numbers = [answer["event_id"] for answer in answers if answer]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("file_name", ["traffic-client.jsonl", "traffic-client-asset.jsonl"])
def test_the_unit_with_which_the_javascript_client_opens_a_channel_is_a_deposit(file_name: str) -> None:
    lines = (Path(__file__).parent / "recordings" / file_name).read_text().splitlines()
    sent = [json.loads(line)["msg"][1] for line in lines if '"post_joint"' in line]
    opening = sent[0]["params"]["unit"]
    parameters = read_definition(opening["messages"][0]["payload"]["definition"])
    assert parameters is not None
    trigger = read_trigger(parameters, opening)
    assert trigger is not None
    assert (trigger.kind, trigger.amount, trigger.has_definition) == (TriggerKind.DEPOSIT, 100_000, True)


# --- triggers and answers that were not recorded -----------------------------------------------------------


def unit_with(
    data: Any = None, amount: int = BOUNCE_FEE, sender: str = CUSTOMER.address, asset: str = BASE
) -> Step:
    payload: Step = {"outputs": [{"address": AGENT, "amount": amount}]}
    messages: list[Step] = [{"app": "payment", "payload": payload}]
    if asset != BASE:
        payload["asset"] = asset
        bytes_too = {"outputs": [{"address": AGENT, "amount": BOUNCE_FEE}]}
        messages.append({"app": "payment", "payload": bytes_too})
    if data is not None:
        messages.append({"app": "data", "payload": data})
    return {"unit": "u" * 44, "authors": [{"address": sender}], "messages": messages, "timestamp": 1}


def read(unit: Step) -> Trigger:
    trigger = read_trigger(channel_parameters(), unit)
    assert trigger is not None
    return trigger


CLOSE = {"close": 1, "period": 1, "transferredFromMe": 700}


def test_a_close_wrapped_into_lists_is_a_close_as_the_agent_reads_it() -> None:
    for data in (CLOSE, [CLOSE], [[CLOSE]]):
        trigger = read(unit_with(data))
        assert (trigger.kind, trigger.owed_by_sender, trigger.period) == (TriggerKind.CLOSE, 700, 1)
    assert read(unit_with([CLOSE, CLOSE])).kind is TriggerKind.OTHER


def test_only_the_first_data_message_counts() -> None:
    unit = unit_with({"hello": 1})
    unit["messages"].append({"app": "data", "payload": CLOSE})
    assert read(unit).kind is TriggerKind.OTHER


def test_a_fraud_proof_of_a_stranger_is_one_however_many_bytes_it_brings() -> None:
    data = {"fraud_proof": 1, "period": 1, "sentByPeer": {}}
    assert read(unit_with(data, amount=25_000, sender=STRANGER.address)).kind is TriggerKind.FRAUD_PROOF


def test_the_outputs_to_the_agent_are_added_up_and_others_are_not() -> None:
    unit = unit_with(amount=8_000)
    outputs = unit["messages"][0]["payload"]["outputs"]
    outputs += [{"address": AGENT, "amount": 9_000}, {"address": CUSTOMER.address, "amount": 50_000}]
    trigger = read(unit)
    assert (trigger.kind, trigger.amount) == (TriggerKind.DEPOSIT, 17_000)


def test_a_unit_that_pays_anybody_but_the_agent_and_its_authors_is_no_deposit_because_that_may_be_an_agent() -> (
    None
):
    """Of two agents that a unit pays, one bounces; a unit that two have signed may give change to both."""
    unit = unit_with(amount=50_000)
    outputs = unit["messages"][0]["payload"]["outputs"]
    outputs.append({"address": STRANGER.address, "amount": 1})
    assert (read(unit).kind, read(unit).amount) == (TriggerKind.OTHER, 0)
    unit["authors"].append({"address": STRANGER.address})
    assert (read(unit).kind, read(unit).amount) == (TriggerKind.DEPOSIT, 50_000)
    in_asset = {"asset": ASSET, "outputs": [{"address": PAYEE.address, "amount": 1}]}
    unit["messages"].append({"app": "payment", "payload": in_asset})
    assert read(unit).kind is TriggerKind.OTHER


@pytest.mark.parametrize(
    "limit, kind", [(0, TriggerKind.OTHER), (1, TriggerKind.DEPOSIT), (10, TriggerKind.DEPOSIT)]
)
def test_a_unit_that_pays_for_no_response_is_no_deposit(limit: int, kind: TriggerKind) -> None:
    assert read({**unit_with(amount=50_000), "max_aa_responses": limit}).kind is kind


def test_bytes_are_no_deposit_into_a_channel_of_an_asset_nor_the_asset_into_one_of_bytes() -> None:
    assert read(unit_with(amount=5_000, asset=ASSET)).kind is TriggerKind.OTHER
    in_asset = channel_parameters(ASSET)
    unit = unit_with(amount=50_000)
    unit["messages"][0]["payload"]["outputs"][0]["address"] = in_asset.aa_address
    trigger = read_trigger(in_asset, unit)
    assert trigger is not None
    assert trigger.kind is TriggerKind.OTHER


def test_the_smallest_deposit_is_one_byte_above_the_bounce_fee() -> None:
    assert read(unit_with(amount=BOUNCE_FEE + 1)).kind is TriggerKind.DEPOSIT
    assert read(unit_with(amount=BOUNCE_FEE)).kind is TriggerKind.OTHER
    assert read_trigger(channel_parameters(), unit_with(amount=BOUNCE_FEE - 1)) is None


def test_a_unit_that_arrives_stripped_of_its_messages_is_no_trigger() -> None:
    unit = unit_with()
    del unit["messages"]
    assert read_trigger(channel_parameters(), unit) is None


def test_a_definition_of_another_agent_is_not_this_ones() -> None:
    unit = unit_with(amount=50_000)
    other = channel_parameters(ASSET)
    payload = {"address": other.aa_address, "definition": other.definition}
    unit["messages"].append({"app": "definition", "payload": payload})
    assert not read(unit).has_definition


def answer_unit(data: Step) -> Step:
    return {
        "unit": "r" * 44,
        "timestamp": 1_700_000_000,
        "authors": [{"address": AGENT}],
        "messages": [{"app": "data", "payload": data}],
    }


@pytest.mark.parametrize(
    "claim", ["9007199254740992", "50000000000000000000", "1e+21", "1e+300"], ids=lambda claim: claim
)
def test_a_claim_beyond_all_reason_is_read_as_a_number_that_the_books_can_hold(claim: str) -> None:
    data = {
        "closing": 1,
        "period": 1,
        "initiated_by": CUSTOMER.address,
        PAYEE.address: 0,
        CUSTOMER.address: claim,
        "event_id": 2,
        "trigger_unit": "t" * 44,
    }
    event = read_response(channel_parameters(), answer_unit(data))
    assert isinstance(event, Closing)
    assert event.owed_by_a == 0
    assert 10**15 <= event.owed_by_b < 2**63


def test_an_answer_without_its_messages_tells_nothing() -> None:
    unit = answer_unit({})
    assert read_response(channel_parameters(), {**unit, "messages": []}) is None
    del unit["messages"]
    assert read_response(channel_parameters(), unit) is None


def test_what_anybody_else_writes_into_a_unit_is_no_answer_of_the_agent() -> None:
    answer = answer_unit({"closed": 1, "event_id": 1, "period": 50})
    assert read_response(channel_parameters(), answer) == Closed(1, 50, False, 0, 0)
    for sender in (CUSTOMER, PAYEE, STRANGER):
        for data in ({"closed": 1, "event_id": 1, "period": 50}, {"close": 1, "period": 1}, {"x": 1}):
            unit = {**answer_unit(data), "authors": [{"address": sender.address}]}
            assert read_response(channel_parameters(), unit) is None


# --- what the parties send -------------------------------------------------------------------------------


def recorded_data(trace_name: str, number: int) -> tuple[ChannelParameters, Step, Step]:
    trace = next(trace for trace in traces() if trace["name"] == trace_name)
    step = trace["steps"][number - 1]
    return parameters_of(trace), step["trigger"]["data"], step["trigger"]["outputs"]


def payload_of(draft: Draft) -> Any:
    (message,) = draft.messages
    assert message["app"] == "data"
    return message["payload"]


def outputs_of(draft: Draft, parameters: ChannelParameters) -> dict[str, int]:
    """What a draft pays the agent; each asset in one output, and nobody else."""
    amounts = {}
    for asset, outputs in draft.outputs.items():
        (output,) = outputs
        assert output.address == parameters.aa_address
        amounts[asset] = output.amount
    return amounts


@pytest.mark.parametrize("asset", ["base", "asset"])
def test_our_commands_are_those_that_a_real_agent_honoured(asset: str) -> None:
    name = f"open_refill_close_two_periods_{asset}"
    parameters, data, outputs = recorded_data(name, 5)
    package = json.dumps(data["sentByPeer"])
    close = close_draft(parameters, period=1, transferred_from_me=7_000, sent_by_peer=package)
    assert payload_of(close) == data
    assert outputs_of(close, parameters) == outputs == {BASE: BOUNCE_FEE}
    parameters, data, _ = recorded_data(name, 6)
    assert payload_of(confirm_draft(parameters, period=1, additional_transferred_from_me=0)) == data
    parameters, data, outputs = recorded_data(name, 10)
    confirm = confirm_draft(parameters, period=2, additional_transferred_from_me=2_500)
    assert payload_of(confirm) == data
    assert outputs_of(confirm, parameters) == outputs
    parameters, data, _ = recorded_data(name, 11)
    assert payload_of(close_draft(parameters, period=3, transferred_from_me=0, sent_by_peer=None)) == data
    parameters, data, outputs = recorded_data(f"fraud_proof_by_peer_{asset}", 41)
    proof = fraud_proof_draft(parameters, period=5, sent_by_peer=json.dumps(data["sentByPeer"]))
    assert payload_of(proof) == data
    assert outputs_of(proof, parameters) == outputs


@pytest.mark.parametrize("asset", ["base", "asset"])
def test_our_deposits_are_those_that_a_real_agent_took(asset: str) -> None:
    name = f"open_refill_close_two_periods_{asset}"
    trace = next(trace for trace in traces() if trace["name"] == name)
    parameters, _, outputs = recorded_data(name, 1)
    opening = deposit_draft(parameters, 100_000, with_definition=True)
    assert outputs_of(opening, parameters) == outputs
    unit = trace["steps"][0]["trigger"]["joint"]["unit"]
    recorded = next(message for message in unit["messages"] if message["app"] == "definition")
    (definition,) = opening.messages
    assert definition == {"app": "definition", "payload": recorded["payload"]}
    _, _, outputs = recorded_data(name, 2)
    refill = deposit_draft(parameters, 50_000, with_definition=False)
    assert (refill.messages, outputs_of(refill, parameters)) == ((), outputs)


def test_every_trigger_of_ours_asks_for_one_answer_only() -> None:
    parameters = channel_parameters()
    drafts = [
        deposit_draft(parameters, 50_000, with_definition=True),
        close_draft(parameters, period=1, transferred_from_me=0, sent_by_peer=None),
        confirm_draft(parameters, period=1, additional_transferred_from_me=0),
        fraud_proof_draft(parameters, period=1, sent_by_peer=json.dumps(signed_package(5))),
    ]
    assert {draft.max_aa_responses for draft in drafts} == {1}


def test_a_draft_says_nothing_of_what_is_not_owed() -> None:
    parameters = channel_parameters()
    close = close_draft(parameters, period=4, transferred_from_me=0, sent_by_peer=None)
    assert payload_of(close) == {"close": 1, "period": 4}
    confirm = confirm_draft(parameters, period=4, additional_transferred_from_me=0)
    assert payload_of(confirm) == {"confirm": 1, "period": 4}


@pytest.mark.parametrize("asset", [BASE, ASSET])
def test_the_agent_takes_a_whole_period_of_our_drafts(asset: str) -> None:
    world = World(channel_parameters(asset))
    world.deposit(world.customer, 100_000)
    world.deposit(world.payee, 20_000)
    world.payee.verify(world.customer.pay(40_000))
    world.customer.verify(world.payee.pay(5_000))
    payout = world.settle(world.payee)
    assert not payout.is_fraud_proven
    assert world.ledger.bounced == []
    assert world.ledger.is_balanced()


def test_reading_our_own_drafts_gives_back_what_they_say() -> None:
    world = World()
    deposit = deposit_draft(world.parameters, 50_000, with_definition=True)
    close = close_draft(world.parameters, period=3, transferred_from_me=70, sent_by_peer=None)
    confirm = confirm_draft(world.parameters, period=3, additional_transferred_from_me=7)
    proof = fraud_proof_draft(world.parameters, period=3, sent_by_peer=json.dumps(signed_package(5)))
    triggers = [
        read_trigger(world.parameters, world.ledger.compose(PAYEE.address, draft))
        for draft in (deposit, close, confirm, proof)
    ]
    assert [(t.kind, t.amount, t.period, t.owed_by_sender, t.has_definition) for t in triggers if t] == [
        (TriggerKind.DEPOSIT, 50_000, None, 0, True),
        (TriggerKind.CLOSE, 0, 3, 70, False),
        (TriggerKind.CONFIRM, 0, 3, 0, False),
        (TriggerKind.FRAUD_PROOF, 0, 3, 0, False),
    ]


def test_an_output_is_what_it_says() -> None:
    draft = deposit_draft(channel_parameters(ASSET), 7, with_definition=False)
    agent = channel_parameters(ASSET).aa_address
    assert draft.outputs == {BASE: (Output(agent, BOUNCE_FEE),), ASSET: (Output(agent, 7),)}


def test_every_refusal_of_parameters_is_one_of_our_errors() -> None:
    for version in ("1.0", None):
        with pytest.raises(PaypercallError, match="version"):
            with_parameters(version=version).check()
