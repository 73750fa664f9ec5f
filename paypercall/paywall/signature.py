"""What can be told of a function that an owner hands in, before it is called. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable


def is_async(function: Callable[..., object]) -> bool:
    """Whether a function, or an object that can be called, is async."""
    call = getattr(function, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def takes_one(function: Callable[..., object]) -> bool:
    """Whether a function can be called with one argument, and perhaps more; True where that cannot be told."""
    try:
        inspect.signature(function).bind_partial(None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True
