"""The life of a payment for a request, under any order of attempts, signs of life, answers and retries."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.paid_call import (
    MAX_LOST_RUNS,
    RUN_SECONDS,
    SAME_REQUEST,
    Attempt,
    CallConflict,
    PackagePublished,
    PaidCall,
    PaidCallState,
    PaymentInProgress,
    PaymentRefused,
    PaymentUsed,
    PriceUnknown,
    RunLost,
    WrongPaymentAsset,
    answer,
    break_off,
    claim,
    claim_published,
    free,
    give_back,
    hold,
    prolong,
    release,
)

ACCEPTED = PaidCall("channel", "1", 100, "base")


def attempt(
    request: str = "a", run: str = "first", price: int | None = 100, now: int = 0, asset: str = "base"
) -> Attempt:
    return Attempt(request, run, price, asset, now)


def test_a_payment_is_claimed_for_one_request() -> None:
    running = claim(ACCEPTED, attempt())
    assert (running.state, running.request, running.run) == (PaidCallState.RUNNING, "a", "first")
    with pytest.raises(PaymentUsed):
        claim(running, attempt("b", "second"))


def test_a_run_is_left_alone_until_it_gives_no_sign_of_life() -> None:
    running = claim(ACCEPTED, attempt())
    with pytest.raises(PaymentInProgress):
        claim(running, attempt(run="second", now=RUN_SECONDS - 1))
    assert claim(running, attempt(run="second", now=RUN_SECONDS)).run == "second"
    prolonged = prolong(running, "first", 10)
    with pytest.raises(PaymentInProgress):
        claim(prolonged, attempt(run="second", now=RUN_SECONDS))


def test_a_run_that_began_before_its_clock_was_put_back_is_not_waited_for() -> None:
    running = claim(ACCEPTED, attempt(now=3600))
    assert claim(running, attempt(run="second", now=0)).run == "second"
    with pytest.raises(PaymentInProgress):
        claim(running, attempt(run="second", now=3600 - 30))  # of a worker whose clock is slow


def test_a_request_over_which_workers_die_is_refunded_and_not_tried_for_ever() -> None:
    call = claim(ACCEPTED, attempt())
    for lost in range(1, MAX_LOST_RUNS):
        call = claim(call, attempt(run=str(lost), now=lost * RUN_SECONDS))
        assert (call.state, call.lost_runs) == (PaidCallState.RUNNING, lost)
    call = claim(release(call, str(lost)), attempt(run="after one whose client had gone", now=10**6))
    assert (call.state, call.lost_runs) == (PaidCallState.RUNNING, MAX_LOST_RUNS - 1)
    call = claim(call, attempt(run="one too many", now=10**7))
    assert (call.state, call.refund) == (PaidCallState.REFUNDED, 100)


def test_a_payment_that_cannot_be_given_back_is_tried_again_however_many_workers_die() -> None:
    call = replace(claim(ACCEPTED, attempt()), lost_runs=MAX_LOST_RUNS)
    again = claim(call, attempt(run="next", now=RUN_SECONDS), can_refund=False)
    assert again.state is PaidCallState.RUNNING


def test_too_little_is_refunded_as_a_whole_without_a_run() -> None:
    refused = claim(ACCEPTED, attempt(price=101))
    assert (refused.state, refused.refund) == (PaidCallState.REFUNDED, 100)


def test_a_payment_in_another_asset_is_not_claimed() -> None:
    with pytest.raises(WrongPaymentAsset):
        claim(ACCEPTED, attempt(asset="other"))


def test_what_is_over_stays_as_it_is_whatever_the_price_is_now() -> None:
    over = answer(claim(ACCEPTED, attempt()), "first", 30)
    assert claim(over, attempt(run="second", price=1000, now=10**6)) == over


@pytest.mark.parametrize("rule", [hold, claim])
def test_what_is_over_stays_as_it_is_whatever_asset_the_price_is_in_now(
    rule: Callable[..., PaidCall],
) -> None:
    over = answer(claim(ACCEPTED, attempt()), "first", 30)
    assert rule(over, attempt(run="second", asset="other"), can_refund=True) == over
    with pytest.raises(PaymentUsed):
        rule(over, attempt("b", "second", asset="other"), can_refund=True)


OTHERS = [{"asset": "other"}, {"asset": "other", "price": 5}]


@pytest.mark.parametrize("other", OTHERS)
def test_a_payment_that_was_kept_is_taken_though_the_price_is_in_another_asset_by_then_but_for_that_request_only(
    other: dict[str, Any],
) -> None:
    first = attempt("a" * SAME_REQUEST + "with headers")
    held = hold(ACCEPTED, first, can_refund=False)
    again = replace(first, run="second", now=RUN_SECONDS, **other)
    assert hold(held, again, can_refund=False) == replace(held, is_retried=True)
    for call in (held, claim(held, first, can_refund=False)):
        assert claim(call, again, can_refund=False).run == "second"
        for request in ("b" * SAME_REQUEST, "a" * SAME_REQUEST + "with others"):
            for rule in (hold, claim):
                with pytest.raises(PaymentUsed):
                    rule(call, replace(again, request=request), can_refund=False)


@pytest.mark.parametrize("other", OTHERS)
def test_what_a_worker_has_left_behind_is_given_back_where_the_price_is_in_another_asset_by_now(
    other: dict[str, Any],
) -> None:
    dead = claim(ACCEPTED, attempt())
    with pytest.raises(PaymentInProgress):
        claim(dead, attempt(run="second", now=RUN_SECONDS - 1, **other))
    for left in (dead, release(dead, "first"), hold(ACCEPTED, attempt(), can_refund=True)):
        ended = claim(left, attempt(run="second", now=RUN_SECONDS, **other))
        assert (ended.state, ended.run, ended.refund) == (PaidCallState.REFUNDED, "second", 100)


def unpriced(request: str = "a", now: int = 10**6, asset: str = "base") -> Attempt:
    """An attempt of a worker that cannot tell the price."""
    return attempt(request, "unpriced", None, now, asset)


@pytest.mark.parametrize("can_refund", [True, False])
def test_what_is_over_stays_as_it_is_though_nobody_can_tell_the_price(can_refund: bool) -> None:
    running = claim(ACCEPTED, attempt())
    for over in (answer(running, "first", 30), give_back(running, "first")):
        assert claim(over, unpriced(), can_refund=can_refund) == over
        with pytest.raises(PaymentUsed):
            claim(over, unpriced("b"), can_refund=can_refund)


@pytest.mark.parametrize("can_refund", [True, False])
def test_what_is_being_run_is_left_alone_though_nobody_can_tell_the_price(can_refund: bool) -> None:
    with pytest.raises(PaymentInProgress):
        claim(claim(ACCEPTED, attempt()), unpriced(now=RUN_SECONDS - 1), can_refund=can_refund)


@pytest.mark.parametrize("asset", ["base", "other"])
def test_what_a_worker_has_left_behind_is_given_back_where_nobody_can_tell_the_price(asset: str) -> None:
    dead = claim(ACCEPTED, attempt())
    for left in (dead, release(dead, "first")):
        ended = claim(left, unpriced(asset=asset))
        assert (ended.state, ended.run, ended.refund) == (PaidCallState.REFUNDED, "unpriced", 100)
        untied = claim(left, unpriced(asset=asset), can_refund=False)
        assert (untied.state, untied.refund) == (PaidCallState.UNTIED, 0)
        assert claim(untied, attempt("b", "second"), can_refund=False).request == "b"
        for can_refund in (True, False):
            with pytest.raises(PaymentUsed):
                claim(left, unpriced("b", asset=asset), can_refund=can_refund)


@pytest.mark.parametrize("can_refund", [True, False])
def test_nothing_is_taken_or_kept_at_a_price_that_nobody_can_tell(can_refund: bool) -> None:
    freed = free(claim(ACCEPTED, attempt()), "first")
    for call in (ACCEPTED, freed):
        for rule in (hold, claim):
            with pytest.raises(PriceUnknown):
                rule(call, unpriced(), can_refund=can_refund)


@pytest.mark.parametrize("can_refund", [True, False])
def test_what_was_kept_for_a_request_is_good_for_another_as_well_once_nobody_can_tell_the_price(
    can_refund: bool,
) -> None:
    first = attempt("a" * SAME_REQUEST + "with headers")
    unknown = unpriced(first.request)
    untied = claim(hold(ACCEPTED, first, can_refund=can_refund), unknown, can_refund=can_refund)
    assert (untied.state, untied.refund) == (PaidCallState.UNTIED, 0), "perhaps nothing was collected"
    for request in (first.request, "b"):
        assert claim(untied, replace(unknown, request=request), can_refund=can_refund) == untied
        again = hold(untied, replace(first, request=request), can_refund=can_refund)
        assert (again.state, again.request) == (PaidCallState.ACCEPTED, request)
        assert claim(again, replace(first, request=request), can_refund=can_refund).request == request
        with pytest.raises(PaymentUsed):
            claim(again, attempt("c"), can_refund=can_refund)


@pytest.mark.parametrize("rule", [hold, claim])
def test_what_is_untied_keeps_its_agreed_price_for_its_own_request_and_must_be_the_price_of_any_other(
    rule: Callable[..., PaidCall],
) -> None:
    first = attempt("a" * SAME_REQUEST + "with headers")
    untied = claim(hold(ACCEPTED, first, can_refund=False), unpriced(first.request), can_refund=False)
    for dearer in ({"price": 500}, {"price": 500, "asset": "other"}):
        assert rule(untied, replace(first, **dearer), can_refund=False).request == first.request
    for request in ("a" * SAME_REQUEST + "with others", "b"):
        with pytest.raises(PaymentRefused):
            rule(untied, replace(first, request=request, price=500), can_refund=False)
        with pytest.raises(WrongPaymentAsset):
            rule(untied, replace(first, request=request, asset="other"), can_refund=False)


def test_only_the_run_that_holds_the_request_ends_it() -> None:
    taken_over = claim(claim(ACCEPTED, attempt()), attempt(run="second", now=RUN_SECONDS))
    for late in (
        lambda: answer(taken_over, "first", 0),
        lambda: give_back(taken_over, "first"),
        lambda: release(taken_over, "first"),
        lambda: free(taken_over, "first"),
        lambda: prolong(taken_over, "first", 0),
    ):
        with pytest.raises(RunLost):
            late()


def test_a_released_request_is_claimed_at_once_but_for_the_same_request_only() -> None:
    released = release(claim(ACCEPTED, attempt()), "first")
    assert claim(released, attempt(run="second")).run == "second"
    with pytest.raises(PaymentUsed):
        claim(released, attempt("b", "second"))


@pytest.mark.parametrize(("price", "code"), [(101, "underpaid"), (99, "overpaid")])
@pytest.mark.parametrize("rule", [hold, claim])
def test_where_nothing_can_be_given_back_a_payment_must_be_the_price(
    rule: Callable[..., PaidCall], price: int, code: str
) -> None:
    with pytest.raises(PaymentRefused) as refusal:
        rule(ACCEPTED, attempt(price=price), can_refund=False)
    assert refusal.value.code == code


def test_a_payment_that_was_kept_for_a_request_is_taken_for_it_whatever_it_costs_by_then() -> None:
    held = hold(ACCEPTED, attempt(), can_refund=False)
    assert (held.state, held.request, held.run) == (PaidCallState.ACCEPTED, "a", None)
    dearer = attempt(run="second", price=500)
    assert hold(held, dearer, can_refund=False) == replace(held, is_retried=True)
    running = claim(held, dearer, can_refund=False)
    assert (running.state, running.run, running.refund) == (PaidCallState.RUNNING, "second", 0)
    taken_over = claim(running, attempt(run="third", price=1, now=RUN_SECONDS), can_refund=False)
    assert (taken_over.state, taken_over.run) == (PaidCallState.RUNNING, "third")


def test_a_payment_that_is_kept_again_is_marked_for_good_be_it_for_another_request() -> None:
    held = hold(ACCEPTED, attempt(), can_refund=False)
    assert not held.is_retried
    untied = claim(held, unpriced("a"), can_refund=False)
    for known, request in ((held, "a"), (untied, "b")):
        again = hold(known, attempt(request, "second"), can_refund=False)
        assert again.is_retried
        assert hold(again, attempt(request, "third"), can_refund=False) == again


def test_a_payment_that_was_kept_for_a_request_is_for_no_other_one() -> None:
    held = hold(ACCEPTED, attempt(), can_refund=False)
    for rule in (hold, claim):
        with pytest.raises(PaymentUsed):
            rule(held, attempt("b", "second"), can_refund=False)


def test_a_freed_payment_buys_another_request_of_its_price() -> None:
    freed = free(claim(ACCEPTED, attempt(), can_refund=False), "first")
    assert (freed.state, freed.request) == (PaidCallState.ACCEPTED, None)
    assert claim(freed, attempt("b", "second"), can_refund=False).request == "b"
    with pytest.raises(PaymentRefused):
        claim(freed, attempt("b", "second", price=99), can_refund=False)


def test_what_breaks_off_is_refunded_as_a_whole_also_when_a_part_went_back_before() -> None:
    answered = answer(claim(ACCEPTED, attempt(price=70)), "first", 30)
    broken = break_off(answered, "first", can_refund=True)
    assert (broken.state, broken.refund) == (PaidCallState.REFUNDED, 100)
    assert claim(broken, attempt(run="second")) == broken


def test_where_nothing_can_be_given_back_what_breaks_off_buys_another_request() -> None:
    answered = answer(claim(ACCEPTED, attempt(), can_refund=False), "first", 0)
    broken = break_off(answered, "first", can_refund=False)
    assert (broken.state, broken.refund) == (PaidCallState.ACCEPTED, 0)
    assert claim(broken, attempt("b", "second"), can_refund=False).request == "b"


def test_only_who_has_answered_can_break_off() -> None:
    running = claim(ACCEPTED, attempt())
    answered = answer(running, "first", 0)
    refunded = give_back(running, "first")
    for call, run in ((running, "first"), (answered, "second"), (refunded, "first"), (ACCEPTED, "first")):
        for can_refund in (True, False):
            with pytest.raises(RunLost):
                break_off(call, run, can_refund=can_refund)


RUNS = st.sampled_from(["first", "second", "third"])
STEPS = st.one_of(
    st.tuples(
        st.just("claim"),
        RUNS,
        st.sampled_from(["a", "b"]),
        st.none() | st.integers(0, 300),
        st.integers(0, 100),
    ),
    st.tuples(st.just("answer"), RUNS, st.integers(-50, 500)),
    st.tuples(st.just("give_back"), RUNS),
    st.tuples(st.just("release"), RUNS),
    st.tuples(st.just("break_off"), RUNS),
    st.tuples(st.just("prolong"), RUNS, st.integers(0, 100)),
)


BROKEN_OFF = [PaidCallState.ANSWERED, PaidCallState.REFUNDED]


@given(st.integers(1, 200), st.lists(STEPS, max_size=30))
def test_nothing_gives_back_more_than_was_paid_or_ends_a_payment_twice(
    amount: int, steps: list[tuple[object, ...]]
) -> None:
    call = replace(ACCEPTED, amount=amount)
    requests: set[str] = set()
    ends: list[tuple[PaidCallState, int]] = []
    for name, run, *rest in steps:
        with suppress(CallConflict):
            match name, rest:
                case "claim", [request, price, now]:
                    call = claim(call, attempt(str(request), str(run), price, now))  # type: ignore[arg-type]
                case "answer", [refund]:
                    call = answer(call, str(run), refund)  # type: ignore[arg-type]
                case "give_back", _:
                    call = give_back(call, str(run))
                case "release", _:
                    call = release(call, str(run))
                case "break_off", _:
                    call = break_off(call, str(run), can_refund=True)
                case "prolong", [now]:
                    call = prolong(call, str(run), now)  # type: ignore[arg-type]
        if call.request is not None:
            requests.add(call.request)
        if call.is_over and (call.state, call.refund) not in ends:
            ends.append((call.state, call.refund))
        assert 0 <= call.refund <= call.amount == amount
        assert call.is_over or call.refund == 0
    assert len(requests) <= 1
    # At most an answer that broke off after that.
    assert [state for state, _ in ends] in (
        [],
        [PaidCallState.ANSWERED],
        [PaidCallState.REFUNDED],
        BROKEN_OFF,
    )
    assert len(ends) < 2 or ends[1][1] == amount


def test_what_anybody_can_send_runs_nothing_and_goes_back_to_its_payer() -> None:
    left = claim_published(claim(ACCEPTED, attempt()), attempt(run="strange", now=RUN_SECONDS))
    assert (left.state, left.refund) == (PaidCallState.REFUNDED, 100)
    with pytest.raises(RunLost):
        answer(replace(left, state=PaidCallState.RUNNING), "first", 0)


def test_what_anybody_can_send_ends_no_request_of_another_and_none_under_way() -> None:
    running = claim(ACCEPTED, attempt())
    answered = answer(running, "first", 0)
    assert claim_published(answered, attempt(run="strange")) == answered
    with pytest.raises(PaymentUsed):
        claim_published(answered, attempt("b"))
    with pytest.raises(PaymentInProgress):
        claim_published(running, attempt(run="strange", now=RUN_SECONDS - 1))
    with pytest.raises(PackagePublished):
        claim_published(ACCEPTED, attempt())
