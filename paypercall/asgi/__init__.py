"""Payable resources for ASGI: Starlette, FastAPI and, by a table of paths and prices, any other application.

The middleware does the work. The decorator and the dependency only tell it what a request costs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as StarletteRequest
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from paypercall.asgi.body import Stop
from paypercall.asgi.charge import Charge
from paypercall.asgi.exchange import SCOPE_KEY, Exchange, path_of
from paypercall.asgi.routes import MARK, paths_of, require_payable, resources_of, routes_of, tell_prices
from paypercall.asgi.table import PriceTable
from paypercall.asgi.threads import Threads
from paypercall.asynchronous import AsyncServer
from paypercall.call_book import AnswerLimits
from paypercall.methods import Channel, PaymentMethod
from paypercall.obyte.amounts import BASE
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, CurrentPayment, Paywall, PriceTag, WrongUse
from paypercall.paywall.current import CURRENT, Unpaid
from paypercall.paywall.endpoint import MAX_BODY, Endpoint, check_endpoint, require_own_path
from paypercall.paywall.price import PriceFunction
from paypercall.paywall.refunds import RefundPolicy
from paypercall.paywall.signature import require_view
from paypercall.server import Server
from paypercall.wire import ENDPOINT_PATH

__all__ = ["Payment", "PaymentMiddleware", "WrongUse"]

_POLICY_VIOLATION = 1008
"""Why a web socket is closed, in its protocol's numbers."""

_View = TypeVar("_View", bound=Callable[..., Any])


