"""What the network takes and what it refuses, in the words of a real hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from paypercall.devnet.form import Refused
from paypercall.devnet.graph import Sequence
from paypercall.devnet.hub import _parse_float
from paypercall.devnet.validation import UnknownParents
from paypercall.obyte.address import definition_address
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.unit import hash_to_sign, sign_unit, unit_hash
from tests.devnet.local_node import LocalNode, finished, hashed, make_key, payment, sized
from tests.devnet.other_refusals import OTHER_REFUSALS
from tests.devnet.rejected import MAKERS, Stage, make_post

RECORDED = json.loads((Path(__file__).parents[1] / "traces" / "units.json").read_text())
REFUSALS = {post["name"]: post["response"]["error"] for post in RECORDED["rejected_posts"]}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    return Stage()


@pytest.fixture
def own_stage() -> Stage:
    return Stage()


def _pattern(text: str) -> str:
    """The words of a refusal without the hashes, addresses, numbers and objects of its chain."""
    text = re.sub(r"(failed to calc \w+ hash: Error: ).*", r"\1...", text)
    text = re.sub(r"passed=.*", "passed=...", text)
    text = re.sub(r"[A-Za-z0-9+/]{43}=", "HASH", text)
    text = re.sub(r"\b[A-Z2-7]{32}\b", "ADDRESS", text)
    return re.sub(r"\b\d+\b", "N", text)


def test_every_recorded_refusal_is_made_again() -> None:
    assert MAKERS.keys() == REFUSALS.keys()


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_post_is_refused_in_the_words_of_a_real_hub(name: str, stage: Stage) -> None:
    post = json.loads(json.dumps(make_post(name, stage)))
    before = dict(stage.local.ledger.graph.vertices)
    with pytest.raises(Refused) as refusal:
        stage.local.node.post(post)
    assert _pattern(str(refusal.value)) == _pattern(REFUSALS[name])
    assert stage.local.ledger.graph.vertices == before
    stage.local.node.settle()


def test_the_units_that_the_refused_ones_are_made_of_are_taken(own_stage: Stage) -> None:
    stage = own_stage
    units = (
        lambda: stage.pay(),
        lambda: stage.pay(stage.newcomer),
        lambda: stage.pay(stage.newcomer, 20_000, stage.agent),
        lambda: stage.draft({"app": "data", "payload": {"hello": 1}}),
        lambda: stage.local.compose(stage.payer, payment(make_key(9).address, 300, stage.asset)),
        lambda: stage.changed(lambda unit: None),
    )
    for make in units:
        stage.local.node.post(json.loads(json.dumps({"unit": make()})))
        stage.local.node.settle()


@pytest.mark.parametrize("error", sorted(OTHER_REFUSALS))
def test_a_post_is_refused_for_what_is_wrong_with_it(error: str, stage: Stage) -> None:
    unit = json.loads(json.dumps(OTHER_REFUSALS[error](stage)))
    with pytest.raises(Refused) as refusal:
        stage.local.node.take({"unit": unit})
    assert error in str(refusal.value)
    stage.local.node.settle()


# --- what a hub takes although it looks wrong ----------------------------------------------------


def test_an_empty_text_is_taken(stage: Stage) -> None:
    stage.local.node.post({"unit": stage.draft({"app": "text", "payload": ""})})


def test_two_equal_outputs_are_taken(stage: Stage) -> None:
    twice = (Output(make_key(9).address, 5),) * 2
    stage.local.node.post({"unit": stage.local.compose(stage.payer, Draft(outputs={"base": twice}))})


def test_data_in_an_array_is_taken(stage: Stage) -> None:
    stage.local.node.post({"unit": stage.draft({"app": "data", "payload": [{"a": 1}]})})


def test_an_unconfirmed_output_of_somebody_else_can_be_spent(own_stage: Stage) -> None:
    local = own_stage.local
    gift = own_stage.pay(own_stage.other, 50_000, make_key(20).address)
    local.node.post({"unit": gift})
    local.pay(make_key(20), make_key(21).address, 1000)
    local.node.settle()
    assert local.ledger.books.balance(make_key(21).address) == 1000


def test_an_integer_written_with_a_decimal_point_is_an_integer(stage: Stage) -> None:
    unit = stage.pay()
    amount = unit["messages"][0]["payload"]["outputs"][0]["amount"]
    text = json.dumps({"unit": unit}).replace(f'"amount": {amount}', f'"amount": {amount}.0')
    stage.local.node.post(json.loads(text, parse_float=_parse_float))


# --- several authors -----------------------------------------------------------------------------


def _two_author_unit(stage: Stage, shares: list[tuple[str, int]]) -> dict[str, Any]:
    """A payment from an output of the payer, signed by the other as well."""
    unit = deepcopy(stage.pay())
    unit["authors"] = sorted(
        ({"address": key.address, "authentifiers": {"r": "-" * 88}} for key in (stage.payer, stage.other)),
        key=lambda author: str(author["address"]),
    )
    unit["earned_headers_commission_recipients"] = [
        {"address": address, "earned_headers_commission_share": share} for address, share in shares
    ]
    unit = finished(unit, stage.payer, stage.other)
    outputs = unit["messages"][0]["payload"]["outputs"]
    change = next(output for output in outputs if output["address"] == stage.payer.address)
    change["amount"] -= unit["headers_commission"] - 408 + 5
    unit["tps_fee"] += 5
    return finished(unit, stage.payer, stage.other)


def test_a_unit_of_two_authors_is_taken_when_both_signed(own_stage: Stage) -> None:
    unit = _two_author_unit(own_stage, [(own_stage.payer.address, 100)])
    vertex = own_stage.local.node.post({"unit": unit})
    own_stage.local.node.settle()
    assert vertex.sequence is Sequence.GOOD


def test_a_unit_of_two_authors_is_refused_when_one_signature_is_anothers(own_stage: Stage) -> None:
    unit = _two_author_unit(own_stage, [(own_stage.payer.address, 100)])
    first, second = unit["authors"]
    unit["authors"] = [first, {**second, "authentifiers": first["authentifiers"]}]
    with pytest.raises(Refused, match="bad signature at path r"):
        own_stage.local.node.post({"unit": hashed(unit)})


@pytest.mark.parametrize(
    ("shares", "error"),
    [
        ([], "empty earned_headers_commission_recipients array"),
        ([("A" * 32, 50)], "sum of earned_headers_commission_share is not 100"),
        ([("A" * 32, 0)], "earned_headers_commission_share must be positive integer"),
        ([("B" * 32, 50), ("A" * 32, 50)], "recipient list must be sorted by address"),
    ],
)
def test_recipients_of_commissions_must_make_sense(
    stage: Stage, shares: list[tuple[str, int]], error: str
) -> None:
    recipients = [{"address": a, "earned_headers_commission_share": share} for a, share in shares]
    unit = stage.changed(lambda unit: unit.update(earned_headers_commission_recipients=recipients or [1]))
    with pytest.raises(Refused, match=error):
        stage.local.node.post({"unit": unit})


# --- definitions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "paths", "is_taken"),
    [
        ("and", ("r.0", "r.1"), True),
        ("and", ("r.0",), False),
        ("or", ("r.0",), True),
        ("or", ("r.1",), True),
    ],
)
def test_conditions_of_keys_are_evaluated(
    own_stage: Stage, operation: str, paths: tuple[str, ...], is_taken: bool
) -> None:
    local = own_stage.local
    keys = {"r.0": make_key(30), "r.1": make_key(31)}
    definition = [operation, [key.definition for key in keys.values()]]
    address = definition_address(definition)
    local.faucet.fund(address, 100_000)
    local.node.settle()
    template = deepcopy(own_stage.pay(own_stage.newcomer))
    (holding,) = local.ledger.books.spendable(address)
    template["messages"][0]["payload"]["inputs"] = [holding.key._asdict()]
    placeholders = dict.fromkeys(paths, "-" * 88)
    template["authors"] = [{"address": address, "authentifiers": placeholders, "definition": definition}]
    template["messages"][0]["payload"]["outputs"] = [{"address": make_key(9).address, "amount": 0}]
    unit = finished(template)
    fees = unit["headers_commission"] + unit["payload_commission"] + unit["tps_fee"]
    unit["messages"][0]["payload"]["outputs"][0]["amount"] = 100_000 - fees
    unit = _signed_at(finished(unit), {path: keys[path] for path in paths})
    if is_taken:
        local.node.post({"unit": unit})
    else:
        with pytest.raises(Refused, match="authentifier verification failed"):
            local.node.post({"unit": unit})


def _signed_at(unit: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    digest = hash_to_sign(unit)
    author = {**unit["authors"][0], "authentifiers": {path: key.sign(digest) for path, key in keys.items()}}
    unit = {**unit, "authors": [author]}
    return {**unit, "unit": unit_hash(unit)}


def test_the_definition_is_needed_until_a_unit_of_the_author_is_below_the_last_ball(own_stage: Stage) -> None:
    local, newcomer = own_stage.local, own_stage.newcomer
    first = local.pay(newcomer, make_key(9).address, 1000)
    second = local.pay(newcomer, make_key(9).address, 1000)
    assert "definition" in first.unit["authors"][0]
    assert "definition" in second.unit["authors"][0]
    local.node.settle()
    assert "definition" not in local.pay(newcomer, make_key(9).address, 1000).unit["authors"][0]


# --- agents and assets ---------------------------------------------------------------------------


def test_max_aa_responses_needs_an_agent_to_pay(stage: Stage) -> None:
    with pytest.raises(Refused, match="no outputs to AAs, max_aa_responses should not be there"):
        stage.local.node.post({"unit": stage.with_field("max_aa_responses", 1)})


def test_max_aa_responses_makes_a_trigger_cheaper(own_stage: Stage) -> None:
    local = own_stage.local
    outputs = {"base": (Output(own_stage.agent, 20_000),)}
    dear = local.compose(own_stage.newcomer, Draft(outputs=outputs))
    cheap = local.compose(own_stage.newcomer, Draft(outputs=outputs, max_aa_responses=1))
    assert dear["tps_fee"] > 10 * cheap["tps_fee"] > 0
    local.node.post({"unit": cheap})
    local.node.settle()
    assert len(local.ledger.agents.answers) == 2


def test_two_agents_in_one_unit_are_refused(own_stage: Stage) -> None:
    local = own_stage.local
    other_agent = local.open_channel(own_stage.payer, own_stage.other, 11_000).aa_address
    local.node.settle()
    outputs = {"base": (Output(own_stage.agent, 20_000), Output(other_agent, 20_000))}
    with pytest.raises(Refused, match=re.escape("more than 1 primary AA trigger (2)")):
        local.node.post({"unit": local.compose(own_stage.other, Draft(outputs=outputs))})


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"is_private": True}, "is_private is false"),
        ({"fixed_denominations": True}, "fixed_denominations is false"),
        ({"is_transferrable": False}, "is_transferrable is true"),
        ({"cap": 0}, "invalid cap"),
        ({"cap": 10**16}, "invalid cap"),
        ({"is_private": 1}, "some required fields in asset definition are missing"),
        ({"issue_condition": ["sig", {"pubkey": "x"}]}, "unknown fields in asset definition"),
    ],
)
def test_only_public_divisible_assets_can_be_defined(
    stage: Stage, change: dict[str, Any], error: str
) -> None:
    properties = {
        "cap": 5,
        "is_private": False,
        "is_transferrable": True,
        "auto_destroy": False,
        "fixed_denominations": False,
        "issued_by_definer_only": True,
        "cosigned_by_definer": False,
        "spender_attested": False,
        **change,
    }
    with pytest.raises(Refused, match=error):
        stage.local.node.post({"unit": stage.draft({"app": "asset", "payload": properties})})


def test_an_asset_can_be_issued_once_by_its_definer_only(own_stage: Stage) -> None:
    local = own_stage.local

    def issue(amount: int, number: int = 1) -> dict[str, Any]:
        payload = {
            "asset": own_stage.asset,
            "inputs": [{"type": "issue", "amount": amount, "serial_number": number}],
            "outputs": [{"address": make_key(9).address, "amount": amount}],
        }
        return {"app": "payment", "payload": payload}

    with pytest.raises(Refused, match="only definer can issue this asset"):
        local.node.post({"unit": own_stage.draft(issue(100_000))})
    key = local.faucet._key
    with pytest.raises(Refused, match="issue must be equal to cap"):
        local.node.post({"unit": own_stage.draft(issue(5), key=key)})
    with pytest.raises(Refused, match="for capped asset serial_number must be 1"):
        local.node.post({"unit": own_stage.draft(issue(100_000, 2), key=key)})
    with pytest.raises(Refused, match="conflicting divisible input in inner unit"):
        local.node.post({"unit": own_stage.draft(issue(100_000), key=key)})


def test_more_than_there_can_be_is_not_to_be_spent_at_once(own_stage: Stage) -> None:
    """An asset without a cap can be issued again and again."""
    local, payee, largest = own_stage.local, make_key(40), 9 * 10**15
    properties = {
        "is_private": False,
        "is_transferrable": True,
        "auto_destroy": False,
        "fixed_denominations": False,
        "issued_by_definer_only": True,
        "cosigned_by_definer": False,
        "spender_attested": False,
    }
    definition = own_stage.draft({"app": "asset", "payload": properties})
    asset = local.node.post({"unit": definition}).hash
    local.node.settle()
    for number in (1, 2):
        payload = {
            "asset": asset,
            "inputs": [{"type": "issue", "amount": largest, "serial_number": number}],
            "outputs": [{"address": payee.address, "amount": largest}],
        }
        local.node.post({"unit": own_stage.draft({"app": "payment", "payload": payload})})
    local.faucet.fund(payee.address, 50_000)
    local.node.settle()
    sources = [h.key._asdict() for h in local.ledger.books.spendable(payee.address) if h.asset == asset]
    unit = deepcopy(local.compose(payee, payment(make_key(9).address, largest, asset)))
    unit["messages"][1]["payload"]["inputs"] = sources
    larger = sized(unit)["payload_commission"] - unit["payload_commission"]
    unit["messages"][0]["payload"]["outputs"][0]["amount"] -= larger
    with pytest.raises(Refused, match="total input too large"):
        local.node.post({"unit": finished(unit, payee)})


def test_nobody_can_issue_bytes(stage: Stage) -> None:
    source = {"type": "issue", "amount": 5, "serial_number": 1}
    unit = stage.with_payment(lambda payload: payload.update(inputs=[source]))
    with pytest.raises(Refused, match="only genesis can issue base asset"):
        stage.local.node.post({"unit": unit})


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({"price": 1.5}, "fractional numbers not allowed in data feeds"),
        ({"price": True}, "must be string or number"),
        ({"x" * 65: 1}, "too long"),
        ({"x": "y" * 65}, "too long"),
        ({"x\n": 1}, "contains"),
        ({"x": "y\n"}, "contains"),
        ([1], "must be non-empty object"),
    ],
)
def test_data_feeds_are_flat_and_short(stage: Stage, payload: Any, error: str) -> None:
    with pytest.raises(Refused, match=error):
        stage.local.node.post({"unit": stage.draft({"app": "data_feed", "payload": payload})})


def test_messages_that_the_network_does_not_model_are_refused_by_name(stage: Stage) -> None:
    unit = stage.draft({"app": "poll", "payload": {"question": "?", "choices": ["a", "b"]}})
    with pytest.raises(Refused, match="does not carry poll messages"):
        stage.local.node.post({"unit": unit})


def test_a_large_unit_owes_an_oversize_fee(own_stage: Stage) -> None:
    data = {"app": "data", "payload": {"x": "y" * 12_000}}
    small = own_stage.draft({"app": "data", "payload": {"x": "y"}}, key=own_stage.other)
    unit = deepcopy(small)
    unit["messages"][0] = {**unit["messages"][0], **data}
    with pytest.raises(Refused, match="oversize_fee mismatch: expected"):
        own_stage.local.node.post({"unit": finished(unit, own_stage.other)})
    small["oversize_fee"] = 1
    with pytest.raises(Refused, match="zero oversize fee should be omitted"):
        own_stage.local.node.post({"unit": finished(small, own_stage.other)})


# --- passing on ----------------------------------------------------------------------------------


def test_a_unit_that_is_passed_on_needs_its_parents(stage: Stage) -> None:
    unit = stage.with_field("parent_units", ["A" * 43 + "="])
    with pytest.raises(UnknownParents):
        stage.local.node.take({"unit": unit})


def test_passing_on_a_known_unit_changes_nothing(stage: Stage) -> None:
    known = stage.local.ledger.graph.main_chain[0].unit
    assert stage.local.node.take({"unit": deepcopy(known)}) is None


@pytest.mark.parametrize(
    "joint",
    [None, [], 5, "x", {}, {"unit": None}, {"unit": []}, {"unit": {"unit": 5}}, {"unit": {"unit": "x" * 44}}],
)
def test_what_is_no_joint_is_refused(stage: Stage, joint: Any) -> None:
    with pytest.raises(Refused):
        stage.local.node.post(joint)


def test_a_unit_of_any_wrong_shape_is_refused_and_not_an_accident(stage: Stage) -> None:
    """Replaces every value inside a valid unit with values of other types."""
    original = stage.pay()
    for path in _paths(original):
        for value in (None, 0, -1, 1.5, "", "x", [], [None], {}, {"a": None}, True):
            unit = deepcopy(original)
            target: Any = unit
            for step in path[:-1]:
                target = target[step]
            target[path[-1]] = value
            for candidate in (unit, _rehashed(unit, stage)):
                if repr(candidate) == repr(original):
                    continue
                with pytest.raises((Refused, UnknownParents)):
                    stage.local.node.take({"unit": candidate})


def _rehashed(unit: dict[str, Any], stage: Stage) -> dict[str, Any]:
    try:
        return finished(unit, stage.payer)
    except (TypeError, ValueError, AttributeError, LookupError):
        return unit


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for name in value:
            yield from _paths(value[name], (*path, name))
    elif isinstance(value, list):
        for position in range(len(value)):
            yield from _paths(value[position], (*path, position))


def test_a_local_node_can_sign_for_several_authors() -> None:
    local = LocalNode()
    key = local.account(1, 50_000)
    unit = local.compose(key, payment(make_key(2).address, 1000))
    assert sign_unit(unit, key) == unit
