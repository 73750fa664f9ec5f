"""The channels that a customer announced and the ledger has not shown yet: a bounded list that expires.

They are no part of the books: nothing is accepted in them, and anyone can announce for nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, select

from paypercall.contract import ChannelParameters
from paypercall.store.dialects import INSERT
from paypercall.store.schema import announced_channels


class Announced:
    """The announced channels, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, parameters: ChannelParameters, now: int, *, limit: int) -> bool:
        """Adds a channel; one that is there keeps its time.

        Returns:
            False when `limit` others are there already; then nothing has changed.
        """
        if self._connection.execute(_GET, {"key": parameters.aa_address}).first() is not None:
            return True
        if self._connection.execute(_COUNT).scalar_one() >= limit:
            return False
        row = {
            "aa_address": parameters.aa_address,
            "address_a": parameters.address_a,
            "address_b": parameters.address_b,
            "asset": parameters.asset,
            "salt": parameters.salt,
            "timeout": parameters.timeout,
            "version": parameters.version,
            "announced_at": now,
        }
        self._connection.execute(_ADD[self._connection.dialect.name], row)
        return True

    def all(self) -> list[ChannelParameters]:
        """All of them, the oldest first."""
        return [ChannelParameters(*row) for row in self._connection.execute(_ALL)]

    def has_older(self, announced_before: int) -> bool:
        """Whether any was announced before a time, in seconds."""
        return self._connection.execute(_OLDER, {"before": announced_before}).first() is not None

    def expire(self, announced_before: int) -> None:
        """Drops those that were announced before a time, in seconds."""
        self._connection.execute(_EXPIRE, {"before": announced_before})

    def remove(self, aa_address: str) -> None:
        """Drops one."""
        self._connection.execute(_REMOVE, {"key": aa_address})


_ADD = {name: insert(announced_channels).on_conflict_do_nothing() for name, insert in INSERT.items()}
_GET = select(announced_channels.c.aa_address).where(announced_channels.c.aa_address == bindparam("key"))
_COUNT = select(func.count()).select_from(announced_channels)
_ALL: Select[Any] = select(
    announced_channels.c.address_a,
    announced_channels.c.address_b,
    announced_channels.c.asset,
    announced_channels.c.salt,
    announced_channels.c.timeout,
    announced_channels.c.version,
).order_by(announced_channels.c.announced_at, announced_channels.c.aa_address)
_OLDER = (
    select(announced_channels.c.aa_address)
    .where(announced_channels.c.announced_at < bindparam("before"))
    .limit(1)
)
_EXPIRE = delete(announced_channels).where(announced_channels.c.announced_at < bindparam("before"))
_REMOVE = delete(announced_channels).where(announced_channels.c.aa_address == bindparam("key"))
