"""The life of one call that this side pays for: pending until the merchant has answered, and what comes back. Pure.

A call is in the books before anything is signed for it. It counts toward the budget from then on, whatever becomes of
it: money that may be spent is spent, until a refund is proven.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import Enum

RESUME_SECONDS = 3600
"""How long a call whose outcome is unknown is gone on with; merchants keep their answers about as long."""

REFUND_SECONDS = 7 * 24 * 3600
"""How long a refund that is due is asked for, whenever the same call is made again."""

LEASE_SECONDS = 6
"""How long a pending call belongs to its process after the last sign of life."""

CLOCK_SECONDS = 60
"""How far the clock of another machine may be ahead, so that its calls are not taken for those of a clock put back."""

_MINUTE = 60


class BoughtCallState(Enum):
    """Where a call is."""

    PENDING = "pending"
    REFUND_DUE = "refund_due"
    ANSWERED = "answered"
    REFUNDED = "refunded"
    GIVEN_UP = "given_up"


OPEN_STATES = (BoughtCallState.PENDING, BoughtCallState.REFUND_DUE)
"""Those in which the payment is to be sent again: for an answer, or for what the merchant says it gives back."""


@dataclass(frozen=True, slots=True)
class BoughtCall:
    """A call, its place in the budget, and its payment.

    Attributes:
        request: The digest of method, address, body and what chooses the answer; unique where the body cannot be known
            before it is sent.
        resource: The digest of what has one price: method and address without the query.
        origin: Whom it was sent to.
        payee: Who is paid.
        asset: The asset.
        amount: What was reserved and paid, in bytes or units of the asset.
        key: The idempotency key of its payment package; random, used for this call only.
        made_at: Seconds; since when it counts.
        state: Where it is.
        refund: What came back, never more than `amount`.
        aa_address: The channel, once the outcome is known.
        run: Which process is at it, or None.
        runs_until: Seconds; until when it is that process's.
        id: Its number in the books; 0 before it is there.
    """

    request: str
    resource: str
    origin: str
    payee: str
    asset: str
    amount: int
    key: str = field(repr=False)
    made_at: int
    state: BoughtCallState = BoughtCallState.PENDING
    refund: int = 0
    aa_address: str | None = None
    run: str | None = None
    runs_until: int = 0
    id: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent, less what came back, in bytes or units of an asset.

    Attributes:
        hour: Within the hour.
        day: Within the day.
    """

    hour: int = 0
    day: int = 0


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent in one asset.

    Attributes:
        total: Everywhere.
        origin: At the origin that was asked for.
        payee: At the payee that was asked for.
    """

    total: Spent = Spent()
    origin: Spent = Spent()
    payee: Spent = Spent()


class Scope(Enum):
    """Which calls in an asset a sum is of: all, those to an origin, those that pay a payee."""

    TOTAL = "total"
    ORIGIN = "origin"
    PAYEE = "payee"


def scopes_of(call: BoughtCall) -> tuple[tuple[Scope, str], ...]:
    """The sums that a call counts in, each with the name that it has there; always in the same order."""
    return (Scope.TOTAL, ""), (Scope.ORIGIN, call.origin), (Scope.PAYEE, call.payee)


def counted(call: BoughtCall) -> int:
    """What a call counts in each of them."""
    return call.amount - call.refund


def minute_of(seconds: int) -> int:
    """The minute that a time is in: what was spent is summed up by minutes."""
    return seconds // _MINUTE


def first_minute_after(seconds: int) -> int:
    """The first of the minutes that have a time after this one.

    It counts as a whole, and so may what was spent in up to a minute before: never less than was spent since.
    """
    return minute_of(seconds + 1)


def is_left(call: BoughtCall, now: int) -> bool:
    """Whether an open call is nobody's: its process has let it go, or has died."""
    # Far beyond the longest lease, it is one of a clock that was put back since.
    is_held = call.run is not None and now <= call.runs_until <= now + LEASE_SECONDS + CLOCK_SECONDS
    return call.state in OPEN_STATES and not is_held


def resume(call: BoughtCall, request: str, resource: str, run: str, now: int) -> BoughtCall:
    """Takes a call that was left, for the same request or, if it was put aside, for another."""
    assert is_left(call, now)
    return replace(call, request=request, resource=resource, run=run, runs_until=now + LEASE_SECONDS)


def unsent(origin: str, payee: str, asset: str, amount: int) -> str:
    """Stands in place of a request's digest where the payment has not left this machine: any like it may use it."""
    return hashlib.sha256(f"unsent {origin} {payee} {asset} {amount}".encode()).hexdigest()


def unheeded(origin: str, payee: str, asset: str, amount: int, asker: str) -> str:
    """The same where an answer came that says nothing of the payment, which may have been used: any of the same asker.

    If it was used for the first request, the merchant refuses it for another one; for the same one it gives the answer
    again, which is nobody else's.
    """
    return hashlib.sha256(f"unheeded {origin} {payee} {asset} {amount} {asker}".encode()).hexdigest()


def put_aside(call: BoughtCall, asker: str | None = None) -> BoughtCall:
    """Leaves a call to any that costs the same at the same place.

    Args:
        call: The call.
        asker: None if its payment has not left this machine; else whose calls it is left to.
    """
    place = (call.origin, call.payee, call.asset, call.amount)
    return replace(let_go(call), request=unsent(*place) if asker is None else unheeded(*place, asker))


def let_go(call: BoughtCall) -> BoughtCall:
    """Leaves a call whose outcome is unknown to whoever makes it again."""
    return replace(call, run=None, runs_until=0)


def take_back(call: BoughtCall, refund: int, aa_address: str) -> BoughtCall:
    """Books what came back, at most what was paid."""
    return replace(call, refund=min(call.amount, call.refund + refund), aa_address=aa_address)


def end(call: BoughtCall, aa_address: str, promised: int = 0) -> BoughtCall:
    """Ends a call that the merchant has answered, unless it says that it gives back more than has come yet."""
    if call.refund == call.amount:
        state = BoughtCallState.REFUNDED
    elif call.refund < promised:
        state = BoughtCallState.REFUND_DUE
    else:
        state = BoughtCallState.ANSWERED
    return replace(let_go(call), state=state, aa_address=aa_address)


def give_up(call: BoughtCall, aa_address: str) -> BoughtCall:
    """Ends a call whose payment the merchant does not say it took; what did not come back counts, since it may have."""
    if call.state is not BoughtCallState.PENDING:
        return call
    ended = end(call, aa_address)
    is_refunded = ended.state is BoughtCallState.REFUNDED
    return ended if is_refunded else replace(ended, state=BoughtCallState.GIVEN_UP)
