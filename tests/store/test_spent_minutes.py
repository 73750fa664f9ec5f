"""The sums that limits are held against are never less than what the rows say, whatever becomes of the rows."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.bought_call import BoughtCall, Scope, Spent, counted, scopes_of, take_back
from paypercall.store import Books, Store
from tests.store.test_bought_calls import AA, CALL

ORIGINS = ("https://one", "https://two")
PAYEES = ("P" * 32, "Q" * 32)
MINUTE = 60
SPAN = 10 * MINUTE


class Crash(Exception):
    """The process dies before the transaction is kept."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('books') / Path('books.sqlite')}")
    store.migrate()
    yield store
    store.close()


@dataclass
class Rows:
    """The rows that are there, and what is done to them in one transaction."""

    asset: str = field(default_factory=lambda: secrets.token_hex(22))
    calls: list[BoughtCall] = field(default_factory=list)

    def add(self, books: Books, made_at: int, call: BoughtCall) -> list[BoughtCall]:
        fresh = replace(call, asset=self.asset, key=secrets.token_hex(16), made_at=made_at)
        return [*self.calls, books.bought_calls.add(fresh)]

    def refund(self, books: Books, number: int, amount: int) -> list[BoughtCall]:
        call = take_back(self.calls[number], amount, AA)
        books.bought_calls.save(call)
        return self._with(number, call)

    def drop(self, books: Books, number: int, _: None) -> list[BoughtCall]:
        books.bought_calls.drop(self.calls[number])
        return self._with(number)

    def renew(self, books: Books, number: int, made_at: int) -> list[BoughtCall]:
        books.bought_calls.withdraw(self.calls[number])
        call = replace(self.calls[number], made_at=made_at)
        books.bought_calls.renew(call)
        return self._with(number, call)

    def _with(self, number: int, *instead: BoughtCall) -> list[BoughtCall]:
        return [*self.calls[:number], *instead, *self.calls[number + 1 :]]

    def spent(self, scope: tuple[Scope, str], since: int) -> int:
        return sum(counted(call) for call in self.calls if call.made_at > since and scope in scopes_of(call))


calls = st.builds(
    lambda origin, payee, amount: replace(CALL, origin=origin, payee=payee, amount=amount, run="me"),
    st.sampled_from(ORIGINS),
    st.sampled_from(PAYEES),
    st.integers(1, 100),
)
times, numbers = st.integers(0, SPAN), st.integers(0, 9)
changes = st.one_of(
    st.tuples(st.just("add"), times, calls),
    st.tuples(st.just("refund"), numbers, st.integers(0, 120)),
    st.tuples(st.just("drop"), numbers, st.none()),
    st.tuples(st.just("renew"), numbers, times),
)


@given(st.lists(st.tuples(changes, st.booleans()), max_size=20), times, times)
def test_a_sum_is_that_of_the_rows_since_then_and_at_most_of_a_minute_before(
    store: Store, steps: list[tuple[tuple[str, int, object], bool]], hour_ago: int, day_ago: int
) -> None:
    rows, (hour_ago, day_ago) = Rows(), sorted((hour_ago, day_ago), reverse=True)
    for (what, first, second), crashes in steps:
        if what != "add" and not rows.calls:
            continue
        number = first if what == "add" else first % len(rows.calls)
        try:
            with store.transaction() as books:
                after = getattr(rows, what)(books, number, second)
                if crashes:
                    raise Crash
        except Crash:
            continue
        rows.calls = after
    for origin in ORIGINS:
        for payee in PAYEES:
            with store.reading() as books:
                spending = books.bought_calls.spending(
                    rows.asset, origin, payee, hour_ago=hour_ago, day_ago=day_ago
                )
            for scope, spent in (
                ((Scope.TOTAL, ""), spending.total),
                ((Scope.ORIGIN, origin), spending.origin),
                ((Scope.PAYEE, payee), spending.payee),
            ):
                for since, value in ((hour_ago, spent.hour), (day_ago, spent.day)):
                    assert rows.spent(scope, since) <= value <= rows.spent(scope, since - MINUTE + 1)


def test_a_time_at_the_end_of_a_minute_cuts_exactly(store: Store) -> None:
    rows = Rows()
    with store.transaction() as books:
        for made_at in (2 * MINUTE - 1, 2 * MINUTE):
            rows.add(books, made_at, CALL)
        spending = books.bought_calls.spending(
            rows.asset, None, None, hour_ago=2 * MINUTE - 1, day_ago=2 * MINUTE - 2
        )
    assert spending.total == Spent(hour=100, day=200)
    assert (spending.origin, spending.payee) == (Spent(), Spent()), "which were not asked for"
