"""Changes that need not be kept before anybody goes on: written a moment later, many in one transaction.

Only for what can be found out again: what waits here is lost with its process, and so is what the database refuses.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from paypercall.store.errors import StoreError
from paypercall.store.forking import GATE

PAUSE_SECONDS = 0.02
"""How long changes are gathered."""

MAX_WAITING = 1_000
MAX_WAITING_BYTES = 16 * 1024 * 1024

_IDLE_SECONDS = 5.0

logger = logging.getLogger(__name__)

_ChangeT = TypeVar("_ChangeT")


class Later(Generic[_ChangeT]):
    """Changes that wait. Safe to use from many threads, and after a fork, which leaves them to the parent.

    Args:
        write: Writes changes in one transaction.
    """

    def __init__(self, write: Callable[[Sequence[_ChangeT]], None]) -> None:
        self._write = write
        self._waiting: list[_ChangeT] = []
        self.start_afresh()
        GATE.register(self)
        _all.add(self)

    def add(self, change: _ChangeT, size: int) -> bool:
        """Has a change written soon.

        Args:
            change: The change.
            size: Bytes that it holds in memory.

        Returns:
            False when it cannot be taken, because too much waits already.
        """
        with self._changed:
            if len(self._waiting) >= MAX_WAITING or self._size + size > MAX_WAITING_BYTES:
                return False
            if self._thread is None and not self._start():
                return False
            self._waiting.append(change)
            self._size += size
            self._changed.notify()
            return True

    def flush(self) -> None:
        """Writes what waits, and returns when it is written, also if another thread does it."""
        with self._writing:
            with self._changed:
                waiting, self._waiting, self._size = self._waiting, [], 0
            if waiting:
                self._write_each_or_all(waiting)

    def close_before_fork(self) -> None:
        """Leaves all to the parent."""

    def start_afresh(self) -> None:
        """In a child: what waits is written by the parent."""
        self._writing = threading.Lock()
        self._changed = threading.Condition()
        self._waiting = []
        self._size = 0
        self._thread: threading.Thread | None = None

    def _start(self) -> bool:
        thread = threading.Thread(target=self._run, name="paypercall-later", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no more threads, or the interpreter is about to end
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        try:
            while self._is_needed():
                time.sleep(PAUSE_SECONDS)
                self.flush()
        finally:
            self._thread = None

    def _is_needed(self) -> bool:
        with self._changed:
            if not self._waiting:
                self._changed.wait(_IDLE_SECONDS)
            if not self._waiting:
                self._thread = None  # here, where nobody can add: the next one who does starts another
            return bool(self._waiting)

    def _write_each_or_all(self, changes: list[_ChangeT]) -> None:
        try:
            self._write(changes)
        except StoreError as error:
            if len(changes) == 1:
                logger.error("a change was not kept: %s (%s)", error, error.code)
                return
            for change in changes:
                self._write_each_or_all([change])


def _flush_all() -> None:
    for later in tuple(_all):
        later.flush()


_all: WeakSet[Later[Any]] = WeakSet()
atexit.register(_flush_all)
