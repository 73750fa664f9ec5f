"""What a benchmark gives, and how two things are timed side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """One measured value.

    Attributes:
        name: What was measured.
        value: The less the better.
        limit: More than this is a failure; None where there is only something to compare with.
        unit: `ratio`, `s`, `µs`, or `requests`.
    """

    name: str
    value: float
    limit: float | None
    unit: str

    @property
    def is_within_limit(self) -> bool:
        """Whether the value passes."""
        return self.limit is None or self.value <= self.limit

    def as_json(self) -> dict[str, float | str | None]:
        """The entry in latest.json."""
        return {"value": round(self.value, 3), "limit": self.limit, "unit": self.unit}


def ratio_of(subject: Callable[[int], None], floor: Callable[[int], None], rounds: int) -> float:
    """Times two functions in turns and divides their median times, so that both see the same machine.

    Args:
        subject: Called with the number of the round.
        floor: What it is compared with.
        rounds: How many turns; the first tenth warms up and does not count.
    """
    of_subject, of_floor = times_of((subject, floor), rounds)
    return statistics.median(of_subject) / statistics.median(of_floor)


def times_of(functions: Sequence[Callable[[int], None]], rounds: int, at_once: int = 1) -> list[list[float]]:
    """Times functions in turns, so that all of them see the same machine, and returns the seconds of each call.

    Args:
        functions: Called with the number of the round.
        rounds: How often each is called; the first tenth warms up and does not count.
        at_once: How many calls make a turn. With more than one, each function bears itself what it leaves behind for
            the disk, and finds its own code in the processor's caches.
    """
    times: list[list[float]] = [[] for _ in functions]
    for first in range(0, rounds, at_once):
        for function, taken in zip(functions, times, strict=True):
            for number in range(first, min(first + at_once, rounds)):
                started = time.perf_counter()
                function(number)
                taken.append(time.perf_counter() - started)
    return [taken[rounds // 10 :] for taken in times]


def least_of_turns(taken: Sequence[float], at_once: int) -> list[float]:
    """The least of each turn: what a call takes while nobody else has the processor or the disk.

    For differences, turn by turn: two medians of calls that sync differ by what the disk has to do for others.

    Args:
        taken: Seconds, as of `times_of`.
        at_once: How many calls make a turn.
    """
    return [min(taken[first : first + at_once]) for first in range(0, len(taken), at_once)]
