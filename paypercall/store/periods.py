"""The periods that have ended, for the accounts: a channel's own sums start from nothing in each period."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import and_, bindparam, select, update

from paypercall.channel import Channel
from paypercall.settled import Settled
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
        settled: With what the agent has settled it; None in books of older versions.
        paid_anew: What payments came to that were given back at its end, and made anew later.
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
    settled: Settled | None = None
    paid_anew: int = 0


class Periods:
    """The ended periods, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self, channel: Channel, settled: Settled | None, *, is_fraud_proven: bool, unit: str, now: int
    ) -> None:
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
            "owed_by_me": settled.owed_by_me if settled else None,
            "owed_by_peer": settled.owed_by_peer if settled else None,
            "unsure": settled.unsure if settled else None,
            "paid_anew": 0,
        }
        self._connection.change(_ADD, row)

    def get(self, aa_address: str, period: int) -> PeriodRecord | None:
        """A period that has ended; None where it is not known to have."""
        row = self._connection.first(_GET, {"key_aa_address": aa_address, "key_period": period})
        return None if row is None else _period(*row)

    def pay_anew(self, record: PeriodRecord, amount: int) -> None:
        """Counts a payment that was given back at the end of a period; the channel must be locked."""
        key = {"key_aa_address": record.aa_address, "key_period": record.period}
        self._connection.change(_PAY_ANEW, {**key, "paid_anew": record.paid_anew + amount})

    def signed_by_peer(self, aa_address: str, period: int) -> int | None:
        """The highest total that the peer of a channel signed in a period; None where it is not known to be over."""
        row = self._connection.first(_SIGNED, {"key_aa_address": aa_address, "key_period": period})
        return None if row is None else int(row[0])

    def all(self) -> list[PeriodRecord]:
        """All of them, channel by channel, in order."""
        return [_period(*row) for row in self._connection.all(_ALL, {})]


def _period(*values: Any) -> PeriodRecord:
    *plain, owed_by_me, owed_by_peer, unsure, paid_anew = values
    period = PeriodRecord(*plain)
    settled = None if owed_by_me is None else Settled(owed_by_me, owed_by_peer, unsure)
    is_fraud_proven = bool(period.is_fraud_proven)
    return replace(period, is_fraud_proven=is_fraud_proven, settled=settled, paid_anew=paid_anew or 0)


_IS_IT = and_(
    periods.c.aa_address == bindparam("key_aa_address"), periods.c.period == bindparam("key_period")
)
_ADD = adding(periods)
_GET = Statement(select(periods).where(_IS_IT))
_PAY_ANEW = Statement(update(periods).where(_IS_IT).values(paid_anew=bindparam("paid_anew")))
_SIGNED = Statement(select(periods.c.signed_by_peer).where(_IS_IT))
_ALL = Statement(select(periods).order_by(periods.c.aa_address, periods.c.period))
