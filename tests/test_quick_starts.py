"""The merchants that the README and docs/paywall.md show, as they stand there, each behind a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from paypercall.cli import main
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from tests.cli.devnet_process import running_devnet
from tests.documentation import PAYWALL, README, program_with
from tests.parties import wait_until
from tests.reader import (
    SECONDS,
    Shop,
    free_port,
    fund,
    hub_in,
    run,
    run_client,
    running,
    running_server,
    the_channel_in,
)

CALLS_OF_PAYWALL = """\
import json, os, requests
from paypercall import Client

url = os.environ["API_URL"]
client = Client(requests.get(f"{url}/payment").json()["address"])


def call(path, amount):
    headers = {"Payment-Package": json.dumps(client.create_payment_package(amount))} if amount else {}
    response = requests.get(url + path, headers=headers)
    returned = response.headers.get("Payment-Package")
    receipt = json.loads(response.headers.get("Payment-Receipt", "{}"))
    assert (returned is None) == ("refund" not in receipt)
    try:
        answer = response.json()
    except ValueError:
        answer = {}
    print(response.status_code, answer.get("celsius", answer.get("text")), receipt.get("refund", 0))


for path, amount in (
    ("/temperature/Zug", 0),
    ("/temperature/Zug", 100),
    ("/temperature/Zug", 150),
    ("/temperature/Bern", 100),
    ("/temperature/Zug", 40),
    ("/shout?text=hello", 5),
    ("/shout?text=LOUD", 4),
    ("/shout", 0),
):
    call(path, amount)
client.close_node()
"""


@dataclass(frozen=True)
class Network:
    """A local network, by what its command prints."""

    conf_lines: str
    dotenv_lines: str
    hub: str

    @property
    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {}
        exec(self.conf_lines, {}, settings)
        return settings


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    with running_devnet("--speed", "10") as (_, printed):
        _, conf_lines, dotenv_lines, _ = printed.split("\n\n")
        yield Network(conf_lines, dotenv_lines, hub_in(printed))


Serve = Callable[[Path, Path, Network], AbstractContextManager[Shop]]
"""Makes a document's program out of it in a folder, and serves it."""


@contextmanager
def flask(document: Path, folder: Path, net: Network) -> Iterator[Shop]:
    (folder / ".env").write_text(net.dotenv_lines)
    (folder / "merchant.py").write_text(program_with("from paypercall.flask", document))
    port = free_port()
    with running_server(folder, *f"-m flask --app merchant run --port {port}".split(), port=port) as shop:
        yield shop


@contextmanager
def fastapi(document: Path, folder: Path, net: Network) -> Iterator[Shop]:
    (folder / ".env").write_text(net.dotenv_lines)
    (folder / "merchant.py").write_text(program_with("from fastapi", document))
    port = free_port()
    with running_server(folder, *f"-m uvicorn merchant:app --port {port}".split(), port=port) as shop:
        yield shop


@contextmanager
def django(document: Path, folder: Path, net: Network) -> Iterator[Shop]:
    start_project(document, folder, net)
    run(folder, "manage.py", "migrate")
    port = free_port()
    with running(folder, "log.txt", "manage.py", "watch_payments"):
        told = "watching the channels of "
        wait_until(
            lambda: told in (folder / "log.txt").read_text(), "the merchant's address", seconds=SECONDS
        )
        command = f"manage.py runserver --noreload {port}".split()
        with running_server(folder, *command, port=port, log="web.txt") as shop:
            yield shop


def start_project(document: Path, folder: Path, net: Network) -> None:
    """Makes a project of Django's, and writes into it what the document shows."""
    run(folder, "-m", "django", "startproject", "shop", ".")
    with (folder / "shop" / "settings.py").open("a") as settings:
        settings.write(program_with("INSTALLED_APPS +=", document))
        settings.write(f"PAYPERCALL |= {net.settings!r}\n")
    (folder / "shop" / "urls.py").write_text(program_with("urlpatterns =", document))


def begin(tmp_path: Path, net: Network) -> tuple[Path, Path]:
    """The folders of the merchant and of a customer, whose wallet has money."""
    merchant, customer = tmp_path / "merchant", tmp_path / "customer"
    merchant.mkdir()
    customer.mkdir()
    mnemonic = new_mnemonic()
    (customer / ".env").write_text(f'{net.dotenv_lines}\nPAYPERCALL_MNEMONIC="{mnemonic}"\n')
    assert main(["faucet", key_from_mnemonic(mnemonic).address, "1000000", "--hub", net.hub]) == 0
    return merchant, customer


@pytest.mark.slow
@pytest.mark.parametrize("serve", [flask, fastapi, django])
def test_the_customer_in_the_readme_pays_each_merchant_in_it(
    net: Network, tmp_path: Path, serve: Serve
) -> None:
    merchant, customer = begin(tmp_path, net)
    with serve(README, merchant, net) as shop:
        address = fund(shop, net.hub)
        program = program_with("Session(", README).replace('"..."', repr(address))
        assert ":5000/answer" in program
        (customer / "customer.py").write_text(program.replace("http://127.0.0.1:5000", shop.url))
        assert run_client(customer, "customer.py", shop.url) == "{'answer': 42}\n"
        assert requests.get(f"{shop.url}/answer", timeout=SECONDS).status_code == 402
    channel, paid = the_channel_in(merchant, "db.sqlite3" if serve is django else "paypercall.sqlite")
    assert (channel.accepted_from_peer, channel.signed_by_me, paid) == (100, 0, 100)


@pytest.mark.slow
@pytest.mark.parametrize(
    "serve, method, path",
    [
        (flask, "GET", "/temperature/<city>"),
        (fastapi, "GET", "/temperature/{city}"),
        (django, "*", "/temperature/<str:city>"),
    ],
)
def test_the_merchants_in_the_document_on_payable_resources_charge_and_refund_alike(
    net: Network, tmp_path: Path, serve: Serve, method: str, path: str
) -> None:
    merchant, customer = begin(tmp_path, net)
    (customer / "calls.py").write_text(CALLS_OF_PAYWALL)
    with serve(PAYWALL, merchant, net) as shop:
        address = fund(shop, net.hub)
        terms = requests.get(f"{shop.url}/payment", timeout=SECONDS).json()
        assert terms["address"] == address
        assert {(line["method"], line["path"], line["price"]) for line in terms["resources"]} == {
            (method, path, 100),
            ("GET", "/shout", "varies"),
        }
        assert run_client(customer, "calls.py", shop.url).splitlines() == [
            "402 None 0",
            "200 21 0",
            "200 21 50",
            "404 None 100",
            "402 None 40",
            "200 HELLO 0",
            "200 LOUD 4",
            "200  0",
        ]
        if serve is fastapi:
            paths = requests.get(f"{shop.url}/openapi.json", timeout=SECONDS).json()["paths"]
            assert paths["/shout"]["get"]["x-payment-info"] == {"price": "varies", "asset": "base"}


def test_the_test_in_the_document_on_payable_resources_passes_with_keys_of_its_own(
    net: Network, tmp_path: Path
) -> None:
    start_project(PAYWALL, tmp_path, net)
    (tmp_path / "shop" / "tests.py").write_text(program_with("TransactionTestCase", PAYWALL))
    run(tmp_path, "manage.py", "test")
    assert (tmp_path / "test-keys" / "keys.json").exists()
    assert not (tmp_path / "keys").exists() and not (tmp_path / "test.sqlite3").exists()
