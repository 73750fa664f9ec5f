"""The canonical forms against the real core's, digit by digit, and what must hold for any value."""

from __future__ import annotations

import json
import math
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.obyte.canonical import (
    encode_text,
    format_number,
    hash_base64,
    hash_base64_json,
    json_source_string,
    size,
    source_string,
    utf16_length,
    utf16_order,
)
from paypercall.obyte.errors import CanonicalError
from tests.vectors import Case, expected, failing, load_cases, outcome, spellings

CASES = load_cases("source_string.json")

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.booleans() | numbers | texts,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4) | st.dictionaries(texts, inner, min_size=1, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "field, function",
    [
        ("source_string", source_string),
        ("json_source_string", json_source_string),
        ("base64_hash", hash_base64),
        ("base64_hash_json", hash_base64_json),
    ],
)
def test_every_golden_value_has_the_real_cores_form(field: str, function: Any) -> None:
    def passes(case: Case) -> bool:
        return all(outcome(function, value) == expected(case[field]) for value in spellings(case, "input"))

    assert failing(CASES, passes) == []


def test_every_golden_value_has_the_real_cores_form_where_empty_values_are_allowed() -> None:
    def passes(case: Case) -> bool:
        result = case.get("json_source_string_allow_empty", case["json_source_string"])
        results = [outcome(json_source_string, value, allow_empty=True) for value in spellings(case, "input")]
        return all(each == expected(result) for each in results)

    assert failing(CASES, passes) == []


def test_every_golden_payload_is_hashed_as_in_version_1_and_later() -> None:
    def passes(case: Case) -> bool:
        return all(
            outcome(hash_base64_json, payload) == expected(case["payload_hash"])
            and outcome(hash_base64, payload) == expected(case["payload_hash_v1"])
            for payload in spellings(case, "payload")
        )

    assert failing(load_cases("unit_hash.json", "payload"), passes) == []


def test_every_golden_payload_has_its_sizes() -> None:
    def passes(case: Case) -> bool:
        return all(
            outcome(size, payload, with_keys=True) == expected(case["length_with_keys"])
            and outcome(size, payload, with_keys=False) == expected(case["length_without_keys"])
            for payload in spellings(case, "payload")
        )

    assert failing(load_cases("unit_hash.json", "payload"), passes) == []


@pytest.mark.parametrize(
    "number, printed",
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (1.25e-7, "1.25e-7"),
        (123456789012345680000.0, "123456789012345680000"),
        (2**53, "9007199254740992"),
        (2**53 + 1, "9007199254740992"),
        (10**21, "1e+21"),
        (5e-324, "5e-324"),
    ],
)
def test_a_number_is_printed_as_javascript_prints_it(number: float, printed: str) -> None:
    assert format_number(number) == printed


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 10**400, -(10**400)])
@pytest.mark.parametrize("function", [source_string, json_source_string, partial(size, with_keys=True)])
def test_a_number_that_is_not_finite_is_refused(function: Any, number: float) -> None:
    with pytest.raises(CanonicalError, match="finite"):
        function({"number": number})


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()])
def test_what_json_does_not_know_has_no_size(value: Any) -> None:
    with pytest.raises(CanonicalError, match="canonical form"):
        size({"data": value}, with_keys=True)


@pytest.mark.parametrize("value", [None, {1: "a"}, {"a": 1, 2: "b"}, {None: 1}, b"a", {"a": {1}}, object()])
@pytest.mark.parametrize("function", [source_string, json_source_string])
def test_what_json_does_not_know_is_refused(function: Any, value: Any) -> None:
    with pytest.raises(CanonicalError):
        function(value)


@pytest.mark.parametrize("function", [source_string, json_source_string, partial(size, with_keys=True)])
def test_a_value_nested_too_deeply_is_refused_and_not_a_crash(function: Any) -> None:
    value: Any = "core"
    for _ in range(100_000):
        value = [value]
    with pytest.raises(CanonicalError, match="nested"):
        function(value)


def test_an_error_does_not_quote_the_value() -> None:
    with pytest.raises(CanonicalError) as refusal:
        json_source_string({"secret": "hunter2", "nothing": None})
    assert "hunter2" not in str(refusal.value)


def test_lone_surrogates_are_hashed_like_the_replacement_character() -> None:
    assert encode_text("a\ud800b\udc00") == "a\ufffdb\ufffd".encode()


def test_a_pair_of_surrogates_counts_as_one_character_when_hashed() -> None:
    assert encode_text("\ud83d\ude00\ud83d") == "\U0001f600\ufffd".encode()


def test_a_tuple_is_written_like_a_list() -> None:
    assert json_source_string(("a", 1)) == json_source_string(["a", 1])
    assert source_string(("a", 1)) == source_string(["a", 1])


@settings(max_examples=150, deadline=None)
@given(values)
def test_the_json_form_is_json_that_reads_back_as_the_same_value(value: Any) -> None:
    def as_double(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {key: as_double(field) for key, field in inner.items()}
        if isinstance(inner, list):
            return [as_double(element) for element in inner]
        return float(inner) if isinstance(inner, (int, float)) and not isinstance(inner, bool) else inner

    assert as_double(json.loads(json_source_string(value))) == as_double(value)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(texts, values, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_keys_makes_no_difference(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    shuffled = {key: value[key] for key in keys}
    assert json_source_string(shuffled) == json_source_string(value)
    assert source_string(shuffled) == source_string(value)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(), max_size=6), st.text())
def test_order_and_length_count_utf16_code_units(several: list[str], text: str) -> None:
    def code_units(given_text: str) -> list[int]:
        data = given_text.encode("utf-16-be", "surrogatepass")
        return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]

    assert sorted(several, key=utf16_order) == sorted(several, key=code_units)
    assert utf16_length(text) == len(code_units(text))


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_the_json_form_holds_no_surrogate_and_nothing_beyond_the_basic_plane(text: str) -> None:
    form = json_source_string([text])
    assert all(ord(character) < 0xD800 or 0xE000 <= ord(character) <= 0xFFFF for character in form)
