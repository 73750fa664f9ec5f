"""What a payable view that failed gives back, on the response that the project makes of the failure.

The exception goes on as from any other view: other middleware sees it, and may answer. Only who stands around the view
has that response.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase

from paypercall.paywall import WrongUse

PATH = f"{__name__}.PaymentMiddleware"
"""What stands in `MIDDLEWARE`."""

_ATTRIBUTE = "_paypercall_failure"

Finish = Callable[[HttpResponseBase | None], None]
"""Ends a paid request whose view failed, with the response, or with None if nobody waits for one."""


class Failure:
    """Where a payable view that fails leaves its payment, as long as the middleware waits for the response."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_awaited = True
        self._finish: Finish | None = None

    def leave(self, finish: Finish) -> None:
        """Leaves it to the middleware, or ends it at once if that waits no more: its client may have gone."""
        with self._lock:
            if self._is_awaited:
                self._finish = finish
                return
        _end_alone(finish)

    def take(self) -> Finish | None:
        """What the view has left, if it failed; nothing is waited for any more."""
        with self._lock:
            self._is_awaited = False
            return self._finish


def failure_of(request: HttpRequest) -> Failure:
    """Where the view of a request leaves its failure.

    Raises:
        WrongUse: When the middleware has not seen the request.
    """
    failure = getattr(request, _ATTRIBUTE, None)
    if failure is None:
        raise WrongUse(f"the payment middleware has not seen this request: add {PATH!r} to MIDDLEWARE")
    assert isinstance(failure, Failure)
    return failure


class PaymentMiddleware:
    """Puts receipt and refund on the response to a payable view that failed. Stands anywhere in `MIDDLEWARE`."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answers a request."""
        failure = Failure()
        setattr(request, _ATTRIBUTE, failure)
        return self._answer_async(request, failure) if self._is_async else self._answer(request, failure)

    def _answer(self, request: HttpRequest, failure: Failure) -> HttpResponseBase:
        with _ending_what_is_broken_off(failure):
            response = self._get_response(request)
        if (finish := failure.take()) is not None:
            finish(response)
        return response

    async def _answer_async(self, request: HttpRequest, failure: Failure) -> HttpResponseBase:
        with _ending_what_is_broken_off(failure):
            response: HttpResponseBase = await self._get_response(request)  # type: ignore[misc]
        if (finish := failure.take()) is not None:
            await sync_to_async(finish, thread_sensitive=False)(response)
        return response


@contextmanager
def _ending_what_is_broken_off(failure: Failure) -> Iterator[None]:
    """Where the client has gone, or DEBUG_PROPAGATE_EXCEPTIONS passes the exception on, there is no response."""
    try:
        yield
    except BaseException:
        if (finish := failure.take()) is not None:
            _end_alone(finish)
        raise


def _end_alone(finish: Finish) -> None:
    """In a thread of its own: this may be the loop's, and who is cancelled can wait for nothing."""
    threading.Thread(target=finish, args=(None,), name="paypercall-refund").start()
