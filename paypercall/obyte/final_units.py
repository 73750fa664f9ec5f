"""What is known for good of a unit that concerns an address, in a form that can be kept: it never changes again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from paypercall.obyte.composer import Coin

Place = tuple[str, int, int]
"""Where a coin is: the unit, the message, the output."""


class Outcome(Enum):
    """What became of a unit."""

    GOOD = "good"
    UNKNOWN = "unknown"
    """It is stable, but came without its content. Once that has come, the unit is good as well."""
    VOID = "void"


@dataclass(frozen=True, slots=True)
class FinalUnit:
    """A unit that is proven to be final.

    Attributes:
        unit: Its hash.
        outcome: What became of it.
        is_own: Whether the address is among its authors.
        coins: Its outputs to the address, if it is good.
        spends: The places that it spends, if it is good and the address is among its authors.
    """

    unit: str
    outcome: Outcome
    is_own: bool = False
    coins: tuple[Coin, ...] = ()
    spends: frozenset[Place] = frozenset()
