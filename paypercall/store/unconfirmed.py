"""The units to a channel's agent that the agent has not answered yet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, select, update

from paypercall.backing import UnconfirmedUnit
from paypercall.contract import TriggerKind
from paypercall.store.dialects import INSERT
from paypercall.store.schema import unconfirmed_units


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
        return self._connection.execute(_SEE[self._connection.dialect.name], row).rowcount > 0

    def knows(self, aa_address: str, unit: str) -> bool:
        """Whether a unit to a channel is known and unanswered."""
        key = {"key": aa_address, "unit": unit}
        return self._connection.execute(_KNOWS, key).first() is not None

    def of(self, aa_address: str) -> tuple[UnconfirmedUnit, ...]:
        """The units to one channel, in the order in which they were seen."""
        rows = self._connection.execute(_OF, {"key": aa_address})
        return tuple(
            UnconfirmedUnit(unit, sender, TriggerKind(kind), *rest) for unit, sender, kind, *rest in rows
        )

    def answered(self, aa_address: str, unit: str) -> bool:
        """Forgets a unit that the agent has answered; says whether it was known."""
        key = {"key": aa_address, "unit": unit}
        return self._connection.execute(_ANSWERED, key).rowcount > 0

    def forget_commands(self, aa_address: str) -> None:
        """Forgets all closes, confirmations and fraud proofs to a channel, because their period has ended."""
        self._connection.execute(_FORGET_COMMANDS, {"key": aa_address})

    def mark_double_spent(self, unit: str) -> list[str]:
        """Marks a unit as conflicting with another one, and returns the channels for which that is new."""
        aa_addresses = list(self._connection.execute(_NOT_DOUBLE_SPENT, {"key": unit}).scalars())
        if aa_addresses:
            self._connection.execute(_MARK_DOUBLE_SPENT, {"key": unit})
        return aa_addresses

    def mark_stable(self, unit: str, now: int) -> None:
        """Sets since when a unit is proven stable, unless that is known already."""
        self._connection.execute(_MARK_STABLE, {"key": unit, "now": now})

    def all_unanswered_units(self) -> list[str]:
        """The hashes of all units, each once."""
        return list(self._connection.execute(_ALL).scalars())


_SEE = {name: insert(unconfirmed_units).on_conflict_do_nothing() for name, insert in INSERT.items()}
_OF: Select[Any] = (
    select(
        unconfirmed_units.c.unit,
        unconfirmed_units.c.sender,
        unconfirmed_units.c.kind,
        unconfirmed_units.c.amount,
        unconfirmed_units.c.has_data,
        unconfirmed_units.c.has_definition,
        unconfirmed_units.c.first_seen,
        unconfirmed_units.c.stable_since,
        unconfirmed_units.c.is_double_spent,
    )
    .where(unconfirmed_units.c.aa_address == bindparam("key"))
    .order_by(unconfirmed_units.c.first_seen, unconfirmed_units.c.unit)
)
_KNOWS = select(unconfirmed_units.c.unit).where(
    unconfirmed_units.c.aa_address == bindparam("key"), unconfirmed_units.c.unit == bindparam("unit")
)
_FORGET_COMMANDS = delete(unconfirmed_units).where(
    unconfirmed_units.c.aa_address == bindparam("key"),
    unconfirmed_units.c.kind.in_(
        [TriggerKind.CLOSE.value, TriggerKind.CONFIRM.value, TriggerKind.FRAUD_PROOF.value]
    ),
)
_NOT_DOUBLE_SPENT = (
    select(unconfirmed_units.c.aa_address)
    .where(unconfirmed_units.c.unit == bindparam("key"), unconfirmed_units.c.is_double_spent.is_(False))
    .order_by(unconfirmed_units.c.aa_address)
)
_ANSWERED = delete(unconfirmed_units).where(
    unconfirmed_units.c.aa_address == bindparam("key"), unconfirmed_units.c.unit == bindparam("unit")
)
_MARK_DOUBLE_SPENT = (
    update(unconfirmed_units).where(unconfirmed_units.c.unit == bindparam("key")).values(is_double_spent=True)
)
_MARK_STABLE = (
    update(unconfirmed_units)
    .where(unconfirmed_units.c.unit == bindparam("key"), unconfirmed_units.c.stable_since.is_(None))
    .values(stable_since=bindparam("now"))
)
_ALL = select(unconfirmed_units.c.unit).distinct().order_by(unconfirmed_units.c.unit)
