"""What was spent in each minute, kept up to date row by row: what the limits of a budget are held against.

Whether a sum is too high is decided by the caller. The bought calls move the sums along when they are booked, saved
and dropped; nobody else does. None is ever forgotten: a clock that was ahead for a while would free a budget of what
was spent before.
"""

from __future__ import annotations

from sqlalchemy import Insert, bindparam, case, func, literal, select, update

from paypercall.bought_call import BoughtCall, Scope, Spent, counted, first_minute_after, minute_of, scopes_of
from paypercall.store.schema import spent_minutes
from paypercall.store.statements import Connection, DialectInsert, Statement, adding_or


class SpentMinutes:
    """The sums, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, call: BoughtCall) -> None:
        """Counts a call that is booked, or dated anew."""
        minute = minute_of(call.made_at)
        for scope, name in scopes_of(call):
            row = {"asset": call.asset, "scope": scope.value, "name": name, "minute": minute}
            self._connection.change(_ADD, {**row, "amount": counted(call)})

    def take(self, call: BoughtCall, amount: int) -> None:
        """Takes so much of what a call counted out again."""
        # Always in the same order: two that wait for each other's rows would wait for ever.
        for scope, name in scopes_of(call):
            key = _key(call.asset, scope, name)
            self._connection.change(_TAKE, {**key, "key_minute": minute_of(call.made_at), "taken": amount})

    def sum(self, asset: str, scope: Scope, name: str, *, hour_ago: int, day_ago: int) -> Spent:
        """What was spent after two times in seconds, and in the rest of the minutes that they are in."""
        since = {"first_of_hour": first_minute_after(hour_ago), "first_of_day": first_minute_after(day_ago)}
        row = self._connection.first(_SUM, {**_key(asset, scope, name), **since})
        assert row is not None, "a sum has one row"
        return Spent(hour=int(row[0]), day=int(row[1]))


def _key(asset: str, scope: Scope, name: str) -> dict[str, str]:
    return {"key_asset": asset, "key_scope": scope.value, "key_name": name}


def _add(insert: DialectInsert) -> Insert:
    return insert.on_conflict_do_update(
        index_elements=["asset", "scope", "name", "minute"],
        set_={"amount": spent_minutes.c.amount + insert.excluded.amount},
    )


_IS_NAMED = tuple(spent_minutes.c[name] == bindparam(f"key_{name}") for name in ("asset", "scope", "name"))
_IN_HOUR = case(
    (spent_minutes.c.minute >= bindparam("first_of_hour"), spent_minutes.c.amount), else_=literal(0)
)
_ADD = adding_or(spent_minutes, _add)
_TAKE = Statement(
    update(spent_minutes)
    .where(*_IS_NAMED, spent_minutes.c.minute == bindparam("key_minute"))
    .values(amount=spent_minutes.c.amount - bindparam("taken"))
)
_SUM = Statement(
    select(func.coalesce(func.sum(_IN_HOUR), 0), func.coalesce(func.sum(spent_minutes.c.amount), 0)).where(
        *_IS_NAMED, spent_minutes.c.minute >= bindparam("first_of_day")
    )
)
