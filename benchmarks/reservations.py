"""(j) taking a place in a budget with many calls of the last day in the books, against the same with few."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.result import Result, ratio_of
from paypercall.bought_call import BoughtCall, BoughtCallState
from paypercall.obyte.amounts import BASE
from paypercall.paying.budget import DAY, Budget
from paypercall.paying.places import reserve
from paypercall.settlement.node import wall_clock
from paypercall.store import Store

MANY = 100_000
FEW = 10
ROUNDS = 400
LIMIT = 2.0

_ORIGINS = 100
_BUDGET = Budget(1, per_hour=2 * MANY, per_day=2 * MANY)


def reserve_among_many() -> Result:
    """A reservation with 100,000 calls of the last day in the books / the same with 10."""
    with ExitStack() as stack:
        stores = []
        for count in (MANY, FEW):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            store = Store(f"sqlite:///{folder / 'books.sqlite'}")
            stack.callback(store.close)
            _fill(store, count)
            stores.append(store)
        ratio = ratio_of(
            lambda _: _reserve(stores[0]),
            lambda _: _reserve(stores[1]),
            ROUNDS,
        )
    return Result("a place in a budget, 100,000 : 10 calls a day", ratio, LIMIT, "ratio")


def _reserve(store: Store) -> None:
    reserve(store, _BUDGET, _call(0))


def _fill(store: Store, count: int) -> None:
    """Adds calls that were answered, spread over the day and over some origins."""
    now = wall_clock()
    with store.transaction() as books:
        books.node.claim("4.0", "address", now=now)
        for number in range(count):
            made_at = now - number * (DAY - 1) // count
            books.bought_calls.add(replace(_call(number), made_at=made_at, state=BoughtCallState.ANSWERED))


def _call(number: int) -> BoughtCall:
    return BoughtCall(
        request=secrets.token_hex(32),
        resource="0" * 64,
        origin=f"https://{number % _ORIGINS}.example",
        payee="0" * 32,
        asset=BASE,
        amount=1,
        key=secrets.token_hex(16),
        made_at=0,
    )
