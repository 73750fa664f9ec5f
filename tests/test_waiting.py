"""Payments wait for somebody, few at a time in each process."""

from __future__ import annotations

import os
import signal

from paypercall.errors import Refusal
from paypercall.waiting import Waiting


def test_who_comes_when_all_turns_are_taken_is_refused_until_one_is_over() -> None:
    waiting = Waiting("somebody", 2)
    with waiting.turn():
        with waiting.turn():
            assert is_refused(waiting)
        assert not is_refused(waiting)


def test_a_child_that_is_forked_while_all_turns_are_taken_has_turns_of_its_own() -> None:
    waiting = Waiting("somebody", 1)
    with waiting.turn():
        child = os.fork()
        if not child:
            signal.alarm(10)
            os._exit(code_of_child(waiting))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert is_refused(waiting)
    assert not is_refused(waiting)


def code_of_child(waiting: Waiting) -> int:
    """What tells the parent how its child fared, which has as many turns as any process."""
    if is_refused(waiting):
        return 1
    with waiting.turn():
        return 0 if is_refused(waiting) else 2


def is_refused(waiting: Waiting) -> bool:
    try:
        with waiting.turn():
            return False
    except Refusal as refusal:
        return refusal.code == "too_many_waiting"
