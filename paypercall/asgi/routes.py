"""The routes of an application: what they cost, and which were meant to cost something and do not.

Imports no FastAPI: what it reads of one is there or not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from starlette.routing import compile_path

from paypercall.asgi.charge import Charge
from paypercall.paywall import PriceTag, WrongUse
from paypercall.paywall.endpoint import Resource
from paypercall.paywall.gate import FREE_METHODS
from paypercall.paywall.signature import unwrapped
from paypercall.wire import ANY_METHOD

MARK = "__paypercall__"
"""The attribute of a payable view that has its `Charge`."""

_TELLERS = "__paypercall_tellers__"
"""The attribute of what makes a document that has those whose prices are in it."""

_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def routes_of(app: Any) -> Sequence[Any]:
    """The routes of an application, also of one inside of middleware, which keeps it as `app`; none if it has none."""
    while app is not None:
        routes: Sequence[Any] | None = getattr(app, "routes", None)
        if routes:
            return routes
        app = getattr(app, "app", None)
    return ()


def resources_of(payment: object, routes: Iterable[Any]) -> Iterator[Resource]:
    """The price list of a `Payment`, as routes and what is mounted in them have it."""
    for path, route in _every_route(routes):
        for method, view in _views_of(route):
            calls = [*_dependencies(getattr(route, "dependant", None)), getattr(view, MARK, None)]
            charges = [call for call in calls if isinstance(call, Charge)]
            yield from (Resource(method, path, charge.tag) for charge in charges if charge.payment is payment)


def paths_of(routes: Iterable[Any]) -> Iterator[str]:
    """The paths of all that answers requests, which neither web sockets nor mounts do."""
    return (path for path, route in _every_route(routes) if hasattr(route, "methods"))


def require_payable(routes: Iterable[Any], unpaid: Collection[Callable[..., Any]]) -> None:
    """Checks that no route serves for nothing what was meant to be paid for.

    Args:
        routes: Of the application.
        unpaid: What takes no payment: views as they were before they were decorated, and what makes decorators and
            dependencies.

    Raises:
        WrongUse: When one does.
    """
    free = [inner for view in unpaid for inner in unwrapped(view)]
    for path, route in _every_route(routes):
        endpoint = getattr(route, "endpoint", None)
        if not hasattr(endpoint, MARK) and any(inner in free for inner in unwrapped(endpoint)):
            raise WrongUse(f"{path} would be free: `required` must stand below the route, next to the view")
        if any(call in unpaid for call in _dependencies(getattr(route, "dependant", None))):
            raise WrongUse(f"{path} would be free: write Depends(payments.dependency(100)), with a price")


def tell_prices(app: Any, payment: object, by_table: Collection[Resource]) -> None:
    """Has an application tell all prices in its OpenAPI document, as `x-payment-info`, if it is one of FastAPI.

    Once more changes nothing, unless the application has got another document meanwhile.

    Args:
        app: The application.
        payment: Whose prices.
        by_table: What a table of paths says; of two prices for a path, its own counts.
    """
    untold = getattr(app, "openapi", None)
    tellers = getattr(untold, _TELLERS, ())
    if untold is None or payment in tellers:
        return

    def openapi() -> dict[str, Any]:
        document: dict[str, Any] = untold()
        for resource in (*resources_of(payment, app.routes), *by_table):
            _, path, _ = compile_path(resource.path)
            for method, operation in document["paths"].get(path, {}).items():
                if resource.method in (ANY_METHOD, method.upper()):
                    operation["x-payment-info"] = _payment_info(resource.tag)
                    operation["responses"].setdefault("402", {"description": "Payment Required"})
        return document

    setattr(openapi, _TELLERS, (*tellers, payment))
    app.openapi = openapi


def _every_route(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Paths and routes, those of what is mounted included."""
    for route in routes:
        included = getattr(route, "effective_route_contexts", None)  # FastAPI's, from 0.130 on
        if included is not None:
            yield from _every_route((inner.starlette_route or inner for inner in included()), prefix)
            continue
        path = prefix + getattr(route, "path", "")
        yield path, route
        yield from _every_route(routes_of(route), path)


def _views_of(route: Any) -> Iterator[tuple[str, Any]]:
    """What answers which method of a route: its function, or the methods of its class."""
    endpoint, methods = getattr(route, "endpoint", None), getattr(route, "methods", None)
    if methods:
        yield from ((method, endpoint) for method in sorted(set(methods) - FREE_METHODS))
    elif inspect.isclass(endpoint):
        yield from ((method, getattr(endpoint, method.lower(), None)) for method in _METHODS)


def _dependencies(dependant: Any) -> Iterator[Any]:
    if dependant is None:
        return
    for inner in dependant.dependencies:
        yield inner.call
        yield from _dependencies(inner)


def _payment_info(tag: PriceTag) -> dict[str, Any]:
    if not tag.is_fixed:
        return {"price": "varies", "asset": tag.asset}
    return {"price": 0 if tag.fixed is None else tag.fixed.amount, "asset": tag.asset}
