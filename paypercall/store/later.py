"""Changes that need not be kept before anybody goes on: written a moment later, many in one transaction.

Only for what can be found out again: what waits here is lost with its process. It waits on while the database cannot be
written at all; a change that the database refuses by itself is dropped.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from paypercall.store.forking import GATE

PAUSE_SECONDS = 0.02
"""How long changes are gathered."""

MAX_WAITING = 1_000
MAX_WAITING_BYTES = 16 * 1024 * 1024

_IDLE_SECONDS = 5.0
_RETRY_SECONDS = 1.0
_SECONDS_AT_EXIT = 5.0

logger = logging.getLogger(__name__)

_ChangeT = TypeVar("_ChangeT")


class Later(Generic[_ChangeT]):
    """Changes that wait. Safe to use from many threads, and after a fork, which leaves them to the parent.

    Args:
        write: Writes changes in one transaction.
    """

    def __init__(self, write: Callable[[Sequence[_ChangeT]], None]) -> None:
        self._write = write
        self._waiting: list[tuple[_ChangeT, int]] = []
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
            self._waiting.append((change, size))
            self._size += size
            self._changed.notify()
            return True

    def flush(self, timeout: float = -1) -> bool:
        """Writes what waits, and returns when it is written, also if another thread does it.

        Args:
            timeout: Seconds to wait for another thread that writes; by default for as long as it takes.

        Returns:
            Whether all is written.
        """
        if not self._writing.acquire(timeout=timeout):
            return False
        try:
            with self._changed:
                waiting, self._waiting, self._size = self._waiting, [], 0
            left = self._write_what_can_be(waiting)
            with self._changed:
                self._waiting[:0] = left
                self._size += sum(size for _, size in left)
            return not left
        finally:
            self._writing.release()

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
        while self._is_needed():
            time.sleep(PAUSE_SECONDS)
            if not self.flush():
                time.sleep(_RETRY_SECONDS)

    def _is_needed(self) -> bool:
        with self._changed:
            if not self._waiting:
                self._changed.wait(_IDLE_SECONDS)
            if not self._waiting:
                self._thread = None  # here, where nobody can add: the next one who does starts another
            return bool(self._waiting)

    def _write_what_can_be(self, waiting: list[tuple[_ChangeT, int]]) -> list[tuple[_ChangeT, int]]:
        """Writes changes, together or one by one; gives back those for which the database is away."""
        if not waiting or self._failure_of([change for change, _ in waiting]) is None:
            return []
        for number, (change, _) in enumerate(waiting):
            if self._failure_of([]) is not None:
                return waiting[number:]
            failure = self._failure_of([change])
            if failure is not None:
                logger.error("a change was not kept", exc_info=failure)
        return []

    def _failure_of(self, changes: list[_ChangeT]) -> Exception | None:
        try:
            self._write(changes)
        except Exception as error:  # noqa: BLE001 - of one change; the others must not be lost with it
            return error
        return None


def _flush_all() -> None:
    for later in tuple(_all):
        later.flush(_SECONDS_AT_EXIT)


_all: WeakSet[Later[Any]] = WeakSet()
atexit.register(_flush_all)
