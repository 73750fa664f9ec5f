"""The examples and the programs in the README, as the documents say to run them, on a local network."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from paypercall.channel import Channel
from paypercall.cli import main
from paypercall.cli.devnet import PORT as DEVNET_PORT
from paypercall.conf import load_conf, load_environment
from paypercall.store import Store
from tests.cli.devnet_process import running_devnet
from tests.documentation import PAYWALL, README, python_blocks

EVERY_SETTING = Path(__file__).parents[1] / "conf.example.py"
EXAMPLES = Path(__file__).parents[1] / "examples"
SECONDS = 90
ADDRESS = re.compile(r"my single address: ([A-Z2-7]{32})")
FILES = {".env", "README.md", "app.py", "conf.py"}
CALLS = """\
Zug: paid 100, answered 200: 21 degrees
Zug: paid 250, answered 200: 21 degrees, 150 returned
Atlantis: paid 100, answered 404: there is a thermometer in Zug only, 100 returned
"""
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
class Shop:
    """The example server while it runs."""

    url: str
    folder: Path


def environment(**variables: str) -> dict[str, str]:
    """The environment of an example: this one, but for what would change its settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PAYPERCALL_")}
    return {**clean, "NO_PROXY": "127.0.0.1", **variables}


def copy_example(name: str, folder: Path, *pasted: str) -> Path:
    """Copies an example's files and pastes lines into its `.env`."""
    target = folder / name
    target.mkdir()
    for file in FILES:
        shutil.copy(EXAMPLES / name / file, target)
    with (target / ".env").open("a") as dotenv:
        dotenv.write("\n".join(("", *pasted, "")))
    return target


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running_server(folder: Path, *command: str, port: int) -> Iterator[Shop]:
    """Runs a merchant's program until the end of the block; its log is in `log.txt`."""
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=environment(PORT=str(port)),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_it_answers(url, process)
        yield Shop(url, folder)
    finally:
        process.terminate()
        process.wait(SECONDS)


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            requests.get(url, timeout=5)
            return
        except requests.ConnectionError:
            assert process.poll() is None and time.monotonic() < deadline, "the example server does not start"
            time.sleep(0.1)


def fund(shop: Shop, hub: str) -> str:
    """Gives a merchant some bytes, and returns the address that its log tells."""
    address = ADDRESS.search((shop.folder / "log.txt").read_text())
    assert address is not None
    assert main(["faucet", address[1], "1000000", "--hub", hub]) == 0
    return address[1]


def hub_in(printed: str) -> str:
    hub = re.search(r"PAYPERCALL_HUB=(\S+)", printed)
    assert hub is not None
    return hub[1]


