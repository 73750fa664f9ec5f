"""Rows that move coins as a whole: to sweep the wallet out, or to make one coin of many, also for another row.

What such a row moves depends on what is there when it is composed. So it waits for a short while only, and the wallet
is not emptied as long as anything may need the byte reserve.
"""

from __future__ import annotations

from typing import Any

from paypercall.errors import PaypercallError
from paypercall.obyte.amounts import BASE
from paypercall.obyte.errors import InsufficientFunds, TooManyCoins
from paypercall.store import Books, OutboxKind, OutboxRow, OutboxState

GATHERINGS = frozenset({OutboxKind.SWEEP_OUT, OutboxKind.CONSOLIDATION})

GATHERING_SECONDS = 600
"""How long a row may wait for its first unit; a later one would move what nobody had in mind."""


class ReserveNeeded(PaypercallError):
    """The wallet cannot be emptied: its byte reserve may be needed to close or contest a channel."""

    code = "reserve_needed"


def details_of_gathering(asset: str, address: str, serves: int | None = None) -> dict[str, Any]:
    """The details of a row that moves coins.

    Args:
        asset: "base" or the asset's id.
        address: Where to.
        serves: The number of the row that cannot be composed without it, and whose limits it has.
    """
    return {"asset": asset, "address": address, "serves": serves}


def is_too_late(row: OutboxRow, now: int) -> bool:
    """Whether a row for which nothing was signed has waited too long to move what was meant, or to be of use."""
    is_for_now = row.kind in GATHERINGS or row.kind is OutboxKind.UNIT_PAYMENT
    return is_for_now and not row.units and now - row.created_at > GATHERING_SECONDS


def consolidation_for(
    books: Books, row: OutboxRow, error: TooManyCoins, my_address: str, now: int
) -> OutboxRow:
    """The row that consolidates the coins which another row needs: one that waits to be sent, or else a new one.

    Args:
        books: Within a transaction.
        row: The other row.
        error: What stood in its way.
        my_address: The wallet's.
        now: Seconds.

    Raises:
        InsufficientFunds: That would not help.
    """
    asset = error.asset
    if row.kind in GATHERINGS:
        if row.details["asset"] == BASE:
            raise InsufficientFunds(f"the coins are too small to pay for being moved: {error}")
        # No more coins are moved than fit, so those that pay the fees are too many.
        asset = BASE
    for other in books.outbox.unfinished():
        is_waiting = other.kind is OutboxKind.CONSOLIDATION and other.state is not OutboxState.POSTED
        if is_waiting and other.details["asset"] == asset:
            return other
    number = books.outbox.add(
        OutboxKind.CONSOLIDATION,
        aa_address=None,
        period=None,
        details=details_of_gathering(asset, my_address, serves=row.id),
        now=now,
    )
    added = books.outbox.get(number)
    assert added is not None
    return added


def require_no_need_for_reserve(books: Books) -> None:
    """Checks that no channel is open, nor about to be, and that nothing else has to be paid.

    Raises:
        ReserveNeeded: Saying what is in the way.
    """
    count = books.channels.count_not_closed()
    if count:
        raise ReserveNeeded(
            f"{count} channels are not closed: close them first, or send what is above the reserve"
        )
    if books.deposits.may_open_any() or books.unconfirmed.has_deposits():
        raise ReserveNeeded(
            "a deposit is on its way to its channel: wait until it is settled, and close the channel"
        )
    for row in books.outbox.unfinished():
        if row.kind not in GATHERINGS and row.state is not OutboxState.POSTED:
            raise ReserveNeeded(f"a {row.kind.value} has yet to be sent: wait until it is")
