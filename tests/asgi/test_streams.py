"""Streams that do not come to their end, behind a real server: who is refunded, and who is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware
from paypercall.paying import Budget
from paypercall.requests import Session
from tests.asgi.running_app import serving
from tests.paywall.merchant import Shop, open_shop

FIRST, LAST = b"data: 1\n\n", b"data: 2\n\n"
LENGTH = 1_000_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def header(shop: Shop, amount: int = 100) -> dict[str, str]:
    return {wire.PACKAGE: wire.encode_package(shop.pay(amount))}


def outcome(url: str, headers: dict[str, str]) -> tuple[int, str]:
    """What the same payment brings when it is sent again."""
    again = requests.get(url, headers=headers, timeout=20)
    return again.status_code, again.json()["code"]


async def breaking_off() -> AsyncIterator[bytes]:
    yield FIRST
    raise ValueError("a fault of the view")


def breaking_off_in_thread() -> Iterator[bytes]:
    yield FIRST
    raise ValueError("a fault of the view")


ENDED = threading.Event()


async def never_ending() -> AsyncIterator[bytes]:
    """Fails when it is ended, which only a client that hangs up has it."""
    yield FIRST
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        ENDED.set()
        raise ValueError("there was more") from None


class Weak:
    """A view that fails in the middle the first time."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> Iterator[bytes]:
        self.runs += 1
        yield FIRST
        if self.runs == 1:
            raise ValueError("a fault of the view")


def fail() -> None:
    raise ValueError("a fault after the end")


