"""Paid requests in a form that few clients send, behind a real server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

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


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers in JSON with the query and the body's length."""
    length, has_more = 0, True
    while has_more:
        message = await receive()
        length, has_more = length + len(message.get("body", b"")), message.get("more_body", False)
    body = json.dumps({"query": scope["query_string"].decode(), "length": length}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def url(shop: Shop) -> Iterator[str]:
    app = PaymentMiddleware(echo, Payment(None, shop.server, prices={"/echo": 100}))
    with serving(app, http="h11") as address:
        yield f"{address}/echo"


def test_a_package_in_the_query_pays_and_its_refund_is_in_the_answer(shop: Shop, url: str) -> None:
    query = {"a": "1", "payment_package": json.dumps(shop.pay(120))}
    for _ in range(2):
        answer = requests.get(url, params=query, timeout=20)
        assert answer.status_code == 200 and answer.json()["query"].startswith("a=1&")
        assert wire.decode_receipt(answer.headers[wire.RECEIPT])["refund"] == 20
        in_body = answer.json()["payment_package"]
        assert in_body == wire.decode_package(answer.headers[wire.PACKAGE])
    other = requests.get(url, params={**query, "a": "2"}, timeout=20)
    assert (other.status_code, other.json()["code"]) == (409, "payment_used")


def read(line: socket.socket) -> bytes:
    received = b""
    while part := line.recv(65536):
        received += part
    return received


def test_a_client_that_waits_for_100_continue_is_told_to_go_on_and_served(shop: Shop, url: str) -> None:
    parts = urlsplit(url)
    head = [
        "POST /echo HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Expect: 100-continue",
        "Content-Length: 5",
        f"{wire.PACKAGE}: {wire.encode_package(shop.pay())}",
    ]
    with socket.create_connection((parts.hostname, parts.port), 20) as line:
        line.sendall("\r\n".join([*head, "", ""]).encode())
        assert line.recv(100).startswith(b"HTTP/1.1 100 ")
        line.sendall(b"abcde")
        answer = read(line)
    assert answer.startswith(b"HTTP/1.1 200 ") and wire.RECEIPT.lower().encode() in answer.lower()
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["length"] == 5


def test_a_client_that_waits_for_100_continue_is_told_the_price_before_it_sends_its_body(url: str) -> None:
    parts = urlsplit(url)
    head = ["POST /echo HTTP/1.1", "Host: localhost", "Expect: 100-continue", "Content-Length: 5000000"]
    with socket.create_connection((parts.hostname, parts.port), 20) as line:
        line.sendall("\r\n".join([*head, "", ""]).encode())
        assert line.recv(100).startswith(b"HTTP/1.1 402 ")


def test_a_header_that_is_too_large_for_the_server_charges_nothing(shop: Shop, url: str) -> None:
    headers, parts = {wire.PACKAGE: wire.encode_package(shop.pay())}, urlsplit(url)
    head = ["GET /echo HTTP/1.1", "Host: localhost", f"{wire.PACKAGE}: {headers[wire.PACKAGE]}", "Junk: "]
    with socket.create_connection((parts.hostname, parts.port), 20) as line:
        line.sendall("\r\n".join(head).encode() + b"x" * 70_000)  # and it does not end yet
        assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    answer = requests.get(f"{url}?other", headers=headers, timeout=20)
    assert answer.status_code == 200 and wire.RECEIPT in answer.headers
