"""My deposits on their way to an agent, until it has answered them, and which of the peer's are settled."""

from __future__ import annotations

from enum import Enum

from sqlalchemy import and_, bindparam, func, or_, select, update

from paypercall.store.outbox import OutboxState
from paypercall.store.schema import channels, deposits, outbox, outbox_units
from paypercall.store.statements import Connection, Statement, adding, one_of


class DepositState(Enum):
    """What became of a deposit."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    REFUSED = "refused"
    FAILED = "failed"
    GIVEN_UP = "unanswered"
    """Final for long, without an answer that anybody has shown: it counts no more, but may come to count again."""


class Deposits:
    """The deposits, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, unit: str | None, outbox_id: int | None, aa_address: str, amount: int, now: int) -> int:
        """Adds a pending deposit and returns its number.

        Args:
            unit: The hash of its unit, or None as long as that is not signed.
            outbox_id: The row that sends it, or None for one that this database did not send.
            aa_address: The channel.
            amount: In bytes or units of the channel's asset.
            now: Seconds.
        """
        row = {
            "unit": unit,
            "outbox_id": outbox_id,
            "aa_address": aa_address,
            "amount": amount,
            "state": DepositState.PENDING.value,
            "made_at": now,
        }
        number = self._connection.add(_ADD, row)
        assert number is not None, "an insert that does not fail adds a row"
        return number

    def set_unit(self, outbox_id: int, unit: str) -> None:
        """Sets the unit that carries the deposit of an outbox row."""
        self._connection.change(_SET_UNIT, {"key": outbox_id, "hash": unit})

    def settle(self, unit: str, state: DepositState) -> int | None:
        """Sets what became of the deposit that a unit carries, also one that was to be replaced by another.

        Returns:
            The deposit's amount, or None if none is in this unit that is pending or given up; then nothing has
            changed.
        """
        row = self._connection.first(_IN_UNIT, {"key": unit})
        if row is None:
            return None
        number, amount = row
        self._connection.change(_SETTLE, {"key": number, "outcome": state.value})
        return int(amount)

    def cancel(self, outbox_id: int) -> None:
        """Counts the pending deposit of an outbox row as failed; for one of which no unit can be on the ledger."""
        self._connection.change(_CANCEL, {"key": outbox_id})

    def has_signed(self, aa_address: str) -> bool:
        """Whether a pending deposit of mine to a channel is signed, and so cannot be taken back."""
        return self._connection.first(_SIGNED, {"key": aa_address}) is not None

    def note(self, unit: str, aa_address: str, state: DepositState, now: int) -> None:
        """Notes what became of the peer's deposit in a unit, unless the unit is known; its amount is the channel's."""
        if self._connection.first(_TO_CHANNEL, {"key": aa_address, "hash": unit}) is None:
            row = {"unit": unit, "outbox_id": None, "aa_address": aa_address, "amount": 0}
            self._connection.add(_ADD, {**row, "state": state.value, "made_at": now})

    def is_settled(self, unit: str, aa_address: str) -> bool:
        """Whether it is known what became of the deposit to a channel that a unit carries."""
        row = self._connection.first(_TO_CHANNEL, {"key": aa_address, "hash": unit})
        return row is not None and row[0] != DepositState.PENDING.value

    def pending(self, aa_address: str, *, posted_only: bool = False) -> int:
        """The sum of my pending deposits to a channel.

        Args:
            aa_address: The channel.
            posted_only: Leaves out those that the hub has not taken yet.
        """
        statement = _PENDING_AND_POSTED if posted_only else _PENDING
        return int(self._connection.value(statement, {"key": aa_address}))

    def pending_by_channel(self) -> dict[str, int]:
        """The sums of my pending deposits to all channels that have any, by the channel's address."""
        return {aa_address: int(amount) for aa_address, amount in self._connection.all(_ALL_PENDING, {})}

    def awaits_answer(self, aa_address: str, period: int) -> bool:
        """Whether a deposit of mine in a period of a channel is final, and the agent's answer was not seen."""
        return self._connection.first(_ANY_AWAITING, {"key": aa_address, "period": period}) is not None

    def may_open_any(self) -> bool:
        """Whether any of my deposits may still open a channel, or has opened it unseen: all that is not settled.

        One without an answer that anybody has shown is settled when its period has ended.
        """
        return self._connection.first(_ANY_UNSETTLED, {}) is not None

    def overdue(self, stable_before: int) -> list[str]:
        """The units of my pending deposits that have been stable since before a time, in seconds."""
        return self._connection.values(_OVERDUE, {"before": stable_before})


