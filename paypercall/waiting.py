"""Lets few payments at a time wait for somebody else: more would take all threads of a host. Holds no money rule."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore

from paypercall.errors import Refusal, RefusalCode


class Waiting:
    """Lets payments wait for somebody, few at a time, and after a fork, too.

    Args:
        whom: Whom they wait for.
        most: How many wait at a time in a process.
    """

    def __init__(self, whom: str, most: int) -> None:
        self._whom = whom
        self._most = most
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._process = os.getpid()
        self._free = BoundedSemaphore(self._most)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Lets one wait.

        Raises:
            Refusal: With `too_many_waiting`, at once.
        """
        if self._process != os.getpid():  # a forked worker has none of the threads that its parent let wait
            self._start_afresh()
        free = self._free
        if not free.acquire(blocking=False):
            raise Refusal(
                RefusalCode.TOO_MANY_WAITING,
                f"too many payments wait for {self._whom}; send the same one again soon",
            )
        try:
            yield
        finally:
            free.release()
