"""Runs callbacks one after the other in a thread of its own: whoever has news need not wait for its readers.

It must never fail its caller: an error of a callback is logged, and what does not fit into the queue is
dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from queue import Full, Queue
from threading import Thread, current_thread
from typing import Any

MAX_WAITING = 1_000

_logger = logging.getLogger(__name__)


class Announcer:
    """A queue of calls and the thread that makes them.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._waiting: Queue[tuple[Callable[..., None], tuple[Any, ...]] | None] = Queue(MAX_WAITING)
        self._thread: Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Starts the thread; calls that were announced before are made now."""
        self._thread = Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def announce(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Queues a call, or drops it with a warning when too many wait."""
        try:
            self._waiting.put_nowait((callback, arguments))
        except Full:
            _logger.warning("%d calls wait in %s already; one was dropped", MAX_WAITING, self._name)

    def stop(self, timeout: float) -> None:
        """Ends the thread after the call it is in, waiting for that at most `timeout` seconds."""
        self._stopped = True
        with suppress(Full):  # a full queue wakes the thread just as well
            self._waiting.put_nowait(None)
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while (call := self._waiting.get()) is not None and not self._stopped:
            callback, arguments = call
            try:
                callback(*arguments)
            except Exception:
                _logger.exception("a callback of %s failed", self._name)
