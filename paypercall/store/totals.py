"""The sums over all channels of an asset that the limits are held against, kept up to date row by row.

Whether a sum is too high is decided by the caller. The channels move the sums along when they are saved;
nobody else does.
"""

from __future__ import annotations

from sqlalchemy import Connection, Insert, bindparam, func, insert, select

from paypercall.store.dialects import INSERT
from paypercall.store.schema import losses, totals


class Totals:
    """The totals, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, asset: str) -> None:
        """Keeps all others from changing an asset's totals until the transaction ends.

        A transaction must lock its channels first.
        """
        self._connection.execute(_LOCK, {"key": asset})

    def exposure(self, asset: str, since: int) -> int:
        """The sum of all channels' counted exposures, and of the losses booked from `since` (seconds) on."""
        exposure = self._connection.execute(_EXPOSURE, {"key": asset}).scalar()
        lost = self._connection.execute(_LOST, {"key": asset, "since": since}).scalar_one()
        return (exposure or 0) + int(lost)

    def unsettled(self, asset: str) -> int:
        """The sum of what is unsettled in all channels."""
        return self._connection.execute(_UNSETTLED, {"key": asset}).scalar() or 0

    def add_loss(self, asset: str, amount: int, now: int) -> None:
        """Books exposure that turned into a loss."""
        self._connection.execute(_ADD_LOSS, {"asset": asset, "amount": amount, "booked_at": now})

    def move(self, asset: str, exposure: int, unsettled: int) -> None:
        """Adds differences to the totals; for the channels only."""
        if exposure or unsettled:
            statement = _MOVE[self._connection.dialect.name]
            self._connection.execute(
                statement, {"asset": asset, "exposure": exposure, "unsettled": unsettled}
            )


_LOCK = select(totals.c.asset).where(totals.c.asset == bindparam("key")).with_for_update()
_EXPOSURE = select(totals.c.exposure).where(totals.c.asset == bindparam("key"))
_UNSETTLED = select(totals.c.unsettled).where(totals.c.asset == bindparam("key"))
_LOST = select(func.coalesce(func.sum(losses.c.amount), 0)).where(
    losses.c.asset == bindparam("key"), losses.c.booked_at >= bindparam("since")
)
_ADD_LOSS = insert(losses)


def _move(name: str) -> Insert:
    statement = INSERT[name](totals)
    return statement.on_conflict_do_update(
        index_elements=["asset"],
        set_={
            "exposure": totals.c.exposure + statement.excluded.exposure,
            "unsettled": totals.c.unsettled + statement.excluded.unsettled,
        },
    )


_MOVE = {name: _move(name) for name in INSERT}
