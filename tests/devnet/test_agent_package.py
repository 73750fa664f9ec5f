"""Which packages count for the agent: what the real evaluator said, and when the ledger is asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from paypercall.devnet.agent_language import NotModelled
from paypercall.devnet.agent_package import PackageRules
from paypercall.obyte.canonical import json_source_string
from paypercall.obyte.keys import Key
from tests.devnet.scene import NETWORK, STRANGER, A, B, NoLedger, sign, some_hash
from tests.vectors import load_cases

VERSIONS = {"livenet": "4.0", "testnet": "4.0t", "devnet": "4.0dev"}
LAST_BALL_UNIT = some_hash("last ball unit")

NOT_MODELLED = {
    "1 of 2, path exchanged",
    "1 of 2, path r",
    "1 of 2, signed by the first",
    "1 of 2, signed by the second",
    "definition: address",
    "definition: formula",
    "definition: or of one",
    "definition: or without sig branch",
    "definition: seen address",
    "multisig 1 of 2 (or)",
    "multisig 2 of 2 (and)",
    "multisig 2 of 3 (r of set)",
    "multisig weighted",
    "multisig with too few signatures",
    "sig and hash with a wrong preimage",
    "sig and hash with the preimage",
}
"""The golden cases that the model passes, on each network: an address is shared by several keys."""


@dataclass
class FakeLedger:
    indexes: dict[str, int] = field(default_factory=lambda: {LAST_BALL_UNIT: 50})
    definitions: dict[str, list[Any]] = field(default_factory=dict)

    def main_chain_index(self, unit: str) -> int | None:
        return self.indexes.get(unit)

    def definition(self, address: str, main_chain_index: int) -> list[Any] | None:
        return self.definitions.get(address) if main_chain_index >= 50 else None


def golden_cases() -> list[tuple[dict[str, Any], Any]]:
    cases = []
    for case in load_cases("signed_package.json"):
        package = case["package"].get("ok") if case["kind"] == "sign" else case["package"]
        if case.get("aa_formula") is not None:
            cases.append((case, package))
    return cases


def test_packages_count_as_the_real_evaluator_says() -> None:
    passed = set()
    for case, package in golden_cases():
        verdict = case["aa_formula"]
        rules = PackageRules(VERSIONS[case["network"]], 20_000_000, FakeLedger())
        try:
            is_valid = rules.is_valid(package, verdict["address"])
        except NotModelled:
            passed.add((case["name"], case["network"]))
            continue
        # The evaluator was run without a ledger: a package that names a unit which nobody knows is not valid.
        assert is_valid == verdict.get("valid", False), case["name"]
    assert passed == {(name, network) for name in NOT_MODELLED for network in VERSIONS}


def is_valid(package: Any, ledger: Any = None, *, index: int = 100) -> bool:
    return PackageRules(NETWORK.version, index, ledger or NoLedger()).is_valid(package, B.address)


def test_a_plain_package_needs_no_ledger() -> None:
    assert is_valid(sign(B, {"amount_spent": 5}))
    assert not is_valid(sign(A, {"amount_spent": 5}))


@pytest.mark.parametrize("package", [False, "text", [], [sign(B, "m")], {}, {"signed_message": 1}], ids=repr)
def test_what_is_no_package_does_not_count(package: Any) -> None:
    assert not is_valid(package)


@pytest.mark.parametrize(
    "version, counts", [("4.0dev", True), ("3.0dev", True), ("1.0dev", False), ("4.0", False)]
)
def test_the_version_must_be_one_of_the_network_but_not_the_oldest(version: str, counts: bool) -> None:
    assert is_valid(sign(B, "m", version=version)) is counts


@pytest.mark.parametrize("count, counts", [(10, True), (11, False)])
def test_ten_signatures_are_the_limit(count: int, counts: bool) -> None:
    signers = sorted(
        [B, *(Key(bytes([100 + number]) * 32) for number in range(count - 1))], key=lambda key: key.address
    )
    authors: list[dict[str, Any]] = [
        {"address": key.address, "definition": key.definition} for key in signers
    ]
    package = {"version": NETWORK.version, "signed_message": "m", "authors": authors}
    digest = hashlib.sha256(json_source_string(package).encode()).digest()
    for author, key in zip(authors, signers, strict=True):
        author["authentifiers"] = {"r": key.sign(digest)}
    assert is_valid(package) is counts


def test_a_package_with_a_last_ball_unit_relies_on_the_definition_that_the_ledger_knows() -> None:
    package = sign(B, "m", with_definition=False, last_ball_unit=LAST_BALL_UNIT)
    assert is_valid(package, FakeLedger(definitions={B.address: B.definition}))
    assert not is_valid(package, FakeLedger())


def test_a_definition_may_not_be_repeated_once_the_ledger_knows_it() -> None:
    package = sign(B, "m", last_ball_unit=LAST_BALL_UNIT)
    assert is_valid(package, FakeLedger())
    assert not is_valid(package, FakeLedger(definitions={B.address: B.definition}))


@pytest.mark.parametrize(
    "last_ball_unit", [some_hash("unknown"), "x", 5, True, LAST_BALL_UNIT[:-1]], ids=repr
)
def test_a_last_ball_unit_must_be_known(last_ball_unit: Any) -> None:
    assert not is_valid(sign(B, "m", last_ball_unit=last_ball_unit), FakeLedger())


def test_a_last_ball_unit_must_not_be_newer_than_the_trigger() -> None:
    package = sign(B, "m", last_ball_unit=LAST_BALL_UNIT)
    assert is_valid(package, FakeLedger(), index=50)
    assert not is_valid(package, FakeLedger(), index=49)


def test_a_definition_shared_by_several_keys_is_not_modelled() -> None:
    shared = ["and", [B.definition, STRANGER.definition]]
    package = sign(B, "m", with_definition=False, last_ball_unit=LAST_BALL_UNIT)
    with pytest.raises(NotModelled):
        is_valid(package, FakeLedger(definitions={B.address: shared}))
