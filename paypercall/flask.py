"""Payable views for Flask: `@payment.required(price)`, and the channel endpoint.

It turns Flask's requests and responses into the paywall's and back; what they cost and who gets what back is decided
there. A response is looked at when all of the app's hooks and error handlers are done with it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any, TypeVar, cast
from weakref import WeakSet

from flask import Flask, Response, current_app, has_request_context, request
from flask.signals import request_finished, request_started
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wsgi import LimitedStream

from paypercall.call_book import AnswerLimits
from paypercall.methods import Channel, PaymentMethod
from paypercall.obyte.amounts import BASE
from paypercall.payment_server import PaymentServer
from paypercall.paywall import (
    Answer,
    CurrentPayment,
    Endpoint,
    Paywall,
    Price,
    PriceTag,
    Request,
    Resource,
    Running,
    WatchedParts,
    WrongUse,
)
from paypercall.paywall.current import Unpaid
from paypercall.paywall.endpoint import MAX_BODY, METHODS
from paypercall.paywall.gate import FREE_METHODS, MONEY_HEADERS
from paypercall.paywall.price import PriceFunction
from paypercall.paywall.refunds import RefundPolicy
from paypercall.paywall.request import MAX_PAID_BODY
from paypercall.server import Server
from paypercall.wire import ENDPOINT_PATH, FIELD

__all__ = ["Payment", "WrongUse"]

_MARK = "__paypercall__"
_EXTENSION = "paypercall"
_VISIT = "paypercall.visit"

_ViewT = TypeVar("_ViewT", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Payable:
    """What a view is marked with."""

    payment: Payment
    tag: PriceTag


@dataclass(slots=True)
class _Visit:
    """A request to a payable view, until its response is made.

    Attributes:
        paywall: Of the app.
        running: The payment, if there is one.
        answer: What the paywall answers in place of the view.
        is_inside: Whether the view is running now.
    """

    paywall: Paywall
    running: Running | None = None
    answer: Answer | None = None
    is_inside: bool = False

    @property
    def is_charged(self) -> bool:
        """Whether it was paid for, or has been asked to be."""
        return self.running is not None or self.answer is not None


class Payment(CurrentPayment):
    """Charges for views of Flask apps.

    Args:
        app: The app, or None to call `init_app` later.
        server: The merchant; by default one is made, in `init_app`, with the settings of the project's conf.
        endpoint: The path of the channel endpoint, or None for none.
        methods: The ways to pay, in this order; by default over channels.
        refunds: Which answers are refunded, by their status; by default all from 400 on.
        answers: How answers are kept, to be given again; not together with a `PaymentServer`, which has its own.
    """

    def __init__(
        self,
        app: Flask | None = None,
        server: Server | PaymentServer | None = None,
        endpoint: str | None = ENDPOINT_PATH,
        methods: Sequence[PaymentMethod] | None = None,
        refunds: RefundPolicy | None = None,
        answers: AnswerLimits | None = None,
    ) -> None:
        self._server = server
        self._made_server: PaymentServer | None = None
        self._endpoint = endpoint
        self._methods = methods
        self._refunds = refunds
        self._answers = answers
        self._apps: WeakSet[Flask] = WeakSet()
        self._checked_apps: WeakSet[Flask] = WeakSet()
        self._unpaid_views: list[Callable[..., Any]] = []
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, server: Server | PaymentServer | None = None) -> None:
        """Lets an app charge for its views, and starts watching the ledger for it.

        Args:
            app: The app.
            server: The merchant, for a factory that makes it together with the app.
        """
        payment_server = self._payment_server(server or self._server)
        methods = self._methods or [Channel(payment_server, self._endpoint)]
        app.extensions.setdefault(_EXTENSION, {})[self] = Paywall(
            payment_server.calls, methods, self._refunds
        )
        self._apps.add(app)
        request_started.connect(_begin, app)
        request_finished.connect(_finish, app)
        app.teardown_request(_clean_up)
        if self._endpoint is not None:
            self._add_endpoint(app, payment_server, self._endpoint)
        payment_server.server.start_node()

    def _payment_server(self, server: Server | PaymentServer | None) -> PaymentServer:
        if server is None:
            self._made_server = self._made_server or PaymentServer(answers=self._answers)
            return self._made_server
        if not isinstance(server, PaymentServer):
            return PaymentServer(server, answers=self._answers)
        if self._answers is not None:
            raise WrongUse("give `answers` to the PaymentServer, which keeps them")
        return server

    def _add_endpoint(self, app: Flask, server: PaymentServer, path: str) -> None:
        endpoint = Endpoint(server, lambda: self._resources(app), path)

        def answer() -> Response:
            body = request.stream.read(MAX_BODY + 1)
            request.stream = BytesIO(body)
            return _response(endpoint.answer(_request_with_form(body)))

        name = f"paypercall {path}"
        app.add_url_rule(path, name, answer, methods=METHODS, provide_automatic_options=False)

    def _resources(self, app: Flask) -> Iterator[Resource]:
        """The price list, as the app's routes have it."""
        for rule in app.url_map.iter_rules():
            for method in sorted((rule.methods or set()) - FREE_METHODS):
                payable = _payable(app.view_functions.get(rule.endpoint), method)
                if payable is not None and payable.payment is self:
                    yield Resource(method, rule.rule, payable.tag)

    # --- views -------------------------------------------------------------------------------------------------------

    def required(
        self, price: int | PriceFunction | None, asset: str = BASE
    ) -> Callable[[_ViewT], Callable[..., Any]]:
        """Makes a view payable: `@payment.required(100)` below the route, or in `decorators` of a class view.

        Args:
            price: In bytes or units of the asset; 0 or None is free. A function, which may be async, gets the request
                and the view's arguments.
            asset: `base` or an asset's id.

        Raises:
            WrongPrice: When the price is something else.
            Refusal: With `wrong_asset`.
            WrongUse: When what is decorated is no view, is payable already, or was routed before.
        """
        tag = PriceTag(price, asset)

        def decorate(view: _ViewT) -> Callable[..., Any]:
            self._require_view(view)

            @functools.wraps(view)
            def payable(*args: Any, **kwargs: Any) -> Any:
                return self._serve(tag, view, args, kwargs)

            setattr(payable, _MARK, _Payable(self, tag))
            return payable

        return decorate

    def _require_view(self, view: Callable[..., Any]) -> None:
        if inspect.isclass(view):
            raise WrongUse(
                "list payment.required among the `decorators` of a class view, or decorate its methods"
            )
        if hasattr(view, _MARK):
            raise WrongUse(f"the view {view.__name__} is payable already; give it one price")
        self._unpaid_views.append(view)
        for app in self._apps:
            self._require_order(app)

    def _require_order(self, app: Flask) -> None:
        """Refuses views that an app would serve for nothing, since they were routed before they became payable."""
        routed = {
            id(view)
            for routed_view in app.view_functions.values()
            if not hasattr(routed_view, _MARK)
            for view in _unwrapped(routed_view)
        }
        for view in self._unpaid_views:
            if not routed.isdisjoint(id(inner) for inner in _unwrapped(view)):
                raise WrongUse(
                    f"the view {view.__name__} is routed without its price: write payment.required below the route"
                )

    def _require_order_once(self, app: Flask) -> None:
        if app not in self._checked_apps:
            self._require_order(app)
            self._checked_apps.add(app)

    def _serve(
        self, tag: PriceTag, view: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        view = current_app.ensure_sync(view)
        outer: _Visit | None = request.environ.get(_VISIT)
        if outer is not None and outer.is_inside:
            return view(*args, **kwargs)  # called by another payable view, whose price covers it
        if outer is not None and outer.is_charged:
            raise WrongUse(
                "a request is paid for once: give the view that calls several payable ones a price"
            )
        paywall = self._paywall()
        visit = _Visit(paywall)
        if request.method in FREE_METHODS and not tag.is_free:
            visit.answer = paywall.look(tag)
        elif (price := _price(tag, kwargs) or paywall.price_of_free(_request(b""), tag)) is not None:
            outcome = paywall.begin(_request_with_form(_body(paywall)), price)
            if isinstance(outcome, Answer):
                visit.answer = outcome
            else:
                visit.running = outcome
        request.environ[_VISIT] = visit
        if visit.answer is not None:
            return _response(visit.answer)
        visit.is_inside = True
        try:
            return view(*args, **kwargs)
        except Exception as error:
            if visit.running is not None:
                paywall.fail(visit.running, _status_of(error))
            raise
        finally:
            visit.is_inside = False

    def _paywall(self) -> Paywall:
        paywalls: dict[Payment, Paywall] = current_app.extensions.get(_EXTENSION, {})
        if self not in paywalls:
            raise WrongUse("call init_app of the Payment with this app first")
        return paywalls[self]

    def _current(self) -> Running | Unpaid:
        """Of the request, so that hooks and error handlers of the app can ask, too."""
        visit: _Visit | None = request.environ.get(_VISIT) if has_request_context() else None
        if visit is None:
            return Unpaid.OUTSIDE
        return visit.running or Unpaid.FREE


# --- the app's hooks -------------------------------------------------------------------------------------------------


def _begin(app: Flask, **_: Any) -> None:
    """Reads the body of what may be paid for, before a hook of the app takes a part of it."""
    payments: dict[Payment, Paywall] = app.extensions[_EXTENSION]
    for payment in payments:
        payment._require_order_once(app)
    payable = _payable(app.view_functions.get(request.endpoint or ""), request.method)
    if payable is not None and payable.payment in payments:
        _body(payments[payable.payment], payable.tag)


def _finish(app: Flask, response: Response, **_: Any) -> None:
    """Ends a paid request with the response as it will be sent."""
    visit: _Visit | None = request.environ.pop(_VISIT, None)
    if visit is None:
        return
    if visit.answer is not None:
        if visit.answer.is_given_again:
            _take_over(response, visit.answer)
        return
    if visit.running is None:
        return
    is_stream = _is_stream(response)
    ending = visit.paywall.finish(
        visit.running,
        response.status_code,
        list(response.headers),
        None if is_stream else response.get_data(),
        content_type=response.content_type or "",
    )
    if ending.instead is not None:
        _take_over(response, ending.instead)
        return
    for name in MONEY_HEADERS:
        response.headers.remove(name)
    for name, value in ending.headers:
        response.headers.set(name, value)
    if ending.body is not None:
        response.set_data(ending.body)
    if is_stream:
        parts: Iterable[Any] = response.response
        break_off = functools.partial(visit.paywall.break_off, visit.running)
        response.response = WatchedParts(parts, break_off)


def _clean_up(error: BaseException | None) -> None:
    """Ends a paid request that came to no response: with an exception that is passed on, or with its worker."""
    visit: _Visit | None = request.environ.pop(_VISIT, None)
    if visit is None or visit.running is None:
        return
    if isinstance(error, Exception):
        visit.paywall.finish(visit.running, HTTPStatus.INTERNAL_SERVER_ERROR, (), None)
    else:
        visit.paywall.abandon(visit.running)


# --- between Flask and the paywall -----------------------------------------------------------------------------------


def _payable(view: object, method: str) -> _Payable | None:
    """The price of a view, or of the method of a class view that answers an HTTP method."""
    payable: _Payable | None = getattr(view, _MARK, None)
    if payable is None:
        payable = getattr(getattr(getattr(view, "view_class", None), method.lower(), None), _MARK, None)
    return payable


def _unwrapped(view: object) -> Iterator[object]:
    """A view, and what decorators have wrapped in it."""
    while view is not None:
        yield view
        view = getattr(view, "__wrapped__", None)


def _price(tag: PriceTag, view_args: Mapping[str, Any]) -> Price | None:
    asked = tag.ask(request._get_current_object(), **view_args)  # type: ignore[attr-defined]
    if not isinstance(asked, Awaitable):
        return asked

    async def wait() -> object:
        return await asked

    return tag.checked(current_app.ensure_sync(wait)())


def _body(paywall: Paywall, tag: PriceTag | None = None) -> bytes:
    """The body, as far as the paywall needs it; the view can still read it in every way.

    Raises:
        RequestEntityTooLarge: When it is above the app's limit, or ours if the app has none.
    """
    if not paywall.needs_body(_request(b""), tag):
        return b""
    if request.max_content_length is None:
        if (request.content_length or 0) > MAX_PAID_BODY:
            raise RequestEntityTooLarge
        limited = LimitedStream(request.stream, MAX_PAID_BODY + 1, is_max=True)
        request.stream = cast(IO[bytes], limited)
    body = request.get_data()
    request.stream.read(1)  # a body without a length is cut at the limit, and only who reads on is told so
    request.stream = request.environ["wsgi.input"] = BytesIO(body)
    return body


def _request(body: bytes) -> Request:
    query = request.query_string.decode("utf-8", "surrogateescape")
    return Request(request.method, _mount() + request.path, query, request.headers, body)


def _mount() -> str:
    """Where the application is mounted, without what a proxy in front of it says to have taken off the path."""
    root = request.root_path
    before_proxy = request.environ.get("werkzeug.proxy_fix.orig")
    if before_proxy is None:
        return root
    prefixes = (
        prefix.strip().rstrip("/") for prefix in request.headers.get("X-Forwarded-Prefix", "").split(",")
    )
    taken_off = next((prefix for prefix in prefixes if prefix and f"{root}/".startswith(f"{prefix}/")), None)
    if taken_off is None:
        return root
    mount: str = before_proxy["SCRIPT_NAME"] + root.removeprefix(taken_off)
    return mount


def _request_with_form(body: bytes) -> Request:
    seen = _request(body)
    if not seen.has_form or not seen.may_hold_package:
        return seen
    return replace(seen, form_packages=tuple(request.form.getlist(FIELD)))


def _response(answer: Answer) -> Response:
    response = current_app.response_class()
    _take_over(response, answer)
    return response


def _is_stream(response: Response) -> bool:
    # Flask turns an HTTPException into a response whose body is an iterator, but of known length.
    is_whole_error = (
        response.status_code >= HTTPStatus.MULTIPLE_CHOICES and response.content_length is not None
    )
    return response.direct_passthrough or (response.is_streamed and not is_whole_error)


def _take_over(response: Response, answer: Answer) -> None:
    response.status_code = answer.status
    response.headers = Headers(list(answer.headers))
    response.set_data(answer.body)


def _status_of(error: Exception) -> int:
    """The status that an exception stands for."""
    if not isinstance(error, HTTPException):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return error.get_response().status_code
