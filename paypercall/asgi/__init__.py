"""Payable resources for ASGI: Starlette, FastAPI and, by a table of paths and prices, any other application.

The middleware does the work. The decorator and the dependency only tell it what a request costs.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor
from starlette.requests import Request as StarletteRequest
from starlette.responses import StreamingResponse
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from paypercall.asgi.charge import Charge, resources_of, tell_prices
from paypercall.asgi.exchange import SCOPE_KEY, Exchange, Stop, exchange_of, path_of
from paypercall.asynchronous import AsyncServer
from paypercall.call_book import AnswerLimits
from paypercall.methods import Channel, PaymentMethod
from paypercall.obyte.amounts import BASE
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, CurrentPayment, Paywall, PriceTag, WrongUse
from paypercall.paywall.answer import problem
from paypercall.paywall.current import CURRENT, Unpaid
from paypercall.paywall.endpoint import MAX_BODY, Endpoint, Resource
from paypercall.paywall.price import PriceFunction
from paypercall.paywall.refunds import RefundPolicy
from paypercall.server import Server
from paypercall.wire import ANY_METHOD, ENDPOINT_PATH

__all__ = ["Payment", "PaymentMiddleware", "WrongUse"]

MAX_THREADS = 32
"""Requests whose payment is looked at at once; more wait their turn."""

_POLICY_VIOLATION = 1008
"""Why a web socket is closed, in its protocol's numbers."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_View = TypeVar("_View", bound=Callable[..., Any])
_Row = tuple[str | None, str, re.Pattern[str], Mapping[str, Convertor[Any]], PriceTag]


