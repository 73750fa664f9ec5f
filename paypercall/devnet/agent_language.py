"""The few rules of Oscript, the language of Obyte's agents, on which the channel agent 1.1 relies.

What a trigger carries is arbitrary JSON, and the agent's answer to the odd kinds (numbers written as texts,
missing fields, objects where a number belongs) follows from how its language reads, compares and prints
values. That is stated here once, as ocore's `formula/evaluation` does it, so that the rules of the agent can
be written plainly. Knows nothing of channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from math import isfinite
from re import compile as compile_pattern
from typing import Any

from paypercall.errors import PaypercallError
from paypercall.obyte.canonical import format_number, json_source_string, utf16_order

Value = bool | str | Decimal | Mapping[str, Any] | list[Any]
"""What a formula can hold. A field that is missing is `False`; objects and arrays are only passed on."""

LARGEST_SAFE_INTEGER = 2**53 - 1
MAX_TEXT_LENGTH = 4096
"""UTF-16 code units of a text inside a formula (ocore `MAX_AA_STRING_LENGTH`)."""

_SMALL_OBJECT = 200  # as JSON text; what is shorter can have neither 4,096 characters nor 101 levels

# Slightly less precise than a double, so that all nodes agree.
_precision = Context(prec=15, rounding=ROUND_HALF_EVEN)
_numeric_text = compile_pattern(r"[+-]?(?P<mantissa>[0-9]+(?:\.[0-9]+)?)(?:[eE][+-]?(?P<exponent>[0-9]+))?")


class Bounce(Exception):
    """The agent's code ends here, by its own word or an error of the language; the text is the bounce's."""


class NotModelled(PaypercallError):
    """A trigger or an agent so unusual that the model does not claim to know what the real agent answers."""

    code = "not_modelled"


def select(data: Any, *keys: str) -> Value:
    """Returns the value at a path inside trigger data, `False` when the path leads nowhere.

    An array of one element stands for that element on the way, and a text that looks like a number is one.

    Raises:
        Bounce: The value is a text that the language cannot hold.
    """
    for key in keys:
        while isinstance(data, list) and len(data) == 1:
            data = data[0]
        if not isinstance(data, Mapping) or key not in data:
            return False
        data = data[key]
    return _read(data)


def is_true(value: Value) -> bool:
    """Tells what a condition makes of a value: only false, zero and the empty text are not true."""
    if isinstance(value, (Mapping, list)):
        return True
    return value != 0 if isinstance(value, Decimal) else bool(value)


def assigned(value: Value) -> Value:
    """Returns a value as a local variable holds it.

    Raises:
        NotModelled: It is an object so large that the language might refuse it, with its whole content in
            the text.
    """
    if (
        isinstance(value, (Mapping, list))
        and len(json_source_string(value, allow_empty=True)) > _SMALL_OBJECT
    ):
        raise NotModelled("the agent would assign a large object to a variable")
    return value


def as_integer(value: Value) -> int | None:
    """Returns a whole number as such, None for anything else (`is_integer`)."""
    if not isinstance(value, Decimal) or value != value.to_integral_value():
        return None
    return int(value)


def text_of(value: Value) -> str:
    """Returns a value as it is printed into a text; an object or array prints as "true"."""
    if isinstance(value, Decimal):
        return format_number(float(value))
    if isinstance(value, str):
        return value
    return "true" if is_true(value) else "false"


def joined(start: str, value: Value) -> str:
    """Returns two texts as one (`||`).

    Raises:
        Bounce: The result is longer than the language allows.
    """
    text = start + text_of(value)
    if text_length(text) > MAX_TEXT_LENGTH:
        raise Bounce(f"string too long after concat: {text}")
    return text


def differs(value: Value, other: str | int | None) -> bool:
    """Tells whether a value of the trigger is another one than the agent's own (`!=`).

    Args:
        value: What came with the trigger.
        other: What the agent compares it with; None stands for a state variable that is not set, hence false.

    Raises:
        Bounce: The language refuses to compare the two.
    """
    if isinstance(value, (Mapping, list)):
        raise Bounce("objects cannot be compared with other types")
    if isinstance(value, bool) and other is None:
        return value
    if isinstance(value, bool) or other is None:
        raise Bounce("booleans cannot be compared with other types")
    if isinstance(value, Decimal) and isinstance(other, int):
        return value != other
    return text_of(value) != str(other)


def text_length(text: str) -> int:
    """Returns how many UTF-16 code units a text has, which is how JavaScript counts."""
    return len(utf16_order(text)) // 2


def add(*numbers: int) -> int:
    """Returns a sum as the language calculates it: from left to right, each step rounded to 15 digits.

    Raises:
        Bounce: A step leaves the range of a double.
    """
    total = Decimal(numbers[0])
    for number in numbers[1:]:
        total = _precision.add(total, Decimal(number))
        if not isfinite(float(total)):
            raise Bounce(f"not finite in {'-' if number < 0 else '+'}")
    return int(total)


def payload_number(number: int) -> int | str:
    """Returns a whole number as an agent writes it into a unit: a text once it is not safe as a number."""
    return number if abs(number) < LARGEST_SAFE_INTEGER else format_number(number)


def state_number(number: int) -> int | float:
    """Returns a whole number as the node keeps it in a state variable: a double."""
    return number if abs(number) <= LARGEST_SAFE_INTEGER else float(number)


def _read(value: Any) -> Value:
    if isinstance(value, (bool, Mapping, list)):
        return value
    if isinstance(value, str):
        if text_length(value) > MAX_TEXT_LENGTH:
            raise Bounce(f"string value too long: {value}")
        return _read_text(value)
    return _precision.create_decimal(format_number(value))


def _read_text(text: str) -> str | Decimal:
    match = _numeric_text.fullmatch(text)
    if match is None or not isfinite(float(text)):
        return text
    if float(text) == 0:
        is_underflow = float(match["mantissa"]) > 0 and float(match["exponent"] or 0) > 0
        return text if is_underflow else Decimal(0)
    return _precision.create_decimal(text)
