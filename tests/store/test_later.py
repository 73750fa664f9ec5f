"""Changes that are made a moment later: at the process's end at the latest, and none keeps the others from it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from paypercall.paid_call import PaidCall
from paypercall.store import Books, Store, StoreError
from paypercall.store.later import MAX_WAITING, MAX_WAITING_BYTES
from tests.parties import wait_until

PROGRAM = """
import sys
from paypercall.paid_call import PaidCall
from paypercall.store import Store
def change(books):
    books.paid_calls.add(PaidCall("voucher", "1", 100, "base"), 5)
assert Store(sys.argv[1]).soon(change, 1)
"""


def adding(payment: str) -> Callable[[Books], None]:
    def change(books: Books) -> None:
        books.paid_calls.add(PaidCall("voucher", payment, 100, "base"), 5)

    return change


def has(store: Store, payment: str) -> bool:
    with store.reading() as books:
        return books.paid_calls.is_known("voucher", payment)


def test_a_change_is_made_a_moment_later(store: Store) -> None:
    for payment in ("1", "2"):
        assert store.soon(adding(payment), 1)
        wait_until(lambda payment=payment: has(store, payment), "it is made")  # type: ignore[misc]


def test_what_waits_is_made_when_somebody_needs_it_or_closes_the_store(store: Store) -> None:
    store.soon(adding("1"), 1)
    store.flush()
    assert has(store, "1")
    store.soon(adding("2"), 1)
    store.close()
    assert has(store, "2")


@pytest.mark.parametrize(
    "error", [StoreError("the disk is full"), ZeroDivisionError("a fault of the change")]
)
def test_a_change_that_fails_takes_no_other_with_it(
    store: Store, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(books: Books) -> None:
        raise error

    for change in (adding("1"), fail, adding("2")):
        store.soon(change, 1)
    store.flush()
    assert has(store, "1")
    assert has(store, "2")
    assert str(error) in caplog.text
    assert type(error).__name__ in caplog.text


def test_what_waits_is_kept_until_the_database_can_be_written_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.store.later._RETRY_SECONDS", 0.01)
    store = Store(url)
    assert not has(store, "0")
    is_away = True
    write = store.brief_transaction

    def away() -> AbstractContextManager[Books]:
        if is_away:
            raise StoreError("the database is away")
        return write()

    monkeypatch.setattr(store, "brief_transaction", away)
    for payment in ("1", "2"):
        assert store.soon(adding(payment), 1)
    store.flush()
    assert not has(store, "1")
    is_away = False
    wait_until(lambda: has(store, "1") and has(store, "2"), "both are made")
    store.close()


def test_who_waits_for_another_thread_that_writes_waits_for_a_time_only(store: Store) -> None:
    inside, may_leave = threading.Event(), threading.Event()

    def slow(books: Books) -> None:
        inside.set()
        may_leave.wait(10)

    store.soon(slow, 1)
    assert inside.wait(10)
    store.flush(0.01)
    may_leave.set()
    store.flush()


def test_no_more_waits_than_there_is_room_for(store: Store) -> None:
    with store.transaction():
        assert not store.soon(adding("0"), MAX_WAITING_BYTES + 1)
        taken = 0
        while store.soon(adding(str(taken)), 1):
            taken += 1
        assert taken >= MAX_WAITING
    store.flush()
    assert has(store, str(taken - 1))
    assert not has(store, str(taken))
    assert store.soon(adding(str(taken)), 1)


def test_what_waits_at_the_end_of_a_process_is_made(url: str) -> None:
    store = Store(url)
    assert not has(store, "1")
    subprocess.run([sys.executable, "-c", PROGRAM, url], check=True, timeout=60)
    assert has(store, "1")
    store.close()


def test_a_child_leaves_what_waits_to_its_parent(store: Store) -> None:
    made_by: list[int] = []

    def change(books: Books) -> None:
        made_by.append(os.getpid())
        adding("1")(books)

    store.soon(change, 1)
    child = os.fork()
    if not child:
        store.flush()
        os._exit(len(made_by))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.flush()
    assert made_by == [os.getpid()]
    assert has(store, "1")
