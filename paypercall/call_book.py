"""The paid calls in the books: takes payments for requests, follows their runs, keeps the answers for a while.

Each method is one short transaction; none is held while a request is answered. The rules are those of `paid_call.py`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from paypercall import paid_call
from paypercall.paid_call import (
    RUN_SECONDS,
    Attempt,
    PaidCall,
    PriceUnknown,
    break_off,
    claim,
    hold,
    prolong,
)
from paypercall.payment_token import hash_of
from paypercall.settlement.node import wall_clock
from paypercall.store import Books, Store, StoredAnswer, StoreError
from paypercall.store.later import PAUSE_SECONDS
from paypercall.wire import encode_receipt

_CALLS_BETWEEN_DROPS = 100

_CATCH_UP_SECONDS = 1.0

_SECONDS_TO_KEEP = 5
"""How long a run must be left alone by others still, for its end to be kept later."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """How answers are kept, to be given again.

    Attributes:
        seconds: How long.
        max_bytes: The largest body that is kept.
        max_total_bytes: All bodies together; above it the oldest are dropped.
    """

    seconds: int = 3600
    max_bytes: int = 256 * 1024
    max_total_bytes: int = 256 * 1024 * 1024


class CallBook:
    """The paid calls of one database. Safe to use from many threads and processes.

    Args:
        store: The database.
        limits: How answers are kept.
    """

    def __init__(self, store: Store, limits: AnswerLimits | None = None) -> None:
        self._store = store
        self._limits = limits or AnswerLimits()
        self._calls_until_drop = 0

    @property
    def largest_kept(self) -> int:
        """Bytes of the largest body that is kept."""
        return self._limits.max_bytes

    def is_known(self, method: str, payment: str) -> bool:
        """Whether a payment is in the books: kept or taken for a request."""
        with self._store.reading() as books:
            return books.paid_calls.is_known(method, payment)

    def find(self, call: PaidCall) -> PaidCall | None:
        """A call as it is in the books now, or None if it is not there any more."""
        with self._store.brief_transaction() as books:
            return books.paid_calls.lock(call.method, call.payment)

    def hold(
        self,
        attempt: Attempt,
        *,
        method: str,
        payment: str,
        amount: int,
        asset: str | None = None,
        details: Mapping[str, Any] | None = None,
        can_refund: bool = True,
    ) -> PaidCall:
        """Keeps a payment for a request before it is collected; see `paid_call.hold`. Arguments as of `take`.

        Raises:
            PaymentRefused: As `take`.
            CallConflict: As `take`.
        """
        call = call_of(method, payment, amount, asset or attempt.asset, attempt.now, details=details)
        return self._book(call, attempt, partial(hold, can_refund=can_refund))

    def drop_uncollected(self, held: PaidCall) -> None:
        """Drops a payment that was kept for a request, but could not be collected; not one that was kept anew since."""
        with self._store.transaction() as books:
            books.paid_calls.drop_uncollected(held)

    def drop_unless_retried(self, held: PaidCall) -> bool:
        """As `drop_uncollected`, but not what another attempt has been at since; tells whether it dropped it."""
        with self._store.transaction() as books:
            return books.paid_calls.drop_unless_retried(held)

    def take(
        self,
        attempt: Attempt,
        *,
        method: str,
        payment: str,
        amount: int,
        asset: str | None = None,
        aa_address: str | None = None,
        details: Mapping[str, Any] | None = None,
        can_refund: bool = True,
    ) -> PaidCall:
        """Books a payment that its method has collected, for a request; one that is there already is claimed again.

        Args:
            attempt: Who wants to answer what.
            method: The method's name.
            payment: What identifies the payment within the method: the same for the same payment, whoever asks.
            amount: In bytes or units of the asset.
            asset: What was paid in; None for what the attempt's price is in.
            aa_address: The channel, if there is one.
            details: What the receipt tells besides.
            can_refund: Whether the method can give money back.

        Raises:
            PaymentRefused: When it cannot give back, and the payment is not the price.
            CallConflict: When the payment cannot be used for this request; `PriceUnknown` also when it was taken for
                this one and is free again.
        """
        call = call_of(method, payment, amount, asset or attempt.asset, attempt.now, aa_address, details)
        claimed = self._book(call, attempt, partial(claim, can_refund=can_refund))
        if attempt.price is None and not claimed.is_over:
            raise PriceUnknown("nobody can tell what this request costs; the payment is good for another one")
        return claimed

    def take_held(self, attempt: Attempt, held: PaidCall, *, can_refund: bool) -> PaidCall:
        """Books what `hold` has kept and was collected since, for a request: as it was kept, should it be gone by now.

        Raises:
            CallConflict: As `take`.
        """
        return self._book(held, attempt, partial(claim, can_refund=can_refund))

    def _book(
        self, call: PaidCall, attempt: Attempt, rule: Callable[[PaidCall, Attempt], PaidCall]
    ) -> PaidCall:
        """Saves what a rule makes of the call that is in the books or, if there is none, of this one."""
        with self._store.transaction() as books:
            while True:
                known = books.paid_calls.lock(call.method, call.payment)
                if known is not None:
                    return _save_change(books, known, rule(known, _now(attempt)))
                new = rule(call, _now(attempt))
                if books.paid_calls.add(new, attempt.now):
                    return new

    def redeem_token(self, attempt: Attempt, token: str) -> PaidCall | None:
        """Claims the payment that a token stands for, for a request; None if there is no such token.

        Raises:
            CallConflict: When the payment cannot be used for this request.
        """
        with self._store.transaction() as books:
            known = books.paid_calls.lock_token(hash_of(token))
            return None if known is None else claim_known(books, known, attempt)

    def keep_running(self, calls: list[PaidCall]) -> None:
        """Gives a sign of life of runs, so that nobody takes them over."""
        now = wall_clock()
        with self._store.brief_transaction() as books:
            for call in calls:
                assert call.run is not None
                books.paid_calls.save_run(prolong(call, call.run, now))

    def finish(self, call: PaidCall, answer: StoredAnswer | None) -> bool:
        """Keeps the end of a run as `paid_call.answer` or `paid_call.give_back` made it, and the answer.

        Args:
            call: The call.
            answer: What was answered, or None for what is not kept: a stream, for one.

        Returns:
            Whether the run was still this worker's; nothing has changed if not.
        """
        with self._store.brief_transaction() as books:
            return self._keep_end(books, call, answer)

    def finish_soon(self, call: PaidCall, answer: StoredAnswer) -> bool:
        """Like `finish`, a moment later and without waiting; if the process dies before, the payment runs again.

        While the database cannot be written, it waits on.

        Returns:
            Whether it does. Not when something goes back, which must be in the books before anybody hears of it; nor
            when another worker may have taken over; nor when too much is to be kept already.
        """
        if call.refund or not _SECONDS_TO_KEEP <= call.runs_until - wall_clock() <= RUN_SECONDS:
            return False
        kept = answer if len(answer.body) <= self._limits.max_bytes else None
        size = 0 if kept is None else len(kept.body)
        return self._store.soon(lambda books: self._keep_late_end(books, call, kept), size)

    def catch_up(self) -> None:
        """Keeps the ends of runs that wait, and gives other workers the time to keep theirs."""
        self._store.flush(_CATCH_UP_SECONDS)
        time.sleep(2 * PAUSE_SECONDS)

    def _keep_end(self, books: Books, call: PaidCall, answer: StoredAnswer | None) -> bool:
        if not books.paid_calls.save_run(call):
            return False
        now = wall_clock()
        if answer is not None and len(answer.body) <= self._limits.max_bytes:
            books.paid_calls.keep_answer(call, answer, now)
        self._calls_until_drop -= 1
        if self._calls_until_drop < 0:
            self._calls_until_drop = _CALLS_BETWEEN_DROPS
            books.paid_calls.drop_answers(now - self._limits.seconds, self._limits.max_total_bytes)
        return True

    def _keep_late_end(self, books: Books, call: PaidCall, answer: StoredAnswer | None) -> None:
        if not self._keep_end(books, call, answer):
            logger.warning("payment %s: another worker has taken over", call.id)

    def break_off(self, call: PaidCall, *, can_refund: bool) -> PaidCall | None:
        """Takes back that a run has answered a call; see `paid_call.break_off`. Its answer is not kept: it is a stream.

        Returns:
            The call; None if the database cannot be written now, and it is as soon as that can be.

        Raises:
            RunLost: When it is not this run that has answered it.
        """
        run = call.run
        assert run is not None

        def change(books: Books) -> PaidCall:
            known = books.paid_calls.lock(call.method, call.payment)
            assert known is not None, "what was answered is never dropped"
            return _save_change(books, known, break_off(known, run, can_refund=can_refund))

        try:
            with self._store.brief_transaction() as books:
                return change(books)
        except StoreError:
            if not self._store.soon(change, 0):
                raise
            return None

    def answer(self, call: PaidCall) -> StoredAnswer | None:
        """The answer that is kept of a call, or None."""
        with self._store.reading() as books:
            return books.paid_calls.answer(call, wall_clock() - self._limits.seconds)


def call_of(
    method: str,
    payment: str,
    amount: int,
    asset: str,
    now: int,
    aa_address: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> PaidCall:
    """A payment that is to be booked, with what its payer is told of it; the arguments are those of `CallBook.take`."""
    receipt: dict[str, Any] = {"payment_id": f"{method}-{payment}", "amount": amount, "asset": asset}
    if aa_address is not None:
        receipt["aa_address"] = aa_address
    for name, value in (details or {}).items():
        if value is not None:
            receipt[name] = value
    receipt["time"] = now
    return PaidCall(method, payment, amount, asset, aa_address, receipt=encode_receipt(receipt))


def take(books: Books, call: PaidCall, attempt: Attempt) -> PaidCall:
    """Books a payment for a request within a transaction, or claims the one that is there.

    Raises:
        CallConflict: When the payment cannot be used for this request.
    """
    claimed = claim(call, _now(attempt))
    if books.paid_calls.add(claimed, attempt.now):
        return claimed
    known = books.paid_calls.lock(call.method, call.payment)
    assert known is not None, "what channels have paid is never dropped"
    return claim_known(books, known, attempt)


def keep(books: Books, call: PaidCall, now: int) -> PaidCall:
    """Books a payment, within a transaction, for a request that is still to come; it must be new."""
    is_new = books.paid_calls.add(call, now)
    assert is_new, "the payment was accepted in this transaction"
    return call


def claim_known(books: Books, known: PaidCall, attempt: Attempt) -> PaidCall:
    """Claims a locked call for a request within a transaction.

    Raises:
        CallConflict: When the payment cannot be used for this request.
    """
    return _save_change(books, known, claim(known, _now(attempt)))


def claim_published(books: Books, known: PaidCall, attempt: Attempt) -> PaidCall:
    """Ends a locked call whose package anybody can send by now, within a transaction; see `paid_call.claim_published`.

    Raises:
        CallConflict: When the payment cannot be used for this request.
    """
    ended = paid_call.claim_published(known, _now(attempt))
    books.paid_calls.drop_answer(known)  # which may be for its payer only
    return _save_change(books, known, ended)


def _now(attempt: Attempt) -> Attempt:
    """An attempt as of now: it may have waited for the ledger or for its money, and its run begins here."""
    now = wall_clock()
    return attempt if now <= attempt.now else replace(attempt, now=now)


def _save_change(books: Books, known: PaidCall, changed: PaidCall) -> PaidCall:
    if changed != known:
        books.paid_calls.save(changed)
    return changed
