"""What takes long is left alone for as long as its process lives and it is under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from paypercall.call_book import CallBook
from paypercall.heartbeat import Heartbeat
from paypercall.paid_call import Attempt, PaidCall, release
from paypercall.store import Store
from tests.parties import wait_until

SECONDS = 0.05


@pytest.fixture
def calls(tmp_path: object) -> Iterator[CallBook]:
    store = Store(f"sqlite:///{tmp_path}/books.sqlite")
    yield CallBook(store)
    store.close()


def runs_until(calls: CallBook) -> int:
    with calls._store.transaction() as books:
        call = books.paid_calls.lock("voucher", "1")
    assert call is not None
    return call.runs_until


def is_beating() -> bool:
    return any(thread.name == "paypercall-heartbeat" for thread in threading.enumerate())


def test_a_long_run_gives_signs_of_life_until_it_ends(calls: CallBook) -> None:
    beat: Heartbeat[PaidCall] = Heartbeat(calls.keep_running, SECONDS)
    call = calls.take(Attempt("a", "run", 100, "base", now=0), method="voucher", payment="1", amount=100)
    first = runs_until(calls)
    beat.add(call)
    wait_until(lambda: runs_until(calls) > first, "a sign of life is given")
    beat.remove(call)
    wait_until(lambda: not is_beating(), "the thread ends")
    beat.add(call)
    assert is_beating()
    beat.remove(call)
    wait_until(lambda: not is_beating(), "the thread ends again")


def test_the_end_of_an_older_run_does_not_end_the_signs_of_life_of_a_newer(calls: CallBook) -> None:
    beat: Heartbeat[PaidCall] = Heartbeat(calls.keep_running, SECONDS)

    def run(name: str) -> PaidCall:
        attempt = Attempt("a", name, 100, "base", now=0)
        return calls.take(attempt, method="voucher", payment="1", amount=100)

    older = run("older")
    beat.add(older)
    calls.finish(release(older, "older"), None)
    newer = run("newer")
    first = runs_until(calls)
    beat.add(newer)
    beat.remove(older)
    wait_until(lambda: runs_until(calls) > first, "a sign of life is given")
    beat.remove(newer)
    wait_until(lambda: not is_beating(), "the thread ends")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fails_is_followed_by_another(calls: CallBook) -> None:
    kept: list[object] = []

    def fail_once(rows: list[PaidCall]) -> None:
        kept.append(rows)
        if len(kept) == 1:
            raise ZeroDivisionError

    beat: Heartbeat[PaidCall] = Heartbeat(fail_once, SECONDS)
    call = calls.take(Attempt("a", "run", 100, "base", now=0), method="voucher", payment="1", amount=100)
    beat.add(call)
    wait_until(lambda: len(kept) == 1 and not is_beating(), "the thread has failed")
    beat.add(call)
    wait_until(lambda: len(kept) > 1, "another one gives signs of life")
    beat.remove(call)
    wait_until(lambda: not is_beating(), "it ends")
