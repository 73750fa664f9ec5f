"""One request and its answer, as they pass the middleware, which adds receipt and refund.

It keeps no stream waiting, and runs what touches the books outside of the loop.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import replace
from http import HTTPStatus
from threading import Lock
from typing import Any, NoReturn, TypeVar, cast
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from paypercall.asgi.body import Body, Stop
from paypercall.asgi.headers import (
    Headers,
    decoded,
    encoded,
    kept_from_shared_caches,
    length_of,
    replacing,
    with_listed_headers,
)
from paypercall.asgi.threads import Threads
from paypercall.paywall import Answer, Ending, Paywall, Price, PriceTag, Request, Running, WrongUse
from paypercall.paywall.answer import problem
from paypercall.paywall.current import CURRENT, Unpaid
from paypercall.paywall.gate import FREE_METHODS, MONEY_HEADERS
from paypercall.paywall.stream import comes_of_cancellation
from paypercall.wire import FIELD

logger = logging.getLogger(__name__)

_Part = TypeVar("_Part")

_MONEY_HEADERS = frozenset(name.encode() for name in MONEY_HEADERS)

SCOPE_KEY = "paypercall.exchanges"
"""Where a request's scope holds its exchanges, by their `Payment`."""


class Exchange:
    """One request and its answer.

    Args:
        paywall: Takes the payments.
        threads: Run what touches the books.
        scope: The request's.
        receive: Where the request's body comes from.
        send: Where the answer goes to.

    Attributes:
        method: The request's method, in capitals: some applications take it in any case.
        path: Its path, without the root path of the server.
        body: Its body.
        running: The payment, while the request is answered for it.
        stopped: What the paywall answers itself.
    """

    def __init__(
        self, paywall: Paywall, threads: Threads, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._paywall = paywall
        self._threads = threads
        self._scope = scope
        self._send = send
        self._host = scope.get("app")  # a mount changes it
        self._start: Message | None = None
        self._length: int | None = None
        self._held = bytearray()
        self._is_mute = False
        self._is_for_all = True
        self._streaming: Running | None = None
        self._has_raised = False
        self._has_view_failed = False
        self._ending = Lock()
        self._is_over = False
        self._has_begun = False
        self.method: str = scope["method"].upper()
        self.path = path_of(scope)
        self.body = Body(receive)
        self.running: Running | None = None
        self.stopped: Answer | None = None

    def stop(self, answer: Answer) -> NoReturn:
        """Ends the view before it begins.

        Raises:
            Stop: Always.
        """
        self.stopped = answer
        raise Stop(answer)

    async def charge(self, tag: PriceTag, arguments: Mapping[str, Any]) -> Running | None:
        """Takes the payment for the request; None if it is free, and not paid for.

        Raises:
            Stop: When the paywall answers itself.
            WrongUse: When it was charged already, or its response has begun.
        """
        try:
            return await self._charge(tag, arguments)
        except Stop as stop:
            # An application that is mounted further in takes it for a failure, and would send a 500.
            self.stopped = stop.answer
            raise

    async def _charge(self, tag: PriceTag, arguments: Mapping[str, Any]) -> Running | None:
        if self._has_begun:
            raise WrongUse("the response has begun: call payable views before a stream of yours begins")
        exchanges: Iterable[Exchange] = self._scope[SCOPE_KEY].values()
        for exchange in exchanges:
            if exchange.running is not None and exchange.running.price:
                raise WrongUse("this request has two prices: leave one of them out")
        free = self.running
        if self.method in FREE_METHODS and not tag.is_free:
            raise Stop(self._paywall.look(tag))
        self._is_for_all = self._is_for_all and tag.is_free
        CURRENT.set(free or Unpaid.FREE)
        price = tag.fixed if tag.is_fixed else await self._ask(tag, arguments, free)
        price = price or self._paywall.price_of_free(self._bodiless(), tag)
        if price is None and free is None and not tag.is_fixed:
            await self._answer_without_price(tag)
        if price is None or (free is not None and not price.amount):
            return free
        if free is not None:  # what is further in costs something
            self.running = None
            await self._threads.run(self._paywall.abandon, free)
        answer = await self._threads.run(self._begin, await self.request(), price)
        if answer is not None:
            raise Stop(answer)
        running = self.running
        assert running is not None
        CURRENT.set(running)
        return running

    async def _ask(self, tag: PriceTag, arguments: Mapping[str, Any], free: Running | None) -> Price | None:
        """The price that a function gives."""
        try:
            price = tag.ask(StarletteRequest(self._scope, self.body.again), **arguments)
            return tag.checked(await price) if isinstance(price, Awaitable) else price
        except Stop:
            raise
        except Exception as error:
            if free is None:
                await self._answer_without_price(tag, error)
            raise

    async def _answer_without_price(self, tag: PriceTag, error: Exception | None = None) -> None:
        """Has the paywall answer a request whose price failed, or which is free by now, if the books know it.

        Raises:
            Stop: When it does, or the body cannot be read.
        """
        request = await self.request()
        if not self._paywall.needs_body(request):
            return  # it carries no payment, and who is free must not wait for a thread
        answer = await self._threads.run(self._paywall.answer_without_price, request, tag, error)
        if answer is not None:
            raise Stop(answer)

    def _begin(self, request: Request, price: Price) -> Answer | None:
        """Begins to run the request, in a thread, unless it is over by then: who is cancelled waits for nothing."""
        outcome = self._paywall.begin(request, price)
        if isinstance(outcome, Answer):
            return outcome
        with self._ending:
            if not self._is_over:
                self.running = outcome
                return None
        self._paywall.abandon(outcome)
        return None

    def mute(self) -> None:
        """Keeps the body of the application's answer back, which costs nothing then."""
        CURRENT.set(Unpaid.FREE)
        self._is_mute = True

    @property
    def is_inside(self) -> bool:
        """Whether it is a decorated view of this request that calls another."""
        return _INSIDE.get() is self

    def enter(self) -> Token[Exchange | None]:
        """Before a decorated view: what it calls is covered by its price, unlike what stands beside it."""
        return _INSIDE.set(self)

    def leave(self, token: Token[Exchange | None]) -> None:
        """After it."""
        _INSIDE.reset(token)

    def refund_failure(self, error: Exception) -> None:
        """Notes what the view has raised: it is refunded, whatever an error handler of the application answers."""
        status = error.status_code if isinstance(error, HTTPException) else None
        if self.running is not None and status is not None:
            self._paywall.fail(self.running, status)
        self._has_raised = self._has_raised or status is None or status >= HTTPStatus.BAD_REQUEST
        self._note_failure(error)

    async def watched(self, parts: AsyncIterable[_Part]) -> AsyncIterator[_Part]:
        """The parts of a stream; that its view fails is noticed also where a middleware ends it as if it were whole."""
        try:
            async for part in parts:
                yield part
        except Exception as error:
            self.refund_failure(error)
            raise

    def _note_failure(self, error: Exception) -> None:
        # What may be the client's doing must never give the money back.
        if not self.body.is_client_gone and not comes_of_cancellation(error):
            self._has_view_failed = True

    async def request(self) -> Request:
        """The request as the paywall sees it.

        Raises:
            Stop: When its body cannot be read.
        """
        request = self._bodiless()
        if not self._paywall.needs_body(request):
            return request
        return await self._with_body(request, (await self.body.again())["body"])

    async def beginning(self, size: int) -> Request:
        """The request with the first bytes of its body."""
        return await self._with_body(self._bodiless(), await self.body.beginning(size))

    def _bodiless(self) -> Request:
        query = self._scope["query_string"].decode("latin-1")
        root_path = _root_path_of_server(self._scope)
        path = _below(root_path, self._scope["path"])
        return Request(self.method, path, query, Headers(self._scope), root_path=root_path)

    async def _with_body(self, request: Request, body: bytes) -> Request:
        if not body:
            return request
        whole = replace(request, body=body)
        if not whole.has_form or not whole.may_hold_package or FIELD.encode() not in body:
            return whole
        return replace(whole, form_packages=await self._form_packages(body))

    async def _form_packages(self, body: bytes) -> tuple[str, ...]:
        if not (Headers(self._scope).get("Content-Type") or "").lower().startswith("multipart/"):
            pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True)
            return tuple(value for name, value in pairs if name == FIELD)

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        outside = {name: value for name, value in self._scope.items() if name != "app"}
        try:
            async with StarletteRequest(outside, receive).form() as form:
                return tuple(value for value in form.getlist(FIELD) if isinstance(value, str))
        except (
            MultiPartException,
            ValueError,
        ):  # some versions of Starlette let the parser's own errors pass
            return ()  # the application's business

    # --- the answer --------------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Passes a message of the application's answer on, with receipt and refund if the request was paid for."""
        if self.stopped is not None:
            return
        if message["type"] == "http.response.start":
            self._has_begun = True
            message = with_listed_headers(message)
        if self._is_mute:
            await self._send_without_body(message)
        elif self.running is None:
            if message["type"] == "http.response.start" and not self._is_for_all:
                message = kept_from_shared_caches(message)
            await self._pass_on(message)
        elif message["type"] == "http.response.start":
            self._start = message
            self._length = length_of(message)
            if self._length is None:
                await self._finish(None)  # a stream, whose first part may come late
                if self.stopped is not None:
                    raise Stop(self.stopped)  # it may have no end
        elif self._start is None:
            await self._send(message)
        elif message["type"] == "http.response.body":
            await self._collect(message)
        else:
            await self._finish(None)
            if self.stopped is None:
                await self._pass_on(message)

    async def _collect(self, message: Message) -> None:
        """Holds the parts of an answer back until it is whole, unless it is too large to be kept."""
        assert self._length is not None
        self._held += message.get("body", b"")
        is_whole = not message.get("more_body", False)
        if not is_whole and max(self._length, len(self._held)) <= self._paywall.largest_kept:
            return
        body = bytes(self._held)
        changed = await self._finish(body if is_whole else None)
        if self.stopped is None:
            await self._pass_on({**message, "body": body if changed is None else changed})

    async def _pass_on(self, message: Message) -> None:
        """Passes on a part of an answer that has begun."""
        streaming, self._streaming = self._streaming, None
        await self._send(message)  # what fails here is the connection, and not the view
        if message.get("more_body", False) or self._has_view_failed:
            self._streaming = streaming

    async def _send_without_body(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [pair for pair in message["headers"] if pair[0].lower() != b"content-length"]
            await self._send({**message, "headers": [*headers, (b"content-length", b"0")]})
            await self._send({"type": "http.response.body", "body": b""})

    async def _finish(self, body: bytes | None) -> bytes | None:
        """Ends the paid request, and sends the answer's start; returns what the body becomes, or None."""
        start, running = self._start, self.running
        assert start is not None and running is not None
        headers = decoded(start)
        self.running = None
        if self._has_raised and start["status"] < HTTPStatus.BAD_REQUEST:
            # A handler that answers as if nothing had happened keeps no money.
            self._paywall.fail(running, HTTPStatus.INTERNAL_SERVER_ERROR)
        ending = self._paywall.finish_or_defer(running, start["status"], headers, body)
        if not isinstance(ending, Ending):
            ending = await self._threads.run(ending)
        if ending.instead is not None:
            self.stopped = ending.instead
            return None
        added = list(ending.headers)
        if ending.body is not None:
            added.append(("content-length", str(len(ending.body))))
        await self._send(replacing(start, added, gone=_MONEY_HEADERS))
        if body is None:
            self._streaming = running
        return ending.body

    async def answer(self, answer: Answer) -> None:
        """Gives an answer of the paywall's own."""
        headers = [*answer.headers, ("content-length", str(len(answer.body)))]
        await self._send(
            {"type": "http.response.start", "status": answer.status, "headers": encoded(headers)}
        )
        await self._send({"type": "http.response.body", "body": answer.body})

    async def fail(self, error: Exception) -> None:
        """Answers for a view that failed before its answer began: the payer must learn what is given back.

        What fails in the middle of a stream is refunded, too.
        """
        self._note_failure(error)
        if self._streaming is not None and self._has_view_failed:
            await self._threads.run(self._paywall.break_off, self._streaming)
        if self.running is None:
            return
        self._paywall.fail(self.running, HTTPStatus.INTERNAL_SERVER_ERROR)
        self._held.clear()
        answer = await self._answer_of_host(error)
        with suppress(Stop):  # `stopped` is then what to answer
            await answer(self._scope, self.body.receive, self.send)

    async def _answer_of_host(self, error: Exception) -> ASGIApp:
        """What the application's handler of all errors answers, which Starlette asks too far outside for us."""
        failed = problem(
            HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "the request could not be answered"
        )
        answer = Response(failed.body, failed.status, dict(failed.headers))
        handlers = getattr(self._host, "exception_handlers", {})
        handler = handlers.get(Exception) or handlers.get(HTTPStatus.INTERNAL_SERVER_ERROR)
        if handler is None:
            return answer
        request = StarletteRequest(self._scope)
        try:
            if inspect.iscoroutinefunction(handler):
                return cast(ASGIApp, await handler(request, error))
            return cast(ASGIApp, await run_in_threadpool(handler, request, error))
        except Exception:
            logger.exception("the application's handler of errors failed")
            return answer

    def abandon(self) -> None:
        """Leaves a request that will not be answered to the next attempt."""
        with self._ending:
            self._is_over = True
            running, self.running = self.running, None
        if running is not None:
            self._threads.run(self._paywall.abandon, running)  # who is cancelled can wait for nothing


_INSIDE: ContextVar[Exchange | None] = ContextVar("paypercall_inside", default=None)
"""Whose decorated view is running here."""


def path_of(scope: Scope) -> str:
    """The path without the root path that a server may have put before it, as Starlette's routes see it."""
    return _below(scope.get("root_path", ""), scope["path"])


def _root_path_of_server(scope: Scope) -> str:
    """What the server was told of a proxy: a mount of Starlette adds itself to `root_path`, and keeps what it was."""
    root_path: str = scope.get("app_root_path", scope.get("root_path", ""))
    return root_path


def _below(root_path: str, path: str) -> str:
    """The path without a root path, which some servers put before it and others do not."""
    is_below = path == root_path or path.startswith(root_path.rstrip("/") + "/")
    return path.removeprefix(root_path) if is_below else path
