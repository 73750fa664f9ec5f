"""What must be sent to the ledger, and how far each has got.

A signed unit is stored here before it is posted. Units that were replaced stay, so that one of them that
becomes stable after all is recognised as ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, select, update

from paypercall.store.errors import StoreError
from paypercall.store.schema import outbox, outbox_units


class OutboxKind(Enum):
    """What a row sends."""

    OPEN = "open"
    REFILL = "refill"
    CLOSE = "close"
    CONFIRM = "confirm"
    FRAUD_PROOF = "fraud_proof"
    WITHDRAWAL = "withdrawal"


class OutboxState(Enum):
    """How far a row has got."""

    DECIDED = "decided"
    SIGNED = "signed"
    POSTED = "posted"
    STABLE = "stable"
    FAILED = "failed"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is to be done."""
        return self in (OutboxState.STABLE, OutboxState.FAILED)


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One thing to send. A command's details and unit hold a package, which is bearer money: not to be logged.

    Attributes:
        id: Its number.
        kind: What it sends.
        state: How far it has got.
        aa_address: The channel, or None for a withdrawal.
        period: The channel's period, if it is about one.
        details: What else is needed to compose it.
        unit: The unit that is to be posted, or None as long as nothing is signed.
        units: The hashes of all units that were ever signed for it, the oldest first.
        attempts: How often sending has failed.
        last_error: Why, the last time.
        created_at: Seconds.
        updated_at: Seconds.
    """

    id: int
    kind: OutboxKind
    state: OutboxState
    aa_address: str | None
    period: int | None
    details: dict[str, Any] = field(repr=False)
    unit: dict[str, Any] | None = field(repr=False)
    units: tuple[str, ...]
    attempts: int
    last_error: str | None
    created_at: int
    updated_at: int


class Outbox:
    """The outbox, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        kind: OutboxKind,
        *,
        aa_address: str | None,
        period: int | None,
        details: dict[str, Any],
        now: int,
    ) -> int:
        """Adds a decided row and returns its number. `details` must be JSON."""
        row = {
            "kind": kind.value,
            "state": OutboxState.DECIDED.value,
            "aa_address": aa_address,
            "period": period,
            "details": details,
            "attempts": 0,
            "created_at": now,
            "updated_at": now,
        }
        key = self._connection.execute(_ADD, row).inserted_primary_key
        assert key is not None
        return int(key[0])

    def get(self, outbox_id: int) -> OutboxRow | None:
        """One row."""
        return next(iter(self._all(_GET, {"key": outbox_id})), None)

    def unfinished(self) -> list[OutboxRow]:
        """All rows that are neither stable nor failed, the oldest first."""
        return self._all(_UNFINISHED, {})

    def open_for(self, aa_address: str, kind: OutboxKind) -> list[OutboxRow]:
        """The unfinished rows of a kind for a channel, the oldest first."""
        return self._all(_OPEN_FOR, {"key": aa_address, "kind": kind.value})

    def of_period(self, aa_address: str, period: int) -> list[OutboxRow]:
        """All rows about a period of a channel, finished ones included, the oldest first."""
        return self._all(_OF_PERIOD, {"key": aa_address, "period": period})

    def has_unsent(self, aa_address: str) -> bool:
        """Whether something for a channel is decided or signed, but not taken by the hub yet."""
        return self._connection.execute(_UNSENT, {"key": aa_address}).first() is not None

    def by_unit(self, unit_hash: str) -> OutboxRow | None:
        """The row for which a unit was signed, replaced ones included."""
        return next(iter(self._all(_BY_UNIT, {"key": unit_hash})), None)

    def signed(self, outbox_id: int, unit: dict[str, Any], now: int) -> None:
        """Stores the signed unit that is to be posted from now on; one that it replaces is kept.

        Raises:
            StoreError: When the unit is another row's.
        """
        unit_hash = unit["unit"]
        owner = self._connection.execute(_OWNER, {"key": unit_hash}).scalar()
        if owner is None:
            row = {"outbox_id": outbox_id, "unit_hash": unit_hash, "unit": unit, "made_at": now}
            self._connection.execute(_ADD_UNIT, row)
        elif owner != outbox_id:
            raise StoreError("the unit was signed for another row of the outbox")
        self._set(outbox_id, now, state=OutboxState.SIGNED.value, unit_hash=unit_hash)

    def posted(self, outbox_id: int, now: int) -> None:
        """Notes that the hub took the unit."""
        self._set(outbox_id, now, state=OutboxState.POSTED.value, last_error=None)

    def finished(self, outbox_id: int, state: OutboxState, now: int) -> None:
        """Ends a row as stable or failed."""
        if not state.is_finished:
            raise ValueError("a row ends as stable or failed")
        self._set(outbox_id, now, state=state.value)

    def failed_attempt(self, outbox_id: int, error: str, now: int) -> None:
        """Counts a failed attempt to send; the row stays what it is."""
        self._set(outbox_id, now, attempts=outbox.c.attempts + 1, last_error=error)

    def _set(self, outbox_id: int, now: int, **values: Any) -> None:
        statement = update(outbox).where(outbox.c.id == outbox_id).values(updated_at=now, **values)
        if not self._connection.execute(statement).rowcount:
            raise StoreError("there is no such row in the outbox")

    def _all(self, statement: Select[Any], parameters: dict[str, Any]) -> list[OutboxRow]:
        rows = self._connection.execute(statement, parameters).all()
        hashes: dict[int, list[str]] = {row.id: [] for row in rows}
        for outbox_id, unit_hash in (
            self._connection.execute(_HASHES, {"ids": list(hashes)}) if hashes else ()
        ):
            hashes[outbox_id].append(unit_hash)
        return [_row(row, hashes[row.id]) for row in rows]