class PaymentMiddleware:
    """Takes the payments for an ASGI application.

    Args:
        app: The application.
        payment: What is to be paid for, and how.
    """

    def __init__(self, app: ASGIApp, payment: Payment) -> None:
        self.app = app
        self._payment = payment
        self._checked = (-1, -1)
        tell_prices(app, payment, payment.table.resources)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles a request; other scopes pass, except for web sockets, which cannot pay, where there is a price.

        Raises:
            WrongUse: When the application serves for nothing what was meant to be paid for, or has a route of its own
                where the endpoint is.
        """
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        own = routes_of(self.app)
        routes = own or routes_of(scope.get("app"))
        # Those of an application that this one is mounted in have other paths.
        self._check(
            scope.get("app"),
            routes,
            self._payment.endpoint_path if own or "app_root_path" not in scope else None,
        )
        if scope["type"] == "http":
            await self._handle(scope, receive, send, routes)
        elif self._payment.table.lets_socket_pass(path_of(scope) or "/"):
            await self.app(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})

    def _check(self, host: Any, routes: Sequence[Any], endpoint: str | None) -> None:
        """Looks at the routes, again when there are more of them."""
        present = (len(routes), len(self._payment.unpaid))
        if present != self._checked:
            require_payable(routes, self._payment.unpaid)
            require_own_path(endpoint, paths_of(routes))
            tell_prices(host, self._payment, self._payment.table.resources)
            self._checked = present

    async def _handle(self, scope: Scope, receive: Receive, send: Send, routes: Sequence[Any]) -> None:
        exchange = Exchange(self._payment.paywall, self._payment.threads, scope, receive, send)
        exchanges: dict[Payment, Exchange] = scope.setdefault(SCOPE_KEY, {})
        self._payment.require_place(exchange, exchanges)
        # Further in is what was charged for further out, if anything.
        token = CURRENT.set(CURRENT.get() if exchanges else Unpaid.OUTSIDE)
        exchanges[self._payment] = exchange
        try:
            if exchange.path == self._payment.endpoint_path:
                await exchange.answer(await self._payment.answer_at_endpoint(exchange, routes))
                return
            await self._payment.charge_by_table(exchange)
            await self.app(scope, exchange.body.receive, exchange.send)
        except Stop:
            if exchange.stopped is None:  # it is of another Payment, further out
                raise
        except Exception as error:
            await exchange.fail(error)
            if exchange.stopped is None:
                raise
        finally:
            exchange.abandon()
            CURRENT.reset(token)
            del exchanges[self._payment]
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

    Raises:
        WrongPrice: When a price makes no sense.
        WrongUse: When no request can have the endpoint's path, or one in the table, or when both have the same.
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
        if endpoint is not None:
            check_endpoint(endpoint)
        self.endpoint = endpoint
        self.endpoint_path = None if endpoint is None else unquote(endpoint)  # as requests have it
        self.table = PriceTable(prices or {})
        require_own_path(self.endpoint_path, [resource.path for resource in self.table.resources])
        self.unpaid: list[Callable[..., Any]] = [self.required, self.dependency]
        self.server = _payment_server(server, answers)
        self.paywall = Paywall(self.server.calls, methods or [Channel(self.server, endpoint)], refunds)
        self.threads = Threads()
        if app is not None:
            app.add_middleware(PaymentMiddleware, payment=self)
            tell_prices(app, self, self.table.resources)
        self.server.server.start_node()

    def required(self, price: int | PriceFunction | None, asset: str = BASE) -> Callable[[_View], _View]:
        """Decorates an endpoint of Starlette, a function or a method of an `HTTPEndpoint`: it costs that much.

        Args:
            price: In bytes or units of the asset, 0 or None for free, or a function, sync or async, of the request and
                the path's parameters.
            asset: `base` or an asset's id.

        Raises:
            WrongPrice: When the price makes no sense.
            WrongUse: When what is decorated is no view, or payable already.
        """
        charge = Charge(self, PriceTag(price, asset))

        def decorate(view: _View) -> _View:
            require_view(view)
            if hasattr(view, MARK):
                raise WrongUse(f"{view!r} is payable already; give it one price")
            self.unpaid.append(view)
            run = _awaitable(view)

            @functools.wraps(view)
            async def paid(*arguments: Any) -> Any:
                request: StarletteRequest = arguments[-1]  # a method of an HTTPEndpoint has itself before it
                exchange = charge.exchange_of(request)
                if exchange.is_inside:  # called by another payable view, whose price covers it
                    return await run(*arguments)
                await exchange.charge(charge.tag, request.path_params)
                token = exchange.enter()
                try:
                    answer = await run(*arguments)
                    if not callable(answer):
                        raise WrongUse(f"a view must return a response, not {type(answer).__name__}")
                except Exception as error:
                    exchange.refund_failure(error)
                    raise
                finally:
                    exchange.leave(token)
                if isinstance(answer, StreamingResponse):
                    answer.body_iterator = exchange.watched(answer.body_iterator)
                return answer

            setattr(paid, MARK, charge)
            return paid  # type: ignore[return-value]

        self.unpaid.append(decorate)
        return decorate

    def dependency(self, price: int | PriceFunction | None, asset: str = BASE) -> Charge:
        """A dependency of FastAPI that takes the payment; its value is the `Running` payment, None where it is free.

        For a view with the parameter `payment: Annotated[Running, Depends(payments.dependency(100))]`, or for a whole
        route or router with `dependencies=[Depends(payments.dependency(100))]`. The arguments are those of `required`.

        Raises:
            WrongPrice: When the price makes no sense.
        """
        return Charge(self, PriceTag(price, asset))

    # --- for the middleware ------------------------------------------------------------------------------------------

    def require_place(self, exchange: Exchange, others: Mapping[Payment, Exchange]) -> None:
        """Checks that this is the only middleware of its kind that the request passes.

        Args:
            exchange: The request's, here.
            others: The request's, in the middleware further out.

        Raises:
            WrongUse: When it is not.
        """
        if self in others:
            raise WrongUse("the payment middleware is installed twice: leave one of them out")
        for other, outside in others.items():
            if self.endpoint is not None and (self.endpoint, exchange.path) == (other.endpoint, outside.path):
                raise WrongUse(f"two Payments have the endpoint {self.endpoint}: give one of them another")

    async def charge_by_table(self, exchange: Exchange) -> None:
        """Takes the payment for a request whose path is in the table of prices.

        Raises:
            Stop: When the paywall answers itself.
        """
        path = exchange.path or "/"
        refusal = self.table.refusal(exchange.method, path)
        if refusal is not None:
            exchange.stop(refusal)
        found = self.table.find(exchange.method, path)
        if found is None:
            return
        tag, arguments = found
        if exchange.method == "OPTIONS" and not tag.is_free:
            exchange.mute()  # for CORS, which may be dealt with further in
        else:
            await exchange.charge(tag, arguments)

    async def answer_at_endpoint(self, exchange: Exchange, routes: Sequence[Any]) -> Answer:
        """The channel endpoint's answer."""
        assert self.endpoint is not None
        endpoint = Endpoint(
            self.server, lambda: [*self.table.resources, *resources_of(self, routes)], self.endpoint
        )
        return await self.threads.run(endpoint.answer, await exchange.beginning(MAX_BODY + 1))


def _awaitable(view: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    return view if inspect.iscoroutinefunction(view) else functools.partial(run_in_threadpool, view)


def _payment_server(
    server: Server | AsyncServer | PaymentServer | None, answers: AnswerLimits | None
) -> PaymentServer:
    if isinstance(server, PaymentServer):
        if answers is not None:
            raise WrongUse("give `answers` to the PaymentServer, which keeps them")
        return server
    return PaymentServer(server.party if isinstance(server, AsyncServer) else server, answers=answers)
