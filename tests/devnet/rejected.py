"""The refused posts of `tests/traces/units.json`, made again from valid units of a local node.

Each function takes a stage with everything in place and returns what to post. The recorded posts themselves belong to
another chain, so only their names, their descriptions and the hub's words are used.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from paypercall.contract import ChannelParameters
from paypercall.devnet.attachment import attach
from paypercall.obyte.address import definition_address
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import Unit, hash_to_sign, payload_hash
from tests.devnet.local_node import LocalNode, finished, hashed, make_key, payment, signed, sized

GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
UNKNOWN_HASH = b64encode(b"x" * 32).decode()


class Stage:
    """A local node with accounts, an asset and an agent, on which every refused post can be made.

    Attributes:
        payer: Has written stable units before; owns several outputs.
        other, third: Like the payer.
        newcomer: Owns outputs, but never wrote a unit.
        agent: A channel's address, known to the ledger.
        asset: What payer owns 1,000 of.
    """

    def __init__(self) -> None:
        self.local = LocalNode()
        self.asset = self.local.faucet.issue_asset(100_000)
        self.payer = self.local.account(1, *[40_000 + n for n in range(8)])
        self.local.account(1, 1000, asset=self.asset)
        self.other = self.local.account(2, 500_000)
        self.third = self.local.account(4, 100_000)
        self.newcomer = self.local.account(3, 100_000, 100_000)
        for key in (self.payer, self.other, self.third):
            self.local.pay(key, make_key(9).address, 1000)
        self.agent = self.local.open_channel(self.other, self.payer, 100_000).aa_address
        self.local.node.settle()

    def pay(self, key: Key | None = None, amount: int = 1000, to: str | None = None) -> Unit:
        """A valid unit that pays somebody, not posted."""
        return self.local.compose(key or self.payer, payment(to or make_key(9).address, amount))

    def draft(self, *messages: dict[str, Any], key: Key | None = None, **outputs: int) -> Unit:
        """A valid unit with messages, not posted."""
        return self.local.compose(key or self.payer, Draft(messages=messages))

    def changed(self, change: Callable[[Unit], object], unit: Unit | None = None) -> Unit:
        """A unit that was changed before it was signed."""
        unit = deepcopy(unit or self.pay())
        change(unit)
        return finished(unit, self.payer)

    def with_payment(self, change: Callable[[dict[str, Any]], object]) -> Unit:
        """A unit whose payment was changed before it was signed."""
        return self.changed(lambda unit: change(unit["messages"][0]["payload"]))

    def with_output(self, **fields: Any) -> Unit:
        """A unit with an output changed before it was signed."""
        return self.with_payment(lambda payload: payload["outputs"][0].update(fields))

    def with_input(self, **fields: Any) -> Unit:
        """A unit with an input changed before it was signed."""
        return self.with_payment(lambda payload: payload["inputs"][0].update(fields))

    def with_field(self, name: str, value: Any) -> Unit:
        """A unit with another field, signed."""
        return self.changed(lambda unit: unit.update({name: value}))

    def without_field(self, name: str) -> Unit:
        """A unit without a field, signed."""
        return self.changed(lambda unit: unit.pop(name))

    def with_signature(self, signature: str, path: str = "r") -> Unit:
        """A unit with another signature, everything else right."""
        unit = deepcopy(self.pay())
        unit["authors"][0]["authentifiers"] = {path: signature}
        return hashed(sized(unit))


def _flip_last_bit(text: str) -> str:
    data = bytearray(b64decode(text))
    data[-1] ^= 1
    return b64encode(data).decode()


def _signature(unit: Unit) -> str:
    return str(unit["authors"][0]["authentifiers"]["r"])


def _bad_signature_not_rehashed(stage: Stage) -> Unit:
    unit = deepcopy(stage.pay())
    unit["authors"][0]["authentifiers"]["r"] = _flip_last_bit(_signature(unit))
    return unit


def _high_s(stage: Stage) -> Unit:
    compact = b64decode(_signature(stage.pay()))
    high = (GROUP_ORDER - int.from_bytes(compact[32:], "big")).to_bytes(32, "big")
    return stage.with_signature(b64encode(compact[:32] + high).decode())


def _no_authentifiers(stage: Stage) -> Unit:
    unit = deepcopy(stage.pay())
    del unit["authors"][0]["authentifiers"]
    return hashed(sized(unit))


def _wrong_payload_hash(stage: Stage) -> Unit:
    unit = deepcopy(stage.pay())
    unit["messages"][0]["payload_hash"] = UNKNOWN_HASH
    return signed(unit, stage.payer)


def _payload_changed(stage: Stage) -> Unit:
    unit = deepcopy(stage.pay())
    unit["messages"][0]["payload"]["outputs"][0]["amount"] += 1
    return unit


def _spent_input(stage: Stage) -> Unit:
    spent = next(
        key
        for key, users in stage.local.ledger.books.spenders.items()
        if users[0].authors == (stage.payer.address,)
    )
    return stage.with_input(**spent._asdict())


def _double_spend(stage: Stage) -> Unit:
    first, second = stage.pay(amount=1000), stage.pay(amount=2000)
    stage.local.node.post({"unit": first})
    return second


def _nonserial(stage: Stage) -> Unit:
    parents = stage.local.ledger.graph.main_chain[-1:]
    address = make_key(9).address
    stage.local.node.post({"unit": stage.local.compose(stage.payer, payment(address, 1000), parents)})
    return stage.local.compose(stage.payer, payment(address, 2000), parents)


def _known(stage: Stage) -> Unit:
    unit = stage.pay()
    stage.local.node.post({"unit": unit})
    return unit


def _without_resigning(unit: Unit, **fields: Any) -> Unit:
    """Commissions are no part of the hash, so changing them leaves the rest as it was."""
    return {**{name: value for name, value in unit.items() if name not in fields}, **fields}


def _with_fee(stage: Stage, key: Key, fee: int, to: str | None = None) -> Unit:
    """A unit that pays another TPS fee and takes it from its change."""
    unit = deepcopy(stage.pay(key, 20_000, to))
    outputs = unit["messages"][0]["payload"]["outputs"]
    change = next(output for output in outputs if output["address"] == key.address)
    change["amount"] += unit["tps_fee"] - fee
    unit["tps_fee"] = fee
    return finished(unit, key)


def _quoted_fee(stage: Stage, key: Key) -> int:
    ledger = stage.local.ledger
    return attach(ledger, stage.local.node.clock.now(), [key.address], [], None).tps_fee


def _related_parents(stage: Stage) -> Unit:
    newest = stage.local.ledger.graph.main_chain[-1]
    return stage.with_field("parent_units", sorted([newest.hash, newest.parents[0].hash]))


def _unsorted_parents(stage: Stage) -> Unit:
    parents = stage.local.ledger.graph.main_chain[-1:]
    for key in (stage.other, stage.third):
        stage.local.node.post({"unit": stage.local.compose(key, payment(make_key(9).address, 500), parents)})
    unit = stage.pay()
    return stage.changed(lambda unit: unit["parent_units"].reverse(), unit)


def _old_parent(stage: Stage) -> Unit:
    return stage.changed(lambda unit: unit.update(parent_units=[unit["last_ball_unit"]]))


def _last_ball_is_parent(stage: Stage) -> Unit:
    return stage.changed(lambda unit: unit.update(last_ball_unit=unit["parent_units"][0]))


def _old_last_ball(stage: Stage) -> Unit:
    genesis = stage.local.ledger.graph.main_chain[0]
    return stage.changed(lambda unit: unit.update(last_ball=genesis.ball, last_ball_unit=genesis.hash))


def _past_timestamp(stage: Stage) -> Unit:
    newest = stage.local.ledger.graph.main_chain[-1]
    return stage.with_field("timestamp", newest.timestamp - 1)


def _unsorted_outputs(stage: Stage) -> Unit:
    return stage.with_payment(lambda payload: payload["outputs"].reverse())


def _unsorted_amounts(stage: Stage) -> Unit:
    address = make_key(9).address

    def change(payload: dict[str, Any]) -> None:
        payload["outputs"] = [{"address": address, "amount": 2000}, {"address": address, "amount": 1000}]

    return stage.with_payment(change)


def _foreign_input(stage: Stage) -> Unit:
    (holding, *_) = stage.local.ledger.books.spendable(stage.other.address)
    return stage.with_input(**holding.key._asdict())


def _no_definition(stage: Stage) -> Unit:
    unit = deepcopy(stage.pay(stage.newcomer))
    del unit["authors"][0]["definition"]
    return finished(unit, stage.newcomer)


def _wrong_definition(stage: Stage) -> Unit:
    unit = deepcopy(stage.pay(stage.newcomer))
    unit["authors"][0]["definition"] = make_key(77).definition
    return finished(unit, stage.newcomer)


def _two_authors(stage: Stage, *, is_sorted: bool) -> Unit:
    def change(unit: Unit) -> None:
        placeholder = {"r": "-" * 88}
        authors = [
            {"address": key.address, "authentifiers": placeholder} for key in (stage.payer, stage.other)
        ]
        unit["authors"] = sorted(authors, key=lambda author: str(author["address"]), reverse=not is_sorted)
        if not is_sorted:
            unit["earned_headers_commission_recipients"] = [
                {"address": stage.payer.address, "earned_headers_commission_share": 100}
            ]

    unit = deepcopy(stage.pay())
    change(unit)
    return finished(unit, stage.payer, stage.other)


def _without_payment(stage: Stage) -> Unit:
    return stage.changed(
        lambda unit: unit["messages"].pop(), stage.draft({"app": "data", "payload": {"hello": 1}})
    )


def _with_bad_payload(stage: Stage, payload: Any) -> Unit:
    """A data message that cannot be hashed: the hash of the payload is made up."""
    unit = stage.draft({"app": "data", "payload": {"x": "placeholder"}})
    unit = deepcopy(unit)
    unit["messages"][0]["payload"] = payload
    unit["messages"][0]["payload_hash"] = UNKNOWN_HASH
    return signed(sized(unit), stage.payer)


def _with_bad_text(stage: Stage, text: str) -> Unit:
    unit = deepcopy(stage.draft({"app": "data", "payload": {"x": "placeholder"}}))
    unit["messages"][0]["payload"] = {"x": text}
    unit["messages"][0]["payload_hash"] = payload_hash({"x": text})
    return signed(sized(unit), stage.payer)


def _two_outputs_to_agent(stage: Stage) -> Unit:
    outputs = {"base": (Output(stage.agent, 11_000), Output(stage.agent, 12_000))}
    return stage.local.compose(stage.other, Draft(outputs=outputs))


def _agent_definition(
    stage: Stage, change: Callable[[dict[str, Any]], object], *, rehash: bool = True
) -> Unit:
    parameters = ChannelParameters(stage.payer.address, stage.other.address, "base", "another", 600)
    payload = {"address": parameters.aa_address, "definition": deepcopy(parameters.definition)}
    change(payload)
    if rehash:
        payload["address"] = definition_address(payload["definition"])
    return stage.draft({"app": "definition", "payload": payload})


def _asset_payment(stage: Stage, change: Callable[[Unit], object]) -> Unit:
    draft = payment(make_key(9).address, 300, stage.asset)
    return stage.changed(change, stage.local.compose(stage.payer, draft))


def _asset_input_as_bytes(stage: Stage) -> Unit:
    holding = next(
        h for h in stage.local.ledger.books.spendable(stage.payer.address) if h.asset == stage.asset
    )
    return stage.with_input(**holding.key._asdict())


def _empty_list(stage: Stage, change: Callable[[Unit], object]) -> Unit:
    """A unit that cannot be hashed keeps the hashes that it had."""
    unit = deepcopy(stage.pay())
    change(unit)
    return unit


def _bad_address(address: str) -> str:
    return address[:-1] + ("A" if address[-1] != "A" else "B")


def _rebalanced(stage: Stage, difference: int) -> Unit:
    def change(payload: dict[str, Any]) -> None:
        output = next(o for o in payload["outputs"] if o["address"] == stage.payer.address)
        output["amount"] += difference

    return stage.with_payment(change)


MAKERS: dict[str, Callable[[Stage], Any]] = {
    "bad_signature": lambda s: s.with_signature(_flip_last_bit(_signature(s.pay()))),
    "bad_signature_not_rehashed": _bad_signature_not_rehashed,
    "signature_of_another_key": lambda s: s.with_signature(make_key(77).sign(hash_to_sign(s.pay()))),
    "signature_high_s": _high_s,
    "empty_signature": lambda s: s.with_signature(""),
    "no_authentifiers": _no_authentifiers,
    "wrong_path": lambda s: s.with_signature(_signature(s.pay()), "r.0"),
    "wrong_unit_hash": lambda s: {**s.pay(), "unit": UNKNOWN_HASH},
    "short_unit_hash": lambda s: {**s.pay(), "unit": UNKNOWN_HASH[1:]},
    "wrong_payload_hash": _wrong_payload_hash,
    "payload_changed_after_signing": _payload_changed,
    "spent_input": _spent_input,
    "double_spend_of_unconfirmed": _double_spend,
    "nonserial_no_common_input": _nonserial,
    "known_unit": _known,
    "wrong_headers_commission": lambda s: _without_resigning(s.pay(), headers_commission=409),
    "wrong_payload_commission": lambda s: _without_resigning(s.pay(), payload_commission=310),
    "no_headers_commission": lambda s: {n: v for n, v in s.pay().items() if n != "headers_commission"},
    "tps_fee_zero": lambda s: _with_fee(s, s.newcomer, 0),
    "tps_fee_one_less": lambda s: _with_fee(s, s.newcomer, _quoted_fee(s, s.newcomer) - 1),
    "tps_fee_too_low_for_agent": lambda s: _with_fee(s, s.newcomer, _quoted_fee(s, s.newcomer), s.agent),
    "tps_fee_negative": lambda s: s.with_field("tps_fee", -1),
    "tps_fee_fractional": lambda s: s.with_field("tps_fee", 1.5),
    "tps_fee_string": lambda s: s.with_field("tps_fee", "1"),
    "tps_fee_missing": lambda s: s.without_field("tps_fee"),
    "tps_fee_not_balanced": lambda s: s.changed(lambda unit: unit.update(tps_fee=unit["tps_fee"] + 7)),
    "fees_not_balanced_less": lambda s: _rebalanced(s, 1),
    "fees_not_balanced_more": lambda s: _rebalanced(s, -1),
    "unknown_parent": lambda s: s.with_field("parent_units", [UNKNOWN_HASH]),
    "no_parents": lambda s: _empty_list(s, lambda unit: unit.update(parent_units=[])),
    "parents_missing": lambda s: s.without_field("parent_units"),
    "related_parents": _related_parents,
    "unsorted_parents": _unsorted_parents,
    "old_parent": _old_parent,
    "last_ball_changed": lambda s: s.with_field("last_ball", UNKNOWN_HASH),
    "last_ball_unit_unknown": lambda s: s.with_field("last_ball_unit", UNKNOWN_HASH),
    "last_ball_unit_is_unstable_parent": _last_ball_is_parent,
    "last_ball_old": _old_last_ball,
    "future_timestamp": lambda s: s.with_field("timestamp", s.local.node.clock.now() + 100),
    "past_timestamp": _past_timestamp,
    "fractional_timestamp": lambda s: s.changed(lambda unit: unit.update(timestamp=unit["timestamp"] + 0.5)),
    "string_timestamp": lambda s: s.changed(lambda unit: unit.update(timestamp=str(unit["timestamp"]))),
    "no_timestamp": lambda s: _empty_list(s, lambda unit: unit.pop("timestamp")),
    "wrong_version": lambda s: s.with_field("version", "4.0"),
    "old_version": lambda s: s.with_field("version", "3.0dev"),
    "wrong_alt": lambda s: s.with_field("alt", "1"),
    "unknown_field_in_unit": lambda s: s.with_field("foo", "bar"),
    "unknown_field_in_joint": lambda s: {"unit": s.pay(), "foo": "bar"},
    "ball_in_post": lambda s: {"unit": s.pay(), "ball": UNKNOWN_HASH},
    "unsigned_joint": lambda s: {"unit": s.pay(), "unsigned": True},
    "no_unit": lambda s: {"joint": {}}["joint"],
    "null_post": lambda s: None,
    "unit_without_hash": lambda s: {n: v for n, v in s.pay().items() if n != "unit"},
    "unknown_field_in_author": lambda s: s.changed(lambda unit: unit["authors"][0].update(foo="bar")),
    "unknown_field_in_message": lambda s: s.changed(lambda unit: unit["messages"][0].update(foo="bar")),
    "unknown_field_in_output": lambda s: s.with_output(foo="bar"),
    "unknown_field_in_input": lambda s: s.with_input(foo="bar"),
    "negative_amount": lambda s: s.with_output(amount=-1),
    "zero_amount": lambda s: s.with_output(amount=0),
    "fractional_amount": lambda s: s.with_output(amount=1.5),
    "string_amount": lambda s: s.with_output(amount="1000"),
    "huge_amount": lambda s: s.with_output(amount=10_000_000_000_000_000),
    "unsorted_outputs": _unsorted_outputs,
    "unsorted_amounts": _unsorted_amounts,
    "bad_output_address": lambda s: s.with_output(address=_bad_address(make_key(9).address)),
    "no_outputs": lambda s: _empty_list(s, lambda unit: unit["messages"][0]["payload"].update(outputs=[])),
    "foreign_input": _foreign_input,
    "unknown_input_unit": lambda s: s.with_input(unit=UNKNOWN_HASH),
    "bad_output_index": lambda s: s.with_input(output_index=77),
    "bad_message_index": lambda s: s.with_input(message_index=7),
    "negative_output_index": lambda s: s.with_input(output_index=-1),
    "same_input_twice": lambda s: s.with_payment(
        lambda payload: payload["inputs"].append(payload["inputs"][0])
    ),
    "no_inputs": lambda s: _empty_list(s, lambda unit: unit["messages"][0]["payload"].update(inputs=[])),
    "no_definition": _no_definition,
    "wrong_definition": _wrong_definition,
    "needless_definition": lambda s: s.changed(
        lambda unit: unit["authors"][0].update(definition=s.payer.definition)
    ),
    "author_not_valid_address": lambda s: hashed(
        {**s.pay(), "authors": [{**s.pay()["authors"][0], "address": _bad_address(s.payer.address)}]}
    ),
    "authors_unsorted": lambda s: _two_authors(s, is_sorted=False),
    "multi_author_no_recipients": lambda s: _two_authors(s, is_sorted=True),
    "empty_messages": lambda s: _empty_list(s, lambda unit: unit.update(messages=[])),
    "no_payment_message": _without_payment,
    "unknown_app": lambda s: s.draft({"app": "foo", "payload": {"a": 1}}),
    "data_as_string": lambda s: s.draft({"app": "data", "payload": "hello"}),
    "data_with_null": lambda s: _with_bad_payload(s, {"x": None}),
    "data_with_empty_object": lambda s: _with_bad_payload(s, {"x": {}}),
    "data_with_zero_char": lambda s: _with_bad_text(s, "a\0b"),
    "data_with_lone_surrogate": lambda s: _with_bad_text(s, "a\ud83d"),
    "two_outputs_to_an_agent": _two_outputs_to_agent,
    "max_aa_responses_0": lambda s: s.with_field("max_aa_responses", 0),
    "max_aa_responses_11": lambda s: s.with_field("max_aa_responses", 11),
    "agent_definition_wrong_address": lambda s: _agent_definition(
        s, lambda payload: payload.update(address=make_key(9).address), rehash=False
    ),
    "agent_definition_unknown_base": lambda s: _agent_definition(
        s, lambda payload: payload["definition"][1].update(base_aa=make_key(9).address)
    ),
    "agent_definition_bad_base_address": lambda s: _agent_definition(
        s, lambda payload: payload["definition"][1].update(base_aa=_bad_address(make_key(9).address))
    ),
    "agent_definition_foreign_field": lambda s: _agent_definition(
        s, lambda payload: payload["definition"][1].update(foo="bar")
    ),
    "asset_not_balanced": lambda s: _asset_payment(
        s, lambda unit: unit["messages"][1]["payload"]["outputs"][-1].update(amount=703)
    ),
    "unknown_asset": lambda s: _asset_payment(
        s, lambda unit: unit["messages"][1]["payload"].update(asset=UNKNOWN_HASH)
    ),
    "asset_unsorted_outputs": lambda s: _asset_payment(
        s, lambda unit: unit["messages"][1]["payload"]["outputs"].reverse()
    ),
    "asset_input_as_bytes": _asset_input_as_bytes,
}

JOINTS = {"unknown_field_in_joint", "ball_in_post", "unsigned_joint", "no_unit", "null_post"}


def make_post(name: str, stage: Stage) -> Any:
    """The refused post of a name: a joint, or whatever was posted instead of one."""
    made = MAKERS[name](stage)
    return made if name in JOINTS else {"unit": made}
