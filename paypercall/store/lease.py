"""Leases: which of the processes on one database does what only one may do.

They expire unless they are renewed. Times are the callers', whose clocks must agree much better than a lease
lasts.
"""

from __future__ import annotations

from sqlalchemy import Connection, Insert, bindparam, delete, or_, select

from paypercall.store.dialects import INSERT
from paypercall.store.schema import leases


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
        return self._connection.execute(_TAKE[self._connection.dialect.name], row).rowcount > 0

    def release(self, name: str, holder: str) -> None:
        """Gives a lease back, if `holder` has it."""
        self._connection.execute(_RELEASE, {"key": name, "mine": holder})

    def holder(self, name: str, now: int) -> str | None:
        """Who has a lease that is not expired."""
        return self._connection.execute(_HOLDER, {"key": name, "now": now}).scalar()


def _take(name: str) -> Insert:
    statement = INSERT[name](leases)
    return statement.on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": statement.excluded.holder, "expires_at": statement.excluded.expires_at},
        where=or_(leases.c.expires_at <= bindparam("now"), leases.c.holder == statement.excluded.holder),
    )


_TAKE = {name: _take(name) for name in INSERT}
_RELEASE = delete(leases).where(leases.c.name == bindparam("key"), leases.c.holder == bindparam("mine"))
_HOLDER = select(leases.c.holder).where(
    leases.c.name == bindparam("key"), leases.c.expires_at > bindparam("now")
)
