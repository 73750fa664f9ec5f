"""The units to a channel's agent that the agent has not answered yet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, delete, func, or_, select, update

from paypercall.backing import UnconfirmedUnit
from paypercall.contract import TriggerKind
from paypercall.store.schema import unconfirmed_units
from paypercall.store.statements import Connection, Statement, adding_unless_there, one_of


class Unconfirmed:
    """The unanswered units, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def see(self, aa_address: str, unit: UnconfirmedUnit) -> bool:
        """Adds a unit to a channel.

        Returns:
            False when it is known already; then nothing has changed, `first_seen` above all.
        """
        row = {
            "aa_address": aa_address,
            "unit": unit.unit,
            "sender": unit.sender,
            "kind": unit.kind.value,
            "amount": unit.amount,
            "has_data": unit.has_data,
            "has_definition": unit.has_definition,
            "first_seen": unit.first_seen,
            "stable_since": unit.stable_since,
            "is_double_spent": unit.is_double_spent,
        }
        return self._connection.change(_SEE, row) > 0

    def get(self, aa_address: str, unit: str) -> UnconfirmedUnit | None:
        """A unit to a channel, if it is known and unanswered."""
        row = self._connection.first(_GET, {"key": aa_address, "unit": unit})
        return None if row is None else _unit(*row)

    def of(self, aa_address: str) -> tuple[UnconfirmedUnit, ...]:
        """The units to one channel, in the order in which they were seen."""
        return tuple(_unit(*row) for row in self._connection.all(_OF, {"key": aa_address}))

    def answered(self, aa_address: str, unit: str) -> bool:
        """Forgets a unit that the agent has answered; says whether it was known."""
        key = {"key": aa_address, "unit": unit}
        return self._connection.change(_ANSWERED, key) > 0

    def forget_commands(self, aa_address: str) -> None:
        """Forgets all closes, confirmations and fraud proofs to a channel, because their period has ended."""
        self._connection.change(_FORGET_COMMANDS, {"key": aa_address})

    def channels_of(self, unit: str) -> list[str]:
        """The channels that a unit is known to be for."""
        return self._connection.values(_CHANNELS_OF, {"key": unit})

    def channels(self) -> list[str]:
        """The channels that have an unanswered unit."""
        return self._connection.values(_CHANNELS, {})

    def mark_double_spent(self, aa_address: str, unit: str) -> bool:
        """Marks a channel's unit as conflicting with another one, unless it is stable; says whether that is new."""
        key = {"key": aa_address, "unit": unit}
        return self._connection.change(_MARK_DOUBLE_SPENT, key) > 0

    def mark_stable(self, unit: str, now: int) -> None:
        """Sets since when a unit is proven stable, unless that is known already; so it is not double-spent."""
        self._connection.change(_MARK_STABLE, {"key": unit, "now": now})

    def has_deposits(self) -> bool:
        """Whether any deposit is unanswered that is not known to conflict with another unit."""
        return self._connection.first(_ANY_DEPOSIT, {}) is not None

    def all_unanswered_units(self) -> list[str]:
        """The hashes of all units that are not known to conflict with another one, each once."""
        return self._connection.values(_ALL, {})


def _unit(
    unit: str,
    sender: str,
    kind: str,
    amount: int,
    has_data: bool,
    has_definition: bool,
    first_seen: int,
    stable_since: int | None,
    is_double_spent: bool,
) -> UnconfirmedUnit:
    return UnconfirmedUnit(
        unit,
        sender,
        TriggerKind(kind),
        amount,
        bool(has_data),
        bool(has_definition),
        first_seen,
        stable_since,
        bool(is_double_spent),
    )


_COMMANDS = [TriggerKind.CLOSE.value, TriggerKind.CONFIRM.value, TriggerKind.FRAUD_PROOF.value]
_TO_CHANNEL = unconfirmed_units.c.aa_address == bindparam("key")
_IS_UNIT = unconfirmed_units.c.unit == bindparam("unit")
_SEE = adding_unless_there(unconfirmed_units)
_UNITS: Select[Any] = select(
    unconfirmed_units.c.unit,
    unconfirmed_units.c.sender,
    unconfirmed_units.c.kind,
    unconfirmed_units.c.amount,
    unconfirmed_units.c.has_data,
    unconfirmed_units.c.has_definition,
    unconfirmed_units.c.first_seen,
    unconfirmed_units.c.stable_since,
    unconfirmed_units.c.is_double_spent,
).where(_TO_CHANNEL)
_GET = Statement(_UNITS.where(_IS_UNIT))
_OF = Statement(_UNITS.order_by(unconfirmed_units.c.first_seen, unconfirmed_units.c.unit))
_ANSWERED = Statement(delete(unconfirmed_units).where(_TO_CHANNEL, _IS_UNIT))
_FORGET_COMMANDS = Statement(
    delete(unconfirmed_units).where(_TO_CHANNEL, one_of(unconfirmed_units.c.kind, _COMMANDS))
)
_CHANNELS_OF = Statement(
    select(unconfirmed_units.c.aa_address)
    .where(unconfirmed_units.c.unit == bindparam("key"))
    .order_by(unconfirmed_units.c.aa_address)
)
_CHANNELS = Statement(
    select(unconfirmed_units.c.aa_address).distinct().order_by(unconfirmed_units.c.aa_address)
)
_MARK_DOUBLE_SPENT = Statement(
    update(unconfirmed_units)
    .where(
        _TO_CHANNEL,
        _IS_UNIT,
        unconfirmed_units.c.is_double_spent.is_(False),
        unconfirmed_units.c.stable_since.is_(None),
    )
    .values(is_double_spent=True)
)
_MARK_STABLE = Statement(
    update(unconfirmed_units)
    .where(
        unconfirmed_units.c.unit == bindparam("key"),
        or_(unconfirmed_units.c.stable_since.is_(None), unconfirmed_units.c.is_double_spent),
    )
    .values(
        stable_since=func.coalesce(unconfirmed_units.c.stable_since, bindparam("now")), is_double_spent=False
    )
)
_ANY_DEPOSIT = Statement(
    select(unconfirmed_units.c.unit)
    .where(
        unconfirmed_units.c.kind == TriggerKind.DEPOSIT.value, unconfirmed_units.c.is_double_spent.is_(False)
    )
    .limit(1)
)
_ALL = Statement(
    select(unconfirmed_units.c.unit)
    .where(unconfirmed_units.c.is_double_spent.is_(False))
    .distinct()
    .order_by(unconfirmed_units.c.unit)
)
