"""Units that the network refuses beyond the recorded ones, by a part of what it says."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from paypercall.contract import ChannelParameters
from paypercall.devnet.books import OutputKey
from paypercall.devnet.fees import oversize_fee, unit_fees
from paypercall.devnet.graph import Sequence
from paypercall.obyte.address import definition_address
from paypercall.obyte.composer import Draft
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import Unit, hash_to_sign
from tests.devnet.local_node import finished, hashed, make_key, payment, signed, sized
from tests.devnet.rejected import UNKNOWN_HASH, Stage

TRANSFER = {"unit": UNKNOWN_HASH, "message_index": 0, "output_index": 0}
ASSET_PROPERTIES = {
    "cap": 5,
    "is_private": False,
    "is_transferrable": True,
    "auto_destroy": False,
    "fixed_denominations": False,
    "issued_by_definer_only": True,
    "cosigned_by_definer": False,
    "spender_attested": False,
}


def _with_message(stage: Stage, **fields: Any) -> Unit:
    """A unit with fields of its message changed, or left out when None, and nothing else mended but the hashes."""
    unit = deepcopy(stage.pay())
    for name, value in fields.items():
        unit["messages"][0][name] = value
        if value is None:
            del unit["messages"][0][name]
    return signed(unit, stage.payer)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def _without_messages(stage: Stage) -> Unit:
    return signed({name: value for name, value in stage.pay().items() if name != "messages"}, stage.payer)


def _many_messages(stage: Stage) -> Unit:
    return stage.changed(lambda unit: unit["messages"].extend(_text("x") for _ in range(128)))


def _text(text: str) -> dict[str, Any]:
    return {"app": "text", "payload_location": "inline", "payload_hash": "", "payload": text}


def _byte_payment(unit: Unit) -> dict[str, Any]:
    payments = (message["payload"] for message in unit["messages"] if message["app"] == "payment")
    return next(payload for payload in payments if "asset" not in payload)


def _balanced(stage: Stage, unit: Unit) -> Unit:
    """A unit of the payer whose change makes up for what was changed in it."""
    unit = finished(unit, stage.payer)
    holdings = stage.local.ledger.books.holdings
    payload = _byte_payment(unit)
    spent = sum(holdings[OutputKey(**source)].amount for source in payload["inputs"])
    change = next(output for output in payload["outputs"] if output["address"] == stage.payer.address)
    change["amount"] += spent - sum(output["amount"] for output in payload["outputs"]) - unit_fees(unit)
    return finished(unit, stage.payer)


def _two_byte_payments(stage: Stage) -> Unit:
    unit = deepcopy(stage.pay())
    unit["messages"].append(deepcopy(unit["messages"][0]))
    return _balanced(stage, unit)


def _asset_unit(stage: Stage) -> Unit:
    return stage.local.compose(stage.payer, payment(make_key(9).address, 300, stage.asset))


def _many_inputs(stage: Stage) -> Unit:
    inputs = [{**TRANSFER, "output_index": number} for number in range(129)]
    unit = stage.with_payment(lambda payload: payload.update(inputs=inputs))
    return {**unit, "oversize_fee": oversize_fee(unit["headers_commission"] + unit["payload_commission"])}


def _asset_only(stage: Stage) -> Unit:
    return stage.changed(lambda unit: unit["messages"].pop(0), _asset_unit(stage))


def _asset_with_field(stage: Stage) -> Unit:
    unit = deepcopy(_asset_unit(stage))
    unit["messages"][1]["payload"]["foo"] = 1
    return _balanced(stage, unit)


def _young_asset(stage: Stage) -> Unit:
    definition = Draft(messages=({"app": "asset", "payload": ASSET_PROPERTIES},))
    asset = stage.local.node.post({"unit": stage.local.compose(stage.payer, definition)}).hash
    return stage.draft(_issue({"amount": 5, "serial_number": 1}, asset))


def _issue(source: dict[str, Any], asset: str, *more: dict[str, Any]) -> dict[str, Any]:
    inputs = [*more, {"type": "issue", **source}]
    outputs = [{"address": make_key(9).address, "amount": 5}]
    return {"app": "payment", "payload": {"asset": asset, "inputs": inputs, "outputs": outputs}}


def _outputs(*amounts: int) -> list[dict[str, Any]]:
    return [{"address": make_key(9).address, "amount": amount} for amount in amounts]


def _commission(stage: Stage) -> Unit:
    source = {"type": "headers_commission", "from_main_chain_index": 0, "to_main_chain_index": 0}
    return stage.with_payment(lambda payload: payload.update(inputs=[source]))


def _voided_input(stage: Stage) -> Unit:
    local = stage.local
    spender, winner = (
        local.compose(stage.other, payment(make_key(50).address, amount)) for amount in (900, 901)
    )
    local.node.post({"unit": spender})
    local.node.take({"unit": winner})
    local.node.favour(winner["unit"])
    local.node.settle()
    assert local.ledger.graph.vertices[spender["unit"]].sequence is Sequence.FINAL_BAD
    return stage.with_input(unit=spender["unit"])


def _input_beside(stage: Stage) -> Unit:
    """Spends what a unit gives that is not among its ancestors."""
    parents = stage.local.ledger.graph.main_chain[-1:]
    gift = stage.local.node.post({"unit": stage.pay(stage.other, 30_000, stage.payer.address)})
    key = next(
        k for k, h in stage.local.ledger.books.holdings.items() if h.vertex is gift and h.amount == 30_000
    )
    unit = stage.local.compose(stage.payer, payment(make_key(9).address, 1000), parents)
    return stage.changed(lambda unit: unit["messages"][0]["payload"]["inputs"][0].update(key._asdict()), unit)


def _answer_as_parent(stage: Stage) -> Unit:
    answer = stage.local.ledger.agents.answers[0].response
    assert answer is not None
    assert answer.last_ball is not None
    fields = {
        "parent_units": [answer.hash],
        "last_ball_unit": answer.last_ball.hash,
        "last_ball": answer.last_ball.ball,
    }
    return stage.changed(lambda unit: unit.update(fields))


def _last_ball_off_the_chain(stage: Stage) -> Unit:
    graph = stage.local.ledger.graph
    vertex = next(v for v in graph.vertices.values() if v.is_stable and not v.is_on_main_chain)
    return stage.changed(lambda unit: unit.update(last_ball_unit=vertex.hash, last_ball=vertex.ball))


def _unstable_last_ball(stage: Stage) -> Unit:
    """Refers to a unit on the main chain above which there is one witness unit only."""
    young = stage.local.pay(stage.other, make_key(9).address, 1000)
    stage.local.node.step()
    return stage.changed(lambda unit: unit.update(last_ball_unit=young.hash, last_ball=UNKNOWN_HASH))


def _same_author_twice_in_parents(stage: Stage) -> Unit:
    local = stage.local
    parents = local.ledger.graph.main_chain[-1:]
    units = [local.compose(stage.other, payment(make_key(50).address, amount), parents) for amount in (7, 8)]
    local.node.post({"unit": units[0]})
    local.node.take({"unit": units[1]})
    return stage.with_field("parent_units", sorted(unit["unit"] for unit in units))


def _with_authors(stage: Stage, *authors: dict[str, Any]) -> Unit:
    """A unit with other authors, who share nothing of its commissions."""
    unit = deepcopy(stage.pay())
    unit["tps_fee"] = 5
    unit["authors"] = list(authors)
    unit["earned_headers_commission_recipients"] = [
        {"address": stage.payer.address, "earned_headers_commission_share": 100}
    ]
    return hashed(sized(unit))


def _author(key: Key, **fields: Any) -> dict[str, Any]:
    return {"address": key.address, "authentifiers": {"r": "x"}, **fields}


def _many_authors(stage: Stage) -> Unit:
    keys = sorted((make_key(200 + number) for number in range(17)), key=lambda key: key.address)
    return _with_authors(stage, *(_author(key) for key in keys))


def _author_without_signature(stage: Stage) -> Unit:
    authors = [{"address": stage.payer.address}, _author(stage.other)]
    return _with_authors(stage, *sorted(authors, key=lambda author: str(author["address"])))


def _with_definition(stage: Stage, definition: Any, *, signer: Key | None = None) -> Unit:
    """The first unit of an account that reveals some definition."""
    unit = deepcopy(stage.pay(stage.newcomer))
    unit["authors"][0]["definition"] = definition
    unit = sized(unit)
    if signer is not None:
        unit["authors"][0]["authentifiers"] = {"r": signer.sign(hash_to_sign(unit))}
    return hashed(unit)


def _agent_payload(**fields: Any) -> dict[str, Any]:
    parameters = ChannelParameters(make_key(1).address, make_key(2).address, "base", "other", 600)
    definition = deepcopy(parameters.definition)
    definition[1].update(fields)
    return {"address": definition_address(definition), "definition": definition}


def _definition(stage: Stage, payload: Any) -> Unit:
    return stage.draft({"app": "definition", "payload": payload})


def _lookalike_agent(stage: Stage) -> Unit:
    definition = ["autonomous agent", "text"]
    return _definition(stage, {"address": definition_address(definition), "definition": definition})


def _asset_of_two(stage: Stage) -> Unit:
    unit = deepcopy(stage.draft({"app": "asset", "payload": ASSET_PROPERTIES}))
    return _of_two_authors(stage, unit)


def _of_two_authors(stage: Stage, unit: Unit) -> Unit:
    authors = [
        {"address": key.address, "authentifiers": {"r": "-" * 88}} for key in (stage.payer, stage.other)
    ]
    unit["authors"] = sorted(authors, key=lambda author: str(author["address"]))
    unit["earned_headers_commission_recipients"] = [
        {"address": stage.payer.address, "earned_headers_commission_share": 100}
    ]
    unit = finished(unit, stage.payer, stage.other)
    outputs = _byte_payment(unit)["outputs"]
    change = next(output for output in outputs if output["address"] == stage.payer.address)
    change["amount"] -= unit["headers_commission"] - 408 + 5
    unit["tps_fee"] += 5
    return finished(unit, stage.payer, stage.other)


def _issue_of_two(stage: Stage, **source: Any) -> Unit:
    issue = _issue({"amount": 5, "serial_number": 1, **source}, stage.asset)
    return _of_two_authors(stage, deepcopy(stage.draft(issue)))


def _recipients(stage: Stage, *recipients: Any) -> Unit:
    return stage.with_field("earned_headers_commission_recipients", list(recipients))


def _many_parents(stage: Stage) -> Unit:
    return stage.with_field("parent_units", sorted(b64encode(bytes([n]) * 32).decode() for n in range(17)))


OTHER_REFUSALS: dict[str, Callable[[Stage], Unit]] = {
    # form
    "no payload_commission": lambda s: {n: v for n, v in s.pay().items() if n != "payload_commission"},
    "bad oversize_fee": lambda s: s.with_field("oversize_fee", 0),
    "bad burn_fee": lambda s: s.with_field("burn_fee", -1),
    "bad max_aa_responses": lambda s: s.with_field("max_aa_responses", "1"),
    "missing or empty messages array": _without_messages,
    "too many messages": _many_messages,
    "bad payload_location": lambda s: _with_message(s, payload_location=5),
    "invalid payload_location: somewhere": lambda s: _with_message(s, payload_location="somewhere"),
    "wrong payload hash size": lambda s: _with_message(s, payload_hash="short"),
    "carries inline payloads only": lambda s: _with_message(s, payload_location="none"),
    "missing payload": lambda s: _with_message(s, payload=None),
    "unit is too deeply nested": lambda s: s.draft({"app": "data", "payload": _nested(101)}),
    "unit too large": lambda s: s.changed(lambda unit: unit["messages"].append(_text("x" * 5_000_000))),
    "wrong length of parent unit": lambda s: s.with_field("parent_units", ["short"]),
    "wrong length of last ball": lambda s: s.with_field("last_ball", "short"),
    "wrong length of last ball unit": lambda s: s.with_field("last_ball_unit", "short"),
    # the graph
    "unknown fields in recipient": lambda s: _recipients(
        s, {"address": s.payer.address, "earned_headers_commission_share": 100, "foo": 1}
    ),
    "too many parents: 17": _many_parents,
    "non-AA unit should have at least one non-AA parent": _answer_as_parent,
    "is not on MC": _last_ball_off_the_chain,
    "is not stable in view of your parents": _unstable_last_ball,
    "some addresses found more than once in parents": _same_author_twice_in_parents,
    # payments
    "unknown fields in payment message": lambda s: s.with_payment(lambda payload: payload.update(foo=1)),
    "unknown fields in payment": _asset_with_field,
    "can have only one base payment": _two_byte_payments,
    "no base payment message": _asset_only,
    "asset definition must be before last ball": _young_asset,
    "too many outputs": lambda s: s.with_payment(
        lambda payload: payload.update(outputs=_outputs(*range(1, 130)))
    ),
    "total output too large": lambda s: s.with_payment(
        lambda payload: payload.update(outputs=_outputs(8 * 10**15, 8 * 10**15))
    ),
    "too many inputs": _many_inputs,
    "pays no commissions to spend": _commission,
    "wrong unit length in payment input": lambda s: s.with_input(unit="short"),
    "no message_index in payment input": lambda s: s.with_input(message_index="0"),
    "spending a stable final-bad output": _voided_input,
    "is not in your genes": _input_beside,
    # issues
    "issue must come first": lambda s: s.with_payment(
        lambda payload: payload["inputs"].append({"type": "issue", "amount": 1, "serial_number": 1})
    ),
    "unknown fields in issue input": lambda s: s.draft(
        _issue({"amount": 5, "serial_number": 1, "foo": 1}, s.asset), key=s.local.faucet._key
    ),
    "amount must be positive": lambda s: s.draft(_issue({"amount": 0, "serial_number": 1}, s.asset)),
    "issue amount too large": lambda s: s.draft(_issue({"amount": 10**16, "serial_number": 1}, s.asset)),
    "serial_number must be positive": lambda s: s.draft(_issue({"amount": 5}, s.asset)),
    "must not put address in issue input": lambda s: s.draft(
        _issue({"amount": 5, "serial_number": 1, "address": s.payer.address}, s.asset)
    ),
    "must put address in issue input": _issue_of_two,
    "issue input address": lambda s: _issue_of_two(s, address=make_key(9).address),
    # authors
    "too many authors": _many_authors,
    "no authentifiers": _author_without_signature,
    "authentifier too long": lambda s: s.with_signature("x" * 4097),
    "bad type of definition": lambda s: _with_definition(s, {"sig": 1}),
    "AA cannot be defined in authors": lambda s: _with_definition(s, _agent_payload()["definition"]),
    "wrong definition: ": lambda s: _with_definition(s, make_key(77).definition, signer=make_key(77)),
    "expression must be 2-element array": lambda s: _with_definition(s, ["sig"]),
    "does not know the definition op": lambda s: _with_definition(s, ["hash", {"hash": "x"}]),
    "unknown fields in sig": lambda s: _with_definition(s, ["sig", {"pubkey": "x", "foo": 1}]),
    "wrong pubkey length": lambda s: _with_definition(s, ["sig", {"pubkey": "x"}]),
    # messages
    "no app": lambda s: s.draft({"app": 5, "payload": {"a": 1}}),
    "must not contain payload_uri": lambda s: s.changed(
        lambda unit: unit["messages"][0].update(payload_uri="http://example.org")
    ),
    "you don't need spend proofs": lambda s: s.changed(
        lambda unit: unit["messages"][0].update(spend_proofs=[1])
    ),
    "payload must be string": lambda s: s.draft({"app": "text", "payload": 5}),
    "payload must be a non empty object": lambda s: _definition(s, "text"),
    "unknown fields in app definition": lambda s: _definition(s, {**_agent_payload(), "foo": 1}),
    "bad definition": lambda s: _definition(s, {"address": s.payer.address}),
    "AA definition must be a 2-element array": _lookalike_agent,
    "runs channel agents only": lambda s: _definition(s, _agent_payload(messages=[1])),
    "no params in parameterized AA": lambda s: _definition(s, _agent_payload(params=5)),
    "two different addresses": lambda s: _definition(s, _agent_payload(params={"addressA": "x"})),
    "asset definition must be single-authored": _asset_of_two,
    "asset definition must be a non-empty object": lambda s: s.draft({"app": "asset", "payload": "x"}),
}
