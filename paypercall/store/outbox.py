"""What must be sent to the ledger, and how far each has got.

A signed unit is stored here before it is posted. Units that were replaced stay, so that one of them that
becomes stable after all is recognised as ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sqlalchemy import Select, bindparam, func, null, select, update

from paypercall.store.errors import StoreError
from paypercall.store.schema import outbox, outbox_units
from paypercall.store.statements import Connection, Row, Statement, adding, one_of

_DONE_WITH = "is_done_with"
"""Among a row's details: whoever had it decided needs it no more."""


class OutboxKind(Enum):
    """What a row sends."""

    OPEN = "open"
    REFILL = "refill"
    CLOSE = "close"
    CONFIRM = "confirm"
    FRAUD_PROOF = "fraud_proof"
    WITHDRAWAL = "withdrawal"
    SWEEP_OUT = "sweep_out"
    CONSOLIDATION = "consolidation"
    UNIT_PAYMENT = "unit_payment"


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
        aa_address: The channel, or None for what only moves the wallet's own money.
        period: The channel's period, if it is about one.
        details: What else is needed to compose it.
        unit: The unit that is to be posted, or None as long as nothing is signed. Once it is stable, the one
            that has won.
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

    @property
    def is_done_with(self) -> bool:
        """Whether whoever had it decided needs it no more."""
        return bool(self.details.get(_DONE_WITH))


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
            "details": json.dumps(details),
            "unit_hash": None,
            "attempts": 0,
            "last_error": None,
            "created_at": now,
            "updated_at": now,
        }
        number = self._connection.add(_ADD, row)
        assert number is not None, "an insert that does not fail adds a row"
        return number

    def get(self, outbox_id: int) -> OutboxRow | None:
        """One row."""
        return next(iter(self._all(_GET, {"key": outbox_id})), None)

    def lock(self, outbox_id: int) -> OutboxRow | None:
        """One row, which nobody else changes until the transaction ends."""
        self._connection.first(_LOCK, {"key": outbox_id})
        return self.get(outbox_id)

    def unfinished(self) -> list[OutboxRow]:
        """All rows that are neither stable nor failed, the oldest first."""
        return self._all(_UNFINISHED, {})

    def of_period(self, aa_address: str, period: int) -> list[OutboxRow]:
        """All rows about a period of a channel, finished ones included, the oldest first."""
        return self._all(_OF_PERIOD, {"key": aa_address, "period": period})

    def stable(self, kind: OutboxKind) -> list[OutboxRow]:
        """All stable rows of a kind that are not done with, the oldest first."""
        return self._all(_STABLE, {"kind": kind.value})

    def done_with(self, outbox_id: int, details: dict[str, Any]) -> None:
        """Notes of a row, finished or not, that whoever had it decided needs it no more."""
        done_with = json.dumps({**details, _DONE_WITH: True})
        self._connection.change(_SET_DETAILS, {"key": outbox_id, "details": done_with})

    def has_unsent(self, aa_address: str, kind: OutboxKind) -> bool:
        """Whether something of a kind for a channel is decided or signed, but not taken by the hub yet."""
        return self._connection.first(_UNSENT, {"key": aa_address, "kind": kind.value}) is not None

    def by_unit(self, unit_hash: str) -> OutboxRow | None:
        """The row for which a unit was signed, replaced ones included."""
        return next(iter(self._all(_BY_UNIT, {"key": unit_hash})), None)

    def signed_units(self, outbox_id: int) -> list[dict[str, Any]]:
        """All units that were ever signed for a row, the oldest first."""
        return [json.loads(text) for text in self._connection.values(_UNITS, {"key": outbox_id})]

    def last_signed_at(self, outbox_id: int) -> int:
        """When the newest of the units that were signed for a row was made, in seconds; there must be one."""
        return int(self._connection.value(_LAST_SIGNED_AT, {"key": outbox_id}))

    def signed(self, outbox_id: int, unit: dict[str, Any], now: int) -> None:
        """Stores the signed unit that is to be posted from now on; one that it replaces is kept.

        Raises:
            StoreError: When the unit is another row's, or the row is finished.
        """
        unit_hash = unit["unit"]
        owner = self._connection.value(_OWNER, {"key": unit_hash})
        if owner is None:
            text = json.dumps(unit)
            row = {"outbox_id": outbox_id, "unit_hash": unit_hash, "unit": text, "made_at": now}
            self._connection.add(_ADD_UNIT, row)
        elif owner != outbox_id:
            raise StoreError("the unit was signed for another row of the outbox")
        values = {"state": OutboxState.SIGNED.value, "hash": unit_hash}
        self._update(_SIGNED, outbox_id, now, values)

    def reopened(self, outbox_id: int, details: dict[str, Any], now: int) -> None:
        """Decides anew what a row sends: a unit in place of those that were signed for it, which are kept."""
        values = {"state": OutboxState.DECIDED.value, "details": json.dumps(details)}
        self._update(_REOPENED, outbox_id, now, values)

    def posted(self, outbox_id: int, now: int) -> None:
        """Notes that the hub took the unit.

        Raises:
            StoreError: When the row is finished.
        """
        self._update(_POSTED, outbox_id, now, {"state": OutboxState.POSTED.value})

    def finished(self, outbox_id: int, state: OutboxState, now: int, *, won: str | None = None) -> None:
        """Ends a row as stable or failed.

        Args:
            outbox_id: Which row.
            state: How it ends.
            now: Seconds.
            won: The hash of the one of its units that has won; it is the row's unit from then on.

        Raises:
            StoreError: When it is finished already.
        """
        if not state.is_finished:
            raise ValueError("a row ends as stable or failed")
        values = {"state": state.value}
        if won is None:
            self._update(_FINISHED, outbox_id, now, values)
        else:
            self._update(_SIGNED, outbox_id, now, {**values, "hash": won})

    def cancel(self, outbox_id: int, now: int) -> bool:
        """Ends a row as failed if nothing was ever signed for it.

        Returns:
            Whether it did, so that nothing will be sent.
        """
        values = {"key": outbox_id, "now": now, "state": OutboxState.FAILED.value}
        return self._connection.change(_CANCEL, values) > 0

    def failed_attempt(self, outbox_id: int, error: str, now: int) -> None:
        """Counts a failed attempt to send, unless the row is finished; it stays what it is."""
        self._connection.change(_FAILED_ATTEMPT, {"error": error, "key": outbox_id, "now": now})

    def _update(self, statement: Statement, outbox_id: int, now: int, values: dict[str, Any]) -> None:
        if not self._connection.change(statement, {**values, "key": outbox_id, "now": now}):
            raise StoreError("there is no such row in the outbox, or it is finished")

    def _all(self, statement: Statement, parameters: dict[str, Any]) -> list[OutboxRow]:
        rows = self._connection.all(statement, parameters)
        return [_row(row, self._connection.values(_HASHES, {"key": row[0]})) for row in rows]


