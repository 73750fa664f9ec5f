"""When something is sent again: a command that the ledger took and the agent does not seem to have honoured, and a
unit that does not become stable. Pure.

That an answer is missing proves nothing: a hub can leave it out, and what bounced is its word as well. Each repetition
costs a bounce fee and the fees of a unit, so each pause is twice as long as the one before.
"""

from __future__ import annotations

from collections.abc import Sequence

from paypercall.channel import Channel
from paypercall.settlement.commands import COMMANDS
from paypercall.store import OutboxRow, OutboxState

HANGING_SECONDS = 3_600
"""How long a unit that is no command may take to become stable, which mostly takes minutes, before it is replaced."""


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


def hangs(row: OutboxRow, channel: Channel | None, signed_at: int, now: int) -> bool:
    """Whether a unit that hubs have taken is to be replaced, because it does not become stable.

    That they have it is their word only, and a unit whose fee is too low can hang for ever. Until the row is finished
    the agent gets no other answer, so a command must not wait for more than a part of the timeout.

    Args:
        row: That has the unit.
        channel: The row's; None for what only moves the wallet's own money.
        signed_at: When the newest unit of the row was signed, in seconds.
        now: Seconds.
    """
    if row.state is not OutboxState.POSTED:
        return False
    patience = channel.parameters.timeout // 4 if channel and row.kind in COMMANDS else HANGING_SECONDS
    return now - signed_at >= patience
