"""The channels that a customer announced and the ledger has not shown yet: a bounded list that expires.

They are no part of the books: nothing is accepted in them, and anyone can announce for nothing.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, select

from paypercall.contract import ChannelParameters
from paypercall.store.schema import announced_channels
from paypercall.store.statements import Connection, Statement, adding_unless_there


class Announced:
    """The announced channels, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, parameters: ChannelParameters, now: int, *, limit: int) -> bool:
        """Adds a channel; one that is there keeps its time.

        Returns:
            False when `limit` others are there already; then nothing has changed.
        """
        if self._connection.first(_GET, {"key": parameters.aa_address}) is not None:
            return True
        if self._connection.value(_COUNT, {}) >= limit:
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
        self._connection.change(_ADD, row)
        return True

    def all(self) -> list[ChannelParameters]:
        """All of them, the oldest first."""
        return [ChannelParameters(*row) for row in self._connection.all(_ALL, {})]

    def has_older(self, announced_before: int) -> bool:
        """Whether any was announced before a time, in seconds."""
        return self._connection.first(_OLDER, {"before": announced_before}) is not None

    def expire(self, announced_before: int) -> None:
        """Drops those that were announced before a time, in seconds."""
        self._connection.change(_EXPIRE, {"before": announced_before})

    def remove(self, aa_address: str) -> None:
        """Drops one."""
        self._connection.change(_REMOVE, {"key": aa_address})


_IS_OLDER = announced_channels.c.announced_at < bindparam("before")
_IS_IT = announced_channels.c.aa_address == bindparam("key")
_ADD = adding_unless_there(announced_channels)
_GET = Statement(select(announced_channels.c.aa_address).where(_IS_IT))
_COUNT = Statement(select(func.count()).select_from(announced_channels))
_ALL = Statement(
    select(
        announced_channels.c.address_a,
        announced_channels.c.address_b,
        announced_channels.c.asset,
        announced_channels.c.salt,
        announced_channels.c.timeout,
        announced_channels.c.version,
    ).order_by(announced_channels.c.announced_at, announced_channels.c.aa_address)
)
_OLDER = Statement(select(announced_channels.c.aa_address).where(_IS_OLDER).limit(1))
_EXPIRE = Statement(delete(announced_channels).where(_IS_OLDER))
_REMOVE = Statement(delete(announced_channels).where(_IS_IT))
