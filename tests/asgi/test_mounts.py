"""Mounted applications behind a real server: where they are mounted tells requests apart, a proxy does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware
from tests.asgi.running_app import serving
from tests.paywall.merchant import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def charged_outside(shop: Shop) -> Any:
    """One middleware around all that is mounted."""
    payment = Payment(None, shop.server)

    @payment.required(100)
    async def where(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url.path)

    inner = [Route("/where", where)]
    return PaymentMiddleware(
        Starlette(routes=[Mount("/v1", routes=inner), Mount("/v2", Starlette(routes=inner))]), payment
    )


def charged_inside(shop: Shop) -> Any:
    """A payable application with its middleware, mounted twice, the second time below another mount."""
    inner = FastAPI()
    payment = Payment(inner, shop.server)

    @inner.get("/where", dependencies=[Depends(payment.dependency(100))])
    async def where(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url.path)

    return Starlette(routes=[Mount("/v1", inner), Mount("", routes=[Mount("/v2", inner)])])


def ask(url: str, headers: dict[str, str]) -> requests.Response:
    return requests.get(url, headers=headers, timeout=20)


@pytest.mark.parametrize("make", [charged_outside, charged_inside])
@pytest.mark.parametrize("root_path", ["", "/behind/a/proxy"])
def test_the_same_path_below_another_mount_is_another_request(shop: Shop, make: Any, root_path: str) -> None:
    headers = {wire.PACKAGE: wire.encode_package(shop.pay())}
    with serving(make(shop), root_path=root_path) as address:
        first = ask(f"{address}/v1/where", headers)
        assert (first.status_code, first.text) == (200, f"{root_path}/v1/where")
        other = ask(f"{address}/v2/where", headers)
        assert (other.status_code, other.json()["code"]) == (409, "payment_used")
        again = ask(f"{address}/v1/where", headers)
        assert (again.status_code, again.text) == (200, first.text)


@pytest.mark.parametrize("make", [charged_outside, charged_inside])
def test_a_retry_is_answered_again_whatever_each_worker_is_told_of_the_proxy_before_it(
    shop: Shop, make: Any
) -> None:
    headers = {wire.PACKAGE: wire.encode_package(shop.pay())}
    texts = set()
    for root_path in ("/behind/a/proxy", "/behind/a/proxy", "", "/another"):
        with serving(make(shop), root_path=root_path) as address:
            answer = ask(f"{address}/v1/where", headers)
            assert answer.status_code == 200
            texts.add(answer.text)
    assert texts == {"/behind/a/proxy/v1/where"}
