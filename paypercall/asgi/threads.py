"""Threads for what touches the books, so that no loop is held up. Knows nothing of payments.

Every paid request comes this way. `ThreadPoolExecutor` has a future of its own beside the one that is waited for, whose
locks both threads want when the one wakes the other; here a thread does nothing any more once it has told the loop.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from typing import Any, TypeVar
from weakref import WeakSet

MAX_THREADS = 32
"""Calls that run at once; more wait their turn."""

IDLE_SECONDS = 10.0
"""How long a thread waits for the next call before it ends."""

_Result = TypeVar("_Result")
_Call = tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]

logger = logging.getLogger(__name__)


class Threads:
    """Runs calls for any number of loops, and after a fork, too. What was begun ends before the interpreter does."""

    def __init__(self) -> None:
        self.start_afresh()
        _all.add(self)

    def start_afresh(self) -> None:
        """In a child, which has none of its parent's threads."""
        self._calls: SimpleQueue[_Call] = SimpleQueue()
        self._changed = Condition()
        self._under_way = 0
        self._started = 0

    def run(self, function: Callable[..., _Result], /, *args: Any) -> asyncio.Future[_Result]:
        """Runs a function outside of the running loop, to its end, whether or not it is waited for."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()
        with self._changed:
            if self._started <= self._under_way and self._started < MAX_THREADS:
                self._start()
            self._under_way += 1
        self._calls.put((loop, future, function, args))
        return future

    def wait(self) -> None:
        """Waits until nothing is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way)

    def _start(self) -> None:
        thread = Thread(target=self._work, name=f"paypercall-asgi-{self._started}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has no more, or the interpreter is about to end
            if not self._started:
                raise
        else:
            self._started += 1

    def _work(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=IDLE_SECONDS)
            except Empty:
                if self._may_end():
                    return
                continue
            self._run(*call)
            del call  # what it holds must not live until the next one

    def _may_end(self) -> bool:
        with self._changed:
            is_idle = self._under_way < self._started
            self._started -= is_idle
            return is_idle

    def _run(
        self,
        loop: asyncio.AbstractEventLoop,
        future: asyncio.Future[_Result],
        function: Callable[..., _Result],
        args: tuple[Any, ...],
    ) -> None:
        result, failure = _outcome_of(function, args)
        with self._changed:  # before the loop hears of it, which may have the next call at once
            self._under_way -= 1
            self._changed.notify_all()
        try:
            loop.call_soon_threadsafe(_end, future, result, failure)
        except RuntimeError:  # the loop is closed, and nobody waits
            _tell(failure)


def _outcome_of(
    function: Callable[..., _Result], args: tuple[Any, ...]
) -> tuple[_Result | None, BaseException | None]:
    try:
        return function(*args), None
    except BaseException as error:  # noqa: BLE001 - raised where the call is waited for
        return None, error


def _end(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.cancelled():
        _tell(failure)
    elif failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)


def _tell(failure: BaseException | None) -> None:
    if failure is not None:
        logger.error("a call that nobody waits for any more has failed", exc_info=failure)


def _wait_for_all() -> None:
    for threads in tuple(_all):
        threads.wait()


def _start_all_afresh() -> None:
    for threads in tuple(_all):
        threads.start_afresh()


_all: WeakSet[Threads] = WeakSet()
atexit.register(_wait_for_all)
os.register_at_fork(after_in_child=_start_all_afresh)
