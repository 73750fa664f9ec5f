"""What a payable view comes to, on the response as it leaves, whatever the project has made of that.

The view's exception goes on as from any other view: other middleware sees it, and may answer. Middleware may replace
the answer of a view, too, and what stands around a method of a class may fail after it. Only who stands around all
that knows the response which the client gets.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase

from paypercall.django.reports import hide_payment
from paypercall.paywall import WrongUse

PATH = f"{__name__}.PaymentMiddleware"
"""What stands in `MIDDLEWARE`."""

_ATTRIBUTE = "_paypercall_visit"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a payable view has come to.

    Attributes:
        finish: Puts on a response what the payment comes to, and gives what leaves. Without a response, it ends the
            payment as that of a view which failed.
        answer: What the view answered, or None if it failed.
    """

    finish: Callable[[HttpResponseBase | None], HttpResponseBase | None]
    answer: HttpResponseBase | None

    def finish_alone(self, *, is_failure: bool) -> None:
        """Ends it where there is no response.

        In a thread of its own: this may be the loop's, and who is cancelled can wait for nothing.

        Args:
            is_failure: Whether the project has failed to make one, and not only the client gone.
        """
        response = None if is_failure else self.answer
        threading.Thread(target=self.finish, args=(response,), name="paypercall-ending").start()


class Visit:
    """A request, until its response leaves.

    Attributes:
        request: As Django made it; a view may have been given what some framework has put around it.
    """

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        self._lock = threading.Lock()
        self._is_charged = False
        self._is_awaited = True
        self._outcome: Outcome | None = None

    def charge(self) -> None:
        """Notes that a payable view asks for a payment.

        Raises:
            WrongUse: When another has done so, or it is too late for a receipt.
        """
        self.require_awaited()
        with self._lock:
            if self._is_charged:
                raise WrongUse(
                    "a request is paid for once: give the view that calls several payable ones a price"
                )
            self._is_charged = True

    def require_awaited(self) -> None:
        """Checks that what a payable view comes to can still be sent.

        Raises:
            WrongUse: When it cannot.
        """
        with self._lock:
            if not self._is_awaited:
                raise WrongUse(
                    "the response has begun, or its client has gone: nothing can be charged for any more"
                )

    def leave(self, outcome: Outcome) -> None:
        """Leaves an outcome to the middleware, or ends it at once if that waits no more: its client may have gone."""
        with self._lock:
            if self._is_awaited:
                self._outcome = outcome
                return
        outcome.finish_alone(is_failure=False)

    def take(self) -> Outcome | None:
        """What was left; nothing is waited for any more."""
        with self._lock:
            self._is_awaited = False
            return self._outcome


def visit_of(request: HttpRequest) -> Visit:
    """The visit that a request belongs to.

    Raises:
        WrongUse: When the middleware has not seen the request.
    """
    visit = getattr(request, _ATTRIBUTE, None)
    if visit is None:
        raise WrongUse(f"the payment middleware has not seen this request: put {PATH!r} first in MIDDLEWARE")
    assert isinstance(visit, Visit)
    return visit


class PaymentMiddleware:
    """Puts receipt and refund on the responses of payable views, and hides payments from the rest of the project.

    Stands first in `MIDDLEWARE`.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answers a request."""
        hide_payment(request)
        visit = Visit(request)
        setattr(request, _ATTRIBUTE, visit)
        return self._answer_async(request, visit) if self._is_async else self._answer(request, visit)

    def _answer(self, request: HttpRequest, visit: Visit) -> HttpResponseBase:
        try:
            response: HttpResponseBase = self._get_response(request)
        except BaseException as error:
            _end_broken_off(visit, error)
            raise
        outcome = visit.take()
        return response if outcome is None else outcome.finish(response) or response

    async def _answer_async(self, request: HttpRequest, visit: Visit) -> HttpResponseBase:
        try:
            response: HttpResponseBase = await self._get_response(request)
        except BaseException as error:
            _end_broken_off(visit, error)
            raise
        outcome = visit.take()
        if outcome is None:
            return response
        if _is_cancelled():
            response = outcome.answer or response  # in place of what was made of the cancellation
        return await sync_to_async(outcome.finish, thread_sensitive=False)(response) or response


def _end_broken_off(visit: Visit, error: BaseException) -> None:
    """Where the client has gone, or DEBUG_PROPAGATE_EXCEPTIONS passes the exception on, there is no response."""
    outcome = visit.take()
    if outcome is not None:
        outcome.finish_alone(is_failure=isinstance(error, Exception) and not _is_cancelled())


def _is_cancelled() -> bool:
    """Whether the client of this request has gone, which must not get it its money back.

    Before Python 3.11 no task tells what has become of its cancellation.
    """
    if sys.version_info < (3, 11):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # in no loop
        return False
    return task is not None and task.cancelling() > 0
