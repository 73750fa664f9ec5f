"""Prices that cannot be told a second time, behind a real server: what was bought is answered again all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware
from tests.asgi.running_app import serving
from tests.paywall.merchant import Shop, open_shop

SOLD: list[str] = []
"""What was sold, or tried to be, each time."""

FRAMEWORKS = ["fastapi", "starlette", "table"]


async def price(request: Request, framework: str, name: str) -> Any:
    """Of things of which there is one of each."""
    if f"{framework} {name}" not in SOLD:
        return 100
    if name == "gone":
        raise HTTPException(404)
    if name == "fails":
        raise LookupError(name)
    return {"nonsense": "much", "free": None}[name]


def sell(framework: str, name: str) -> dict[str, Any]:
    SOLD.append(f"{framework} {name}")
    if name == "fails":
        raise RuntimeError("the view is broken")
    return {"sold": len(SOLD)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
def url(shop: Shop) -> Iterator[str]:
    """One application in another, so that one server is enough."""
    by_dependency, of_decorator = FastAPI(), Payment(None, shop.server, endpoint="/decorated")
    charge = Payment(by_dependency, shop.server, endpoint="/depends").dependency(price)

    @by_dependency.post("/{framework}/{name}", dependencies=[Depends(charge)])
    def depends(framework: str, name: str) -> dict[str, Any]:
        return sell(framework, name)

    @of_decorator.required(price)
    async def decorated(request: Request) -> JSONResponse:
        return JSONResponse(sell(**request.path_params))

    by_decorator = Starlette(routes=[Route("/{framework}/{name}", decorated, methods=["POST"])])
    by_decorator.add_middleware(PaymentMiddleware, payment=of_decorator)

    async def priced(scope: Any, receive: Any, send: Any) -> None:
        _, framework, name = scope["path"].split("/")
        await JSONResponse(sell(framework, name))(scope, receive, send)

    table = Payment(None, shop.server, prices={"/{framework}/{name}": price})
    applications = dict(
        zip(FRAMEWORKS, (by_dependency, by_decorator, PaymentMiddleware(priced, table)), strict=True)
    )

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await applications[scope["path"].split("/")[1]](scope, receive, send)

    with serving(application) as url:
        yield url


def in_header(package: dict[str, Any]) -> dict[str, Any]:
    return {"headers": {wire.PACKAGE: wire.encode_package(package)}, "data": b"body"}


def in_json(package: dict[str, Any]) -> dict[str, Any]:
    return {"json": {wire.FIELD: package}}


def in_form(package: dict[str, Any]) -> dict[str, Any]:
    return {"data": {wire.FIELD: wire.encode_package(package)}}


@pytest.mark.parametrize(
    ("name", "pay", "status"),
    [("gone", in_header, 404), ("nonsense", in_form, 500), ("free", in_json, 200)],
)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_answer_is_given_again_though_its_price_cannot_be_told_any_more(
    shop: Shop, url: str, framework: str, name: str, pay: Any, status: int
) -> None:
    payment, place = pay(shop.pay()), f"{url}/{framework}/{name}"
    first, again = (requests.post(place, **payment, timeout=20) for _ in range(2))
    assert first.status_code == 200
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers[wire.RECEIPT] == first.headers[wire.RECEIPT]
    late = requests.post(place, **pay(shop.pay()), timeout=20)
    assert late.status_code == (500 if framework == "table" and status == 404 else status)
    assert wire.RECEIPT not in late.headers, "nothing is taken"


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_refund_can_be_fetched_though_the_price_cannot_be_told_any_more(
    shop: Shop, url: str, framework: str
) -> None:
    payment, place = in_header(shop.pay()), f"{url}/{framework}/fails"
    first, again = (requests.post(place, **payment, timeout=20) for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.headers[wire.PACKAGE] == again.headers[wire.PACKAGE]
    assert wire.decode_receipt(again.headers[wire.RECEIPT])["refund"] == 100
