"""A Flask app behind Flask's real server, with a merchant and a customer on a local network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from paypercall import Client, Server, wire
from paypercall.devnet import Devnet
from tests.http_server import running
from tests.parties import customer_on, merchant_on

Package = Mapping[str, Any]


@dataclass
class Site:
    """A merchant, its customer, and what runs in its views."""

    net: Devnet
    merchant: Server
    client: Client
    folder: Path
    runs: Counter[str] = field(default_factory=Counter)
    url: str = ""

    def pay(self, amount: int = 100) -> dict[str, Any]:
        return self.client.create_payment_package(amount)

    def ask(
        self, path: str, package: Package | None = None, method: str = "GET", **options: Any
    ) -> requests.Response:
        """Sends one request, with a package in the header."""
        headers = dict(options.pop("headers", {}))
        if package is not None:
            headers[wire.PACKAGE] = wire.encode_package(package)
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, headers=headers, timeout=60, **options)

    def refund_in(self, response: requests.Response) -> int:
        """What a response gives back, verified by the customer; 0 for nothing."""
        if wire.PACKAGE not in response.headers:
            return 0
        payment = self.client.verify_payment_package(wire.decode_package(response.headers[wire.PACKAGE]))
        if payment.first is not None:
            payment = payment.first
        assert payment.error is None
        return payment.amount

    def accepted(self) -> int:
        """What the merchant has accepted of the customer so far."""
        aa_address = self.client.aa_address
        balance = None if aa_address is None else self.merchant.channel(aa_address)
        return 0 if balance is None else balance.accepted_from_peer


def receipt_in(response: requests.Response) -> dict[str, Any]:
    return wire.decode_receipt(response.headers[wire.RECEIPT])


def code_in(response: requests.Response) -> tuple[int, str]:
    """The status of a problem, and its code."""
    assert response.headers["Content-Type"] == "application/problem+json", response.text
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code, json.loads(response.content)["code"]


@contextmanager
def open_site(folder: Path, **settings: Any) -> Iterator[Site]:
    """Opens a merchant and a customer on a network of their own, without an app yet."""
    with (
        Devnet() as net,
        merchant_on(net, folder / "merchant", **settings) as merchant,
        customer_on(net, folder / "customer", merchant.address, deposit_amount=200_000) as client,
    ):
        yield Site(net, merchant, client, folder)


class QuietHandler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Logs nothing."""

    def log_error(self, format: str, *args: Any) -> None:
        """Logs nothing."""


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serves an app with threads on a free port until the end of the block; gives its URL."""
    http = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    http.daemon_threads = False
    with running(http) as url:
        yield url
