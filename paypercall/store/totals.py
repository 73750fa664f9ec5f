"""The sums over all channels of an asset that the limits are held against, kept up to date row by row.

Whether a sum is too high is decided by the caller. The channels move the sums along when they are saved;
nobody else does.
"""

from __future__ import annotations

from sqlalchemy import Insert, bindparam, func, select, update

from paypercall.store.schema import losses, totals
from paypercall.store.statements import Connection, DialectInsert, Statement, adding, adding_or


class Totals:
    """The totals, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, asset: str) -> None:
        """Keeps all others from changing an asset's totals until the transaction ends.

        A transaction must lock its channels first.
        """
        self._connection.first(_LOCK, {"key": asset})

    def exposure(self, asset: str, since: int) -> int:
        """The sum of all channels' counted exposures, and of the losses booked from `since` (seconds) on."""
        exposure = self._connection.value(_EXPOSURE, {"key": asset})
        lost = self._connection.value(_LOST, {"key": asset, "since": since})
        return (exposure or 0) + int(lost)

    def unsettled(self, asset: str) -> int:
        """The sum of what is unsettled in all channels."""
        return self._connection.value(_UNSETTLED, {"key": asset}) or 0

    def add_loss(self, asset: str, amount: int, now: int, *, aa_address: str | None = None) -> None:
        """Books exposure that turned into a loss.

        Args:
            asset: The exposure's.
            amount: In bytes or units of the asset.
            now: Seconds.
            aa_address: The channel whose deposits may make it good yet, if any can.
        """
        row = {"asset": asset, "amount": amount, "booked_at": now, "aa_address": aa_address}
        self._connection.change(_ADD_LOSS, row)

    def make_good(self, aa_address: str, amount: int) -> None:
        """Takes back so much of a channel's losses, the newest first: those of earlier periods stay."""
        for number, lost in self._connection.all(_LOSSES_OF, {"key": aa_address}):
            if not amount:
                break
            taken = min(lost, amount)
            self._connection.change(_REDUCE_LOSS, {"key": number, "taken": taken})
            amount -= taken

    def move(self, asset: str, exposure: int, unsettled: int) -> None:
        """Adds differences to the totals; for the channels only."""
        if exposure or unsettled:
            row = {"asset": asset, "exposure": exposure, "unsettled": unsettled}
            self._connection.change(_MOVE, row)


def _move(insert: DialectInsert) -> Insert:
    return insert.on_conflict_do_update(
        index_elements=["asset"],
        set_={
            "exposure": totals.c.exposure + insert.excluded.exposure,
            "unsettled": totals.c.unsettled + insert.excluded.unsettled,
        },
    )


_MOVE = adding_or(totals, _move)
_LOCK = Statement(select(totals.c.asset).where(totals.c.asset == bindparam("key")).with_for_update())
_EXPOSURE = Statement(select(totals.c.exposure).where(totals.c.asset == bindparam("key")))
_UNSETTLED = Statement(select(totals.c.unsettled).where(totals.c.asset == bindparam("key")))
_LOST = Statement(
    select(func.coalesce(func.sum(losses.c.amount), 0)).where(
        losses.c.asset == bindparam("key"), losses.c.booked_at >= bindparam("since")
    )
)
_ADD_LOSS = adding(losses)
_LOSSES_OF = Statement(
    select(losses.c.id, losses.c.amount)
    .where(losses.c.aa_address == bindparam("key"), losses.c.amount > 0)
    .order_by(losses.c.id.desc())
)
_REDUCE_LOSS = Statement(
    update(losses).where(losses.c.id == bindparam("key")).values(amount=losses.c.amount - bindparam("taken"))
)