class PaymentMiddleware:
    """Takes the payments for an ASGI application.

    Args:
        app: The application.
        payment: What is to be paid for, and how.
    """

    def __init__(self, app: ASGIApp, payment: Payment) -> None:
        self._app = app
        self._payment = payment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request; other scopes pass, except for web sockets, which cannot pay, where there is a price."""
        if scope["type"] == "websocket" and self._payment.has_price(scope):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(self._payment.paywall, self._payment.in_thread, scope, receive, send)
        scope[SCOPE_KEY] = exchange
        token = CURRENT.set(Unpaid.OUTSIDE)
        try:
            if path_of(scope) == self._payment.endpoint:
                await exchange.answer(await self._payment.answer_at_endpoint(scope, exchange))
                return
            await self._payment.charge_by_table(scope, exchange)
            await self._app(scope, exchange.body.receive, exchange.send)
        except Stop as stop:
            exchange.stopped = stop.answer
        except Exception as error:
            await exchange.fail(error)
            if exchange.stopped is None:
                raise
        finally:
            exchange.abandon()
            CURRENT.reset(token)
        if exchange.stopped is not None:
            await exchange.answer(exchange.stopped)


class Payment(CurrentPayment):
    """What is to be paid for in an ASGI application. It starts watching the ledger, as whoever may be paid must.

    Args:
        app: A Starlette or FastAPI application, in which the middleware is installed; for others, wrap them in
            `PaymentMiddleware`.
        server: Takes the payments; by default one with the settings of the host's project.
        endpoint: The path of the channel endpoint, or None for none.
        prices: What paths cost, by path (`/items/{id}`) or method and path (`POST /items`). The first that fits
            counts. A function gets the request and the path's parameters. An answer to OPTIONS loses its body. Paths
            are compared with their case: the application must do so, too.
        methods: The ways to pay; by default over channels.
        refunds: Which answers are refunded, by their status; by default all from 400 on.
        answers: How answers are kept, to be given again.
    """

    def __init__(
        self,
        app: Starlette | None = None,
        server: Server | AsyncServer | PaymentServer | None = None,
        *,
        endpoint: str | None = ENDPOINT_PATH,
        prices: Mapping[str, int | PriceFunction | PriceTag | None] | None = None,
        methods: Sequence[PaymentMethod] | None = None,
        refunds: RefundPolicy | None = None,
        answers: AnswerLimits | None = None,
    ) -> None:
        self.server = _payment_server(server, answers)
        self.paywall = Paywall(self.server.calls, methods or [Channel(self.server, endpoint)], refunds)
        self.endpoint = endpoint
        self._table = [_row(rule, price) for rule, price in (prices or {}).items()]
        self._by_table = [
            Resource(method or ANY_METHOD, path, tag) for method, path, _, _, tag in self._table
        ]
        self._process = os.getpid()
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="paypercall-asgi")
        if app is not None:
            app.add_middleware(PaymentMiddleware, payment=self)
            if hasattr(app, "openapi"):
                tell_prices(app, self._by_table)
        self.server.server.start_node()

    def required(self, price: int | PriceFunction | None, asset: str = BASE) -> Callable[[_View], _View]:
        """Decorates an endpoint of Starlette, a function or a method of an `HTTPEndpoint`: it costs that much.

        Args:
            price: In bytes or units of the asset, 0 or None for free, or a function, sync or async, of the request and
                the path's parameters.
            asset: `base` or an asset's id.

        Raises:
            WrongPrice: When the price makes no sense.
        """
        tag = PriceTag(price, asset)

        def decorate(view: _View) -> _View:
            @functools.wraps(view)
            async def paid(*arguments: Any) -> Any:
                request: StarletteRequest = arguments[-1]  # a method of an HTTPEndpoint has itself before it
                exchange = exchange_of(request)
                await exchange.charge(tag, request.path_params)
                with exchange.refunding_failures():
                    if inspect.iscoroutinefunction(view):
                        answer = await view(*arguments)
                    else:
                        answer = await run_in_threadpool(view, *arguments)
                if isinstance(answer, StreamingResponse):
                    answer.body_iterator = exchange.watched(answer.body_iterator)
                return answer

            paid.price_tag = tag  # type: ignore[attr-defined]
            return paid  # type: ignore[return-value]

        return decorate

    def dependency(self, price: int | PriceFunction | None, asset: str = BASE) -> Charge:
        """A dependency of FastAPI that takes the payment; its value is the `Running` payment, None where it is free.

        For a view with the parameter `payment: Annotated[Running, Depends(payments.dependency(100))]`, or for a whole
        route or router with `dependencies=[Depends(payments.dependency(100))]`. The arguments are those of `required`.

        Raises:
            WrongPrice: When the price makes no sense.
        """
        return Charge(PriceTag(price, asset))

    # --- for the middleware ------------------------------------------------------------------------------------------

    async def charge_by_table(self, scope: Scope, exchange: Exchange) -> None:
        """Takes the payment for a request whose path is in the table of prices.

        Raises:
            Stop: When the paywall answers itself.
        """
        path = path_of(scope)
        found = self._price_of(exchange.method, path)
        if found is None:
            self._require_no_price(exchange.method, path)
            return
        tag, arguments = found
        if exchange.method == "OPTIONS" and not tag.is_free:
            exchange.mute()  # for CORS, which may be dealt with further in
        else:
            await exchange.charge(tag, arguments)

    def _require_no_price(self, method: str, path: str) -> None:
        """Refuses a path that an application may take for one with a price, as one that serves files does."""
        plain = "/" + posixpath.normpath(path).strip("/")
        for other in (plain, plain + "/"):
            found = self._price_of(method, other)
            if found is not None and not found[0].is_free:
                raise Stop(problem(HTTPStatus.NOT_FOUND, "other_spelling", f"this is at {other}"))

    def has_price(self, scope: Scope) -> bool:
        """Whether the table has a price for the path of a web socket."""
        found = self._price_of("GET", path_of(scope))
        return found is not None and not found[0].is_free

    def _price_of(self, method: str, path: str) -> tuple[PriceTag, dict[str, Any]] | None:
        # What answers a GET answers a HEAD.
        asked = "GET" if method == "HEAD" else method
        for priced, _, pattern, converters, tag in self._table:
            match = pattern.match(path)
            if match is not None and priced in (None, asked):
                return tag, {name: converters[name].convert(text) for name, text in match.groupdict().items()}
        return None

    async def answer_at_endpoint(self, scope: Scope, exchange: Exchange) -> Answer:
        """The channel endpoint's answer."""
        assert self.endpoint is not None
        routes = getattr(scope.get("app"), "routes", ())  # as a framework notes them
        endpoint = Endpoint(self.server, lambda: [*self._by_table, *resources_of(routes)], self.endpoint)
        return await self.in_thread(endpoint.answer, await exchange.beginning(MAX_BODY + 1))

    def in_thread(
        self, function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> asyncio.Future[_Result]:
        """Runs what touches the books outside of the loop."""
        if self._process != os.getpid():  # a forked worker has none of its parent's threads
            self._process = os.getpid()
            self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="paypercall-asgi")
        call = functools.partial(function, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._threads, call)


def _payment_server(
    server: Server | AsyncServer | PaymentServer | None, answers: AnswerLimits | None
) -> PaymentServer:
    if isinstance(server, PaymentServer):
        if answers is not None:
            raise WrongUse("give `answers` to the PaymentServer, which keeps them")
        return server
    return PaymentServer(server.party if isinstance(server, AsyncServer) else server, answers=answers)


def _row(rule: str, price: int | PriceFunction | PriceTag | None) -> _Row:
    method, _, path = rule.rpartition(" ")
    pattern, _, converters = compile_path(path)
    return (
        method.upper() or None,
        path,
        pattern,
        converters,
        price if isinstance(price, PriceTag) else PriceTag(price),
    )
