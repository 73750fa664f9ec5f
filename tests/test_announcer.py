"""The announcer: in order, never in the way of who announces, and bounded."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from paypercall import announcer as announcer_module
from paypercall.announcer import Announcer


def threads_of(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_calls_are_made_in_order_and_an_error_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    announcer = Announcer("news")
    made: list[int] = []

    def fail() -> None:
        raise LookupError("the callback's own fault")

    announcer.announce(made.append, 1)
    announcer.announce(fail)
    announcer.announce(made.append, 2)
    announcer.flush(10)
    assert made == [1, 2]
    assert "the callback's own fault" in caplog.text


def test_calls_of_many_threads_are_made_one_at_a_time_and_each_threads_in_its_order() -> None:
    announcer = Announcer("news")
    made: list[tuple[int, int]] = []
    at_once: set[int] = set()

    def note(thread: int, number: int) -> None:
        at_once.add(number)
        assert len(at_once) == 1
        made.append((thread, number))
        at_once.clear()

    def announce(thread: int) -> None:
        for number in range(100):
            announcer.announce(note, thread, number)

    threads = [threading.Thread(target=announce, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    announcer.flush(10)
    assert len(made) == 400
    for thread_number in range(4):
        assert [number for thread, number in made if thread == thread_number] == list(range(100))


def test_whoever_announces_does_not_wait_and_what_does_not_fit_is_dropped_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcer_module, "MAX_WAITING", 2)
    announcer = Announcer("news")
    made: list[int] = []
    entered, leave = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        leave.wait(10)

    announcer.announce(hang)
    assert entered.wait(10)
    for number in range(3):
        announcer.announce(made.append, number)
    assert "2 calls wait in news already; one was dropped" in caplog.text
    leave.set()
    announcer.flush(10)
    assert made == [0, 1]
    announcer.announce(made.append, 3)
    announcer.flush(10)
    assert made == [0, 1, 3]


def test_a_call_that_hangs_is_waited_for_only_so_long_and_the_others_keep_their_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    announcer = Announcer("news")
    made: list[int] = []
    leave = threading.Event()
    announcer.announce(leave.wait, 10)
    announcer.announce(made.append, 1)
    announcer.flush(0.01)
    assert "news is still busy after 0.01 seconds" in caplog.text
    announcer.announce(made.append, 2)
    assert made == []
    leave.set()
    announcer.flush(10)
    assert made == [1, 2]


def test_a_call_may_announce_and_flush() -> None:
    announcer = Announcer("news")
    made: list[int] = []

    def announce_more() -> None:
        announcer.announce(made.append, 2)
        announcer.flush(10)
        made.append(1)

    announcer.announce(announce_more)
    announcer.flush(10)
    assert made == [1, 2]


def test_no_thread_is_left_when_no_calls_wait() -> None:
    announcer = Announcer("nothing left")
    announcer.flush(10)
    for _ in range(100):
        announcer.announce(lambda: None)
        announcer.flush(10)
        assert threads_of("nothing left") == []


def test_calls_wait_while_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    announcer = Announcer("news")
    made: list[int] = []

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        announcer.announce(made.append, 1)
        announcer.flush(10)
    assert "can't start new thread" in caplog.text
    announcer.announce(made.append, 2)
    announcer.flush(10)
    assert made == [1, 2]


def test_a_forked_child_has_a_thread_of_its_own_and_leaves_the_parents_calls_to_it() -> None:
    announcer = Announcer("news")
    made: list[int] = []
    leave = threading.Event()
    announcer.announce(leave.wait, 10)
    announcer.announce(made.append, 1)
    with announcer._lock:  # as if another thread were announcing
        child = os.fork()
        if not child:
            signal.alarm(10)
            announcer.announce(made.append, 2)
            announcer.flush(10)
            os._exit(0 if made == [2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    leave.set()
    announcer.flush(10)
    assert made == [1]
