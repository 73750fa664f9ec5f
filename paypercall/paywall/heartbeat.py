"""Signs of life for requests whose answer takes long, so that no other worker takes them over.

A worker that dies gives none, and neither does a run that its adapter has dropped without an end: the next attempt runs
the request anew. The thread ends when nothing is left to do.
"""

from __future__ import annotations

import logging
import os
import threading
from weakref import WeakValueDictionary

from paypercall.call_book import CallBook
from paypercall.paid_call import RUN_SECONDS
from paypercall.paywall.running import Running
from paypercall.store import StoreError

logger = logging.getLogger(__name__)

BEAT_SECONDS = RUN_SECONDS / 3


class Heartbeat:
    """The requests that this process is answering. Safe to use from many threads, and after a fork.

    Args:
        calls: Where signs of life are given.
    """

    def __init__(self, calls: CallBook) -> None:
        self._calls = calls
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._under_way: WeakValueDictionary[int, Running] = WeakValueDictionary()
        self._thread: threading.Thread | None = None

    def add(self, running: Running) -> None:
        """Begins to give signs of life for a run, for as long as somebody holds it."""
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            self._under_way[running.call.id] = running
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="paypercall-heartbeat", daemon=True)
                self._thread.start()

    def remove(self, running: Running) -> None:
        """Ends it."""
        with self._lock:
            self._under_way.pop(running.call.id, None)

    def _beat(self) -> None:
        pause = threading.Event()
        before: frozenset[int] = frozenset()
        while True:
            pause.wait(BEAT_SECONDS)
            with self._lock:
                calls = [running.call for running in self._under_way.values()]
                if not calls:
                    self._thread = None
                    return
            long = [call for call in calls if call.id in before]
            before = frozenset(call.id for call in calls)
            try:
                if long:
                    self._calls.keep_running(long)
            except StoreError as error:
                logger.warning("no sign of life given for %d running requests: %s", len(long), error)
