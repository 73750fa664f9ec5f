"""Threads for what touches the books, so that no loop is held up. Knows nothing of payments.

`loop.run_in_executor` has a second future beside the one that is waited for, and the two tell each other how they end.
Every paid request comes this way, so here a thread tells the loop itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

MAX_THREADS = 32
"""Calls that run at once; more wait their turn."""

_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)


class Threads:
    """Runs calls for any number of loops, and after a fork, too."""

    def __init__(self) -> None:
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._process = os.getpid()
        self._executor = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="paypercall-asgi")

    def run(self, function: Callable[..., _Result], /, *args: Any) -> asyncio.Future[_Result]:
        """Runs a function outside of the running loop, to its end, whether or not it is waited for."""
        if self._process != os.getpid():  # a forked worker has none of its parent's threads
            self._start_afresh()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()
        self._executor.submit(_run, loop, future, function, args)
        return future


def _run(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[_Result],
    function: Callable[..., _Result],
    args: tuple[Any, ...],
) -> None:
    result, failure = None, None
    try:
        result = function(*args)
    except BaseException as error:  # noqa: BLE001 - raised where the call is waited for
        failure = error
    try:
        loop.call_soon_threadsafe(_end, future, result, failure)
    except RuntimeError:  # the loop is closed, and nobody waits
        _tell(failure)


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
