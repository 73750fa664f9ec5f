"""The channels that a customer announced and the ledger has not shown yet: a bounded list that expires.

They are no part of the books: nothing is accepted in them, and anyone can announce for nothing.
"""

from __future__ import annotations

from dataclasses import asdict, fields

from sqlalchemy import bindparam, delete, func, select

from paypercall.contract import ChannelParameters
from paypercall.store.schema import announced_channels
from paypercall.store.statements import Connection, Statement, adding_unless_there


class Announced:
    """The announced channels, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, parameters: ChannelParameters, now: int, *, limit: int, limit_by_customer: int) -> None:
        """Adds a channel, and drops the oldest for it if there are too many; one that is there keeps its time.

        Args:
            parameters: The channel's.
            now: Seconds.
            limit: How many may be there.
            limit_by_customer: How many of them may be the same customer's.
        """
        if self._connection.first(_GET, {"key": parameters.aa_address}) is not None:
            return
        customer = {"customer": parameters.address_b}
        excess = self._connection.value(_COUNT_OF_CUSTOMER, customer) + 1 - limit_by_customer
        if excess > 0:
            self._connection.change(_DROP_OF_CUSTOMER, {**customer, "excess": excess})
        excess = self._connection.value(_COUNT, {}) + 1 - limit
        if excess > 0:
            self._connection.change(_DROP, {"excess": excess})
        row = {"aa_address": parameters.aa_address, **asdict(parameters), "announced_at": now}
        self._connection.change(_ADD, row)

    def addresses(self) -> list[str]:
        """The addresses of all of them, the oldest first."""
        return self._connection.values(_ADDRESSES, {})

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
_OF_CUSTOMER = announced_channels.c.address_b == bindparam("customer")
_OLDEST_FIRST = (announced_channels.c.announced_at, announced_channels.c.aa_address)
_COUNTED = select(func.count()).select_from(announced_channels)
_OLDEST = select(announced_channels.c.aa_address).order_by(*_OLDEST_FIRST).limit(bindparam("excess"))
_COUNT = Statement(_COUNTED)
_COUNT_OF_CUSTOMER = Statement(_COUNTED.where(_OF_CUSTOMER))
_DROP = Statement(delete(announced_channels).where(announced_channels.c.aa_address.in_(_OLDEST)))
_DROP_OF_CUSTOMER = Statement(
    delete(announced_channels).where(announced_channels.c.aa_address.in_(_OLDEST.where(_OF_CUSTOMER)))
)
_ADDRESSES = Statement(select(announced_channels.c.aa_address).order_by(*_OLDEST_FIRST))
_ALL = Statement(
    select(*(announced_channels.c[field.name] for field in fields(ChannelParameters))).order_by(
        *_OLDEST_FIRST
    )
)
_OLDER = Statement(select(announced_channels.c.aa_address).where(_IS_OLDER).limit(1))
_EXPIRE = Statement(delete(announced_channels).where(_IS_OLDER))
_REMOVE = Statement(delete(announced_channels).where(_IS_IT))
