"""What a benchmark gives, and how two things are timed side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """One measured value.

    Attributes:
        name: What was measured.
        value: The less the better.
        limit: More than this is a failure.
        unit: `ratio` or `s`.
    """

    name: str
    value: float
    limit: float
    unit: str

    @property
    def is_within_limit(self) -> bool:
        """Whether the value passes."""
        return self.value <= self.limit

    def as_json(self) -> dict[str, float | str]:
        """The entry in latest.json."""
        return {"value": round(self.value, 3), "limit": self.limit, "unit": self.unit}


def ratio_of(subject: Callable[[int], None], floor: Callable[[int], None], rounds: int) -> float:
    """Times two functions in turns and divides their median times, so that both see the same machine.

    Args:
        subject: Called with the number of the round.
        floor: What it is compared with.
        rounds: How many turns; the first tenth warms up and does not count.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for function, taken in ((subject, times[0]), (floor, times[1])):
            started = time.perf_counter()
            function(turn)
            taken.append(time.perf_counter() - started)
    skipped = rounds // 10
    return statistics.median(times[0][skipped:]) / statistics.median(times[1][skipped:])
