"""The parts of an answer that is sent while it is made, watched: does the view itself fail in the middle?

What becomes of the connection is no failure of the view: a client closes the parts, or has their making cancelled.
What the view raises for its input is one, and is refunded however much was sent before: it has to check that first.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Generic, TypeVar

_Part = TypeVar("_Part")


class WatchedParts(Generic[_Part]):
    """Parts that are made in a thread.

    Args:
        parts: What the view makes; closed with this, if it can be.
        break_off: Called when making the next one fails.
    """

    def __init__(self, parts: Iterable[_Part], break_off: Callable[[], None]) -> None:
        self._parts = parts
        self._iterator = iter(parts)
        self._break_off = break_off

    def __iter__(self) -> Iterator[_Part]:
        return self

    def __next__(self) -> _Part:
        try:
            return next(self._iterator)
        except StopIteration:
            raise
        except Exception:
            self._break_off()
            raise

    def close(self) -> None:
        """Ends it early; what the view raises then is no failure: its client has gone."""
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


class AsyncWatchedParts(Generic[_Part]):
    """Parts that are made in the loop.

    Args:
        parts: What the view makes.
        break_off: Called when making the next one fails.
    """

    def __init__(self, parts: AsyncIterable[_Part], break_off: Callable[[], Awaitable[None]]) -> None:
        self._iterator = aiter(parts)
        self._break_off = break_off

    def __aiter__(self) -> AsyncIterator[_Part]:
        return self

    async def __anext__(self) -> _Part:
        try:
            return await anext(self._iterator)
        except StopAsyncIteration:
            raise
        except Exception as error:
            if not comes_of_cancellation(error):
                await self._break_off()
            raise


def comes_of_cancellation(error: Exception) -> bool:
    """Whether a failure may be what a view has made of its task's cancellation: a client that goes away causes one."""
    if sys.version_info >= (3, 11):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    # Some time-outs of the view's own look so, too, and are not refunded then: better than money for who hangs up.
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, asyncio.CancelledError):
        cause = cause.__context__
    return cause is not None
