"""Prices of FastAPI routes: a dependency that takes the payment, and what the OpenAPI document says of it.

Imports no FastAPI: what it needs of a request is Starlette's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from starlette.requests import Request as StarletteRequest
from starlette.routing import compile_path

from paypercall.asgi.exchange import exchange_of
from paypercall.paywall import PriceTag, Running
from paypercall.paywall.endpoint import Resource
from paypercall.paywall.gate import FREE_METHODS
from paypercall.wire import ANY_METHOD


class Charge:
    """A dependency of FastAPI that takes a payment.

    Args:
        tag: What is to be paid.
    """

    def __init__(self, tag: PriceTag) -> None:
        self.tag = tag

    async def __call__(self, request: StarletteRequest) -> AsyncIterator[Running | None]:
        """Takes the payment for a request, and refunds it if the view fails."""
        exchange = exchange_of(request)
        running = await exchange.charge(self.tag, request.path_params)
        with exchange.refunding_failures():
            yield running


def tell_prices(app: Any, by_table: Sequence[Resource]) -> None:
    """Has a FastAPI application tell all prices in its OpenAPI document, as `x-payment-info`.

    Args:
        app: The application.
        by_table: What a table of paths says; of two prices for a path, its own counts.
    """
    untold = app.openapi

    def openapi() -> dict[str, Any]:
        document: dict[str, Any] = untold()
        for resource in (*resources_of(app.routes), *by_table):
            _, path, _ = compile_path(resource.path)
            for method, operation in document["paths"].get(path, {}).items():
                if resource.method in (ANY_METHOD, method.upper()):
                    operation["x-payment-info"] = _payment_info(resource.tag)
                    operation["responses"].setdefault("402", {"description": "Payment Required"})
        return document

    app.openapi = openapi


def resources_of(routes: Iterable[Any], prefix: str = "") -> Iterator[Resource]:
    """The price list of an application's routes, those of what is mounted in it included."""
    for route in routes:
        path = prefix + getattr(route, "path", "")
        yield from resources_of(getattr(route, "routes", None) or (), path)
        tags = [charge.tag for charge in _charges(getattr(route, "dependant", None))]
        tag = getattr(getattr(route, "endpoint", None), "price_tag", None)
        for method in sorted(set(getattr(route, "methods", None) or ()) - FREE_METHODS):
            yield from (Resource(method, path, tag) for tag in ([*tags, tag] if tag else tags))


def _charges(dependant: Any) -> Iterator[Charge]:
    if dependant is None:
        return
    if isinstance(dependant.call, Charge):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _charges(inner)


def _payment_info(tag: PriceTag) -> dict[str, Any]:
    if not tag.is_fixed:
        return {"price": "varies", "asset": tag.asset}
    return {"price": 0 if tag.fixed is None else tag.fixed.amount, "asset": tag.asset}
