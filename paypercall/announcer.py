"""Makes calls one after the other in a thread of their own: whoever has news need not wait for its readers.

It must never fail its caller: an error of a call is logged, and what does not fit into the queue is dropped.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable
from threading import Lock, Thread, current_thread
from typing import Any
from weakref import WeakSet

MAX_WAITING = 1_000

_logger = logging.getLogger(__name__)


class Announcer:
    """A queue of calls, and a thread that lives as long as calls wait. Survives a fork, which leaves the calls behind.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._begin()
        _announcers.add(self)

    def _begin(self) -> None:
        self._lock = Lock()
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._thread: Thread | None = None
        self._is_running = False

    def announce(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Queues a call, or drops it with a warning when too many wait."""
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                _logger.warning("%d calls wait in %s already; one was dropped", MAX_WAITING, self._name)
                return
            self._waiting.append((callback, arguments))
            if not self._is_running:
                self._start()

    def flush(self, timeout: float) -> None:
        """Waits until all calls are made that wait now, at most `timeout` seconds; within a call it does not wait."""
        thread = self._thread
        if thread is None or thread is current_thread():
            return
        thread.join(timeout)
        if thread.is_alive():
            _logger.warning("%s is still busy after %g seconds; further calls wait", self._name, timeout)

    def _start(self) -> None:
        thread = Thread(target=self._run, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the machine has no more threads, or the interpreter is about to end
            _logger.warning("%s cannot run now, its calls wait: %s", self._name, error)
            return
        self._thread, self._is_running = thread, True

    def _run(self) -> None:
        while (call := self._next()) is not None:
            callback, arguments = call
            try:
                callback(*arguments)
            except Exception:
                _logger.exception("a callback of %s failed", self._name)

    def _next(self) -> tuple[Callable[..., None], tuple[Any, ...]] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._is_running = False
            return None


def _begin_in_child() -> None:
    for announcer in tuple(_announcers):
        announcer._begin()


_announcers: WeakSet[Announcer] = WeakSet()
os.register_at_fork(after_in_child=_begin_in_child)
