"""The shapes of what a hub sends: plain JSON, and the few kinds of values that units are made of.

Two values that differ in Python can have the same hash: 1 and 1.0, integers that a double rounds alike, texts
with lone surrogates. A real hub prints JSON with a JavaScript engine and never sends the odd one of such a
pair, so it is refused here, once, before any hash is trusted. Nothing here knows what a field means.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite
from typing import Any, TypeGuard

from paypercall.obyte.address import ADDRESS_LENGTH, HASH_LENGTH, is_valid_address, is_valid_base64
from paypercall.obyte.canonical import LARGEST_EXACT_INTEGER, format_number
from paypercall.obyte.errors import ProofError

DEEPEST_NESTING = 110  # a unit may be 100 deep (ocore `string_utils`) and lies a few levels down in an answer
FIRST_INTEGER_WITH_EXPONENT = 10**21  # JavaScript prints integers from here on as 1e+21

# The same few addresses are on most units of a history, and their checksums are slow to check.
_is_known_valid_address = lru_cache(maxsize=4096)(is_valid_address)


def require(condition: bool, reason: str) -> None:
    """Refuses what the hub sent unless the condition holds.

    Raises:
        ProofError: With the reason.
    """
    if not condition:
        raise ProofError(reason)


def read_object(value: object, reason: str) -> dict[str, Any]:
    """Returns a value that is an object, whose keys plain JSON has made texts; refuses any other.

    Raises:
        ProofError: With the reason.
    """
    if not isinstance(value, dict):
        raise ProofError(reason)
    return value


def read_filled_list(value: object, reason: str) -> list[Any]:
    """Returns a value that is a list with at least one element; refuses any other.

    Raises:
        ProofError: With the reason.
    """
    if not isinstance(value, list) or not value:
        raise ProofError(reason)
    return value


def require_plain_json(answer: object) -> None:
    """Refuses whatever a JavaScript engine would not have printed.

    Raises:
        ProofError: The answer holds something that JSON does not know, a number or text that another one
            hashes like, or is nested too deeply.
    """
    level: list[Any] = [answer]
    keys: set[object] = set()
    for _ in range(DEEPEST_NESTING):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                keys.update(value)
                deeper += value.values()
            elif isinstance(value, list):
                deeper += value
            else:
                require(_is_plain_scalar(value), "a text or number is not what a hub would send")
        level = deeper
    require(not level, "the answer is nested too deeply")
    are_plain = all(isinstance(key, str) and _is_well_formed(key) for key in keys)
    require(are_plain, "a key is not what a hub would send")


def is_integer(value: object) -> TypeGuard[int]:
    """Tells whether a value is an integer, which a bool is not."""
    return type(value) is int


def is_natural(value: object) -> TypeGuard[int]:
    """Tells whether a value is an integer from 0 up to the largest that a hub can count with."""
    return is_integer(value) and 0 <= value <= LARGEST_EXACT_INTEGER


def is_positive(value: object) -> TypeGuard[int]:
    """Tells whether a value is an integer from 1 up to the largest that a hub can count with."""
    return is_natural(value) and value > 0


def is_hash(value: object) -> TypeGuard[str]:
    """Tells whether a value can be the base64 SHA-256 of a unit, a ball or a payload."""
    if not isinstance(value, str) or value[-2:].count("=") != 1:  # 44 characters can also be 31 or 33 bytes
        return False
    return is_valid_base64(value, HASH_LENGTH)


def is_address(value: object) -> TypeGuard[str]:
    """Tells whether a value is an address with a correct checksum."""
    return isinstance(value, str) and len(value) == ADDRESS_LENGTH and _is_known_valid_address(value)


def is_hash_list(value: object) -> TypeGuard[list[str]]:
    """Tells whether a value is a list with at least one hash and nothing else."""
    return isinstance(value, list) and bool(value) and all(map(is_hash, value))


def _is_plain_scalar(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return _is_well_formed(value)
    if isinstance(value, int):
        return _is_printed_so(value)
    return isinstance(value, float) and isfinite(value) and _keeps_its_fraction(value)


def _is_well_formed(text: str) -> bool:
    """No NUL and no lone surrogate: the network carries neither (ocore validation)."""
    if text.isascii():
        return "\0" not in text
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _is_printed_so(integer: int) -> bool:
    if -LARGEST_EXACT_INTEGER <= integer <= LARGEST_EXACT_INTEGER:
        return True
    return abs(integer) < FIRST_INTEGER_WITH_EXPONENT and format_number(integer) == str(integer)


def _keeps_its_fraction(number: float) -> bool:
    return not number.is_integer() or abs(number) >= FIRST_INTEGER_WITH_EXPONENT
