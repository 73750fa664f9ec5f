"""How the agent reads the data of a unit that is sent to it: in its language a text that looks like a number is one,
and an array of one element stands for that element.

Pure. Whoever closes a channel may write its claim in any of these ways, and the peer must understand it all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)

MAX_AGENT_AMOUNT = 999_999_999_999_999
"""The largest amount that the agent counts exactly: its arithmetic keeps 15 significant digits (agent 1.1)."""

LARGEST_INTEGER = 10**18
"""A larger number is read as this: a closer may claim any, but no such amount can exist."""


def select(data: object, name: str) -> Any:
    """Returns a field of trigger data, False if it is missing; a text that is a number comes as Decimal."""
    while isinstance(data, list) and len(data) == 1:
        data = data[0]
    if not isinstance(data, Mapping):
        return False
    value = data.get(name, False)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(value)
    return value


def is_true(value: object) -> bool:
    """Whether a condition takes a value for true: all but false, zero and the empty text."""
    return True if isinstance(value, (Mapping, list)) else bool(value)


def integer(value: object) -> int | None:
    """Returns a whole number, at most `LARGEST_INTEGER`; None for anything else."""
    if not isinstance(value, Decimal):
        return None
    bounded = max(min(value, Decimal(LARGEST_INTEGER)), Decimal(-LARGEST_INTEGER))
    return int(bounded) if bounded == bounded.to_integral_value() else None
