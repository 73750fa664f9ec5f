"""The payments that were used for requests, and the answers that are kept to be given again.

A row of a payment that was taken stays for good, so that none is ever used twice; an answer is kept for a while.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, delete, func, select, update

from paypercall.paid_call import PaidCall, PaidCallState
from paypercall.store.schema import paid_calls, stored_answers
from paypercall.store.statements import Connection, Row, Statement, adding_unless_there, one_of

_DROPPED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer to a request, as it was sent.

    Attributes:
        status: The HTTP status.
        headers: The headers, in their order; a name may come several times.
        body: The whole body.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


class PaidCalls:
    """The paid calls, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, call: PaidCall, now: int) -> bool:
        """Books a payment that was not used before.

        Args:
            call: The call.
            now: Seconds.

        Returns:
            Whether it did: the payment may be there already.
        """
        return self._connection.change(_ADD, {**_columns(call), "made_at": now}) == 1

    def lock(self, method: str, payment: str) -> PaidCall | None:
        """Loads and locks the call that a payment was used for."""
        return _read(self._connection.first(_LOCK, {"key_method": method, "key_payment": payment}))

    def lock_token(self, token_hash: str) -> PaidCall | None:
        """Loads and locks the call whose payment a token stands for."""
        return _read(self._connection.first(_LOCK_TOKEN, {"key_token_hash": token_hash}))

    def is_known(self, method: str, payment: str) -> bool:
        """Whether a payment is in the books."""
        return self._connection.first(_LOOK, {"key_method": method, "key_payment": payment}) is not None

    def drop_uncollected(self, held: PaidCall) -> None:
        """Drops a payment that was kept for a request, and never taken for one; not one that was kept anew since."""
        self._connection.change(_DROP_UNCOLLECTED, {"held_receipt": held.receipt, **_key(held)})

    def drop_unless_retried(self, held: PaidCall) -> bool:
        """As `drop_uncollected`, but only what no further attempt has marked as its own; tells whether it did."""
        row = {"held_receipt": held.receipt, **_key(held)}
        return self._connection.change(_DROP_UNLESS_RETRIED, row) == 1

    def save(self, call: PaidCall) -> None:
        """Saves the state of a locked call."""
        row = {
            "state": call.state.value,
            "request": call.request,
            "run": call.run,
            "runs_until": call.runs_until,
            "lost_runs": call.lost_runs,
            "refund": call.refund,
            "is_retried": call.is_retried,
        }
        self._connection.change(_SAVE, {**row, **_key(call)})

    def save_token_hash(self, call: PaidCall, token_hash: str) -> None:
        """Saves that another token stands for the payment of a locked call."""
        self._connection.change(_SAVE_TOKEN_HASH, {"token_hash": token_hash, **_key(call)})

    def save_run(self, call: PaidCall) -> bool:
        """Saves the state of a call that its run still holds, without having locked it.

        Returns:
            Whether it does.
        """
        row = {
            "state": call.state.value,
            "request": call.request,
            "runs_until": call.runs_until,
            "refund": call.refund,
            "key_run": call.run,
            **_key(call),
        }
        return self._connection.change(_SAVE_RUN, row) == 1

    # --- answers -----------------------------------------------------------------------------------------------------

    def keep_answer(self, call: PaidCall, answer: StoredAnswer, now: int) -> None:
        """Keeps the answer to a call; one that is there already stays."""
        headers = json.dumps(answer.headers, separators=(",", ":"))
        row = {
            "method": call.method,
            "payment": call.payment,
            "status": answer.status,
            "headers": headers,
            "body": answer.body,
            "size": len(headers) + len(answer.body),
            "stored_at": now,
        }
        self._connection.change(_KEEP, row)

    def answer(self, call: PaidCall, kept_after: int) -> StoredAnswer | None:
        """The answer to a call, if it was kept after a time in seconds and is still there."""
        row = self._connection.first(_ANSWER, {"after": kept_after, **_key(call)})
        if row is None:
            return None
        status, headers, body = row
        return StoredAnswer(status, tuple((name, value) for name, value in json.loads(headers)), bytes(body))

    def drop_answer(self, call: PaidCall) -> None:
        """Drops the answer to a call."""
        self._connection.change(_DROP, _key(call))

    def drop_answers(self, kept_before: int, most_bytes: int) -> None:
        """Drops the answers that were kept before a time in seconds, and the oldest while there are too many bytes.

        Headers count, too: many answers have little else.
        """
        self._connection.change(_DROP_OLD, {"before": kept_before})
        excess = int(self._connection.value(_SIZE, {})) - most_bytes
        while excess > 0 and (oldest := self._connection.all(_OLDEST, {})):
            for method, payment, size in oldest:
                if excess > 0:
                    self._connection.change(_DROP, {"key_method": method, "key_payment": payment})
                    excess -= size