def run_client(folder: Path, program: str, url: str) -> str:
    result = subprocess.run(
        [sys.executable, program],
        cwd=folder,
        env=environment(API_URL=url),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def the_channel_in(folder: Path) -> tuple[Channel, int]:
    """The only channel in a folder's database, and the sum of its payments."""
    with closing(Store(f"sqlite:///{folder}/paypercall.sqlite")) as store, store.reading() as books:
        identity = books.node.identity()
        assert identity is not None
        (record,) = books.channels.records(identity.my_address)
        return record.channel, books.payments.total_accepted(record.channel.aa_address)


@pytest.mark.slow
def test_the_examples_pay_and_refund_each_other_and_keep_the_same_books(tmp_path: Path) -> None:
    with running_devnet("--speed", "10") as (_, printed):
        _, _, dotenv_lines, mnemonic_line = printed.split("\n\n")
        client = copy_example("client", tmp_path, dotenv_lines, mnemonic_line)
        server = copy_example("server", tmp_path, dotenv_lines)
        with running_server(server, "app.py", port=free_port()) as shop:
            fund(shop, hub_in(printed))
            seen = run_client(client, "app.py", shop.url)
            assert seen == CALLS + "200 bytes spent in this channel, 99800 left\n"
            seen = run_client(client, "app.py", shop.url)
            assert seen == CALLS + "400 bytes spent in this channel, 99600 left\n"
            empty = requests.post(f"{shop.url}/temperature", data={"city": "Zug"}, timeout=SECONDS)
            assert (empty.status_code, sorted(empty.json())) == (402, ["code", "error"])
    merchants, paid = the_channel_in(server)
    customers, returned = the_channel_in(client)
    assert merchants.aa_address == customers.aa_address
    assert (merchants.signed_by_peer, merchants.accepted_from_peer, customers.signed_by_me) == (900, 900, 900)
    assert (customers.signed_by_peer, customers.accepted_from_peer, merchants.signed_by_me) == (500, 500, 500)
    assert (paid, returned) == (900, 500)
    assert (server / "keys.json").exists()
    assert not (client / "keys.json").exists(), "the client got its mnemonic by .env"


@pytest.mark.slow
def test_the_examples_run_by_a_conf_that_says_every_setting_and_names_several_hubs(tmp_path: Path) -> None:
    """As on a public network, only with the constants of this one; the preferred hub is out of reach."""
    with running_devnet("--speed", "10") as (_, printed):
        _, conf_lines, _, mnemonic_line = printed.split("\n\n")
        hubs = [f"ws://127.0.0.1:{free_port()}", hub_in(printed)]
        folders = {}
        for name, pasted in (("client", mnemonic_line), ("server", "")):
            folder = folders[name] = copy_example(name, tmp_path, pasted)
            parts = (
                EVERY_SETTING.read_text(),
                (folder / "conf.py").read_text(),
                conf_lines,
                f"hub = {hubs}\n",
            )
            (folder / "conf.py").write_text("\n".join(parts))
            assert load_conf({}, folder).hubs == tuple(hubs)
        with running_server(folders["server"], "app.py", port=free_port()) as shop:
            fund(shop, hub_in(printed))
            seen = run_client(folders["client"], "app.py", shop.url)
            assert seen == CALLS + "200 bytes spent in this channel, 99800 left\n"
    assert (the_channel_in(folders["server"])[1], the_channel_in(folders["client"])[1]) == (450, 250)


@pytest.mark.parametrize("name", ["client", "server"])
def test_no_example_asks_which_network_it_is_on(name: str) -> None:
    program = (EXAMPLES / name / "app.py").read_text().lower()
    assert not [word for word in ("devnet", "testnet", "livenet", "faucet", "ws:", "wss:") if word in program]


@pytest.mark.slow
def test_the_programs_in_the_readme_pay_and_refund_each_other(tmp_path: Path) -> None:
    merchants, customers = python_blocks(README)
    port = free_port()
    with running_devnet("--speed", "10") as (_, printed):
        _, _, dotenv_lines, mnemonic_line = printed.split("\n\n")
        server, client = tmp_path / "merchant", tmp_path / "customer"
        for folder, lines in ((server, dotenv_lines), (client, f"{dotenv_lines}\n{mnemonic_line}")):
            folder.mkdir()
            (folder / ".env").write_text(lines)
        (server / "merchant.py").write_text(merchants)
        command = ("-m", "flask", "--app", "merchant", "run", "--port", str(port))
        with running_server(server, *command, port=port) as shop:
            address = fund(shop, hub_in(printed))
            program = customers.replace('PEER_ADDRESS = "..."', f'PEER_ADDRESS = "{address}"')
            (client / "customer.py").write_text(program.replace(":5000/", f":{port}/"))
            assert run_client(client, "customer.py", shop.url) == "42\nNone\n"
    assert (the_channel_in(server)[1], the_channel_in(client)[1]) == (150, 50)


@pytest.mark.slow
def test_the_flask_program_in_the_document_on_payable_resources_charges_and_refunds(tmp_path: Path) -> None:
    program = python_blocks(PAYWALL)[0]
    port = free_port()
    with running_devnet("--speed", "10") as (_, printed):
        _, _, dotenv_lines, mnemonic_line = printed.split("\n\n")
        server, client = tmp_path / "merchant", tmp_path / "customer"
        for folder, lines in ((server, dotenv_lines), (client, f"{dotenv_lines}\n{mnemonic_line}")):
            folder.mkdir()
            (folder / ".env").write_text(lines)
        (server / "merchant.py").write_text(program)
        (client / "calls.py").write_text(CALLS_OF_PAYWALL)
        command = ("-m", "flask", "--app", "merchant", "run", "--port", str(port))
        with running_server(server, *command, port=port) as shop:
            address = fund(shop, hub_in(printed))
            terms = requests.get(f"{shop.url}/payment", timeout=SECONDS).json()
            assert terms["address"] == address
            assert {(line["path"], line["price"]) for line in terms["resources"]} == {
                ("/temperature/<city>", 100),
                ("/shout", "varies"),
            }
            assert run_client(client, "calls.py", shop.url).splitlines() == [
                "402 None 0",
                "200 21 0",
                "200 21 50",
                "404 None 100",
                "402 None 40",
                "200 HELLO 0",
                "200 LOUD 4",
                "200  0",
            ]


@pytest.mark.parametrize("name", ["client", "server"])
def test_each_example_has_its_own_conf_and_readme_and_chooses_the_testnet(name: str) -> None:
    folder = EXAMPLES / name
    assert {path.name for path in folder.iterdir()} >= FILES
    conf = load_conf({}, folder)
    assert (conf.network, conf.data_dir) == ("testnet", folder)
    assert "PAYPERCALL_MNEMONIC" not in load_environment({}, folder)


def test_the_example_server_accepts_the_timeout_of_the_example_client() -> None:
    client, server = (load_conf({}, EXAMPLES / name) for name in ("client", "server"))
    shortest, longest = server.min_channel_timeout_in_seconds, server.max_channel_timeout_in_seconds
    assert shortest <= client.default_timeout_in_seconds <= longest


@pytest.mark.parametrize("name", ["client", "server"])
def test_what_the_env_file_shows_of_a_devnet_are_settings_and_the_port_is_the_devnets(name: str) -> None:
    shown = re.findall(r"^# (PAYPERCALL_\w+)=(.*)$", (EXAMPLES / name / ".env").read_text(), re.MULTILINE)
    with running_devnet() as (_, printed):
        settings = re.findall(r"^(PAYPERCALL_\w+)=", printed, re.MULTILINE)
    settings.remove("PAYPERCALL_MNEMONIC")
    if name == "client":
        settings.append("PAYPERCALL_MNEMONIC")
    assert [setting for setting, _ in shown] == settings
    assert dict(shown)["PAYPERCALL_HUB"] == f"ws://127.0.0.1:{DEVNET_PORT}"
