"""The gate that keeps a process from forking in the middle of a transaction."""

from __future__ import annotations

import threading

import pytest

from paypercall.store import forking
from paypercall.store.forking import ForkGate


class Owner:
    """Notes when it is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def close_before_fork(self) -> None:
        self.calls.append("closed")

    def start_afresh(self) -> None:
        self.calls.append("started afresh")


@pytest.fixture
def gate() -> ForkGate:
    """A gate of its own: the process's own one is shut by real forks only."""
    return ForkGate()


def enter(gate: ForkGate, inside: threading.Event, may_leave: threading.Event) -> threading.Thread:
    def work() -> None:
        with gate:
            inside.set()
            may_leave.wait()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def shut(gate: ForkGate, is_shut: threading.Event) -> None:
    gate.shut()
    is_shut.set()


def test_a_gate_shuts_only_when_all_others_are_out(gate: ForkGate) -> None:
    inside, may_leave, is_shut = threading.Event(), threading.Event(), threading.Event()
    inhabitant = enter(gate, inside, may_leave)
    inside.wait()
    forking_thread = threading.Thread(target=shut, args=(gate, is_shut))
    forking_thread.start()
    assert not is_shut.wait(0.05)
    may_leave.set()
    assert is_shut.wait(10)
    inhabitant.join()
    forking_thread.join()


def test_a_gate_that_is_shut_keeps_others_out_until_it_opens(gate: ForkGate) -> None:
    inside, may_leave = threading.Event(), threading.Event()
    may_leave.set()
    gate.shut()
    visitor = enter(gate, inside, may_leave)
    assert not inside.wait(0.05)
    gate.open_in_parent()
    assert inside.wait(10)
    visitor.join()


def test_who_is_inside_may_go_in_again_while_a_fork_waits(gate: ForkGate) -> None:
    is_shut = threading.Event()
    with gate:
        forking_thread = threading.Thread(target=shut, args=(gate, is_shut))
        forking_thread.start()
        assert not is_shut.wait(0.05)
        with gate:
            pass
        assert not is_shut.wait(0.05)
    assert is_shut.wait(10)
    forking_thread.join()


def test_a_thread_may_fork_within_its_own_transaction(gate: ForkGate) -> None:
    with gate:
        gate.shut()
        gate.open_in_parent()


def test_a_fork_does_not_wait_for_ever(gate: ForkGate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forking, "PATIENCE_SECONDS", 0.01)
    inside, may_leave = threading.Event(), threading.Event()
    inhabitant = enter(gate, inside, may_leave)
    inside.wait()
    gate.shut()
    gate.open_in_parent()
    may_leave.set()
    inhabitant.join()


def test_owners_are_called_around_a_fork_as_long_as_they_live(gate: ForkGate) -> None:
    owner, gone = Owner(), Owner()
    gate.register(owner)
    gate.register(gone)
    calls = gone.calls
    del gone
    gate.shut()
    gate.open_in_parent()
    assert owner.calls == ["closed"]
    gate.shut()
    gate.open_in_child()
    assert owner.calls == ["closed", "closed", "started afresh"]
    assert calls == []


def test_a_child_forgets_the_threads_that_it_does_not_have(
    gate: ForkGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Like a thread that was inside when the process forked, this one never comes out.
    lost_thread = threading.Thread(target=gate.__enter__)
    lost_thread.start()
    lost_thread.join()
    monkeypatch.setattr(forking, "PATIENCE_SECONDS", 0.01)
    gate.shut()
    gate.open_in_child()
    monkeypatch.setattr(forking, "PATIENCE_SECONDS", 60)
    is_shut = threading.Event()
    forking_thread = threading.Thread(target=shut, args=(gate, is_shut))
    forking_thread.start()
    assert is_shut.wait(10)
    forking_thread.join()
