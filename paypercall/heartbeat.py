"""Signs of life for what takes long, so that no other process takes it over. Knows nothing of what that is.

A process that dies gives none, and another goes on with what it left. The thread ends when nothing is left to do.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from paypercall.errors import PaypercallError

logger = logging.getLogger(__name__)


class Named(Protocol):
    """What is under way, as a row in the books."""

    @property
    def id(self) -> Hashable:
        """Tells it from all others."""


_NamedT = TypeVar("_NamedT", bound=Named)


class Heartbeat(Generic[_NamedT]):
    """What is under way in this process. Safe to use from many threads, and after a fork.

    Args:
        keep: Gives signs of life, of all that was under way when it was called before, too.
        seconds: How often.
    """

    def __init__(self, keep: Callable[[list[_NamedT]], None], seconds: float) -> None:
        self._keep = keep
        self._seconds = seconds
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()  # a finalizer that removes may run in a thread that holds it
        self._under_way: dict[Hashable, _NamedT] = {}
        self._thread: threading.Thread | None = None

    def add(self, row: _NamedT) -> None:
        """Begins to give signs of life."""
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            self._under_way[row.id] = row
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="paypercall-heartbeat", daemon=True)
                self._thread.start()

    def remove(self, row: _NamedT) -> None:
        """Ends it."""
        with self._lock:
            self._under_way.pop(row.id, None)

    def _beat(self) -> None:
        pause = threading.Event()
        before: frozenset[Hashable] = frozenset()
        while True:
            pause.wait(self._seconds)
            with self._lock:
                rows = list(self._under_way.values())
                if not rows:
                    self._thread = None
                    return
            long = [row for row in rows if row.id in before]
            before = frozenset(row.id for row in rows)
            try:
                if long:
                    self._keep(long)
            except PaypercallError as error:
                logger.warning("no sign of life given for %d calls under way: %s", len(long), error)
