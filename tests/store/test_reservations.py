"""Reservations in a budget, made at once by many threads on connections of their own, never pass a limit."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from paypercall.paying import Budget, PaymentDeclined
from paypercall.paying.places import reserve
from paypercall.store import Store
from tests.store.test_bought_calls import CALL

THREADS = 8
TRIES = 5


@pytest.mark.parametrize("budget", [Budget(100, 1000, 5000), Budget(100, 5000, 1000)])
def test_many_that_reserve_at_once_get_what_is_left_and_no_more(url: str, budget: Budget) -> None:
    stores = [Store(url) for _ in range(THREADS)]
    with stores[0].transaction() as books:
        books.node.claim("4.0", "address", now=10)
    begin = threading.Barrier(THREADS)

    def try_all(store: Store) -> int:
        begin.wait()
        return sum(is_reserved(store, budget) for _ in range(TRIES))

    with ThreadPoolExecutor(THREADS) as threads:
        reserved = sum(threads.map(try_all, stores))
    with stores[0].reading() as books:
        spending = books.bought_calls.spending("base", CALL.origin, CALL.payee, hour_ago=0, day_ago=0)
    for store in stores:
        store.close()
    assert reserved == 10
    assert spending.total.day == 1000


def is_reserved(store: Store, budget: Budget) -> bool:
    try:
        reserve(store, budget, replace(CALL, key=secrets.token_hex(16)))
    except PaymentDeclined:
        return False
    return True
