"""Views that fail, behind a real server: the application's handler of all errors answers, with receipt and refund."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware
from tests.asgi.running_app import serving
from tests.paywall.merchant import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def paid(shop: Shop, url: str) -> requests.Response:
    """The second answer to a request that is sent twice, which is the first one, if the payment has ended."""
    headers = {wire.PACKAGE: wire.encode_package(shop.pay(110))}
    first, again = (requests.get(url, headers=headers, timeout=20) for _ in range(2))
    assert (first.status_code, first.content) == (again.status_code, again.content)
    return again


def refund_in(answer: requests.Response) -> int:
    refund: int = wire.decode_receipt(answer.headers[wire.RECEIPT])["refund"]
    assert wire.decode_package(answer.headers[wire.PACKAGE])["signed_message"]["payment_amount"] >= refund
    return refund


class Broken(Exception):
    """For which there is no handler but the one of all errors."""


def test_the_handler_of_all_errors_of_fastapi_answers_with_the_refund(shop: Shop) -> None:
    app = FastAPI()
    payments = Payment(app, shop.server)

    @app.exception_handler(Exception)
    def every_error(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": type(error).__name__, "path": request.url.path}, 503)

    @app.get("/free")
    @app.get("/paid", dependencies=[Depends(payments.dependency(100))])
    def view() -> None:
        raise Broken

    with serving(app) as url:
        assert requests.get(f"{url}/free", timeout=20).status_code == 503
        answer = paid(shop, f"{url}/paid")
        assert (answer.status_code, answer.json()) == (503, {"error": "Broken", "path": "/paid"})
        assert refund_in(answer) == 110


@pytest.mark.parametrize("key", [Exception, 500])
def test_what_failed_is_refunded_also_when_the_handler_of_all_errors_answers_200(
    shop: Shop, key: type[Exception] | int
) -> None:
    async def every_error(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("mended")

    payment = Payment(None, shop.server, prices={"/by-table": 100})

    @payment.required(100)
    async def decorated(request: Request) -> None:
        raise Broken

    async def by_table(request: Request) -> None:
        raise Broken

    routes = [Route("/by-table", by_table), Route("/decorated", decorated)]
    middleware = [Middleware(PaymentMiddleware, payment=payment)]
    with serving(
        Starlette(routes=routes, exception_handlers={key: every_error}, middleware=middleware)
    ) as url:
        for path in ("/by-table", "/decorated"):
            answer = paid(shop, url + path)
            assert (answer.status_code, answer.text, refund_in(answer)) == (200, "mended", 110)


def test_the_refund_is_on_our_answer_when_the_handler_of_all_errors_fails_or_there_is_none(
    shop: Shop,
) -> None:
    async def view(request: Request) -> None:
        raise Broken

    def failing(request: Request, error: Exception) -> Any:
        raise LookupError

    for handlers in ({Exception: failing}, {}):
        app = Starlette(routes=[Route("/", view)], exception_handlers=handlers)
        Payment(app, shop.server, prices={"/": 100})
        with serving(app) as url:
            answer = paid(shop, f"{url}/")
            assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
            assert refund_in(answer) == 110


@pytest.mark.parametrize(
    "path, status, back",
    [("/number/x", 422, 10), ("/broken/409", 409, 10), ("/broken/503", 503, 110), ("/broken/200", 200, 110)],
)
def test_a_refund_policy_is_asked_with_the_status_that_is_sent_unless_that_hides_a_failure(
    shop: Shop, path: str, status: int, back: int
) -> None:
    app = FastAPI()
    payments = Payment(app, shop.server, refunds=lambda status: status >= 500)

    @app.exception_handler(Broken)
    def answer_it(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("broken", int(request.path_params["status"]))

    @app.get("/broken/{status}", dependencies=[Depends(payments.dependency(100))])
    def broken(status: int) -> None:
        raise Broken

    @app.get("/number/{number}", dependencies=[Depends(payments.dependency(100))])
    def number(number: int) -> None:
        raise AssertionError("no number")

    with serving(app) as url:
        answer = paid(shop, url + path)
        assert (answer.status_code, refund_in(answer)) == (status, back)
