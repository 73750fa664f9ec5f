"""Joints: every rule of a unit's shape, each with a unit that keeps all the others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from paypercall.obyte.errors import ProofError
from paypercall.obyte.joint import check_content, check_payloads, check_sizes, is_signed, read_joint
from paypercall.obyte.network import LIVENET, TESTNET, Network, devnet
from paypercall.obyte.unit import (
    hash_to_sign,
    headers_size,
    sign_unit,
    stripped_unit,
    total_payload_size,
    unit_hash,
)
from tests.obyte.hub_answers import hash_again
from tests.obyte.small_ledger import SmallLedger, key_named, message, payment
from tests.obyte.whole_units import read_whole, signers
from tests.vectors import load_cases

LEDGER = SmallLedger([key_named("provider")])
NETWORK = LEDGER.network
AUTHOR = key_named("author")
HASH = "A" * 43 + "="
OLD_VERSIONS = [number + suffix for number in ("1.0", "2.0") for suffix in ("", "t", "dev")]
UNIT = LEDGER.add(
    AUTHOR,
    messages=[payment(AUTHOR.address), message("data", {"x": 1})],
    definitions={AUTHOR.address: AUTHOR.definition},
)

Change = Callable[[dict[str, Any]], Any]


def real_units() -> list[Any]:
    """Public units, of every version."""
    networks = {"livenet": LIVENET, "devnet": NETWORK}
    return [
        pytest.param(
            case["unit"],
            networks[case["network"]],
            {each["address"] for each in case.get("signatures", ())},
            id=f"{case['unit']['version']} {case['unit']['unit']}",
        )
        for case in load_cases("unit_hash.json", "unit")
        if case.get("real")
    ]


@pytest.mark.parametrize(("unit", "network", "authors"), real_units())
def test_a_real_unit_is_read_and_named_and_its_signatures_hold(
    unit: Any, network: Network, authors: set[str]
) -> None:
    before = copy.deepcopy(unit)
    assert read_whole({"unit": unit}, network).hash == unit["unit"]
    assert signers(unit, {}) == authors
    assert unit == before


def foreign_units() -> list[Any]:
    """Units with an old version of another network, where its forms mean something else."""
    networks = {"livenet": (LIVENET, ""), "testnet": (TESTNET, "t"), "devnet": (NETWORK, "dev")}
    found = []
    for case in load_cases("unit_hash.json", "unit"):
        network, suffix = networks[case["network"]]
        version = str(case["unit"].get("version"))
        if version in OLD_VERSIONS and version[len("1.0") :] != suffix:
            sizes = {
                "headers_commission": case["headers_size"].get("ok"),
                "payload_commission": case["total_payload_size"].get("ok"),
            }
            unit = {**case["unit"], **sizes, "unit": case["unit_hash"]["ok"]}
            found.append(pytest.param(unit, network, id=f"{version} on {case['network']}"))
    return found


@pytest.mark.parametrize(("unit", "network"), foreign_units())
def test_a_unit_with_an_old_version_of_another_network_is_refused(unit: Any, network: Network) -> None:
    with pytest.raises(ProofError, match="another version"):
        read_whole({"unit": unit}, network)


@pytest.mark.parametrize("version", ["1.0dev", "2.0dev", "3.0dev", "4.0dev"])
def test_a_unit_that_we_sign_is_read_in_every_version(version: str) -> None:
    unit = copy.deepcopy({**UNIT, "version": version})
    hash_again({"unit": unit})
    signed = sign_unit(unit, AUTHOR)
    read_whole({"unit": signed}, NETWORK)
    assert signers(signed, {}) == {AUTHOR.address}


def test_a_payload_may_be_elsewhere() -> None:
    elsewhere = {"app": "text", "payload_location": "none", "payload_hash": HASH}
    unit = {**UNIT, "messages": [elsewhere]}
    unit["headers_commission"], unit["payload_commission"] = headers_size(unit), total_payload_size(unit)
    unit["unit"] = unit_hash(unit)
    read_whole({"unit": unit}, NETWORK)
    elsewhere["payload"] = "text"
    with pytest.raises(ProofError, match="payload where there should be none"):
        read_whole({"unit": unit}, NETWORK)


def test_a_stripped_unit_is_read() -> None:
    stripped = {**stripped_unit(UNIT), "unit": UNIT["unit"]}
    joint = read_joint({"unit": stripped, "ball": HASH}, NETWORK)
    assert (joint.hash, joint.is_stripped, joint.main_chain_index) == (UNIT["unit"], True, None)
    check_payloads(joint)
    check_sizes(joint)


def first_payment(unit: dict[str, Any]) -> Any:
    return unit["messages"][0]["payload"]


def put(name: str, value: Any) -> Change:
    """A change of one field of a unit."""
    return lambda unit: unit.update({name: value})


def put_in(find: Change, name: str, value: Any) -> Change:
    """A change of one field of a part of a unit."""
    return lambda unit: find(unit).update({name: value})


def drop(name: str) -> Change:
    return lambda unit: unit.pop(name)


def author(unit: dict[str, Any]) -> Any:
    return unit["authors"][0]


def data_message(unit: dict[str, Any]) -> Any:
    return unit["messages"][1]


def spent(unit: dict[str, Any]) -> Any:
    return first_payment(unit)["inputs"][0]


def output(unit: dict[str, Any]) -> Any:
    return first_payment(unit)["outputs"][0]


def temporary(payload: Any) -> Change:
    return put("messages", [message("temp_data", payload)])


BROKEN_RULES: list[tuple[str, Change]] = [
    ("another version", put("version", "4.0")),
    ("another version", put("version", "4.0t")),
    ("another version", put("version", "5.0dev")),
    ("another version", put("version", 4)),
    ("another ledger", put("alt", "1")),
    ("no timestamp", put("timestamp", 0)),
    ("no timestamp", drop("timestamp")),
    ("no list of authors", put("authors", "x")),
    ("too many authors", put("authors", [{"address": key_named(str(n)).address} for n in range(17)])),
    ("names an author twice", lambda unit: unit["authors"].append({"address": AUTHOR.address})),
    ("author is no object", put("authors", ["x"])),
    ("author has no address", put_in(author, "address", AUTHOR.address.lower())),
    ("authentifiers are no object", put_in(author, "authentifiers", "x")),
    ("authentifier is no text", put_in(author, "authentifiers", {"r": 1})),
    ("definition is no list", put_in(author, "definition", {"pubkey": "x"})),
    ("parents are no list of hashes", put("parent_units", [])),
    ("parents are no list of hashes", put("parent_units", ["x" * 44])),
    ("too many parents", put("parent_units", [HASH] * 17)),
    ("no last ball", put("last_ball", "x")),
    ("no last ball", drop("last_ball_unit")),
    ("cannot be hashed", put("messages", {})),
    ("cannot be hashed", put("messages", [1])),
    ("payload where there should be none", put_in(data_message, "payload_location", "none")),
    ("stray uri", put_in(data_message, "payload_uri", "https://localhost")),
    ("lacks a payload", lambda unit: data_message(unit).pop("payload")),
    ("temporary data has a wrong hash", temporary({"data_length": 1, "data_hash": HASH, "data": 1})),
    ("temporary data cannot be hashed", temporary({"data_length": 1, "data_hash": HASH, "data": {}})),
    ("main_chain_index is no integer", put("main_chain_index", "7")),
    ("oversize_fee is no positive integer", put("oversize_fee", 0)),
]

UNKNOWN_FORMS: list[tuple[str, Change]] = [
    ("unknown fields", put("x", 1)),
    ("author has unknown fields", put_in(author, "x", 1)),
    ("tps_fee is no integer", put("tps_fee", -1)),
    ("burn_fee is no positive integer", put("burn_fee", 0)),
    ("no messages", drop("messages")),
    ("too many messages", put("messages", [message("text", str(n)) for n in range(129)])),
    ("message has no app", put_in(data_message, "app", 1)),
    ("payload is nowhere", put_in(data_message, "payload_location", "elsewhere")),
    ("no payload hash", put("messages", [{"app": "text", "payload_location": "none", "payload_hash": "x"}])),
    ("payment is no object", put_in(lambda unit: unit["messages"][0], "payload", "x")),
    ("asset is none", put_in(first_payment, "asset", "base")),
    ("no outputs", put_in(first_payment, "outputs", "x")),
    ("output is no object", put_in(first_payment, "outputs", ["x"])),
    ("output has no address", put_in(output, "address", "x" * 32)),
    ("output has no amount", put_in(output, "amount", 0)),
    ("output has no amount", put_in(output, "amount", True)),
    ("output has no amount", put_in(output, "amount", "5")),
    ("no inputs", put_in(first_payment, "inputs", "x")),
    ("input is no object", put_in(first_payment, "inputs", [1])),
    ("unknown type", put_in(spent, "type", "gift")),
    ("input has no unit", put_in(spent, "unit", 1)),
    ("input has no index", put_in(spent, "output_index", -1)),
    ("temporary data is no object", temporary("x")),
    ("temporary data has no length", temporary({"data_hash": HASH})),
]


def changed(change: Change) -> Any:
    """A joint of the changed unit, with the hashes and sizes that follow."""
    unit = copy.deepcopy(UNIT)
    change(unit)
    joint = {"unit": unit}
    hash_again(joint)
    return joint


@pytest.mark.parametrize(("reason", "change"), BROKEN_RULES)
def test_a_unit_that_breaks_a_rule_is_refused_although_its_hashes_are_right(
    reason: str, change: Change
) -> None:
    with pytest.raises(ProofError, match=reason):
        check_payloads(read_joint(changed(change), NETWORK))


@pytest.mark.parametrize(("reason", "change"), UNKNOWN_FORMS)
def test_a_unit_whose_content_has_an_unknown_form_is_still_known_by_its_hash_and_header(
    reason: str, change: Change
) -> None:
    joint = read_joint(changed(change), NETWORK)
    check_payloads(joint)
    with pytest.raises(ProofError, match=reason):
        check_content(joint, NETWORK)
    rest = joint.without_content()
    assert (rest.hash, rest.is_stripped) == (joint.hash, True)
    assert read_joint({"unit": rest.unit, "ball": HASH}, NETWORK).unit == rest.unit
    check_content(rest, NETWORK)


BROKEN_HASHES: list[tuple[str, Change]] = [
    ("hash is none", put("unit", "x")),
    ("wrong hash", put("unit", HASH)),
    ("wrong hash", put("timestamp", 1_800_000_000)),
    ("wrong hash", put("tps_fee", 5)),
    ("wrong hash", put_in(author, "address", key_named("stranger").address)),
    ("wrong hash", put_in(data_message, "app", "text")),
    ("cannot be hashed", put("tps_fee", None)),
    ("wrong hash", put_in(data_message, "payload_hash", "x")),
    ("wrong payload hash", put_in(data_message, "payload", {"x": 2})),
    ("payload that cannot be hashed", put_in(data_message, "payload", {"x": []})),
    ("wrong headers commission", put("headers_commission", 1)),
    ("wrong payload commission", put("payload_commission", 1)),
    ("no headers_commission", drop("headers_commission")),
]


@pytest.mark.parametrize(("reason", "change"), BROKEN_HASHES)
def test_a_unit_with_a_wrong_hash_or_size_is_refused(reason: str, change: Change) -> None:
    unit = copy.deepcopy(UNIT)
    change(unit)
    with pytest.raises(ProofError, match=reason):
        read_whole({"unit": unit}, NETWORK)


STRIPPED = {**stripped_unit(UNIT), "unit": UNIT["unit"]}


@pytest.mark.parametrize(
    ("reason", "joint"),
    [
        ("no object", "x"),
        ("unknown fields", {"unit": UNIT, "unsigned": True}),
        ("without a unit", {"ball": HASH}),
        ("without a unit", {"unit": "unit"}),
        ("hash is none", {"unit": {}}),
        ("ball is no hash", {"unit": UNIT, "ball": "x"}),
        ("skiplist is no list", {"unit": UNIT, "ball": HASH, "skiplist_units": []}),
        ("skiplist and no ball", {"unit": UNIT, "skiplist_units": [HASH]}),
        ("no ball", {"unit": STRIPPED}),
        ("unknown fields", {"unit": {**STRIPPED, "messages": UNIT["messages"]}, "ball": HASH}),
        ("content hash is none", {"unit": {**STRIPPED, "content_hash": "x"}, "ball": HASH}),
        ("content hash is none", {"unit": {**STRIPPED, "content_hash": ""}, "ball": HASH}),
        ("content hash is none", {"unit": {**STRIPPED, "content_hash": 5}, "ball": HASH}),
        ("is signed", {"unit": {**STRIPPED, "authors": UNIT["authors"]}, "ball": HASH}),
        ("wrong hash", {"unit": {**STRIPPED, "content_hash": HASH}, "ball": HASH}),
    ],
)
def test_a_joint_that_is_none_is_refused(reason: str, joint: Any) -> None:
    with pytest.raises(ProofError, match=reason):
        read_joint(joint, NETWORK)


def test_the_first_unit_may_not_have_parents() -> None:
    network = devnet(UNIT["unit"], NETWORK.order_providers)
    with pytest.raises(ProofError, match="first unit has parents"):
        read_joint({"unit": UNIT}, network)


def test_only_one_signature_at_the_usual_path_counts() -> None:
    digest = hash_to_sign(UNIT)
    [signed] = UNIT["authors"]
    signature = signed["authentifiers"]["r"]
    assert is_signed(signed, digest, AUTHOR.public_key)
    assert not is_signed({}, digest, AUTHOR.public_key)
    assert not is_signed({"authentifiers": {"r.0": signature}}, digest, AUTHOR.public_key)
    assert not is_signed({"authentifiers": {"r": signature, "r.0": signature}}, digest, AUTHOR.public_key)
    assert not is_signed(signed, digest, key_named("stranger").public_key)
