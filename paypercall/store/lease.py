"""Leases: which of the processes on one database does what only one may do.

They expire unless they are renewed. Times are the callers', whose clocks must agree much better than a lease
lasts.
"""

from __future__ import annotations

from sqlalchemy import Insert, bindparam, delete, or_, select

from paypercall.store.schema import leases
from paypercall.store.statements import Connection, DialectInsert, Statement, adding_or


class Lease:
    """The leases, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take(self, name: str, holder: str, now: int, seconds: int) -> bool:
        """Takes a lease that is free or expired, or renews one's own.

        Returns:
            Whether `holder` has it now, until `now + seconds`.
        """
        row = {"name": name, "holder": holder, "expires_at": now + seconds, "now": now}
        return self._connection.change(_TAKE, row) > 0

    def release(self, name: str, holder: str) -> None:
        """Gives a lease back, if `holder` has it."""
        self._connection.change(_RELEASE, {"key": name, "mine": holder})

    def holder(self, name: str, now: int) -> str | None:
        """Who has a lease that is not expired."""
        holder: str | None = self._connection.value(_HOLDER, {"key": name, "now": now})
        return holder


def _take(insert: DialectInsert) -> Insert:
    return insert.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": insert.excluded.holder, "expires_at": insert.excluded.expires_at},
        where=or_(
            leases.c.expires_at <= bindparam("now"),
            leases.c.holder == insert.excluded.holder,
            # Taken by a clock that was ahead and has been put right since.
            leases.c.expires_at - insert.excluded.expires_at > insert.excluded.expires_at - bindparam("now"),
        ),
    )


_TAKE = adding_or(leases, _take)
_RELEASE = Statement(
    delete(leases).where(leases.c.name == bindparam("key"), leases.c.holder == bindparam("mine"))
)
_HOLDER = Statement(
    select(leases.c.holder).where(leases.c.name == bindparam("key"), leases.c.expires_at > bindparam("now"))
)
