"""Payments that are kept for a request before they are collected, on every database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import null, update

from paypercall.call_book import CallBook
from paypercall.paid_call import Attempt, PaidCall, PaidCallState, PaymentRefused, PaymentUsed
from paypercall.store import Store
from paypercall.store.schema import paid_calls
from paypercall.store.statements import Statement

_LEAVE_IT_EMPTY = Statement(update(paid_calls).values(is_retried=null()))


def attempt(request: str = "a", price: int = 100) -> Attempt:
    return Attempt(request, "first", price, "base", 7)


def keep(calls: CallBook, on: Attempt, **details: str) -> PaidCall:
    return calls.hold(on, method="cheque", payment="1", amount=100, details=details, can_refund=False)


def test_a_payment_is_kept_for_one_request_at_its_price_and_then_taken(store: Store) -> None:
    calls = CallBook(store)
    with pytest.raises(PaymentRefused):
        keep(calls, attempt(price=101))
    assert not calls.is_known("cheque", "1")
    held = keep(calls, attempt())
    assert (held.state, held.request, calls.is_known("cheque", "1")) == (PaidCallState.ACCEPTED, "a", True)
    assert keep(calls, attempt(price=500)).id == held.id
    with pytest.raises(PaymentUsed):
        keep(calls, attempt("b"))
    taken = calls.take(attempt(price=500), method="cheque", payment="1", amount=100, can_refund=False)
    assert (taken.id, taken.state) == (held.id, PaidCallState.RUNNING)


def test_only_what_was_never_taken_is_dropped(store: Store) -> None:
    calls = CallBook(store)
    held = keep(calls, attempt())
    calls.drop_uncollected(held)
    assert not calls.is_known("cheque", "1")
    calls.take(attempt(), method="cheque", payment="1", amount=100, can_refund=False)
    calls.drop_uncollected(held)
    assert calls.is_known("cheque", "1")


def test_what_was_kept_anew_is_not_dropped_by_who_could_not_collect_it_before(store: Store) -> None:
    calls = CallBook(store)
    before, anew = keep(calls, attempt(), use="before"), None
    for _ in range(2):
        calls.drop_uncollected(before)
        anew = anew or keep(calls, attempt(), use="anew")
    assert anew is not None and keep(calls, attempt()).receipt == anew.receipt


def test_what_another_attempt_has_kept_again_is_not_dropped_for_a_refusal_that_need_not_hold_for_that_one(
    store: Store,
) -> None:
    calls = CallBook(store)
    held = keep(calls, attempt())
    assert calls.drop_unless_retried(held)
    assert not calls.drop_unless_retried(held)
    held, again = keep(calls, attempt()), keep(calls, attempt())
    for known in (held, again):
        assert not calls.drop_unless_retried(known)
    assert calls.is_known("cheque", "1")
    calls.drop_uncollected(held)
    assert not calls.is_known("cheque", "1")


def test_what_was_kept_anew_or_taken_is_not_dropped_for_such_a_refusal_either(store: Store) -> None:
    calls = CallBook(store)
    before = keep(calls, attempt(), use="before")
    calls.drop_uncollected(before)
    anew = keep(calls, attempt(), use="anew")
    assert not calls.drop_unless_retried(before)
    calls.take(attempt(), method="cheque", payment="1", amount=100, can_refund=False)
    assert not calls.drop_unless_retried(anew)
    assert calls.is_known("cheque", "1")


def test_what_a_process_of_the_version_before_has_kept_is_marked_as_any_other(store: Store) -> None:
    calls = CallBook(store)
    for is_kept_again in (False, True):
        held = keep(calls, attempt())
        with store.transaction() as books:
            books.paid_calls._connection.change(_LEAVE_IT_EMPTY, {})
        if is_kept_again:
            assert keep(calls, attempt()).is_retried
        assert calls.drop_unless_retried(held) is not is_kept_again


def test_what_was_kept_is_taken_as_it_was_kept_though_it_was_dropped_since(store: Store) -> None:
    calls = CallBook(store)
    held = keep(calls, attempt(), use="before")
    calls.drop_uncollected(held)
    taken = calls.take_held(attempt(price=500), held, can_refund=False)
    assert (taken.state, taken.receipt) == (PaidCallState.RUNNING, held.receipt)
    with store.transaction() as books:
        assert books.paid_calls.lock("cheque", "1") == taken


def test_what_is_kept_and_dropped_by_many_at_once_is_there_or_not(store: Store) -> None:
    calls = CallBook(store)
    held = keep(calls, attempt())

    def keep_or_drop(number: int) -> None:
        if number % 2:
            calls.drop_uncollected(held)
        else:
            assert keep(calls, attempt()).request == "a"

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(keep_or_drop, range(64)))
    assert keep(calls, attempt()).state is PaidCallState.ACCEPTED
