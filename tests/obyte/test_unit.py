"""Units against the real core's hashes, sizes and signatures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from paypercall.obyte.errors import CanonicalError, InvalidUnit
from paypercall.obyte.joint import address_of, is_signed
from paypercall.obyte.keys import Key, verify_signature
from paypercall.obyte.unit import (
    Unit,
    ball_hash,
    content_hash,
    hash_to_sign,
    headers_size,
    message_payload_hash,
    paid_temp_data_fee,
    payload_hash,
    sign_unit,
    single_signature_key,
    stripped_unit,
    temp_data_length,
    total_payload_size,
    unit_hash,
)
from tests.obyte.whole_units import signers
from tests.vectors import Case, expected, failing, load_cases, outcome, spellings

FOREIGN_VERSIONS = ("1.0", "2.0", "1.0t", "2.0t", "1.0dev", "2.0dev")
SUFFIXES = {"livenet": "", "testnet": "t", "devnet": "dev"}
KEY = Key(b"\x01" * 32)
OTHER_KEY = Key(b"\x02" * 32)
PLACEHOLDER = "-" * 88


def is_foreign(case: Case) -> bool:
    """Tells whether a unit has an old version of another network, where its forms mean something else."""
    version = str(case["unit"].get("version"))
    return version in FOREIGN_VERSIONS and version[len("1.0") :] != SUFFIXES[case["network"]]


ALL_UNITS = load_cases("unit_hash.json", "unit")
UNITS = tuple(case for case in ALL_UNITS if not is_foreign(case))


@pytest.mark.parametrize(
    "field, function",
    [
        ("content_hash", content_hash),
        ("unit_hash", unit_hash),
        ("stripped_unit", stripped_unit),
        ("hash_to_sign_hex", lambda unit: hash_to_sign(unit).hex()),
        ("headers_size", headers_size),
        ("total_payload_size", total_payload_size),
        ("temp_data_length", temp_data_length),
        ("paid_temp_data_fee", paid_temp_data_fee),
    ],
)
def test_every_golden_unit_has_the_real_cores_result(field: str, function: Callable[[Unit], Any]) -> None:
    def passes(case: Case) -> bool:
        return all(outcome(function, unit) == expected(case[field]) for unit in spellings(case, "unit"))

    assert failing(tuple(case for case in UNITS if field in case), passes) == []


def test_every_golden_message_has_its_payload_hash() -> None:
    def passes(case: Case) -> bool:
        version = case["unit"].get("version")
        return all(
            wanted is None or outcome(message_payload_hash, message, version) == expected(wanted)
            for message, wanted in zip(case["unit"]["messages"], case["payload_hashes"], strict=True)
        )

    assert failing(tuple(case for case in UNITS if "payload_hashes" in case), passes) == []


def test_every_golden_payload_has_its_hash() -> None:
    def passes(case: Case) -> bool:
        return all(
            outcome(payload_hash, payload) == expected(case["payload_hash"])
            for payload in spellings(case, "payload")
        )

    assert failing(load_cases("unit_hash.json", "payload"), passes) == []


def test_every_golden_ball_has_its_hash() -> None:
    def passes(case: Case) -> bool:
        found = outcome(
            ball_hash, case["unit"], case["parent_balls"], case["skiplist_balls"], case["is_nonserial"]
        )
        return found == expected(case["ball_hash"])

    assert failing(load_cases("unit_hash.json", "ball"), passes) == []


def test_every_golden_signature_of_a_unit_is_judged_like_the_real_core_does() -> None:
    def passes(case: Case) -> bool:
        digest = hash_to_sign(case["unit"])
        return all(
            is_signed(author, digest, str(single_signature_key(author["definition"]))) is each["valid"]
            and verify_signature(digest, each["signature"], each["pubkey"]) is each["valid"]
            and (address_of(author["definition"]) == author.get("address"))
            is each["address_matches_definition"]
            for author, each in zip(case["unit"]["authors"], case["signatures"], strict=True)
        )

    assert failing(tuple(case for case in UNITS if "signatures" in case), passes) == []


def test_no_function_changes_the_unit() -> None:
    for case in ALL_UNITS:
        before = copy.deepcopy(case["unit"])
        for function in (unit_hash, stripped_unit, hash_to_sign, headers_size, total_payload_size):
            outcome(function, case["unit"])
        assert case["unit"] == before, case["name"]


def draft(*authors: Key, version: str = "4.0dev", **fields: Any) -> Unit:
    """A unit before it is signed, with signatures counted in its commissions."""
    payload = {"period": 1, "note": "h\xe9\U0001f600"}
    unit: Unit = {
        "version": version,
        "alt": "3",
        "authors": [
            {"address": key.address, "authentifiers": {"r": PLACEHOLDER}, "definition": key.definition}
            for key in sorted(authors, key=lambda key: key.address)
        ],
        "messages": [
            {
                "app": "data",
                "payload_location": "inline",
                "payload_hash": message_payload_hash({"app": "data", "payload": payload}, version),
                "payload": payload,
            }
        ],
        "parent_units": ["p" * 44],
        "last_ball": "b" * 44,
        "last_ball_unit": "u" * 44,
        "timestamp": 1_700_000_000,
        **fields,
    }
    unit["headers_commission"] = headers_size(unit)
    unit["payload_commission"] = total_payload_size(unit)
    return unit


def test_signing_leaves_the_draft_as_it_was() -> None:
    unit = draft(KEY)
    before = copy.deepcopy(unit)
    sign_unit(unit, KEY)
    assert unit == before


def test_signing_again_gives_the_same_unit() -> None:
    signed = sign_unit(draft(KEY), KEY)
    assert sign_unit(signed, KEY) == signed


def test_several_authors_sign_one_after_the_other() -> None:
    once = sign_unit(draft(KEY, OTHER_KEY), KEY)
    assert signers(once, {}) == {KEY.address}
    twice = sign_unit(once, OTHER_KEY)
    assert signers(twice, {}) == {KEY.address, OTHER_KEY.address}
    assert twice["unit"] == unit_hash(twice) != once["unit"]
    assert twice == sign_unit(sign_unit(draft(KEY, OTHER_KEY), OTHER_KEY), KEY)


def test_only_an_author_can_sign() -> None:
    with pytest.raises(InvalidUnit, match="not among the authors"):
        sign_unit(draft(KEY), OTHER_KEY)


@pytest.mark.parametrize(
    "definition",
    [
        ["and", [["sig", {"pubkey": KEY.public_key}], ["sig", {"pubkey": OTHER_KEY.public_key}]]],
        ["sig", {"pubkey": KEY.public_key, "algo": "secp256k1"}],
        ["sig", {"pubkey": KEY.public_key + " "}],
        ["sig", {"pubkey": 5}],
        ["sig", {"pubkey": KEY.public_key}, {}],
        ["sig", "pubkey"],
        "sig",
        None,
    ],
)
def test_other_definitions_have_no_single_key(definition: Any) -> None:
    assert single_signature_key(definition) is None
    assert single_signature_key(KEY.definition) == KEY.public_key


def test_a_stripped_unit_has_the_same_hash() -> None:
    signed = sign_unit(draft(KEY), KEY)
    assert unit_hash(stripped_unit(signed)) == signed["unit"]


@pytest.mark.parametrize("name, value", [("messages", "text"), ("messages", [5]), ("authors", "authors")])
def test_what_has_no_shape_of_a_unit_has_no_hash(name: str, value: Any) -> None:
    with pytest.raises(InvalidUnit, match=name):
        unit_hash({**draft(KEY), name: value})


def test_temporary_data_costs_half() -> None:
    payload = {"data_length": 5, "data_hash": payload_hash({"a": "b"}), "data": {"a": "b"}}
    unit = {"messages": [{"app": "temp_data", "payload": payload}]}
    assert paid_temp_data_fee(unit) == 5  # (5 + 4) * 0.5, rounded up


def test_temporary_data_of_infinite_length_has_no_fee() -> None:
    with pytest.raises(InvalidUnit, match="finite"):
        paid_temp_data_fee({"messages": [{"app": "temp_data", "payload": {"data_length": float("inf")}}]})


def test_a_unit_nested_too_deeply_is_refused_and_not_a_crash() -> None:
    payload: Any = "core"
    for _ in range(100_000):
        payload = [payload]
    message = {"app": "data", "payload_location": "inline", "payload": payload, "payload_hash": "h" * 44}
    unit = {**draft(KEY), "messages": [message]}
    with pytest.raises(CanonicalError, match="nested"):
        message_payload_hash(message, "4.0dev")
    with pytest.raises(CanonicalError, match="nested"):
        total_payload_size(unit)
