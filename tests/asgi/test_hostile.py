"""What others would try at an ASGI application that charges: other methods, other paths, middleware in between."""

from __future__ import annotations

import asyncio
import http.client
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware
from tests.asgi.running_app import serving
from tests.paywall.merchant import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
def seen() -> list[str]:
    return []


@pytest.fixture(scope="module")
def table(shop: Shop, seen: list[str]) -> Iterator[str]:
    async def careless(scope: Any, receive: Any, send: Any) -> None:
        """Looks at no method."""
        seen.append(scope["method"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
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


def test_a_path_that_only_begins_like_the_root_path_is_charged_for(shop: Shop) -> None:
    sent: list[Any] = []

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("nobody has paid")

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message)

    app = PaymentMiddleware(serve, Payment(None, shop.server, prices={"/api-keys": 100}))
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api-keys",
        "root_path": "/api",
        "query_string": b"",
        "headers": [],
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 402
