"""Reservations in real books keep to every hour and every day, whatever comes back and wherever the clock is put."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paypercall.bought_call import take_back
from paypercall.paying import Budget, Limits, PaymentDeclined
from paypercall.paying.budget import DAY, HOUR
from paypercall.paying.places import reserve
from paypercall.store import Store
from tests.store.test_bought_calls import AA, CALL

ORIGINS = ("https://one", "https://two")
MINUTE = 60
WEEK = 7 * DAY
BUDGET = Budget(40, 60, 100, by_origin={ORIGINS[0]: Limits(per_hour=50, per_day=70)})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('books') / Path('books.sqlite')}")
    store.migrate()
    with store.transaction() as books:
        books.node.claim("4.0", "address", now=10)
    yield store
    store.close()


pauses = st.sampled_from(
    [0, 1, 59, 600, HOUR - 1, HOUR, HOUR + MINUTE, DAY - HOUR, DAY - 1, DAY, WEEK, -WEEK]
)
amounts, origins = st.integers(1, 50), st.sampled_from(ORIGINS)


@example([(0, 40, ORIGINS[1], 0), (HOUR - 1, 21, ORIGINS[1], 0), (1, 40, ORIGINS[1], 0)])
@example([(HOUR, 34, ORIGINS[1], 0)] * 3 + [(DAY - 2 * HOUR, 33, ORIGINS[1], 0)])
@example([(0, 40, ORIGINS[1], 0), (WEEK, 1, ORIGINS[1], 0), (-WEEK, 40, ORIGINS[1], 0)])
@example([(HOUR, 33, ORIGINS[1], 0)] * 3 + [(DAY - 2 * HOUR - 1, 10, ORIGINS[1], 0)])
@given(st.lists(st.tuples(pauses, amounts, origins, st.integers(0, 50)), max_size=12))
def test_what_is_reserved_is_what_every_window_allows_and_every_one_a_minute_longer(
    store: Store, steps: list[tuple[int, int, str, int]]
) -> None:
    asset, now = secrets.token_hex(22), 100 * WEEK
    bought: list[tuple[int, int, str]] = []

    def rooms(origin: str, further: int) -> list[int]:
        """What the limits leave, with windows that reach so many seconds further back."""

        def left(limit: int, seconds: int, *origins: str) -> int:
            since = now - seconds - further
            return limit - sum(net for made, net, at in bought if made > since and at in origins)

        of_origin = [left(50, HOUR, origin), left(70, DAY, origin)] if origin == ORIGINS[0] else []
        return [40, left(60, HOUR, *ORIGINS), left(100, DAY, *ORIGINS), *of_origin]

    with pytest.MonkeyPatch.context() as clock:
        clock.setattr("paypercall.paying.places.wall_clock", lambda: now)
        for pause, amount, origin, refund in steps:
            now += pause
            row = replace(CALL, asset=asset, origin=origin, amount=amount, key=secrets.token_hex(16))
            try:
                reserved = reserve(store, BUDGET, row)
            except PaymentDeclined:
                assert amount > min(rooms(origin, further=MINUTE - 1))
                continue
            assert amount <= min(rooms(origin, further=0))
            assert reserved.made_at == now
            with store.transaction() as books:
                back = take_back(reserved, refund, AA)
                books.bought_calls.save(back)
            bought.append((now, back.amount - back.refund, origin))
