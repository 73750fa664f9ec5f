"""How the agent's language reads, compares and prints what comes with a trigger."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from paypercall.devnet.agent_language import (
    Bounce,
    add,
    as_integer,
    differs,
    is_true,
    joined,
    payload_number,
    select,
    state_number,
    text_of,
)


@pytest.mark.parametrize(
    "text, number",
    [
        ("1", 1),
        ("01", 1),
        ("1.0", 1),
        ("+1", 1),
        ("-1", -1),
        ("1e0", 1),
        ("1e3", 1000),
        ("0e999999999999", 0),
    ],
)
def test_a_text_that_looks_like_a_number_is_one(text: str, number: int) -> None:
    assert as_integer(select({"field": text}, "field")) == number


@pytest.mark.parametrize(
    "text",
    [
        " 1",
        "1 ",
        "1.",
        ".1",
        "0x1",
        "1_000",
        "1e400",
        "1e-400",
        "",
        "abc",
        "1\n",
        "\u0661",
        "NaN",
        "Infinity",
    ],
)
def test_other_texts_stay_texts(text: str) -> None:
    assert select({"field": text}, "field") == text


@pytest.mark.parametrize("data", [None, {}, [], "text", 5, {"a": 1}, {"a": {"c": 1}}, [{"a": {"b": 1}}] * 2])
def test_a_path_that_leads_nowhere_is_false(data: Any) -> None:
    assert select(data, "a", "b") is False


@pytest.mark.parametrize("data", [{"a": {"b": 5}}, [{"a": {"b": 5}}], [[{"a": [{"b": 5}]}]]])
def test_an_array_of_one_element_stands_for_that_element(data: Any) -> None:
    assert select(data, "a", "b") == 5


def test_numbers_keep_fifteen_digits() -> None:
    assert select({"n": 9_007_199_254_740_991}, "n") == 9_007_199_254_740_990
    assert add(999_999_999_999_999, 2) == 1_000_000_000_000_000


@pytest.mark.parametrize("value", [1, -1, 0.5, "1", "false", "0x0", True, {"a": 1}, [0], {}, []])
def test_what_counts_as_true(value: Any) -> None:
    assert is_true(select({"field": value}, "field"))


@pytest.mark.parametrize("value", [0, -0.0, 0.0, "0", "0.0", "", False])
def test_what_counts_as_false(value: Any) -> None:
    assert not is_true(select({"field": value}, "field"))


@pytest.mark.parametrize("value", [1.5, "1.5", "x", True, {"a": 1}, [1], 1e-7])
def test_what_is_no_whole_number(value: Any) -> None:
    assert as_integer(select({"field": value}, "field")) is None


@pytest.mark.parametrize(
    "value, own, is_other",
    [
        (1, 1, False),
        ("1.0", 1, False),
        (2, 1, True),
        ("x", "x", False),
        ("x", "y", True),
        ("x", 1, True),
        (5, "text", True),
        (False, None, False),
    ],
)
def test_values_of_one_kind_and_texts_with_numbers_can_be_compared(
    value: Any, own: Any, is_other: bool
) -> None:
    assert differs(select({"field": value}, "field"), own) is is_other


@pytest.mark.parametrize(
    "value, own, error",
    [
        (True, 1, "booleans cannot be compared with other types"),
        (False, "x", "booleans cannot be compared with other types"),
        (1, None, "booleans cannot be compared with other types"),
        ({"a": 1}, 1, "objects cannot be compared with other types"),
        ([1], "x", "objects cannot be compared with other types"),
    ],
)
def test_values_of_different_kinds_cannot_be_compared(value: Any, own: Any, error: str) -> None:
    with pytest.raises(Bounce, match=error):
        differs(select({"field": value}, "field"), own)


@pytest.mark.parametrize(
    "value, text",
    [
        (Decimal("1.5"), "1.5"),
        (Decimal("1e21"), "1e+21"),
        (Decimal("1e-7"), "1e-7"),
        (Decimal("123456789012345000000"), "123456789012345000000"),
        ("abc", "abc"),
        (True, "true"),
        (False, "false"),
        ({"a": 1}, "true"),
        ([1], "true"),
    ],
)
def test_values_print_as_in_javascript(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_texts_are_limited_to_4096_characters() -> None:
    assert select({"field": "x" * 4096}, "field") == "x" * 4096
    with pytest.raises(Bounce, match=r"^string value too long: x"):
        select({"field": "x" * 4097}, "field")
    with pytest.raises(Bounce, match=r"^string too long after concat: why: x"):
        joined("why: ", "x" * 4096)


def test_a_character_beyond_the_basic_plane_counts_twice() -> None:
    with pytest.raises(Bounce):
        select({"field": "\U0001f600" * 2049}, "field")


@pytest.mark.parametrize(
    "numbers, operator", [((1, 10**308, 10**308), "+"), ((1, -(10**308), -(10**308)), "-")]
)
def test_sums_beyond_the_range_of_a_double_bounce(numbers: tuple[int, ...], operator: str) -> None:
    with pytest.raises(Bounce) as bounce:
        add(*numbers)
    assert str(bounce.value) == f"not finite in {operator}"


def test_numbers_that_are_not_safe_are_texts_in_a_unit_and_doubles_in_the_state() -> None:
    assert payload_number(2**53 - 2) == 2**53 - 2
    assert payload_number(2**53 - 1) == "9007199254740991"
    assert payload_number(10**300) == "1e+300"
    assert state_number(10**300) == 1e300