@pytest.fixture(scope="module")
def starlette(shop: Shop) -> Iterator[str]:
    payment = Payment(None, shop.server)

    def streaming(make: Any, **options: Any) -> Any:
        @payment.required(100)
        async def stream(request: Request) -> StreamingResponse:
            return StreamingResponse(make(), media_type="text/event-stream", **options)

        return stream

    routes = [
        Route("/breaks-off", streaming(breaking_off)),
        Route("/breaks-off-in-thread", streaming(breaking_off_in_thread)),
        Route("/breaks-off-with-length", streaming(breaking_off, headers={"Content-Length": str(LENGTH)})),
        Route("/weak", streaming(Weak())),
        Route("/never-ends", streaming(never_ending)),
        Route("/fails-later", streaming(lambda: iter([FIRST]), background=BackgroundTask(fail))),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(PaymentMiddleware, payment=payment)
    with serving(app) as address:
        yield address


@pytest.fixture(scope="module")
def behind_middleware(shop: Shop) -> Iterator[str]:
    app = FastAPI()

    async def stamp(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
    payments = Payment(app, shop.server)

    @app.get("/breaks-off", dependencies=[Depends(payments.dependency(100))])
    def stream() -> StreamingResponse:
        return StreamingResponse(breaking_off())

    @payments.required(100)
    async def of_starlette(request: Request) -> StreamingResponse:
        return StreamingResponse(breaking_off())

    app.add_route("/of-starlette", of_starlette)
    with serving(app) as address:
        yield address


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """An application without a framework that begins, and fails when it should go on."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": FIRST, "more_body": True})
    if scope["path"] == "/waits":
        await receive()
        await receive()  # that its client has gone
        ENDED.set()
    if scope["path"] == "/fails-later":
        await send({"type": "http.response.body"})
    if scope["path"] == "/cut":
        with suppress(OSError):
            await send({"type": "http.response.body", "body": LAST})
    raise ValueError("a fault of the view")


def cutting(app: Any) -> Any:
    """Behaves like a server that tells who sends that the connection is broken; uvicorn says nothing."""

    async def cut(scope: Any, receive: Any, send: Any) -> None:
        async def send_others(message: Any) -> None:
            if message.get("body") == LAST:
                raise OSError("the connection is broken")
            await send(message)

        await app(scope, receive, send_others)

    return cut


@pytest.fixture(scope="module")
def table(shop: Shop) -> Iterator[str]:
    with serving(
        cutting(PaymentMiddleware(plain, Payment(None, shop.server, prices={"/{path}": 100})))
    ) as at:
        yield at


@pytest.mark.parametrize(
    "framework, path",
    [
        ("starlette", "breaks-off"),
        ("starlette", "breaks-off-in-thread"),
        ("starlette", "breaks-off-with-length"),
        ("behind_middleware", "breaks-off"),
        ("behind_middleware", "of-starlette"),
        ("table", "fails"),
    ],
)
def test_a_stream_whose_view_fails_in_the_middle_is_refunded_to_the_same_package_sent_again(
    shop: Shop, framework: str, path: str, request: pytest.FixtureRequest
) -> None:
    url, headers = f"{request.getfixturevalue(framework)}/{path}", header(shop, 110)
    with requests.get(url, headers=headers, stream=True, timeout=20) as first:
        parts = first.iter_content(len(FIRST))
        assert next(parts) == FIRST
        with suppress(requests.RequestException):  # some middleware ends it as if it were whole
            list(parts)
    again = requests.get(url, headers=headers, timeout=20)
    assert (again.status_code, again.json()["code"]) == (402, "refunded")
    assert wire.decode_receipt(again.headers[wire.RECEIPT])["refund"] == 110
    payment = shop.client.verify_payment_package(wire.decode_package(again.headers[wire.PACKAGE]))
    assert (payment.error, payment.amount) == (None, 100), "10 went back with the beginning"


@pytest.mark.parametrize("framework, path", [("starlette", "never-ends"), ("table", "waits")])
def test_a_client_that_hangs_up_gets_nothing_back_whatever_the_view_then_raises(
    shop: Shop, framework: str, path: str, request: pytest.FixtureRequest
) -> None:
    ENDED.clear()
    url, headers = f"{request.getfixturevalue(framework)}/{path}", header(shop)
    with requests.get(url, headers=headers, stream=True, timeout=20) as first:
        assert next(first.iter_content(len(FIRST))) == FIRST
    assert ENDED.wait(60)
    assert outcome(f"{url}?other", headers) == (409, "payment_used"), "whatever was to happen has happened"
    assert outcome(url, headers) == (409, "answer_not_kept")


def test_a_connection_that_breaks_while_a_part_is_sent_is_no_failure_of_the_view(
    shop: Shop, table: str
) -> None:
    headers = header(shop)
    with suppress(requests.RequestException):
        requests.get(f"{table}/cut", headers=headers, timeout=20)
    assert outcome(f"{table}/cut", headers) == (409, "answer_not_kept")


@pytest.mark.parametrize("framework", ["starlette", "table"])
def test_what_fails_after_the_end_of_a_stream_is_paid_for(
    shop: Shop, framework: str, request: pytest.FixtureRequest
) -> None:
    url = f"{request.getfixturevalue(framework)}/fails-later"
    payments = [header(shop) for _ in range(5)]
    for headers in payments:
        assert requests.get(url, headers=headers, timeout=20).content == FIRST
    assert [outcome(url, headers) for headers in payments[:3]] == [(409, "answer_not_kept")] * 3


def test_our_client_that_reads_the_whole_answer_gets_the_refund_and_pays_for_a_whole_one(
    shop: Shop, starlette: str
) -> None:
    before = shop.client.balance()
    with Session(shop.client, Budget(per_call=100, per_hour=1000, per_day=1000), strict=True) as api:
        assert api.get(f"{starlette}/weak").content == FIRST
    after = shop.client.balance()
    assert after.owed_by_me - before.owed_by_me == 200
    assert after.accepted_from_peer - before.accepted_from_peer == 100


def test_a_response_that_has_begun_cannot_call_a_payable_view(shop: Shop) -> None:
    """Its receipt could not be given any more, and its view would run as often as the payment is sent."""
    app = Starlette()
    payment = Payment(app, shop.server)
    runs = []

    @payment.required(100)
    async def answer(request: Request) -> Response:
        runs.append(request.url.path)
        return Response("worth money")

    async def parts(request: Request) -> AsyncIterator[bytes]:
        yield FIRST
        yield (await answer(request)).body

    async def in_a_stream(request: Request) -> Response:
        return StreamingResponse(parts(request))

    @payment.required(50)
    async def in_a_stream_with_a_price(request: Request) -> Response:
        return StreamingResponse(parts(request))

    async def in_the_background(request: Request) -> Response:
        await request.body()
        return Response("begun", background=BackgroundTask(answer, request))

    app.add_route("/answer", answer)
    app.add_route("/stream", in_a_stream)
    app.add_route("/background", in_the_background)
    app.add_route("/priced-stream", in_a_stream_with_a_price)
    with serving(app) as url:
        headers = header(shop)
        for _ in range(2):
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                requests.get(f"{url}/stream", headers=headers, timeout=20)
            assert requests.get(f"{url}/background", headers=headers, timeout=20).text == "begun"
        assert runs == []
        assert requests.get(f"{url}/answer", headers=headers, timeout=20).text == "worth money"
        headers = header(shop, 50)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(f"{url}/priced-stream", headers=headers, timeout=20)
        again = requests.get(f"{url}/priced-stream", headers=headers, timeout=20)
        assert (again.status_code, wire.decode_receipt(again.headers[wire.RECEIPT])["refund"]) == (402, 50)
    assert runs == ["/answer"]
