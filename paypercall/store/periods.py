"""The periods that have ended, for the accounts: a channel's own sums start from nothing in each period."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, select

from paypercall.channel import Channel
from paypercall.store.schema import periods
from paypercall.store.statements import Connection, Statement, adding


@dataclass(frozen=True, slots=True)
class PeriodRecord:
    """The sums with which a period ended, in bytes or units of the channel's asset.

    Attributes:
        aa_address: The channel.
        period: Which one, from 1.
        deposited_by_me: Confirmed by the agent.
        deposited_by_peer: Confirmed by the agent.
        signed_by_me: The total that I owed.
        signed_by_peer: The highest total that the peer signed.
        accepted_from_peer: What I accepted of it.
        is_fraud_proven: Whether a fraud proof ended it.
        unit: The agent's response unit that ended it.
        ended_at: When this node saw it, in seconds.
    """

    aa_address: str
    period: int
    deposited_by_me: int
    deposited_by_peer: int
    signed_by_me: int
    signed_by_peer: int
    accepted_from_peer: int
    is_fraud_proven: bool
    unit: str
    ended_at: int


class Periods:
    """The ended periods, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, channel: Channel, *, is_fraud_proven: bool, unit: str, now: int) -> None:
        """Adds a channel's current period, which has just ended."""
        row = {
            "aa_address": channel.aa_address,
            "period": channel.period,
            "deposited_by_me": channel.deposited_by_me,
            "deposited_by_peer": channel.deposited_by_peer,
            "signed_by_me": channel.signed_by_me,
            "signed_by_peer": channel.signed_by_peer,
            "accepted_from_peer": channel.accepted_from_peer,
            "is_fraud_proven": is_fraud_proven,
            "unit": unit,
            "ended_at": now,
        }
        self._connection.change(_ADD, row)

    def signed_by_peer(self, aa_address: str, period: int) -> int | None:
        """The highest total that the peer of a channel signed in a period; None where it is not known to be over."""
        row = self._connection.first(_SIGNED, {"key_aa_address": aa_address, "key_period": period})
        return None if row is None else int(row[0])

    def all(self) -> list[PeriodRecord]:
        """All of them, channel by channel, in order."""
        return [_period(*row) for row in self._connection.all(_ALL, {})]


def _period(*values: Any) -> PeriodRecord:
    period = PeriodRecord(*values)
    return replace(period, is_fraud_proven=bool(period.is_fraud_proven))


_ADD = adding(periods)
_SIGNED = Statement(
    select(periods.c.signed_by_peer).where(
        periods.c.aa_address == bindparam("key_aa_address"), periods.c.period == bindparam("key_period")
    )
)
_ALL = Statement(select(periods).order_by(periods.c.aa_address, periods.c.period))
