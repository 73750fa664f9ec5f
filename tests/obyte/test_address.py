"""Addresses against the real core's, and RIPEMD-160 with and without OpenSSL."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.obyte.address import (
    chash160,
    definition_address,
    device_address,
    is_valid_address,
    is_valid_base64,
)
from paypercall.obyte.ripemd160 import ripemd160, ripemd160_in_python
from tests.vectors import Case, expected, failing, load_cases, outcome, spellings

ADDRESS = "4IRUGAUUCAQ6QRQLG4SNOLOE6VW2STWZ"
BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

# The test values that the authors of RIPEMD-160 published.
PUBLISHED_DIGESTS = [
    (b"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"),
    (b"a", "0bdc9d2d256b3ee9daae347be6f4dc835a467ffe"),
    (b"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
    (b"message digest", "5d0689ef49d2fae572b881b123a85ffa21595f36"),
    (b"abcdefghijklmnopqrstuvwxyz", "f71c27109c692c1b56bbdceb5b9d2865b3708dbc"),
    (b"1234567890" * 8, "9b752e45573d4b39f4dbd3323cab82bf63326bfb"),
]


def test_every_golden_definition_has_its_address() -> None:
    def passes(case: Case) -> bool:
        results = [outcome(definition_address, definition) for definition in spellings(case, "input")]
        return all(result == expected(case["chash160"]) for result in results)

    assert failing(load_cases("chash.json", "definition"), passes) == []


def test_every_golden_channel_has_its_agents_address() -> None:
    def passes(case: Case) -> bool:
        return definition_address(case["definition"]) == case["aa_address"]["ok"]

    channels = tuple(case for case in load_cases("channel_address.json") if "ok" in case["aa_address"])
    assert failing(channels, passes) == []


def test_every_golden_text_has_its_checksummed_hash() -> None:
    def passes(case: Case) -> bool:
        return outcome(chash160, case["input"]) == expected(case["chash160"])

    assert failing(load_cases("chash.json", "string"), passes) == []


def test_every_golden_device_key_has_its_address() -> None:
    def passes(case: Case) -> bool:
        return outcome(device_address, case["pubkey"]) == expected(case["device_address"])

    assert failing(load_cases("chash.json", "device_address"), passes) == []


def test_every_golden_candidate_is_judged_like_the_real_core_does() -> None:
    def passes(case: Case) -> bool:
        return all(
            is_valid_address(candidate) is case["is_valid_address"]
            and is_valid_base64(candidate, 44) is case["is_valid_base64_44"]
            and is_valid_base64(candidate) is case["is_valid_base64"]
            for candidate in spellings(case, "input")
        )

    assert failing(load_cases("chash.json", "validate"), passes) == []


@pytest.mark.parametrize(
    "candidate", [ADDRESS + "\n", ADDRESS.lower(), " " + ADDRESS, ADDRESS[:-1], None, 5, [ADDRESS]]
)
def test_what_only_looks_like_an_address_is_refused(candidate: Any) -> None:
    assert is_valid_address(ADDRESS)
    assert not is_valid_address(candidate)


def test_text_and_its_bytes_have_the_same_hash() -> None:
    assert chash160("h\xe9\U0001f600") == chash160("h\xe9\U0001f600".encode())


@pytest.mark.parametrize("data, digest", PUBLISHED_DIGESTS)
def test_ripemd_needs_no_openssl(data: bytes, digest: str) -> None:
    assert ripemd160_in_python(data).hex() == digest


def test_an_address_is_the_same_where_openssl_lacks_ripemd(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_ripemd(name: str, data: bytes = b"") -> Any:
        raise ValueError(f"unsupported hash type {name}")

    with_openssl = [ripemd160(bytes(length)) for length in range(130)]
    monkeypatch.setattr(hashlib, "new", without_ripemd)
    assert [ripemd160(bytes(length)) for length in range(130)] == with_openssl


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.text(st.characters(exclude_characters="\x00")), partial(st.lists, min_size=1)))
def test_the_address_of_any_definition_is_valid(definition: Any) -> None:
    assert is_valid_address(definition_address(definition))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 31), st.sampled_from(BASE32))
def test_an_address_with_one_other_character_is_refused(place: int, character: str) -> None:
    changed = ADDRESS[:place] + character + ADDRESS[place + 1 :]
    assert is_valid_address(changed) is (changed == ADDRESS)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_no_text_breaks_the_checks(text: str) -> None:
    assert is_valid_address(text) in (True, False)
    assert is_valid_base64(text) in (True, False)
