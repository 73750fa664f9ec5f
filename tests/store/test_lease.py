"""One holder at a time, until the lease expires, is released or is taken over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from paypercall.store import Store

NAME = "wallet"


@pytest.fixture
def other_store(url: str) -> Iterator[Store]:
    """Another node's connections to the same books."""
    store = Store(url)
    yield store
    store.close()


def take(store: Store, holder: str, now: int) -> bool:
    with store.transaction() as books:
        return books.lease.take(NAME, holder, now, seconds=10)


def test_a_lease_has_one_holder_until_it_expires(store: Store, other_store: Store) -> None:
    assert take(store, "a", now=100)
    assert not take(other_store, "b", now=109)
    assert take(other_store, "b", now=110)
    assert not take(store, "a", now=111)


def test_a_renewed_lease_lasts_longer(store: Store, other_store: Store) -> None:
    assert take(store, "a", now=100)
    assert take(store, "a", now=105)
    assert not take(other_store, "b", now=114)
    assert take(other_store, "b", now=115)


def test_a_released_lease_is_free_at_once(store: Store, other_store: Store) -> None:
    take(store, "a", now=100)
    with store.transaction() as books:
        books.lease.release(NAME, "a")
    assert take(other_store, "b", now=101)


def test_only_its_holder_releases_a_lease(store: Store, other_store: Store) -> None:
    take(store, "a", now=100)
    with other_store.transaction() as books:
        books.lease.release(NAME, "b")
    assert not take(other_store, "b", now=101)


def test_the_holder_is_known_until_the_lease_expires(store: Store) -> None:
    with store.transaction() as books:
        assert books.lease.holder(NAME, now=100) is None
        books.lease.take(NAME, "a", now=100, seconds=10)
        assert books.lease.holder(NAME, now=109) == "a"
        assert books.lease.holder(NAME, now=110) is None
        assert books.lease.holder("other", now=100) is None


def test_leases_of_different_names_are_independent(store: Store) -> None:
    with store.transaction() as books:
        assert books.lease.take("one", "a", now=100, seconds=10)
        assert books.lease.take("two", "b", now=100, seconds=10)


def test_a_lease_taken_in_a_lost_transaction_is_free(store: Store) -> None:
    with suppress(InterruptedError), store.transaction() as books:
        assert books.lease.take(NAME, "a", now=100, seconds=10)
        raise InterruptedError
    assert take(store, "b", now=101)


def test_of_many_that_want_an_expired_lease_at_once_one_gets_it(store: Store, other_store: Store) -> None:
    for now in range(100, 200, 10):
        barrier = threading.Barrier(4)
        winners: list[str] = []

        def race(store: Store, holder: str, now: int = now, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            if take(store, holder, now):
                winners.append(holder)  # noqa: B023

        threads = [
            threading.Thread(target=race, args=((store, other_store)[number % 2], f"{number} at {now}"))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1
