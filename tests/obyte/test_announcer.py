"""The announcer: in order, never in the way of who announces, and bounded."""

from __future__ import annotations

import threading

import pytest

from paypercall.obyte import announcer as announcer_module
from paypercall.obyte.announcer import Announcer


def test_calls_are_made_in_order_and_an_error_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    announcer = Announcer("news")
    made: list[int] = []
    done = threading.Event()

    def fail() -> None:
        raise LookupError("the callback's own fault")

    announcer.announce(made.append, 1)
    announcer.announce(fail)
    announcer.announce(made.append, 2)
    announcer.announce(done.set)
    announcer.start()
    assert done.wait(10)
    announcer.stop(10)
    assert made == [1, 2]
    assert "the callback's own fault" in caplog.text


def test_what_does_not_fit_is_dropped_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcer_module, "MAX_WAITING", 2)
    announcer = Announcer("news")
    made: list[int] = []
    for number in range(3):
        announcer.announce(made.append, number)
    assert "2 calls wait in news already; one was dropped" in caplog.text
    done = threading.Event()
    announcer.start()
    while not done.is_set():  # the queue has room again as soon as the thread runs
        announcer.announce(done.set)
        done.wait(0.01)
    announcer.stop(10)
    assert made == [0, 1]


def test_a_full_announcer_stops_after_the_call_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer_module, "MAX_WAITING", 1)
    announcer = Announcer("news")
    entered, leave = threading.Event(), threading.Event()
    made: list[int] = []

    def wait() -> None:
        entered.set()
        leave.wait(10)

    announcer.announce(wait)
    announcer.start()
    assert entered.wait(10)
    announcer.announce(made.append, 1)
    announcer.stop(0)
    leave.set()
    announcer.stop(10)
    assert made == []
    assert "news" not in [thread.name for thread in threading.enumerate()]


def test_an_announcer_that_never_ran_can_be_stopped() -> None:
    Announcer("news").stop(10)