_IS_PENDING = deposits.c.state == DepositState.PENDING.value
_SUM = select(func.coalesce(func.sum(deposits.c.amount), 0)).where(
    deposits.c.aa_address == bindparam("key"), _IS_PENDING
)
_ADD = adding(deposits)
_SET_UNIT = Statement(
    update(deposits).where(deposits.c.outbox_id == bindparam("key")).values(unit=bindparam("hash"))
)
_IN_UNIT = Statement(
    select(deposits.c.id, deposits.c.amount).where(
        or_(
            deposits.c.unit == bindparam("key"),
            deposits.c.outbox_id.in_(
                select(outbox_units.c.outbox_id).where(outbox_units.c.unit_hash == bindparam("key"))
            ),
        ),
        one_of(deposits.c.state, [DepositState.PENDING.value, DepositState.GIVEN_UP.value]),
    )
)
_TO_CHANNEL = Statement(
    select(deposits.c.state).where(
        deposits.c.unit == bindparam("hash"), deposits.c.aa_address == bindparam("key")
    )
)
_SETTLE = Statement(
    update(deposits).where(deposits.c.id == bindparam("key")).values(state=bindparam("outcome"))
)
_CANCEL = Statement(
    update(deposits)
    .where(deposits.c.outbox_id == bindparam("key"), _IS_PENDING)
    .values(state=DepositState.FAILED.value)
)
_SIGNED = Statement(
    select(deposits.c.id)
    .where(deposits.c.aa_address == bindparam("key"), _IS_PENDING, deposits.c.unit.is_not(None))
    .limit(1)
)
_OVERDUE = Statement(
    select(deposits.c.unit)
    .select_from(deposits.join(outbox))
    .where(
        _IS_PENDING,
        outbox.c.state == OutboxState.STABLE.value,
        outbox.c.updated_at < bindparam("before"),
    )
    .order_by(deposits.c.id)
)
_ANY_AWAITING = Statement(
    select(deposits.c.id)
    .select_from(deposits.join(outbox))
    .where(
        deposits.c.aa_address == bindparam("key"),
        one_of(deposits.c.state, [DepositState.PENDING.value, DepositState.GIVEN_UP.value]),
        outbox.c.state == OutboxState.STABLE.value,
        outbox.c.period == bindparam("period"),
    )
    .limit(1)
)
_ANY_UNSETTLED = Statement(
    select(deposits.c.id)
    .select_from(
        deposits.outerjoin(outbox).outerjoin(channels, channels.c.aa_address == deposits.c.aa_address)
    )
    .where(
        or_(
            _IS_PENDING,
            and_(deposits.c.state == DepositState.GIVEN_UP.value, outbox.c.period == channels.c.period),
        )
    )
    .limit(1)
)
_PENDING = Statement(_SUM)
_ALL_PENDING = Statement(
    select(deposits.c.aa_address, func.sum(deposits.c.amount))
    .where(_IS_PENDING)
    .group_by(deposits.c.aa_address)
)
_PENDING_AND_POSTED = Statement(
    _SUM.select_from(deposits.outerjoin(outbox)).where(
        or_(
            deposits.c.outbox_id.is_(None),
            one_of(outbox.c.state, [OutboxState.POSTED.value, OutboxState.STABLE.value]),
        )
    )
)
