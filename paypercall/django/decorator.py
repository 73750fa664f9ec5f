"""The decorator of payable views: functions, methods of class-based views through `method_decorator`, async views."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterable, Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from asgiref.sync import async_to_sync, markcoroutinefunction, sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from paypercall.django.exchange import (
    keep_from_caches,
    keep_from_proxies,
    keep_to_limit,
    pairs_of,
    put_money_on,
    request_of,
    response_of,
    take_over,
    whole_body,
)
from paypercall.django.middleware import Outcome, Visit, visit_of
from paypercall.django.project import Project, open_project, watch_again
from paypercall.django.view import (
    atomic_as_configured,
    is_awaited,
    rendered,
    require_response,
    status_of,
    watch_rendering,
)
from paypercall.obyte.amounts import BASE
from paypercall.paywall import (
    Answer,
    AsyncWatchedParts,
    CurrentPayment,
    Paywall,
    Price,
    PriceTag,
    Request,
    Running,
    WatchedParts,
    WrongUse,
)
from paypercall.paywall.current import CURRENT, Unpaid
from paypercall.paywall.gate import FREE_METHODS, MONEY_HEADERS
from paypercall.paywall.price import PriceFunction
from paypercall.paywall.signature import require_view

_View = TypeVar("_View", bound=Callable[..., Any])
_Result = TypeVar("_Result")


class Payment(CurrentPayment):
    """What is to be paid for in a project."""

    def __init__(self) -> None:
        self._project: Project | None = None
        self._opening = threading.Lock()
        self._answering: set[asyncio.Future[HttpResponseBase | None]] = set()

    @property
    def project(self) -> Project:
        """The parts that take the payments, made as the settings say when they are first needed.

        Raises:
            ImproperlyConfigured: When a setting is wrong.
        """
        project = self._project
        if project is not None:
            return project
        with self._opening:
            if self._project is None:
                self._project = open_project()
                watch_again(self._project.server.server)
            return self._project

    def close(self) -> None:
        """Stops the node and closes the books; the next request opens them again."""
        with self._opening:
            if self._project is not None:
                self._project.server.server.close_node()
            self._project = None

    def required(self, price: int | PriceFunction | None, asset: str = BASE) -> Callable[[_View], _View]:
        """Decorates a view: it costs that much.

        With `ATOMIC_REQUESTS` the view alone is one transaction: what happens to the payment is kept however it ends.

        Args:
            price: In bytes or units of the asset, 0 or None for free, or a function of the request and the view's
                arguments.
            asset: `base` or an asset's id.

        Raises:
            WrongPrice: When the price makes no sense.
            WrongUse: When what is decorated is no view.
        """
        tag = PriceTag(price, asset)

        def decorate(view: _View) -> _View:
            require_view(view)
            if hasattr(view, "_ninja_operation"):
                raise WrongUse(
                    "Django Ninja has this view already: put `decorate_view(payment.required(…))` on it"
                )
            make = self._async_view if is_awaited(view) else self._sync_view
            paid = functools.wraps(view)(make(view, tag))
            # Django opens the transaction of ATOMIC_REQUESTS around the whole view unless it is told not to.
            paid.price_tag = tag  # type: ignore[attr-defined]
            paid._non_atomic_requests = set(connections)  # type: ignore[attr-defined]
            return paid  # type: ignore[return-value]

        return decorate

    # --- the views ---------------------------------------------------------------------------------------------------

    def _sync_view(
        self, view: Callable[..., HttpResponseBase], tag: PriceTag
    ) -> Callable[..., HttpResponseBase]:
        atomic = atomic_as_configured(view)

        def paid(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if CURRENT.get() is not Unpaid.OUTSIDE:
                return view(request, *args, **kwargs)  # called by another payable view, whose price covers it
            visit = visit_of(request)
            if request.method in FREE_METHODS and not tag.is_free:
                return response_of(self.project.paywall.look(tag))
            price = tag.fixed
            if not tag.is_fixed:
                if (too_large := self._read(visit, tag)) is not None:
                    return too_large
                try:
                    price = tag.ask_now(async_to_sync, request, *args, **kwargs)
                except Exception as error:
                    answer = self._answer_without_price(visit, tag, error)
                    if answer is None:
                        raise
                    return answer
            price = price or self.project.paywall.price_of_free(request_of(visit.request), tag)
            outcome = self._begin(visit, tag, price)
            if isinstance(outcome, HttpResponse):
                return outcome
            token = CURRENT.set(outcome)
            try:
                if isinstance(outcome, Unpaid):
                    keep_to_limit(visit.request)
                    return atomic(request, *args, **kwargs)  # type: ignore[no-any-return]
                try:
                    response = require_response(atomic(request, *args, **kwargs))
                    if isinstance(request, HttpRequest):
                        response = rendered(response)
                    else:  # of a framework around the view, which has yet to tell the response how
                        watch_rendering(outcome, response, self.project.paywall.fail)
                except BaseException as error:
                    self._leave_failure(outcome, error, visit)
                    raise
                return self._leave(outcome, response, visit)
            finally:
                CURRENT.reset(token)

        def kept_from_others(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if tag.is_free or CURRENT.get() is not Unpaid.OUTSIDE:
                return paid(request, *args, **kwargs)
            asked = visit_of(request).request
            keep_from_caches(asked)
            try:
                return keep_from_proxies(paid(request, *args, **kwargs))
            finally:
                keep_from_caches(asked)

        return kept_from_others

    def _async_view(
        self, view: Callable[..., Awaitable[HttpResponseBase]], tag: PriceTag
    ) -> Callable[..., Awaitable[HttpResponseBase]]:
        async def paid(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if CURRENT.get() is not Unpaid.OUTSIDE:
                return await view(request, *args, **kwargs)
            visit = visit_of(request)
            if request.method in FREE_METHODS and not tag.is_free:
                return response_of(self.project.paywall.look(tag))
            price = tag.fixed
            if not tag.is_fixed:
                if (too_large := await _in_thread(self._read, visit, tag)) is not None:
                    return too_large
                try:
                    asked = tag.ask(request, *args, **kwargs)
                    price = tag.checked(await asked) if isinstance(asked, Awaitable) else asked
                except Exception as error:
                    answer = await _in_thread(self._answer_without_price, visit, tag, error)
                    if answer is None:
                        raise
                    return answer
            price = price or self.project.paywall.price_of_free(request_of(visit.request), tag)
            if price is not None or not tag.is_fixed:
                # To its end though its client goes away: who hung up before each answer would have it made again.
                answering = asyncio.ensure_future(self._answer(view, tag, price, request, args, kwargs))
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)
                response = await asyncio.shield(answering)
                if response is not None:
                    return response
            keep_to_limit(visit.request)
            token = CURRENT.set(Unpaid.FREE)
            try:
                return await view(request, *args, **kwargs)
            finally:
                CURRENT.reset(token)

        async def kept_from_others(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if tag.is_free or CURRENT.get() is not Unpaid.OUTSIDE:
                return await paid(request, *args, **kwargs)
            asked = visit_of(request).request
            keep_from_caches(asked)
            try:
                return keep_from_proxies(await paid(request, *args, **kwargs))
            finally:
                keep_from_caches(asked)

        return markcoroutinefunction(kept_from_others)

    async def _answer(
        self,
        view: Callable[..., Any],
        tag: PriceTag,
        price: Price | None,
        request: HttpRequest,
        args: Any,
        kwargs: Any,
    ) -> HttpResponseBase | None:
        """The answer to a request that may cost something, in a task of its own; None if it is free."""
        visit = visit_of(request)
        outcome = await _in_thread(self._begin_while_awaited, visit, tag, price)
        if isinstance(outcome, Unpaid):
            return None
        if isinstance(outcome, HttpResponse):
            return outcome
        CURRENT.set(outcome)
        try:
            response = await sync_to_async(rendered)(require_response(await view(request, *args, **kwargs)))
        except BaseException as error:
            self._leave_failure(outcome, error, visit)
            raise
        return self._leave(outcome, response, visit)

    def _leave(self, running: Running, response: HttpResponseBase, visit: Visit) -> HttpResponseBase:
        """Leaves the end to the middleware: what stands around a view may yet fail, or answer something else."""
        with _Unanswered(self.project.paywall, running):
            self.project.paywall.fail(running, response.status_code)
        visit.leave(Outcome(functools.partial(self._finish, running), response))
        return response

    def _leave_failure(self, running: Running, error: BaseException, visit: Visit) -> None:
        """What a view raises is refunded, on the response that the project makes of it."""
        if not isinstance(error, Exception):  # the worker is told to end: the same payment runs the view anew
            self.project.paywall.abandon(running)
            return
        with _Unanswered(self.project.paywall, running):
            self.project.paywall.fail(running, status_of(error))
        visit.leave(Outcome(functools.partial(self._finish, running), None))

    def _read(self, visit: Visit, tag: PriceTag) -> HttpResponse | None:
        """Reads the body, as far as it is paid for, before a price function reads a part of it."""
        request = visit.request
        asked, paywall = request_of(request), self.project.paywall
        if not paywall.needs_body(asked, tag):
            return None
        body = whole_body(request, is_paid=paywall.has_payment_header(asked))
        return response_of(body) if isinstance(body, Answer) else None

    def _begin(self, visit: Visit, tag: PriceTag, price: Price | None) -> HttpResponse | Running | Unpaid:
        if price is None:
            answer = None if tag.is_fixed else self._answer_without_price(visit, tag)
            return Unpaid.FREE if answer is None else answer
        visit.charge()
        asked = self._asked(visit.request)
        if isinstance(asked, Answer):
            return response_of(asked)
        outcome = self.project.paywall.begin(asked, price)
        if isinstance(outcome, Running):
            if outcome.was_paid_in_body:  # its refund goes there, too, and could not if it were compressed
                visit.request.META.pop("HTTP_ACCEPT_ENCODING", None)
            return outcome
        return _leave_answer(visit, outcome)

    def _begin_while_awaited(
        self, visit: Visit, tag: PriceTag, price: Price | None
    ) -> HttpResponse | Running | Unpaid:
        """Leaves the payment of a client that has gone meanwhile to the next attempt: its view has not begun."""
        outcome = self._begin(visit, tag, price)
        if isinstance(outcome, Running):
            with _Unanswered(self.project.paywall, outcome):
                visit.require_awaited()
        return outcome

    def _asked(self, request: HttpRequest) -> Request | Answer:
        """The request as the paywall sees it, with its body as far as that is needed; an answer if it has no such."""
        asked, paywall = request_of(request), self.project.paywall
        is_paid = paywall.has_payment_header(asked)
        if not is_paid and not paywall.needs_body(asked):
            return asked
        body = whole_body(request, is_paid=is_paid)
        if isinstance(body, Answer):
            return body
        return request_of(request, body) if body else asked

    def _answer_without_price(
        self, visit: Visit, tag: PriceTag, error: Exception | None = None
    ) -> HttpResponse | None:
        """What the books say of a request whose price failed, or which is free by now; None for nothing."""
        asked = self._asked(visit.request)
        if isinstance(asked, Answer):
            return None
        answer = self.project.paywall.answer_without_price(asked, tag, error)
        if answer is None:
            return None
        visit.charge()
        return _leave_answer(visit, answer)

    def _finish(self, running: Running, response: HttpResponseBase | None) -> HttpResponseBase | None:
        """Ends a paid request with the response as it leaves; None where its failure came to none."""
        if response is None:
            with _Unanswered(self.project.paywall, running):
                self.project.paywall.finish(running, HTTPStatus.INTERNAL_SERVER_ERROR, (), None)
            return None
        if not getattr(response, "is_rendered", True):  # its client has gone before it could be
            self.project.paywall.abandon(running)
            return response
        body = response.content if isinstance(response, HttpResponse) else None
        with _Unanswered(self.project.paywall, running):
            ending = self.project.paywall.finish(running, response.status_code, pairs_of(response), body)
        if ending.instead is not None:
            take_over(response, ending.instead)
            return response
        put_money_on(response, ending.headers)
        if ending.body is not None and isinstance(response, HttpResponse):
            response.content = ending.body
            if response.has_header("Content-Length"):
                response["Content-Length"] = str(len(ending.body))
        if isinstance(response, StreamingHttpResponse):
            self._watch(running, response)
        return response

    def _watch(self, running: Running, response: StreamingHttpResponse) -> None:
        """Refunds a stream whose view fails in the middle."""
        parts = response.streaming_content
        break_off = functools.partial(self.project.paywall.break_off, running)
        if isinstance(parts, AsyncIterable):
            in_thread = functools.partial(_in_thread, break_off)
            response.streaming_content = AsyncWatchedParts(parts, in_thread)
        else:
            response.streaming_content = WatchedParts(parts, break_off)


class _Unanswered:
    """Where the end of a paid request cannot be booked, the same payment runs the view anew."""

    __slots__ = ("_paywall", "_running")

    def __init__(self, paywall: Paywall, running: Running) -> None:
        self._paywall = paywall
        self._running = running

    def __enter__(self) -> None:
        """Nothing is done yet."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            self._paywall.abandon(self._running)


def _leave_answer(visit: Visit, answer: Answer) -> HttpResponse:
    response = response_of(answer)
    visit.leave(Outcome(functools.partial(_answer_with, answer), response))
    return response


def _answer_with(answer: Answer, response: HttpResponseBase | None) -> HttpResponseBase | None:
    """The paywall's own answer as it leaves: middleware has seen before what is given again, and must not change it."""
    if answer.is_given_again:
        return response_of(answer)
    if response is not None:
        money = [(name, value) for name, value in answer.headers if name.lower() in MONEY_HEADERS]
        put_money_on(response, money)
    return response


async def _in_thread(function: Callable[..., _Result], *args: Any) -> _Result:
    """Runs what touches the books outside of the loop, and beside Django's own thread for what is synchronous."""
    return await sync_to_async(function, thread_sensitive=False)(*args)