def _row(row: Row, hashes: Sequence[str]) -> OutboxRow:
    values = dict(zip(_NAMES, row, strict=True))
    return OutboxRow(
        id=values["id"],
        kind=OutboxKind(values["kind"]),
        state=OutboxState(values["state"]),
        aa_address=values["aa_address"],
        period=values["period"],
        details=json.loads(values["details"]),
        unit=None if values["unit"] is None else json.loads(values["unit"]),
        units=tuple(hashes),
        attempts=values["attempts"],
        last_error=values["last_error"],
        created_at=values["created_at"],
        updated_at=values["updated_at"],
    )


_ROWS: Select[Any] = (
    select(outbox, outbox_units.c.unit)
    .outerjoin(outbox_units, outbox_units.c.unit_hash == outbox.c.unit_hash)
    .order_by(outbox.c.id)
)
_NAMES = [column.name for column in _ROWS.selected_columns]
_IS_UNFINISHED = one_of(outbox.c.state, [state.value for state in OutboxState if not state.is_finished])
_OF_CHANNEL = outbox.c.aa_address == bindparam("key")
_OWNER_OF_UNIT = select(outbox_units.c.outbox_id).where(outbox_units.c.unit_hash == bindparam("key"))
# What is finished stays as it is, however late another process writes.
_UPDATE = (
    update(outbox).where(outbox.c.id == bindparam("key"), _IS_UNFINISHED).values(updated_at=bindparam("now"))
)

_ADD = adding(outbox)
_ADD_UNIT = adding(outbox_units)
_GET = Statement(_ROWS.where(outbox.c.id == bindparam("key")))
_LOCK = Statement(select(outbox.c.id).where(outbox.c.id == bindparam("key")).with_for_update())
_STABLE = Statement(
    _ROWS.where(
        outbox.c.state == OutboxState.STABLE.value,
        outbox.c.kind == bindparam("kind"),
        ~outbox.c.details.contains(json.dumps({_DONE_WITH: True})[1:-1]),
    )
)
_SET_DETAILS = Statement(
    update(outbox).where(outbox.c.id == bindparam("key")).values(details=bindparam("details"))
)
_UNFINISHED = Statement(_ROWS.where(_IS_UNFINISHED))
_OF_PERIOD = Statement(_ROWS.where(_OF_CHANNEL, outbox.c.period == bindparam("period")))
_UNSENT = Statement(
    select(outbox.c.id)
    .where(
        _OF_CHANNEL,
        outbox.c.kind == bindparam("kind"),
        one_of(outbox.c.state, [OutboxState.DECIDED.value, OutboxState.SIGNED.value]),
    )
    .limit(1)
)
_OWNER = Statement(_OWNER_OF_UNIT)
_BY_UNIT = Statement(_ROWS.where(outbox.c.id == _OWNER_OF_UNIT.scalar_subquery()))
_UNITS = Statement(
    select(outbox_units.c.unit)
    .where(outbox_units.c.outbox_id == bindparam("key"))
    .order_by(outbox_units.c.id)
)
_HASHES = Statement(
    select(outbox_units.c.unit_hash)
    .where(outbox_units.c.outbox_id == bindparam("key"))
    .order_by(outbox_units.c.id)
)
_LAST_SIGNED_AT = Statement(
    select(func.max(outbox_units.c.made_at)).where(outbox_units.c.outbox_id == bindparam("key"))
)
_SIGNED = Statement(_UPDATE.values(state=bindparam("state"), unit_hash=bindparam("hash")))
_REOPENED = Statement(
    _UPDATE.values(state=bindparam("state"), details=bindparam("details"), unit_hash=null())
)
_POSTED = Statement(_UPDATE.values(state=bindparam("state"), last_error=null()))
_FINISHED = Statement(_UPDATE.values(state=bindparam("state")))
_CANCEL = Statement(_UPDATE.where(outbox.c.unit_hash.is_(None)).values(state=bindparam("state")))
_FAILED_ATTEMPT = Statement(_UPDATE.values(attempts=outbox.c.attempts + 1, last_error=bindparam("error")))