def _row(row: Any, hashes: Sequence[str]) -> OutboxRow:
    return OutboxRow(
        id=row.id,
        kind=OutboxKind(row.kind),
        state=OutboxState(row.state),
        aa_address=row.aa_address,
        period=row.period,
        details=row.details,
        unit=row.unit,
        units=tuple(hashes),
        attempts=row.attempts,
        last_error=row.last_error,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


_IS_UNFINISHED = outbox.c.state.not_in([state.value for state in OutboxState if state.is_finished])
_ROWS: Select[Any] = (
    select(outbox, outbox_units.c.unit)
    .outerjoin(outbox_units, outbox_units.c.unit_hash == outbox.c.unit_hash)
    .order_by(outbox.c.id)
)
_ADD = insert(outbox)
_ADD_UNIT = insert(outbox_units)
_GET = _ROWS.where(outbox.c.id == bindparam("key"))
_UNFINISHED = _ROWS.where(_IS_UNFINISHED)
_OPEN_FOR = _ROWS.where(
    _IS_UNFINISHED, outbox.c.aa_address == bindparam("key"), outbox.c.kind == bindparam("kind")
)
_OF_PERIOD = _ROWS.where(outbox.c.aa_address == bindparam("key"), outbox.c.period == bindparam("period"))
_UNSENT = (
    select(outbox.c.id)
    .where(
        outbox.c.aa_address == bindparam("key"),
        outbox.c.state.in_([OutboxState.DECIDED.value, OutboxState.SIGNED.value]),
    )
    .limit(1)
)
_OWNER = select(outbox_units.c.outbox_id).where(outbox_units.c.unit_hash == bindparam("key"))
_BY_UNIT = _ROWS.where(outbox.c.id == _OWNER.scalar_subquery())
_HASHES = (
    select(outbox_units.c.outbox_id, outbox_units.c.unit_hash)
    .where(outbox_units.c.outbox_id.in_(bindparam("ids", expanding=True)))
    .order_by(outbox_units.c.id)
)
