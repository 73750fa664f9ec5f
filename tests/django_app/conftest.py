"""One project for the whole process, since Django has one set of settings; a server for each of its interfaces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.client import Client
from paypercall.devnet import Devnet
from tests.asgi.running_app import serving
from tests.django_app import project
from tests.http_server import running
from tests.parties import customer_on


@dataclass
class Site:
    """The project as its customers see it."""

    client: Client
    address: str

    def header(self, amount: int = 100) -> dict[str, str]:
        return {wire.PACKAGE: wire.encode_package(self.client.create_payment_package(amount))}

    def ask(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET", **options: Any
    ) -> requests.Response:
        return requests.request(method, f"{self.address}/{path}", headers=headers, timeout=20, **options)

    def paid(self, path: str, amount: int = 100, method: str = "GET", **options: Any) -> requests.Response:
        return self.ask(path, self.header(amount), method, **options)

    def refund_in(self, answer: requests.Response) -> int:
        payment = self.client.verify_payment_package(wire.decode_package(answer.headers[wire.PACKAGE]))
        assert payment.error is None
        return payment.amount


@pytest.fixture(scope="session")
def customer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("django")
    with Devnet() as net:
        project.configure(net, folder)
        from paypercall.django import payment

        merchant = payment.project.server.server
        with customer_on(net, folder / "customer", merchant.address) as client:
            yield client
        payment.close()


@pytest.fixture(scope="session")
def wsgi(customer: Client) -> Iterator[Site]:
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Tests tell what they see themselves."""

    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    with running(server) as address:
        yield Site(customer, address)


@pytest.fixture(scope="session")
def asgi(customer: Client) -> Iterator[Site]:
    from django.core.asgi import get_asgi_application

    with serving(get_asgi_application()) as address:
        yield Site(customer, address)


@pytest.fixture(params=["wsgi", "asgi"])
def site(request: pytest.FixtureRequest) -> Site:
    served: Site = request.getfixturevalue(request.param)
    return served
