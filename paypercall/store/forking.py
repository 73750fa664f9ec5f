"""A gate that lets the process fork only while it is in no transaction.

An SQLite connection that a child inherits is a danger to the file, even when the child only closes it: the
child believes in locks that only its parent holds. So a fork waits for the transactions of other threads to
end, and the parent closes its idle connections before it forks.
"""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet

PATIENCE_SECONDS = 20.0
"""A fork does not wait longer; what is still in a transaction then is not used in the child."""


class Forkable(Protocol):
    """What has connections."""

    def close_before_fork(self) -> None:
        """Called in the parent while nobody else is inside the gate."""

    def start_afresh(self) -> None:
        """Called in the child, where only the thread that forked is left."""


class ForkGate:
    """Counts the threads inside, and shuts around each fork. There is one for the process."""

    def __init__(self) -> None:
        self._inside: dict[int, int] = {}
        self._is_shut = False
        self._changed = threading.Condition()
        self._owners: WeakSet[Forkable] = WeakSet()

    def register(self, owner: Forkable) -> None:
        """Has an owner of connections called around each fork, for as long as it lives."""
        self._owners.add(owner)

    def __enter__(self) -> None:
        """Goes in, again or after a fork that is under way."""
        thread = threading.get_ident()
        with self._changed:
            while self._is_shut and thread not in self._inside:
                self._changed.wait()
            self._inside[thread] = self._inside.get(thread, 0) + 1

    def __exit__(self, *_: object) -> None:
        """Goes out."""
        thread = threading.get_ident()
        with self._changed:
            self._inside[thread] -= 1
            if not self._inside[thread]:
                del self._inside[thread]
            if self._is_shut:
                self._changed.notify_all()

    def shut(self) -> None:
        """Lets no other thread in any more, and waits for all others to be out."""
        thread = threading.get_ident()
        with self._changed:
            self._is_shut = True
            self._changed.wait_for(lambda: not self._inside.keys() - {thread}, PATIENCE_SECONDS)
        for owner in list(self._owners):
            owner.close_before_fork()

    def open_in_parent(self) -> None:
        """Lets all in again."""
        with self._changed:
            self._is_shut = False
            self._changed.notify_all()

    def open_in_child(self) -> None:
        """Forgets the threads that the child does not have."""
        thread = threading.get_ident()
        self._changed = threading.Condition()
        self._inside = {thread: self._inside[thread]} if thread in self._inside else {}
        self._is_shut = False
        for owner in list(self._owners):
            owner.start_afresh()


GATE = ForkGate()

os.register_at_fork(before=GATE.shut, after_in_parent=GATE.open_in_parent, after_in_child=GATE.open_in_child)
