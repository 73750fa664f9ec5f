"""The calls of a party that are under way: closing waits for them, so that no thread and no connection is left behind.

It knows nothing of what the calls do. A thread that is inside may call again, and may close.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from paypercall.errors import PaypercallError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class PartyClosed(PaypercallError):
    """The node was closed, before the call or while it waited; what was decided goes on with the next start."""

    code = "closed"


class Calls:
    """Counts the calls under way, thread by thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way: dict[int, int] = {}
        self._is_shut = False

    @property
    def are_shut(self) -> bool:
        """Whether no further calls are let in."""
        return self._is_shut

    def __enter__(self) -> None:
        """Begins a call.

        Raises:
            PartyClosed: When no further ones are let in.
        """
        thread = threading.get_ident()
        with self._changed:
            calls = self._under_way.get(thread, 0)
            if self._is_shut and not calls:
                raise PartyClosed("this party was closed; start_node() opens it again")
            self._under_way[thread] = calls + 1

    def __exit__(self, *_: object) -> None:
        """Ends a call."""
        thread = threading.get_ident()
        with self._changed:
            self._under_way[thread] -= 1
            if not self._under_way[thread]:
                del self._under_way[thread]
            self._changed.notify_all()

    def wait_for(self, is_done: Callable[[], bool], seconds: float, pause: Callable[[float], None]) -> bool:
        """Waits within a call.

        Args:
            is_done: Whether what is waited for has happened; asked again and again.
            seconds: How long to wait.
            pause: Waits until something may have changed, but for so many seconds at most.

        Returns:
            Whether it has happened in time.

        Raises:
            PartyClosed: When it should wait no longer.
        """
        deadline = time.monotonic() + seconds
        while not is_done():
            self.require_open()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            pause(remaining)
        return True

    def require_open(self) -> None:
        """To be asked again and again by a call that waits for something.

        Raises:
            PartyClosed: When it should wait no longer.
        """
        if self._is_shut:
            raise PartyClosed(
                "this party was closed meanwhile; what is in its books goes on with the next start"
            )

    def shut(self) -> None:
        """Lets no further calls in, and waits until those of other threads have ended."""
        thread = threading.get_ident()
        with self._changed:
            self._is_shut = True
            self._changed.wait_for(lambda: not self._under_way.keys() - {thread})

    def open(self) -> None:
        """Lets calls in."""
        with self._changed:
            self._is_shut = False

    def begin_in_child(self) -> None:
        """Forgets, in a forked process, the calls of the threads that it does not have."""
        thread = threading.get_ident()
        self._changed = threading.Condition()
        self._under_way = {thread: self._under_way[thread]} if thread in self._under_way else {}


class _Callable(Protocol):
    _calls: Calls


_CallableT = TypeVar("_CallableT", bound=_Callable)


def counted(
    method: Callable[Concatenate[_CallableT, _Arguments], _Result],
) -> Callable[Concatenate[_CallableT, _Arguments], _Result]:
    """Makes a method one of the calls that closing waits for."""

    @functools.wraps(method)
    def call(self: _CallableT, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with self._calls:
            return method(self, *args, **kwargs)

    return call
