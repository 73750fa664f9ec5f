"""What a JSON value counts for in the commissions of a unit, in bytes.

Fees are counted by these sizes, not by the bytes that travel. Nothing here knows which parts of a unit count.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from paypercall.obyte.canonical import utf16_length
from paypercall.obyte.errors import InvalidUnit

_NUMBER_SIZE = 8
_BOOLEAN_SIZE = 1


def size(value: Any, *, with_keys: bool) -> int:
    """Returns what a JSON value counts for in commissions (ocore `getLength`).

    Texts count their UTF-16 code units, numbers 8, booleans 1, null nothing.

    Raises:
        InvalidUnit: The value holds a number that is not finite, or something that JSON does not know.
    """
    try:
        return _size(value, with_keys)
    except RecursionError:
        raise InvalidUnit("the unit is nested too deeply") from None


def _size(value: Any, with_keys: bool) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        return utf16_length(value)
    if isinstance(value, bool):
        return _BOOLEAN_SIZE
    if isinstance(value, (int, float)):
        return _number_size(value)
    if isinstance(value, list):
        return sum([_size(element, with_keys) for element in value])
    if isinstance(value, dict):
        keys_size = sum(map(utf16_length, value)) if with_keys else 0
        return keys_size + sum([_size(element, with_keys) for element in value.values()])
    raise InvalidUnit(f"a {type(value).__name__} has no size")


def _number_size(number: float) -> int:
    try:
        if isfinite(number):
            return _NUMBER_SIZE
    except OverflowError:
        pass  # an integer beyond every double, which JavaScript reads as infinite
    raise InvalidUnit("a number is not finite")
