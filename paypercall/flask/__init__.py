"""Payable views for Flask: `@payment.required(price)`, and the channel endpoint.

It turns Flask's requests and responses into the paywall's and back; what they cost and who gets what back is decided
there. A response is looked at when all of the app's hooks and error handlers are done with it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from weakref import WeakSet

from flask import Flask, Response, current_app, has_request_context, request
from flask.signals import got_request_exception, request_finished, request_started

from paypercall.call_book import AnswerLimits
from paypercall.flask.exchange import (
    body_of,
    endpoint_body,
    is_stream,
    read_for_endpoint,
    request_of,
    request_with_form,
    response_of,
    status_of,
    take_over,
)
from paypercall.flask.routes import paths_beside
from paypercall.methods import Channel, PaymentMethod
from paypercall.obyte.amounts import BASE
from paypercall.payment_server import PaymentServer
from paypercall.paywall import (
    Answer,
    CurrentPayment,
    Endpoint,
    Paywall,
    PriceTag,
    Resource,
    Running,
    WatchedParts,
    WrongUse,
)
from paypercall.paywall.caching import cache_headers
from paypercall.paywall.current import Unpaid
from paypercall.paywall.endpoint import METHODS, check_endpoint, require_own_path
from paypercall.paywall.gate import FREE_METHODS, MONEY_HEADERS
from paypercall.paywall.price import PriceFunction
from paypercall.paywall.refunds import RefundPolicy
from paypercall.paywall.signature import require_view, unwrapped
from paypercall.server import Server
from paypercall.wire import ENDPOINT_PATH

__all__ = ["Payment", "WrongUse"]

_MARK = "__paypercall__"
_EXTENSION = "paypercall"
_VISIT = "paypercall.visit"
_IS_OVER = "paypercall.is-over"
"""That the response has begun: nothing can be charged for, or given back, any more."""

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
        tag: What the view costs.
        running: The payment, if there is one.
        answer: What the paywall answers in place of the view.
        is_inside: Whether the view is running now.
    """

    paywall: Paywall
    tag: PriceTag
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

    Raises:
        WrongUse: When the endpoint's path is none.
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
        if endpoint is not None:
            check_endpoint(endpoint)
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
        got_request_exception.connect(_fail, app)
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
            return response_of(endpoint.answer(request_with_form(endpoint_body())))

        app.add_url_rule(path, self._endpoint_name, answer, methods=METHODS, provide_automatic_options=False)

    @property
    def _endpoint_name(self) -> str:
        """By which Flask knows the channel endpoint."""
        return f"paypercall {self._endpoint}"

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

        self._unpaid_views.append(decorate)  # which a `required` without a price would have routed
        return decorate

    def _require_view(self, view: Callable[..., Any]) -> None:
        if inspect.isclass(view):
            raise WrongUse(
                "list payment.required among the `decorators` of a class view, or decorate its methods"
            )
        require_view(view)
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
            for view in unwrapped(routed_view)
        }
        for view in self._unpaid_views:
            if not routed.isdisjoint(id(inner) for inner in unwrapped(view)):
                raise WrongUse(
                    f"{view.__name__} is routed without its price: write payment.required(price) below the route"
                )

    def _require_order_once(self, app: Flask) -> None:
        if app not in self._checked_apps:
            self._require_order(app)
            if self._endpoint is not None:
                require_own_path(self._endpoint, paths_beside(app, self._endpoint_name))
            self._checked_apps.add(app)

    def _serve(
        self, tag: PriceTag, view: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        view = current_app.ensure_sync(view)
        outer: _Visit | None = request.environ.get(_VISIT)
        if outer is not None and outer.is_inside:
            return view(*args, **kwargs)  # called by another payable view, whose price covers it
        if _IS_OVER in request.environ:
            raise WrongUse("the response has begun: call payable views before a stream of yours begins")
        if outer is not None and outer.is_charged:
            raise WrongUse(
                "a request is paid for once: give the view that calls several payable ones a price"
            )
        paywall = self._paywall()
        visit = _Visit(paywall, tag)
        if request.method in FREE_METHODS and not tag.is_free:
            visit.answer = paywall.look(tag)
        else:
            outcome = _begin_to_serve(paywall, tag, kwargs)
            if isinstance(outcome, Answer):
                visit.answer = outcome
            else:
                visit.running = outcome
        if visit.running is not None and visit.running.was_paid_in_body:
            # Its refund goes there, too, and could not if the answer were compressed.
            request.environ.pop("HTTP_ACCEPT_ENCODING", None)
        request.environ[_VISIT] = visit
        if visit.answer is not None:
            return response_of(visit.answer)
        visit.is_inside = True
        try:
            return view(*args, **kwargs)
        except Exception as error:
            if visit.running is not None:
                paywall.fail(visit.running, status_of(error))
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
    """Reads the body of what may be paid for or is a payment, before a hook of the app takes a part of it."""
    request.environ.pop(_IS_OVER, None)  # of an app that was asked before this one
    payments: dict[Payment, Paywall] = app.extensions[_EXTENSION]
    for payment in payments:
        payment._require_order_once(app)
    if any(request.endpoint == payment._endpoint_name for payment in payments):
        read_for_endpoint()
        return
    view = app.view_functions.get(request.endpoint or "")
    payable = _payable(view, request.method)
    if payable is not None and payable.payment in payments:
        body_of(payments[payable.payment], payable.tag)
    elif view is not None:  # it may call a payable one, after a part of the body was taken
        for paywall in payments.values():
            body_of(paywall)


def _fail(app: Flask, **_: Any) -> None:
    """Refunds what fails outside of its view: a result that is no response, or a hook of the app."""
    visit: _Visit | None = request.environ.get(_VISIT)
    if visit is not None and visit.running is not None:
        visit.paywall.fail(visit.running, HTTPStatus.INTERNAL_SERVER_ERROR)


def _finish(app: Flask, response: Response, **_: Any) -> None:
    """Ends a paid request with the response as it will be sent."""
    visit: _Visit | None = request.environ.pop(_VISIT, None)
    request.environ[_IS_OVER] = True
    if visit is None:
        return
    if visit.answer is not None:
        if visit.answer.is_given_again:
            take_over(response, visit.answer)
        return
    if visit.running is None:
        if not visit.tag.is_free:  # others have to pay for what a cache would give them
            for name, value in cache_headers(tuple(response.headers), has_refund=False):
                response.headers.set(name, value)
        return
    is_streamed = is_stream(response)
    ending = visit.paywall.finish(
        visit.running,
        response.status_code,
        list(response.headers),
        None if is_streamed else response.get_data(),
    )
    if ending.instead is not None:
        take_over(response, ending.instead)
        return
    for name in MONEY_HEADERS:
        response.headers.remove(name)
    for name, value in ending.headers:
        response.headers.set(name, value)
    if ending.body is not None:
        response.set_data(ending.body)
    if is_streamed:
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
    view_class = getattr(view, "view_class", None)
    places = (view, getattr(view_class, method.lower(), None), getattr(view_class, "dispatch_request", None))
    marks: Iterator[_Payable] = (getattr(place, _MARK) for place in places if hasattr(place, _MARK))
    return next(marks, None)


def _begin_to_serve(paywall: Paywall, tag: PriceTag, view_args: Mapping[str, Any]) -> Answer | Running | None:
    """What happens to a request; None if its view is to be run without a payment."""
    try:
        asked = request._get_current_object()  # type: ignore[attr-defined]
        price = tag.ask_now(current_app.ensure_sync, asked, **view_args)
        price = price or paywall.price_of_free(request_of(), tag)
    except Exception as error:
        answer = paywall.answer_without_price(request_with_form(body_of(paywall)), tag, error)
        if answer is None:
            raise
        return answer
    if price is not None:
        return paywall.begin(request_with_form(body_of(paywall)), price)
    return None if tag.is_fixed else paywall.answer_without_price(request_with_form(body_of(paywall)), tag)
