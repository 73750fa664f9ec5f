"""The programs in docs/paywall.md for FastAPI with CORS, Starlette and any ASGI application, as they stand there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.client import Client
from paypercall.devnet import Devnet
from tests.asgi.running_app import serving
from tests.documentation import PAYWALL, program_with
from tests.parties import customer_on
from tests.reader import use_conf_in


@contextmanager
def shown(text: str, folder: Path) -> Iterator[tuple[str, Client]]:
    """Serves the program in the document that has a text; yields its address, and a customer."""
    program: dict[str, Any] = {"__name__": "merchant"}
    with Devnet() as net, pytest.MonkeyPatch.context() as patch:
        use_conf_in(folder / "merchant", net, patch)
        exec(compile(program_with(text, PAYWALL), "merchant.py", "exec"), program)
        with serving(program["app"]) as url:
            address = requests.get(f"{url}/payment", timeout=20).json()["address"]
            net.fund(address, 1_000_000)
            net.settle()
            with customer_on(net, folder / "customer", address) as client:
                yield url, client
            client.wallet.close()
        payment = program.get("payment") or program.get("payments") or program["app"]._payment
        payment.server.server.close_node()


def ask(method: str, url: str, client: Client, price: int) -> str:
    """Asks for the price, pays it, and returns the answer's text."""
    assert requests.request(method, url, timeout=20).headers[wire.PRICE] == str(price)
    headers = {wire.PACKAGE: wire.encode_package(client.create_payment_package(price))}
    answer = requests.request(method, url, headers=headers, timeout=20)
    assert answer.status_code == 200 and wire.RECEIPT in answer.headers
    return answer.text


def test_the_program_for_starlette_charges_for_views_and_streams(tmp_path: Path) -> None:
    with shown("StreamingResponse", tmp_path) as (url, client):
        assert ask("GET", f"{url}/temperature", client, 100) == '{"celsius":21}'
        assert ask("GET", f"{url}/countdown/2", client, 20) == "data: 2\n\ndata: 1\n\n"


def test_the_program_for_any_application_charges_by_its_table(tmp_path: Path) -> None:
    with shown("prices={", tmp_path) as (url, client):
        assert ask("POST", f"{url}/hello", client, 100) == "hello"
        assert ask("GET", f"{url}/hello/3", client, 300) == "hello"
        assert requests.get(f"{url}/hello", timeout=20).text == "hello"


def test_the_program_with_cors_lets_browsers_see_the_price_and_the_receipt(tmp_path: Path) -> None:
    origin = "https://shop.example"
    with shown("CORSMiddleware", tmp_path) as (url, client):
        asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": wire.PACKAGE}
        preflight = requests.options(f"{url}/temperature", headers={"Origin": origin, **asked}, timeout=20)
        assert preflight.status_code == 200
        assert wire.PACKAGE in preflight.headers["Access-Control-Allow-Headers"]
        paid = {wire.PACKAGE: wire.encode_package(client.create_payment_package(100))}
        for path, headers, status in (
            ("/temperature", {}, 402),
            ("/temperature", paid, 200),
            ("/temperature", paid, 200),  # which is given again
            ("/payment", {}, 200),
        ):
            answer = requests.get(url + path, headers={"Origin": origin, **headers}, timeout=20)
            assert answer.status_code == status
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert answer.headers["Access-Control-Expose-Headers"] == "*"
