"""The calls that this side pays for. A row is a place in the budget from before its payment is signed, for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, or_, select, update

from paypercall.bought_call import OPEN_STATES, BoughtCall, BoughtCallState, Scope, Spending, Spent, counted
from paypercall.store.schema import bought_calls
from paypercall.store.spent_minutes import SpentMinutes
from paypercall.store.statements import Connection, Row, Statement, adding


class BoughtCalls:
    """The bought calls, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._spent = SpentMinutes(connection)

    def add(self, call: BoughtCall) -> BoughtCall:
        """Books a call, and gives it its number."""
        number = self._connection.add(_ADD, _columns(call))
        assert number is not None
        self._spent.add(call)
        return replace(call, id=number)

    def lock(self, call: BoughtCall) -> BoughtCall | None:
        """Loads and locks a call as it is now; None if it was dropped: its number may be another's then."""
        row = self._connection.first(_LOCK, {"key_id": call.id, "key_payment_key": call.key})
        return None if row is None else _read(row)

    def in_state(self, state: BoughtCallState, request: str, made_after: int) -> list[BoughtCall]:
        """The calls for a request, by its digest, that are in a state; the oldest first."""
        return [_read(row) for row in self._connection.all(_IN_STATE, _wanted(state, request, made_after))]

    def lock_in_state(self, state: BoughtCallState, request: str, made_after: int) -> list[BoughtCall]:
        """Like `in_state`, and locks them."""
        return [
            _read(row) for row in self._connection.all(_LOCK_IN_STATE, _wanted(state, request, made_after))
        ]

    def save(self, call: BoughtCall) -> None:
        """Saves the state of a locked call; what came back counts no more."""
        refund_before = int(self._connection.value(_REFUND, {"key_id": call.id}))
        row = {
            "request": call.request,
            "resource": call.resource,
            "state": call.state.value,
            "refund": call.refund,
            "aa_address": call.aa_address,
            "run": call.run,
            "runs_until": call.runs_until,
        }
        self._connection.change(_SAVE, {**row, "key_id": call.id})
        if call.refund != refund_before:
            self._spent.take(call, call.refund - refund_before)

    def withdraw(self, call: BoughtCall) -> None:
        """Counts a locked call no more until `renew`, which has to follow in the same transaction."""
        self._spent.take(call, counted(call))

    def renew(self, call: BoughtCall) -> None:
        """Counts a call that was withdrawn from its new `made_at` on."""
        dates = {"made_at": call.made_at, "runs_until": call.runs_until}
        self._connection.change(_DATE, {"key_id": call.id, **dates})
        self._spent.add(call)

    def prolong(self, call_ids: Iterable[int], run: str, runs_until: int) -> None:
        """Gives a sign of life of open calls."""
        for call_id in call_ids:
            self._connection.change(_PROLONG, {"key_id": call_id, "key_run": run, "runs_until": runs_until})

    def drop(self, call: BoughtCall) -> None:
        """Drops a locked call for which nothing was signed."""
        self._connection.change(_DROP, {"key_id": call.id})
        self._spent.take(call, counted(call))

    def last_ended(self, resource: str) -> list[BoughtCall]:
        """The last two calls for a resource, by its digest, whose price was not given back; the newest first."""
        return [_read(row) for row in self._connection.all(_LAST, {"key_resource": resource})]

    def last(self, resource: str) -> BoughtCall | None:
        """The last call for a resource, by its digest, in whatever state."""
        row = self._connection.first(_NEWEST, {"key_resource": resource})
        return None if row is None else _read(row)

    def spending(
        self, asset: str, origin: str | None, payee: str | None, *, hour_ago: int, day_ago: int
    ) -> Spending:
        """What was spent in an asset after two times in seconds, and up to a minute before, so that it is never less.

        A call whose time is in the future, by a clock that was put back, counts, too.

        Args:
            asset: The asset.
            origin: Whose sum is asked for besides that of all, or None.
            payee: The same.
            hour_ago: The one time.
            day_ago: The other one.
        """

        def spent(scope: Scope, name: str | None) -> Spent:
            if name is None:
                return Spent()
            return self._spent.sum(asset, scope, name, hour_ago=hour_ago, day_ago=day_ago)

        return Spending(spent(Scope.TOTAL, ""), spent(Scope.ORIGIN, origin), spent(Scope.PAYEE, payee))


_COLUMNS = (
    "request",
    "resource",
    "origin",
    "payee",
    "asset",
    "amount",
    "payment_key",
    "made_at",
    "state",
    "refund",
    "aa_address",
    "run",
    "runs_until",
)


def _columns(call: BoughtCall) -> dict[str, Any]:
    row = {name: getattr(call, name) for name in _COLUMNS if name not in ("payment_key", "state")}
    return {**row, "payment_key": call.key, "state": call.state.value}


def _read(row: Row) -> BoughtCall:
    request, resource, origin, payee, asset, amount, key, made_at, state, *rest = row
    return BoughtCall(
        request, resource, origin, payee, asset, amount, key, made_at, BoughtCallState(state), *rest
    )


def _wanted(state: BoughtCallState, request: str, made_after: int) -> dict[str, Any]:
    return {"key_request": request, "key_state": state.value, "made_after": made_after}


def _selected() -> Select[Any]:
    return select(*(bought_calls.c[name] for name in (*_COLUMNS, "id")))


def _selected_in_state() -> Select[Any]:
    return (
        _selected()
        .where(
            bought_calls.c.request == bindparam("key_request"),
            bought_calls.c.state == bindparam("key_state"),
            bought_calls.c.made_at > bindparam("made_after"),
        )
        .order_by(bought_calls.c.id)
    )


def _is_any_of(states: Iterable[BoughtCallState]) -> ColumnElement[bool]:
    return or_(*(bought_calls.c.state == state.value for state in states))


_CHANGING = ("request", "resource", "state", "refund", "aa_address", "run", "runs_until")
_KEPT = (BoughtCallState.ANSWERED, BoughtCallState.REFUND_DUE, BoughtCallState.GIVEN_UP)
_IS_IT = bought_calls.c.id == bindparam("key_id")
_ADD = adding(bought_calls)
_LOCK = Statement(
    _selected().where(_IS_IT, bought_calls.c.payment_key == bindparam("key_payment_key")).with_for_update()
)
_IN_STATE = Statement(_selected_in_state())
_LOCK_IN_STATE = Statement(_selected_in_state().with_for_update())
_REFUND = Statement(select(bought_calls.c.refund).where(_IS_IT))
_DATE = Statement(
    update(bought_calls)
    .where(_IS_IT)
    .values(made_at=bindparam("made_at"), runs_until=bindparam("runs_until"))
)
_SAVE = Statement(update(bought_calls).where(_IS_IT).values({name: bindparam(name) for name in _CHANGING}))
_PROLONG = Statement(
    update(bought_calls)
    .where(
        _IS_IT,
        bought_calls.c.run == bindparam("key_run"),
        _is_any_of(OPEN_STATES),
    )
    .values(runs_until=bindparam("runs_until"))
)
_DROP = Statement(delete(bought_calls).where(_IS_IT))
_IS_FOR = bought_calls.c.resource == bindparam("key_resource")
_NEWEST_FIRST = bought_calls.c.id.desc()
_NEWEST = Statement(_selected().where(_IS_FOR).order_by(_NEWEST_FIRST).limit(1))
_LAST = Statement(_selected().where(_IS_FOR, _is_any_of(_KEPT)).order_by(_NEWEST_FIRST).limit(2))
