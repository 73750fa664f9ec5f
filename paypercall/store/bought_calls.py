"""The calls that this side pays for. A row is a place in the budget from before its payment is signed, for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, case, delete, func, literal, or_, select, update

from paypercall.bought_call import OPEN_STATES, BoughtCall, BoughtCallState, Spending, Spent
from paypercall.store.schema import bought_calls
from paypercall.store.statements import Connection, Row, Statement, adding


class BoughtCalls:
    """The bought calls, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, call: BoughtCall) -> BoughtCall:
        """Books a call, and gives it its number."""
        number = self._connection.add(_ADD, _columns(call))
        assert number is not None
        return replace(call, id=number)

    def lock(self, call_id: int) -> BoughtCall:
        """Loads and locks a call."""
        row = self._connection.first(_LOCK, {"key_id": call_id})
        assert row is not None, "only what bought nothing is dropped, by whom it belongs to"
        return _read(row)

    def in_state(self, state: BoughtCallState, request: str, made_after: int) -> list[BoughtCall]:
        """The calls for a request, by its digest, that are in a state; the oldest first."""
        return [_read(row) for row in self._connection.all(_IN_STATE, _wanted(state, request, made_after))]

    def lock_in_state(self, state: BoughtCallState, request: str, made_after: int) -> list[BoughtCall]:
        """Like `in_state`, and locks them."""
        return [
            _read(row) for row in self._connection.all(_LOCK_IN_STATE, _wanted(state, request, made_after))
        ]

    def save(self, call: BoughtCall) -> None:
        """Saves the state of a locked call."""
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

    def prolong(self, call_ids: Iterable[int], run: str, runs_until: int) -> None:
        """Gives a sign of life of open calls."""
        for call_id in call_ids:
            self._connection.change(_PROLONG, {"key_id": call_id, "key_run": run, "runs_until": runs_until})

    def drop(self, call_id: int, run: str) -> None:
        """Drops a call for which nothing was signed, if it is still that process's."""
        self._connection.change(_DROP, {"key_id": call_id, "key_run": run})

    def last_ended(self, resource: str) -> list[BoughtCall]:
        """The last two calls for a resource, by its digest, whose price was not given back; the newest first."""
        return [_read(row) for row in self._connection.all(_LAST, {"key_resource": resource})]

    def spending(self, asset: str, origin: str, payee: str, *, hour_ago: int, day_ago: int) -> Spending:
        """What was spent in an asset after two times in seconds: in all, at an origin, and at a payee.

        A row whose time is in the future, by a clock that was put back, counts, too.
        """
        row = self._connection.first(
            _SPENT,
            {
                "key_asset": asset,
                "key_origin": origin,
                "key_payee": payee,
                "hour_ago": hour_ago,
                "day_ago": day_ago,
            },
        )
        assert row is not None, "a sum has one row"
        sums = [int(value) for value in row]
        return Spending(Spent(*sums[0:2]), Spent(*sums[2:4]), Spent(*sums[4:6]))


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


def _sums() -> list[ColumnElement[Any]]:
    net = bought_calls.c.amount - bought_calls.c.refund
    in_hour = bought_calls.c.made_at > bindparam("hour_ago")
    at_origin = bought_calls.c.origin == bindparam("key_origin")
    to_payee = bought_calls.c.payee == bindparam("key_payee")
    return [
        func.coalesce(func.sum(case((condition, net), else_=literal(0))), 0)
        for of_whom in (literal(1) == literal(1), at_origin, to_payee)
        for condition in (of_whom & in_hour, of_whom)
    ]


_CHANGING = ("request", "resource", "state", "refund", "aa_address", "run", "runs_until")
_KEPT = (BoughtCallState.ANSWERED, BoughtCallState.REFUND_DUE, BoughtCallState.GIVEN_UP)
_IS_IT = bought_calls.c.id == bindparam("key_id")
_ADD = adding(bought_calls)
_LOCK = Statement(_selected().where(_IS_IT).with_for_update())
_IN_STATE = Statement(_selected_in_state())
_LOCK_IN_STATE = Statement(_selected_in_state().with_for_update())
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
_DROP = Statement(delete(bought_calls).where(_IS_IT, bought_calls.c.run == bindparam("key_run")))
_LAST = Statement(
    _selected()
    .where(
        bought_calls.c.resource == bindparam("key_resource"),
        _is_any_of(_KEPT),
    )
    .order_by(bought_calls.c.id.desc())
    .limit(2)
)
_SPENT = Statement(
    select(*_sums()).where(
        bought_calls.c.asset == bindparam("key_asset"), bought_calls.c.made_at > bindparam("day_ago")
    )
)
