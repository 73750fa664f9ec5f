"""A gate that lets a process fork only while it is in no transaction.

An SQLite connection that a child inherits is a danger to the file, even when the child only closes it: the
child believes in locks that only its parent holds. So a fork waits for the transactions of other threads to
end, and the parent closes its idle connections before it forks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakSet

PATIENCE_SECONDS = 20.0
"""A fork does not wait longer; what is still in a transaction then is not used in the child."""


class ForkGate:
    """Counts who is inside, and calls its owner around each fork of the process."""

    def __init__(self, before_fork: Callable[[], None], after_fork_in_child: Callable[[], None]) -> None:
        self._before_fork = before_fork
        self._after_fork_in_child = after_fork_in_child
        self._inside: dict[int, int] = {}
        self._is_shut = False
        self._changed = threading.Condition()
        _gates.add(self)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Goes in, after a fork that is under way, and out at the end of the block."""
        thread = threading.get_ident()
        with self._changed:
            while self._is_shut and thread not in self._inside:
                self._changed.wait()
            self._inside[thread] = self._inside.get(thread, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[thread] -= 1
                if not self._inside[thread]:
                    del self._inside[thread]
                if self._is_shut:
                    self._changed.notify_all()

    def shut(self) -> None:
        """Lets nobody in any more, and waits for all others to be out."""
        me = threading.get_ident()
        with self._changed:
            self._is_shut = True
            self._changed.wait_for(lambda: not self._inside.keys() - {me}, PATIENCE_SECONDS)
        self._before_fork()

    def open_in_parent(self) -> None:
        """Lets all in again."""
        with self._changed:
            self._is_shut = False
            self._changed.notify_all()

    def open_in_child(self) -> None:
        """Starts afresh: of all threads only the one that forked is left."""
        self._changed = threading.Condition()
        me = threading.get_ident()
        self._inside = {me: self._inside[me]} if me in self._inside else {}
        self._is_shut = False
        self._after_fork_in_child()


_gates: WeakSet[ForkGate] = WeakSet()


def _shut_all() -> None:
    for gate in list(_gates):
        gate.shut()


def _open_all_in_parent() -> None:
    for gate in list(_gates):
        gate.open_in_parent()


def _open_all_in_child() -> None:
    for gate in list(_gates):
        gate.open_in_child()


os.register_at_fork(before=_shut_all, after_in_parent=_open_all_in_parent, after_in_child=_open_all_in_child)
