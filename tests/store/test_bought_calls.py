"""Bought calls: summed by time, origin and payee; found again by their request while they are pending."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.bought_call import (
    CLOCK_SECONDS,
    LEASE_SECONDS,
    BoughtCall,
    BoughtCallState,
    Spending,
    Spent,
    end,
    give_up,
    is_left,
    let_go,
    put_aside,
    resume,
    take_back,
    unsent,
)
from paypercall.store import Store

AA = "A" * 32
CALL = BoughtCall("r" * 64, "s" * 64, "https://one", "P" * 32, "base", 100, "k" * 32, made_at=1000)


def add(store: Store, **changes: Any) -> BoughtCall:
    with store.transaction() as books:
        return books.bought_calls.add(replace(CALL, key=secrets.token_hex(16), **changes))


def test_a_call_is_found_as_it_was_booked_and_saved(store: Store) -> None:
    with store.transaction() as books:
        added = books.bought_calls.add(CALL)
        assert added == replace(CALL, id=added.id)
        saved = replace(take_back(added, 30, AA), run="run", runs_until=7)
        books.bought_calls.save(saved)
        assert books.bought_calls.lock(added) == saved


def test_pending_calls_of_a_request_are_found_the_oldest_first(store: Store) -> None:
    first, second = add(store, made_at=1000), add(store, made_at=1001)
    add(store, request="x" * 64)
    add(store, made_at=900)
    over = add(store)
    with store.transaction() as books:
        books.bought_calls.save(end(over, AA))
        assert books.bought_calls.in_state(BoughtCallState.PENDING, CALL.request, 999) == [first, second]
        assert books.bought_calls.lock_in_state(BoughtCallState.PENDING, CALL.request, 999) == [first, second]


def test_sums_are_net_of_refunds_and_go_by_time_origin_and_payee(store: Store) -> None:
    add(store, made_at=5000)
    add(store, made_at=5001, refund=40)
    add(store, made_at=2000, origin="https://two")
    add(store, made_at=1000)
    add(store, made_at=9000, payee="Q" * 32)
    add(store, made_at=5000, asset="other")
    with store.reading() as books:
        spending = books.bought_calls.spending("base", "https://one", "P" * 32, hour_ago=4999, day_ago=1019)
        nothing = books.bought_calls.spending("none", "", "", hour_ago=0, day_ago=0)
    assert spending == Spending(Spent(260, 360), Spent(260, 260), Spent(160, 260))
    assert nothing == Spending()


def test_the_last_calls_of_a_resource_that_ended_and_were_not_given_back_are_found(store: Store) -> None:
    for amount, state in (
        (100, BoughtCallState.ANSWERED),
        (120, BoughtCallState.ANSWERED),
        (130, BoughtCallState.REFUNDED),
        (140, BoughtCallState.GIVEN_UP),
        (145, BoughtCallState.REFUND_DUE),
        (150, BoughtCallState.PENDING),
    ):
        add(store, amount=amount, state=state)
    with store.reading() as books:
        assert [call.amount for call in books.bought_calls.last_ended(CALL.resource)] == [145, 140]
        assert books.bought_calls.last_ended("x" * 64) == []


def test_the_last_call_of_a_resource_is_found_in_whatever_state_it_is(store: Store) -> None:
    for state in BoughtCallState:
        last = add(store, state=state)
        add(store, resource="y" * 64)
        with store.reading() as books:
            assert books.bought_calls.last(CALL.resource) == last
            assert books.bought_calls.last("x" * 64) is None


def test_signs_of_life_prolong_what_is_pending_and_ones_own(store: Store) -> None:
    mine = add(store, run="me", runs_until=5)
    other = add(store, run="you", runs_until=5, made_at=1001)
    over = add(store, run="me", runs_until=5, state=BoughtCallState.ANSWERED)
    with store.transaction() as books:
        books.bought_calls.prolong([mine.id, other.id, over.id], "me", 11)
        until = [books.bought_calls.lock(call).runs_until for call in (mine, other, over)]
    assert until == [11, 5, 5]


def test_what_was_put_aside_is_there_for_any_call_that_costs_the_same_at_the_same_place(store: Store) -> None:
    call = add(store)
    aside = unsent(call.origin, call.payee, call.asset, call.amount)
    with store.transaction() as books:
        books.bought_calls.save(put_aside(call))
        assert books.bought_calls.in_state(BoughtCallState.PENDING, call.request, 0) == []
        [found] = books.bought_calls.in_state(BoughtCallState.PENDING, aside, 0)
        taken = resume(found, "other request", "other resource", "me", now=100)
        books.bought_calls.save(taken)
        assert books.bought_calls.in_state(BoughtCallState.PENDING, aside, 0) == []
        assert books.bought_calls.in_state(BoughtCallState.PENDING, "other request", 0) == [taken]


def test_what_was_dropped_is_not_there_though_another_call_may_have_its_number(store: Store) -> None:
    call = add(store)
    with store.transaction() as books:
        books.bought_calls.drop(call)
        assert books.bought_calls.in_state(BoughtCallState.PENDING, CALL.request, 0) == []
        another = books.bought_calls.add(replace(CALL, key="another"))
        assert books.bought_calls.lock(replace(another, key=call.key)) is None
        assert books.bought_calls.lock(another) == another


def test_a_call_is_left_when_it_was_let_go_or_its_process_gives_no_sign_of_life() -> None:
    held = resume(CALL, CALL.request, CALL.resource, "me", now=100)
    assert not is_left(held, 100 + LEASE_SECONDS)
    assert is_left(held, 101 + LEASE_SECONDS)
    assert is_left(let_go(held), 100)
    assert is_left(held, 99 - CLOCK_SECONDS), "of a clock that was put back"
    assert not is_left(end(held, AA), 200)


@pytest.mark.parametrize(
    "refunds, refund, state",
    [
        ([], 0, BoughtCallState.ANSWERED),
        ([40], 40, BoughtCallState.ANSWERED),
        ([40, 60], 100, BoughtCallState.REFUNDED),
        ([400], 100, BoughtCallState.REFUNDED),
    ],
)
def test_what_comes_back_is_never_more_than_was_paid(
    refunds: list[int], refund: int, state: BoughtCallState
) -> None:
    call = CALL
    for amount in refunds:
        call = take_back(call, amount, AA)
    assert (end(call, AA).refund, end(call, AA).state) == (refund, state)


def test_a_call_that_was_given_up_keeps_its_amount() -> None:
    given_up = give_up(CALL, AA)
    assert (given_up.amount, given_up.refund, given_up.state) == (100, 0, BoughtCallState.GIVEN_UP)
    answered = end(CALL, AA)
    assert give_up(answered, AA) == answered


@given(st.lists(st.integers(0, 150), max_size=4), st.integers(0, 150))
def test_a_call_stays_open_as_long_as_less_came_back_than_the_merchant_promises(
    refunds: list[int], promised: int
) -> None:
    call = CALL
    for refund in refunds:
        call = take_back(call, refund, AA)
    ended = end(let_go(call), AA, promised)
    assert ended.refund == min(100, sum(refunds))
    assert (ended.state is BoughtCallState.REFUND_DUE) == (ended.refund < min(100, promised))
    assert (ended.state is BoughtCallState.REFUNDED) == (ended.refund == 100)
    assert is_left(ended, 0) == (ended.state is BoughtCallState.REFUND_DUE)
    assert give_up(ended, AA) == ended
    asked_again = resume(ended, "r", "s", "me", 0) if is_left(ended, 0) else ended
    assert end(asked_again, AA).state in (BoughtCallState.ANSWERED, BoughtCallState.REFUNDED)