def _key(call: PaidCall) -> dict[str, str]:
    return {"key_method": call.method, "key_payment": call.payment}


def _columns(call: PaidCall) -> dict[str, Any]:
    return {
        "method": call.method,
        "payment": call.payment,
        "amount": call.amount,
        "asset": call.asset,
        "aa_address": call.aa_address,
        "state": call.state.value,
        "request": call.request,
        "run": call.run,
        "runs_until": call.runs_until,
        "lost_runs": call.lost_runs,
        "refund": call.refund,
        "token_hash": call.token_hash,
        "receipt": call.receipt,
        "is_retried": call.is_retried,
    }


def _read(row: Row | None) -> PaidCall | None:
    if row is None:
        return None
    method, payment, amount, asset, aa_address, state, *rest, is_retried = row
    # Processes of the version before leave the mark empty.
    details = (PaidCallState(state), *rest, bool(is_retried))
    return PaidCall(method, payment, amount, asset, aa_address, *details)


def _selected() -> Select[Any]:
    columns: Sequence[str] = (
        "method",
        "payment",
        "amount",
        "asset",
        "aa_address",
        "state",
        "request",
        "run",
        "runs_until",
        "lost_runs",
        "refund",
        "token_hash",
        "receipt",
        "is_retried",
    )
    return select(*(paid_calls.c[name] for name in columns))


def _has_key(table: Table) -> ColumnElement[bool]:
    return and_(table.c.method == bindparam("key_method"), table.c.payment == bindparam("key_payment"))


_ADD = adding_unless_there(paid_calls)
_IS_PAYMENT = _has_key(paid_calls)
_LOOK = Statement(select(paid_calls.c.method).where(_IS_PAYMENT))
_LOCK = Statement(_selected().where(_IS_PAYMENT).with_for_update())
_UNCOLLECTED = delete(paid_calls).where(
    _IS_PAYMENT,
    one_of(paid_calls.c.state, [PaidCallState.ACCEPTED.value, PaidCallState.UNTIED.value]),
    paid_calls.c.run.is_(None),
    paid_calls.c.receipt == bindparam("held_receipt"),
)
_DROP_UNCOLLECTED = Statement(_UNCOLLECTED)
_DROP_UNLESS_RETRIED = Statement(_UNCOLLECTED.where(paid_calls.c.is_retried.is_not(True)))
_LOCK_TOKEN = Statement(
    _selected().where(paid_calls.c.token_hash == bindparam("key_token_hash")).with_for_update()
)
_SAVE_TOKEN_HASH = Statement(update(paid_calls).where(_IS_PAYMENT).values(token_hash=bindparam("token_hash")))
_SAVED = ("state", "request", "run", "runs_until", "lost_runs", "refund", "is_retried")
_SAVE = Statement(update(paid_calls).where(_IS_PAYMENT).values({name: bindparam(name) for name in _SAVED}))
_SAVE_RUN = Statement(
    update(paid_calls)
    .where(
        _IS_PAYMENT,
        paid_calls.c.run == bindparam("key_run"),
        paid_calls.c.state == PaidCallState.RUNNING.value,
    )
    .values({name: bindparam(name) for name in ("state", "request", "runs_until", "refund")})
)

_IS_ANSWER = _has_key(stored_answers)
_KEEP = adding_unless_there(stored_answers)
_ANSWER = Statement(
    select(stored_answers.c.status, stored_answers.c.headers, stored_answers.c.body).where(
        _IS_ANSWER, stored_answers.c.stored_at >= bindparam("after")
    )
)
_DROP_OLD = Statement(delete(stored_answers).where(stored_answers.c.stored_at < bindparam("before")))
_SIZE = Statement(select(func.coalesce(func.sum(stored_answers.c.size), 0)))
_OLDEST = Statement(
    select(stored_answers.c.method, stored_answers.c.payment, stored_answers.c.size)
    .order_by(stored_answers.c.stored_at)
    .limit(_DROPPED_AT_ONCE)
)
_DROP = Statement(delete(stored_answers).where(_IS_ANSWER))
