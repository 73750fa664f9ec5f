"""Signs of life for what takes long, so that no other process takes it over. Knows nothing of what that is.

A process that dies gives none, and another goes on with what it left. The thread ends when nothing is left to do.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from paypercall.errors import PaypercallError

logger = logging.getLogger(__name__)


class RunningRow(Protocol):
    """What is under way, as a row in the books."""

    @property
    def id(self) -> Hashable:
        """Tells it from all others."""

    @property
    def run(self) -> str | None:
        """Which run of it this is: the end of an older one is not that of a newer."""


_RowT = TypeVar("_RowT", bound=RunningRow)
_Key = tuple[Hashable, str | None]


def _key(row: RunningRow) -> _Key:
    return row.id, row.run


class Heartbeat(Generic[_RowT]):
    """What is under way in this process. Safe to use from many threads, and after a fork.

    Args:
        keep: Gives signs of life, of all that was under way when it was called before, too.
        seconds: How often.
    """

    def __init__(self, keep: Callable[[list[_RowT]], None], seconds: float) -> None:
        self._keep = keep
        self._seconds = seconds
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._under_way: dict[_Key, tuple[_RowT, Callable[[], object | None]]] = {}
        self._thread: threading.Thread | None = None

    def add(self, row: _RowT, owner: object | None = None) -> None:
        """Begins to give signs of life, until `remove`.

        Args:
            row: Of what.
            owner: Whose end is the row's, too, if it has one.
        """
        if self._process != os.getpid():
            self._begin()
        with self._lock:
            self._under_way[_key(row)] = (row, weakref.ref(self if owner is None else owner))
            if self._thread is None:
                thread = threading.Thread(target=self._beat, name="paypercall-heartbeat", daemon=True)
                thread.start()
                self._thread = thread

    def remove(self, row: _RowT) -> None:
        """Ends it."""
        with self._lock:
            self._under_way.pop(_key(row), None)

    def _beat(self) -> None:
        try:
            self._beat_until_nothing_is_left()
        except BaseException:
            with self._lock:
                self._thread = None  # the next row has another one started
            raise

    def _beat_until_nothing_is_left(self) -> None:
        pause = threading.Event()
        before: frozenset[_Key] = frozenset()
        while True:
            pause.wait(self._seconds)
            with self._lock:
                for key in [key for key, (_, owner) in self._under_way.items() if owner() is None]:
                    del self._under_way[key]
                rows = [row for row, _ in self._under_way.values()]
                if not rows:
                    self._thread = None
                    return
            long = [row for row in rows if _key(row) in before]
            before = frozenset(_key(row) for row in rows)
            try:
                if long:
                    self._keep(long)
            except PaypercallError as error:
                logger.warning("no sign of life given for %d calls under way: %s", len(long), error)
