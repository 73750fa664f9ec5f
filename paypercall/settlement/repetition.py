"""When a command is sent again that the ledger took and the agent does not seem to have honoured. Pure.

That an answer is missing proves nothing: a hub can leave it out, and what bounced is its word as well. Each repetition
costs a bounce fee and the fees of a unit, so each pause is twice as long as the one before.
"""

from __future__ import annotations

from collections.abc import Sequence

from paypercall.store import OutboxRow, OutboxState


def may_send(rows: Sequence[OutboxRow], first_pause: int, now: int) -> bool:
    """Whether a command may be sent, now or again.

    What failed has cost nothing, and makes no pause longer. With a first pause of ten minutes, what is never answered
    is sent eight times on the first day and hardly once on each later one. With one of a quarter of the timeout, it is
    sent twice at least before the timeout has passed, even if once was too early.

    Args:
        rows: All of the period that stand in the way.
        first_pause: Seconds after the first that the ledger took.
        now: Seconds.
    """
    taken = sum(row.state is OutboxState.STABLE for row in rows)
    pause = first_pause * 2 ** max(0, taken - 1)
    return all(row.state.is_finished and now - row.updated_at >= pause for row in rows)
