"""Reads a history that is too large for one answer of a hub, in parts, the newest first.

A hub gives 2,000 units at most, all from a main chain index on; there is no upper end to ask for (ocore `light`). What
came in one part is named as known in the next question and does not count there. As a hub takes 2,000 such names, the
newest 4,000 units are within reach and no more. They have no gap among them: what has spent a coin of theirs is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from paypercall.obyte.histories import merged
from paypercall.obyte.proof import History

MAX_QUESTIONS = 100  # a hub that lies about its main chain must not hold its asker for ever


def read_in_parts(
    ask: Callable[[int, Sequence[str]], History], address: str, lowest_index: int, newest_index: int
) -> History:
    """Reads what can be had of the history of one address.

    Args:
        ask: Gives the history from an index on without the units that are named, or an empty one with the address
            among those that are `too_large`.
        address: The one.
        lowest_index: Leave out what is stable below it. All from here on was too large for one answer.
        newest_index: Where the hub's main chain ends.

    Returns:
        The newest units. Unless they are all, the address is among those that are `too_large`.
    """
    parts: list[History] = []
    known: dict[str, None] = {}
    # All from `given` on came; from below `refused` on it was too large, as much as was known then.
    refused, given = lowest_index + 1, newest_index + 1
    index = (refused + given) // 2
    for _ in range(MAX_QUESTIONS):
        if index >= given:
            break
        part = ask(index, tuple(known))
        if part.too_large:
            refused = index + 1
        else:
            parts.append(part)
            if index == lowest_index:
                return merged(parts)
            count = len(known)
            known |= dict.fromkeys(entry.hash for entry in part.units)
            given = index
            if len(known) > count:
                refused = lowest_index
        index = lowest_index if refused == lowest_index else (refused + given) // 2
    return replace(merged(parts), too_large=frozenset({address}))
