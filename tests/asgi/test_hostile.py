"""What others would try at an ASGI application that charges: other methods, other paths, middleware in between."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware
from paypercall.errors import PaypercallError
from tests.asgi.running_app import serving
from tests.paywall.merchant import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def header(shop: Shop, amount: int = 100) -> dict[str, str]:
    return {wire.PACKAGE: wire.encode_package(shop.pay(amount))}


@pytest.fixture(scope="module")
def seen() -> list[str]:
    return []


@pytest.fixture(scope="module")
def table(shop: Shop, seen: list[str]) -> Iterator[str]:
    async def careless(scope: Any, receive: Any, send: Any) -> None:
        """Looks at no method, and sends no headers that it need not."""
        seen.append(scope["method"])
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"worth money"})

    prices = {"POST /post": 100, "GET /get": 100, "/any": 100, "/free": 0}
    with serving(
        PaymentMiddleware(careless, Payment(None, shop.server, prices=prices)), http="h11"
    ) as address:
        yield address


def raw(address: str, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


@pytest.mark.parametrize(
    "method, path", [("post", "/post"), ("Get", "/get"), ("get", "/any"), ("PUT", "/any")]
)
def test_no_spelling_of_a_method_passes_the_table_unpaid(
    table: str, seen: list[str], method: str, path: str
) -> None:
    before = list(seen)
    status, body = raw(table, method, path)
    assert (status, b"worth money" in body) == (402, False)
    assert before == seen


@pytest.mark.parametrize("path", ["/get", "/any"])
def test_a_head_tells_the_terms_and_does_not_reach_the_application(
    table: str, seen: list[str], path: str
) -> None:
    before = list(seen)
    answer = requests.head(f"{table}{path}", timeout=20)
    assert (answer.status_code, answer.headers[wire.PRICE]) == (200, "100")
    assert before == seen


def test_an_options_reaches_the_application_but_brings_no_body_back(table: str) -> None:
    assert requests.options(f"{table}/any", timeout=20).content == b""
    assert requests.options(f"{table}/free", timeout=20).content == b"worth money"


def test_an_application_that_sends_no_headers_is_paid_for(shop: Shop, table: str) -> None:
    answer = requests.put(f"{table}/any", headers=header(shop), timeout=20)
    assert (answer.status_code, answer.content) == (200, b"worth money")
    assert wire.RECEIPT in answer.headers


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "multipart/form-data", "multipart/form-data; boundary="]
)
@pytest.mark.parametrize(
    "body",
    [
        b"--x\r\npayment_package",
        b"payment_package",
        b"--x\r\nContent-Disposition: form-data; name=payment_package\r\n\r\n\xff\r\n--x--\r\n",
    ],
)
def test_a_form_that_cannot_be_read_is_no_error_of_the_server(table: str, kind: str, body: bytes) -> None:
    answer = requests.post(f"{table}/post", data=body, headers={"Content-Type": kind}, timeout=20)
    assert answer.status_code in (400, 402)


def answers_to(app: PaymentMiddleware, **scope: Any) -> list[Any]:
    """What an application answers to a request that no server would make."""
    sent: list[Any] = []

    received: list[Any] = [{"type": "http.request", "body": b""}]

    async def receive() -> Any:
        return received.pop() if received else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"query_string": b"", "headers": [], **scope}, receive, send))
    return sent


def test_an_options_that_reaches_the_application_is_a_free_request(shop: Shop) -> None:
    payment = Payment(None, shop.server, prices={"/any": 100})

    async def asking(scope: Any, receive: Any, send: Any) -> None:
        payment.refund()
        await send({"type": "http.response.start", "status": 200 + payment.amount, "headers": []})

    [start, _] = answers_to(PaymentMiddleware(asking, payment), type="http", method="OPTIONS", path="/any")
    assert start["status"] == 200


async def unpaid(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nobody has paid")


def test_a_path_that_only_begins_like_the_root_path_is_charged_for(shop: Shop) -> None:
    app = PaymentMiddleware(unpaid, Payment(None, shop.server, prices={"/api-keys": 100}))
    [start, _] = answers_to(app, type="http", method="GET", path="/api-keys", root_path="/api")
    assert start["status"] == 402


@pytest.mark.parametrize(
    "path",
    [
        "//files/a.txt",
        "/files//a.txt",
        "/files/./a.txt",
        "/files/b/../a.txt",
        "/files/a.txt/",
        "/dir",
        "/dir/.",
    ],
)
def test_no_spelling_of_a_path_passes_the_table_unpaid(shop: Shop, tmp_path: Path, path: str) -> None:
    (tmp_path / "a.txt").write_text("worth money")
    files = Starlette(routes=[Mount("/files", StaticFiles(directory=tmp_path)), Mount("//files", unpaid)])
    prices = {"/files/a.txt": 100, "/dir/": 100}
    app = PaymentMiddleware(files, Payment(None, shop.server, prices=prices))
    [start, body] = answers_to(app, type="http", method="GET", path=path)
    assert (start["status"], json.loads(body["body"])["code"]) == (404, "other_spelling")
    [start, _] = answers_to(app, type="http", method="GET", path="/files/a.txt")
    assert start["status"] == 402


def test_a_web_socket_gets_nothing_from_a_path_that_costs_something(shop: Shop) -> None:
    app = PaymentMiddleware(unpaid, Payment(None, shop.server, prices={"/feed": 100, "/free": 0}))
    assert answers_to(app, type="websocket", path="/feed") == [{"type": "websocket.close", "code": 1008}]
    with pytest.raises(AssertionError, match="nobody has paid"):
        answers_to(app, type="websocket", path="/free")


# --- FastAPI ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def late() -> list[str]:
    return []


@pytest.fixture(scope="module")
def fastapi(shop: Shop, late: list[str]) -> Iterator[str]:
    app = FastAPI()

    async def stamp(request: Request, call_next: Any) -> Response:
        answer: Response = await call_next(request)
        answer.headers["X-Stamp"] = "1"
        return answer

    app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
    payments = Payment(app, shop.server)

    @app.get("/answer", dependencies=[Depends(payments.dependency(100))])
    def answer() -> dict[str, int]:
        return {"answer": 42}

    @app.get("/empty", status_code=204, response_model=None, dependencies=[Depends(payments.dependency(100))])
    def empty() -> None:
        late.append("empty")

    @app.get("/late", dependencies=[Depends(payments.dependency(100))])
    async def refund_late() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            try:
                payments.refund()
            except PaypercallError as error:
                late.append(error.code)

        return StreamingResponse(parts())

    @app.get("/resold", dependencies=[Depends(payments.dependency(100))])
    def resold() -> JSONResponse:
        return JSONResponse({}, headers={wire.RECEIPT: "of somebody else", wire.PACKAGE: "of somebody else"})

    class Echo(HTTPEndpoint):
        @payments.required(100)
        async def get(self, request: Request) -> JSONResponse:
            return JSONResponse({"from": "a class"})

    app.add_route("/class", Echo)

    with serving(app) as address:
        yield address


def test_a_method_of_a_class_of_starlette_is_paid_for(shop: Shop, fastapi: str) -> None:
    assert requests.get(f"{fastapi}/class", timeout=20).status_code == 402
    head = requests.head(f"{fastapi}/class", headers=header(shop), timeout=20)
    assert (head.status_code, head.headers[wire.PRICE], wire.RECEIPT in head.headers) == (200, "100", False)
    assert requests.get(f"{fastapi}/class", headers=header(shop), timeout=20).json() == {"from": "a class"}


def test_an_answer_is_given_again_though_a_middleware_sends_it_in_parts(shop: Shop, fastapi: str) -> None:
    paid = header(shop)
    for _ in range(2):
        answer = requests.get(f"{fastapi}/answer", headers=paid, timeout=20)
        assert (answer.status_code, answer.json()) == (200, {"answer": 42})
        assert answer.headers["X-Stamp"] == "1"


def test_an_empty_answer_is_given_again(shop: Shop, fastapi: str, late: list[str]) -> None:
    paid = header(shop)
    for _ in range(2):
        assert requests.get(f"{fastapi}/empty", headers=paid, timeout=20).status_code == 204
    assert late.count("empty") == 1


def test_a_refund_after_the_answer_has_begun_fails_where_it_is_asked_for(
    shop: Shop, fastapi: str, late: list[str]
) -> None:
    assert requests.get(f"{fastapi}/late", headers=header(shop), timeout=20).content == b"first"
    assert "too_late" in late


def test_what_a_view_says_of_payments_of_others_is_replaced(shop: Shop, fastapi: str) -> None:
    paid = header(shop)
    for _ in range(2):
        answer = requests.get(f"{fastapi}/resold", headers=paid, timeout=20)
        assert json.loads(answer.headers[wire.RECEIPT])["amount"] == 100
        assert wire.PACKAGE not in answer.headers


# --- clients that go away --------------------------------------------------------------------------------------------


def slow_scope(headers: dict[str, str]) -> dict[str, Any]:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "GET", "path": "/slow", "query_string": b"", "headers": pairs}


async def receive() -> Any:
    return {"type": "http.request", "body": b""}


def test_a_client_that_goes_away_leaves_the_payment_to_the_next_attempt_and_stops_no_other_request(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = Payment(None, shop.server, prices={"/slow": 100})
    threads: list[str] = []
    abandon = payment.paywall.abandon

    def told(running: Any) -> None:
        abandon(running)
        threads.append(threading.current_thread().name)

    monkeypatch.setattr(payment.paywall, "abandon", told)
    scope = slow_scope(header(shop))

    async def send(message: Any) -> None:
        raise AssertionError("nothing is answered")

    async def visit() -> None:
        begun = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            begun.set()
            await asyncio.Event().wait()

        for attempt in (1, 2):
            begun.clear()
            task = asyncio.create_task(PaymentMiddleware(slow, payment)(scope, receive, send))
            await asyncio.wait_for(begun.wait(), 20)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            while len(threads) < attempt:
                await asyncio.sleep(0.01)

    asyncio.run(visit())
    assert all(name.startswith("paypercall-asgi") for name in threads)


def test_a_client_that_goes_away_while_its_payment_is_taken_leaves_it_to_the_next_attempt(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = Payment(None, shop.server, prices={"/slow": 100})
    begin, abandon = payment.paywall.begin, payment.paywall.abandon
    begun, may_end, abandoned = threading.Event(), threading.Event(), threading.Event()

    def slow_begin(*args: Any) -> Any:
        outcome = begin(*args)
        begun.set()
        may_end.wait(20)
        return outcome

    def told(running: Any) -> None:
        abandon(running)
        abandoned.set()

    scope = slow_scope(header(shop))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def visit() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(payment.paywall, "begin", slow_begin)
            patched.setattr(payment.paywall, "abandon", told)
            task = asyncio.create_task(PaymentMiddleware(answer, payment)(scope, receive, send))
            await asyncio.to_thread(begun.wait, 20)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            may_end.set()
            await asyncio.to_thread(abandoned.wait, 20)
        await PaymentMiddleware(answer, payment)(scope, receive, send)

    asyncio.run(visit())
    assert [message.get("status") for message in sent] == [200, None]


def test_who_pays_nothing_waits_for_no_thread(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = Payment(None, shop.server, prices={"/slow": lambda request: 0})
    sent: list[Any] = []

    def refuse(*args: Any) -> Any:
        raise AssertionError("there is nothing to look up")

    async def send(message: Any) -> None:
        sent.append(message)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    monkeypatch.setattr(payment.threads, "run", refuse)
    asyncio.run(PaymentMiddleware(answer, payment)(slow_scope({}), receive, send))
    assert [message["status"] for message in sent] == [200]
