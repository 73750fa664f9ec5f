"""What can be told of a function that an owner hands in, before it is called. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

from paypercall.paywall.current import WrongUse


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


def unwrapped(view: object) -> Iterator[object]:
    """A view, and what decorators and `functools.partial` have wrapped in it."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None) or getattr(view, "func", None)


def require_view(view: object) -> None:
    """Checks that what is to be payable is a function, and not what a framework or `@required` alone hands in.

    Raises:
        WrongUse: When it is none.
    """
    if inspect.isclass(view):
        raise WrongUse("a class is not payable as a whole: decorate its methods")
    if not callable(view):
        raise WrongUse(f"write `required(price)`, with a price: {type(view).__name__} is no view")
