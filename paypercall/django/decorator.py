"""The decorator of payable views: functions, methods of class-based views through `method_decorator`, async views."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.core.handlers.exception import response_for_exception
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from paypercall.django.database import ALIAS
from paypercall.django.exchange import MAX_BODY, keep_from_caches, request_of, response_of, whole_body
from paypercall.django.project import Project, open_project
from paypercall.errors import PaypercallError
from paypercall.obyte.amounts import BASE
from paypercall.paywall import Answer, Price, PriceTag, Running
from paypercall.paywall.answer import problem
from paypercall.paywall.gate import FREE_METHODS, MONEY_HEADERS
from paypercall.paywall.price import PriceFunction
from paypercall.paywall.running import CURRENT

_View = TypeVar("_View", bound=Callable[..., Any])
_Result = TypeVar("_Result")


class NotPaid(PaypercallError):
    """The view gives back what was not paid."""

    code = "not_paid"


class Payment:
    """What is to be paid for in a project."""

    def __init__(self) -> None:
        self._project: Project | None = None
        self._opening = threading.Lock()
        self._answering: set[asyncio.Future[HttpResponseBase]] = set()

    @property
    def project(self) -> Project:
        """The parts that take the payments, made as the settings say when they are first needed.

        Raises:
            ImproperlyConfigured: When a setting is wrong.
        """
        with self._opening:
            if self._project is None:
                self._project = open_project()
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
        """
        tag = PriceTag(price, asset)

        def decorate(view: _View) -> _View:
            make = self._async_view if iscoroutinefunction(view) else self._sync_view
            paid = functools.wraps(view)(make(view, tag))
            # Django opens the transaction of ATOMIC_REQUESTS around the whole view unless it is told not to.
            paid.price_tag = tag  # type: ignore[attr-defined]
            paid._non_atomic_requests = set(connections)  # type: ignore[attr-defined]
            return paid  # type: ignore[return-value]

        return decorate

    def refund(self, amount: int | None = None) -> None:
        """Gives back the whole price of the request that is being answered, or a part of it; see `Running.refund`.

        Raises:
            NotPaid: When the request is not paid for.
        """
        running = CURRENT.get()
        if running is None:
            raise NotPaid("this request is not paid for, so that there is nothing to refund")
        running.refund(amount)

    # --- the views ---------------------------------------------------------------------------------------------------

    def _sync_view(
        self, view: Callable[..., HttpResponseBase], tag: PriceTag
    ) -> Callable[..., HttpResponseBase]:
        atomic = _atomic(view)

        def paid(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method in FREE_METHODS and not tag.is_free:
                return response_of(self.project.paywall.look(tag))
            price = tag.ask_now(request, *args, **kwargs)
            if price is None:
                unpaid: HttpResponseBase = atomic(request, *args, **kwargs)
                return unpaid
            outcome = self._begin(request, price)
            if not isinstance(outcome, Running):
                keep_from_caches(request)
                return outcome
            token = CURRENT.set(outcome)
            try:
                response = _run(atomic, request, args, kwargs)
            finally:
                CURRENT.reset(token)
            keep_from_caches(request)
            if not connections[ALIAS].in_atomic_block:
                return self._finish(outcome, response)
            # A method of a class, in the transaction of its class: that holds SQLite's only writer, and may yet fail.
            transaction.on_commit(functools.partial(self._finish, outcome, response), using=ALIAS)
            return response

        return paid

    def _async_view(
        self, view: Callable[..., Awaitable[HttpResponseBase]], tag: PriceTag
    ) -> Callable[..., Awaitable[HttpResponseBase]]:
        async def paid(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method in FREE_METHODS and not tag.is_free:
                return response_of(self.project.paywall.look(tag))
            price = tag.ask(request, *args, **kwargs)
            if isinstance(price, Awaitable):
                price = tag.checked(await price)
            if price is None:
                return await view(request, *args, **kwargs)
            outcome = await _in_thread(self._begin, request, price)
            if not isinstance(outcome, Running):
                keep_from_caches(request)
                return outcome
            # To its end though its client goes away: who hung up before each answer would have it made again and again.
            answering = asyncio.ensure_future(self._answer(view, outcome, request, args, kwargs))
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)
            return await asyncio.shield(answering)

        return markcoroutinefunction(paid)

    async def _answer(
        self, view: Callable[..., Any], running: Running, request: HttpRequest, args: Any, kwargs: Any
    ) -> HttpResponseBase:
        CURRENT.set(running)  # in a task of its own
        response = await _run_async(view, request, args, kwargs)
        keep_from_caches(request)
        return await _in_thread(self._finish, running, response)

    def _begin(self, request: HttpRequest, price: Price) -> HttpResponse | Running:
        paywall = self.project.paywall
        asked = request_of(request)
        if paywall.needs_body(asked):
            body = whole_body(request)
            if body is None:
                return response_of(
                    problem(
                        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                        "body_too_large",
                        f"the body of a request that is paid for may have {MAX_BODY} bytes; nothing was charged",
                    )
                )
            asked = request_of(request, body)
        outcome = paywall.begin(asked, price)
        return response_of(outcome) if isinstance(outcome, Answer) else outcome

    def _finish(self, running: Running, response: HttpResponseBase) -> HttpResponseBase:
        cookies = [("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values()]
        body = response.content if isinstance(response, HttpResponse) else None
        ending = self.project.paywall.finish(
            running,
            response.status_code,
            [*response.items(), *cookies],
            body,
            content_type=response.get("Content-Type", ""),
        )
        for name in MONEY_HEADERS:
            del response[name]
        for name, value in ending.headers:
            response[name] = value
        if ending.body is not None and isinstance(response, HttpResponse):
            response.content = ending.body
            if response.has_header("Content-Length"):
                response["Content-Length"] = str(len(ending.body))
        return response


def _atomic(view: Callable[..., Any]) -> Callable[..., Any]:
    """The view in the transactions that ATOMIC_REQUESTS asks for, unless it was told to be in none."""
    without: set[str] = getattr(view, "_non_atomic_requests", set())

    @functools.wraps(view)
    def atomic(*args: Any, **kwargs: Any) -> Any:
        run = view
        for alias, values in connections.settings.items():
            if values.get("ATOMIC_REQUESTS") and alias not in without:
                run = transaction.atomic(using=alias)(run)
        return run(*args, **kwargs)

    return atomic


def _run(view: Callable[..., Any], request: HttpRequest, args: Any, kwargs: Any) -> HttpResponseBase:
    """Runs the view; where it fails, makes the answer that Django would make, to put the refund into."""
    try:
        response: HttpResponseBase = view(request, *args, **kwargs)
        return _rendered(response)
    except Exception as error:  # noqa: BLE001 - Django's own way with them
        return response_for_exception(request, error)


async def _run_async(
    view: Callable[..., Any], request: HttpRequest, args: Any, kwargs: Any
) -> HttpResponseBase:
    try:
        return await sync_to_async(_rendered)(await view(request, *args, **kwargs))
    except Exception as error:  # noqa: BLE001 - Django's own way with them
        return await sync_to_async(response_for_exception)(request, error)


def _rendered(response: HttpResponseBase) -> HttpResponseBase:
    """A response whose content is there, which a `TemplateResponse` is not yet."""
    render = getattr(response, "render", None)
    return render() if callable(render) else response


async def _in_thread(function: Callable[..., _Result], *args: Any) -> _Result:
    """Runs what touches the books outside of the loop, and beside Django's own thread for what is synchronous."""
    return await sync_to_async(function, thread_sensitive=False)(*args)
