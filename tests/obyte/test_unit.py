"""Units against the real core's hashes, sizes and signatures, and what a check of one finds out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from paypercall.obyte.address import definition_address
from paypercall.obyte.errors import CanonicalError, InvalidUnit, ObyteError
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import (
    Unit,
    ball_hash,
    check_signatures,
    check_unit,
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
        signatures = case["signatures"]
        is_good = all(each["valid"] and each["address_matches_definition"] for each in signatures)
        wanted = {"ok": {each["address"] for each in signatures}} if is_good else {"error": True}
        return outcome(check_signatures, case["unit"]) == wanted

    signed = tuple(case for case in UNITS if "signatures" in case and "ok" in case["hash_to_sign_hex"])
    assert failing(signed, passes) == []


def test_every_real_unit_passes_the_whole_check() -> None:
    def passes(case: Case) -> bool:
        unit = {**case["unit"], "unit": case["unit_hash"]["ok"]}
        if "headers_commission" not in unit and "content_hash" not in unit:
            unit["headers_commission"] = case["headers_size"]["ok"]
            unit["payload_commission"] = case["total_payload_size"]["ok"]
        signers = {each["address"] for each in case.get("signatures", ())}
        return check_unit(unit) == signers

    assert failing(tuple(case for case in UNITS if case.get("real")), passes) == []


def test_a_unit_with_an_old_version_of_another_network_is_refused() -> None:
    def is_refused(case: Case) -> bool:
        unit = {
            **case["unit"],
            "unit": case["unit_hash"]["ok"],
            "headers_commission": case["headers_size"]["ok"],
            "payload_commission": case["total_payload_size"]["ok"],
        }
        return outcome(check_unit, unit) == {"error": True}

    assert failing(tuple(case for case in ALL_UNITS if is_foreign(case)), is_refused) == []


def test_no_function_changes_the_unit() -> None:
    for case in ALL_UNITS:
        before = copy.deepcopy(case["unit"])
        for function in (unit_hash, hash_to_sign, headers_size, total_payload_size, check_unit):
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


def resigned(unit: Unit) -> Unit:
    """The unit with its commissions, signature and hash made right again."""
    for name in ("headers_commission", "payload_commission"):
        unit.pop(name)
    unit["headers_commission"] = headers_size(unit)
    unit["payload_commission"] = total_payload_size(unit)
    return sign_unit(unit, KEY)


@pytest.mark.parametrize("version", ["1.0dev", "2.0dev", "3.0dev", "4.0dev"])
def test_a_signed_unit_passes_the_check_and_names_its_signer(version: str) -> None:
    signed = sign_unit(draft(KEY, version=version), KEY)
    assert check_unit(signed) == {KEY.address}
    assert signed["unit"] == unit_hash(signed)


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
    with pytest.raises(InvalidUnit, match="signature"):
        check_unit(once)
    twice = sign_unit(once, OTHER_KEY)
    assert check_unit(twice) == {KEY.address, OTHER_KEY.address}
    assert twice == sign_unit(sign_unit(draft(KEY, OTHER_KEY), OTHER_KEY), KEY)


def test_only_an_author_can_sign() -> None:
    with pytest.raises(InvalidUnit, match="not among the authors"):
        sign_unit(draft(KEY), OTHER_KEY)


@pytest.mark.parametrize(
    "path, value, complaint",
    [
        (("unit",), "x" * 44, "hash"),
        (("timestamp",), 1_700_000_001, "hash"),
        (("authors", 0, "address"), OTHER_KEY.address, "hash"),
        (("messages", 0, "app"), "text", "hash"),
        (("tps_fee",), 5, "hash"),
        (("messages", 0, "payload", "period"), 2, "payload"),
        (("messages", 0, "payload"), None, "null"),
        (("headers_commission",), 1, "headers commission"),
        (("headers_commission",), None, "headers commission"),
        (("payload_commission",), 1, "payload commission"),
        (("messages",), "text", "messages"),
        (("messages",), [5], "messages"),
        (("authors",), "authors", "authors"),
        (("content_hash",), "c" * 44, "hash"),
    ],
)
def test_any_change_of_a_signed_unit_is_found(path: tuple[Any, ...], value: Any, complaint: str) -> None:
    signed = copy.deepcopy(sign_unit(draft(KEY), KEY))
    inner: Any = signed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(ObyteError, match=complaint):
        check_unit(signed)


@pytest.mark.parametrize("unit", [None, [], "unit", {}, {"unit": 5}, {"unit": "x"}])
def test_what_is_no_unit_is_refused(unit: Any) -> None:
    with pytest.raises(ObyteError):
        check_unit(unit)


def test_a_signature_of_another_key_is_refused() -> None:
    forged = sign_unit(draft(KEY), KEY)
    signature = OTHER_KEY.sign(hash_to_sign(forged))
    forged["authors"] = [{**forged["authors"][0], "authentifiers": {"r": signature}}]
    forged["unit"] = unit_hash(forged)
    with pytest.raises(InvalidUnit, match="signature"):
        check_unit(forged)


@pytest.mark.parametrize("authentifiers", [None, {"r": ""}, {"x": "signature"}, {"r": [1, 2]}, "signature"])
def test_a_unit_without_a_proper_signature_is_refused(authentifiers: Any) -> None:
    unit = sign_unit(draft(KEY), KEY)
    author = {name: value for name, value in unit["authors"][0].items() if name != "authentifiers"}
    unit["authors"] = [author if authentifiers is None else {**author, "authentifiers": authentifiers}]
    with pytest.raises(InvalidUnit, match="signature"):
        check_signatures(unit)


def test_a_signature_beside_the_one_that_is_needed_is_refused() -> None:
    signed = sign_unit(draft(KEY), KEY)
    assert check_signatures(signed) == {KEY.address}
    signed["authors"][0]["authentifiers"]["r.0"] = PLACEHOLDER
    with pytest.raises(InvalidUnit, match="signature"):
        check_signatures(signed)


def test_a_definition_of_another_address_is_refused() -> None:
    unit = draft(KEY)
    unit["authors"][0]["definition"] = OTHER_KEY.definition
    with pytest.raises(InvalidUnit, match="definition"):
        check_unit(resigned(unit))


def test_an_author_without_a_definition_is_checked_when_it_is_known() -> None:
    unit = draft(KEY)
    del unit["authors"][0]["definition"]
    signed = resigned(unit)
    assert check_unit(signed) == frozenset()
    assert check_unit(signed, {KEY.address: KEY.definition}) == {KEY.address}
    signed["authors"][0]["authentifiers"]["r"] = OTHER_KEY.sign(hash_to_sign(signed))
    signed["unit"] = unit_hash(signed)
    with pytest.raises(InvalidUnit, match="signature"):
        check_unit(signed, {KEY.address: KEY.definition})


def test_a_carried_definition_comes_before_a_known_one() -> None:
    signed = sign_unit(draft(KEY), KEY)
    assert check_unit(signed, {KEY.address: OTHER_KEY.definition}) == {KEY.address}


def test_an_agent_signs_nothing_and_is_not_among_the_signers() -> None:
    unit = draft(KEY, authors=[{"address": KEY.address}])
    unit["unit"] = unit_hash(unit)
    assert check_unit(unit) == frozenset()


def test_an_author_with_several_keys_is_not_among_the_signers() -> None:
    definition = ["or", [KEY.definition, OTHER_KEY.definition]]
    author = {"address": definition_address(definition), "definition": definition}
    unit = draft(KEY, authors=[{**author, "authentifiers": {"r.0": PLACEHOLDER}}])
    unit["unit"] = unit_hash(unit)
    assert check_unit(unit) == frozenset()


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


def test_a_stripped_unit_has_the_same_hash_and_only_the_fields_of_one() -> None:
    signed = sign_unit(draft(KEY), KEY)
    stripped = {**stripped_unit(signed), "unit": signed["unit"]}
    assert check_unit(stripped) == frozenset()
    smuggled = {**stripped, "messages": signed["messages"]}
    smuggled["unit"] = unit_hash(smuggled)
    with pytest.raises(InvalidUnit, match="stripped"):
        check_unit(smuggled)


@pytest.mark.parametrize("hash_of_content", ["", "c" * 43, 5])
def test_a_stripped_unit_needs_a_proper_content_hash(hash_of_content: Any) -> None:
    stripped = {**stripped_unit(draft(KEY)), "content_hash": hash_of_content}
    stripped["unit"] = outcome(unit_hash, stripped).get("ok", "x" * 44)
    with pytest.raises(ObyteError):
        check_unit(stripped)


def test_a_payload_that_is_elsewhere_must_not_come_along() -> None:
    message = {"app": "text", "payload_location": "none", "payload_hash": "h" * 44}
    assert check_unit(sign_unit(draft(KEY, messages=[message]), KEY)) == {KEY.address}
    with pytest.raises(InvalidUnit, match="elsewhere"):
        check_unit(sign_unit(draft(KEY, messages=[{**message, "payload": "text"}]), KEY))


def test_temporary_data_is_checked_against_its_own_hash() -> None:
    data = {"a": "b"}
    payload = {"data_length": 5, "data_hash": payload_hash(data), "data": data}
    message = {"app": "temp_data", "payload_location": "inline", "payload": payload}
    message["payload_hash"] = message_payload_hash(message, "4.0dev")
    unit = draft(KEY, messages=[message])
    assert paid_temp_data_fee(unit) == 5  # (5 + 4) * 0.5, rounded up
    assert check_unit(sign_unit(unit, KEY)) == {KEY.address}
    payload["data"] = {"a": "c"}
    with pytest.raises(InvalidUnit, match="temporary data"):
        check_unit(sign_unit(unit, KEY))
    del payload["data"]  # purged by the nodes after a day
    assert check_unit(sign_unit(unit, KEY)) == {KEY.address}


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
        check_unit(sign_unit(unit, KEY))
    with pytest.raises(CanonicalError, match="nested"):
        total_payload_size(unit)
