"""What a JavaScript hub can print, and what only looks like it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.obyte.canonical import json_source_string
from paypercall.obyte.errors import ProofError
from paypercall.obyte.shape import is_address, is_hash, is_natural, is_positive, require_plain_json

ADDRESS = "XZ33YNFB76VTXXUGNTNHU3QSD43FSURX"
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5)


def is_plain(value: Any) -> bool:
    try:
        require_plain_json(value)
    except ProofError:
        return False
    return True


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**53,
        2**53 + 2,
        -(10**20),
        18446744073709552000,
        0.5,
        1e21,
        1e-7,
        "",
        "ü\U0001f600\u2028",
        {"a": [{"b": None}]},
        {},
        [],
    ],
)
def test_what_a_hub_prints_is_plain(value: Any) -> None:
    assert is_plain(value)


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        -0.0,
        1e20,
        2**53 + 1,
        2**64,
        10**21,
        10**400,
        math.nan,
        math.inf,
        "\0",
        "ü\0",
        "\ud800",
        "\ud83d\ude00",
        {"a\0": 1},
        {"\ud800": 1},
        {1: 1},
        (1,),
        b"",
        {"a": {1, 2}},
    ],
    ids=ascii,
)
def test_what_no_hub_prints_is_refused(value: Any) -> None:
    assert not is_plain(value)
    assert not is_plain({"a": [value]})


def test_the_depth_is_limited() -> None:
    value: Any = 1
    for _ in range(109):
        value = [value]
    assert is_plain(value)
    assert not is_plain([value])
    assert not is_plain({"a": value})


@given(SCALARS, SCALARS)
def test_different_plain_values_have_different_canonical_forms(one: Any, other: Any) -> None:
    if not is_plain(one) or not is_plain(other) or one is None or other is None:
        return
    is_same = type(one) is type(other) and one == other
    assert (json_source_string(one) == json_source_string(other)) == is_same


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None, [], -1])
def test_only_integers_count_as_amounts(value: Any) -> None:
    assert not is_natural(value)
    assert not is_positive(value)


def test_zero_is_natural_and_not_positive() -> None:
    assert is_natural(0)
    assert not is_positive(0)
    assert is_positive(1)


def test_hashes_and_addresses_are_told_by_their_shape() -> None:
    assert is_hash("A" * 43 + "=")
    assert not any(
        map(
            is_hash,
            ("A" * 44, "A" * 42 + "==", "A" * 44 + "=", "-" * 43 + "=", "A" * 42 + "B=", "", 44, None, []),
        )
    )
    assert is_address(ADDRESS)
    assert not any(map(is_address, (ADDRESS.lower(), ADDRESS[:-1] + "A", ADDRESS + "\n", "", 32, None, [])))
