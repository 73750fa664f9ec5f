"""The examples, as their READMEs say to run them: a paid API and its customer, on a local network."""

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

from paypercall.cli import main
from paypercall.cli.devnet import PORT as DEVNET_PORT
from paypercall.conf import load_conf, load_environment
from paypercall.store import ChannelRecord, Store
from tests.cli.devnet_process import running_devnet

EXAMPLES = Path(__file__).parents[1] / "examples"
SECONDS = 90
ADDRESS = re.compile(r"my single address: ([A-Z2-7]{32})")
FILES = {".env", "README.md", "app.py", "conf.py"}
CALLS = """\
Zug: paid 100, answered 200: 21 degrees
Zug: paid 250, answered 200: 21 degrees, 150 returned
Atlantis: paid 100, answered 404: there is a thermometer in Zug only, 100 returned
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
def running_server(folder: Path) -> Iterator[Shop]:
    """Runs the example server until the end of the block; its log is in `log.txt`."""
    port = free_port()
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=folder, env=environment(PORT=str(port)), stdout=log, stderr=log
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


def run_client(folder: Path, url: str) -> str:
    result = subprocess.run(
        [sys.executable, "app.py"],
        cwd=folder,
        env=environment(API_URL=url),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def the_channel_in(folder: Path, address: str) -> ChannelRecord:
    with closing(Store(f"sqlite:///{folder}/paypercall.sqlite")) as store, store.reading() as books:
        (record,) = books.channels.records(address)
        return record


@pytest.mark.slow
def test_the_examples_pay_and_refund_each_other_and_keep_the_same_books(tmp_path: Path) -> None:
    with running_devnet("--speed", "10") as (_, printed):
        _, _, dotenv_lines, mnemonic_line = printed.split("\n\n")
        hub = re.search(r"PAYPERCALL_HUB=(\S+)", dotenv_lines)
        assert hub is not None
        client = copy_example("client", tmp_path, dotenv_lines, mnemonic_line)
        with running_server(copy_example("server", tmp_path, dotenv_lines)) as shop:
            address = ADDRESS.search((shop.folder / "log.txt").read_text())
            assert address is not None
            assert main(["faucet", address[1], "1000000", "--hub", hub[1]]) == 0
            assert run_client(client, shop.url) == CALLS + "200 bytes spent in this channel, 99800 left\n"
            assert run_client(client, shop.url) == CALLS + "400 bytes spent in this channel, 99600 left\n"
            empty = requests.post(f"{shop.url}/temperature", data={"city": "Zug"}, timeout=SECONDS)
            assert (empty.status_code, sorted(empty.json())) == (402, ["code", "error"])
    merchants = the_channel_in(shop.folder, address[1]).channel
    customers = the_channel_in(client, merchants.peer_address).channel
    assert merchants.aa_address == customers.aa_address
    assert (merchants.signed_by_peer, merchants.accepted_from_peer) == (900, 900)
    assert (customers.signed_by_peer, customers.accepted_from_peer) == (500, 500)
    assert (merchants.signed_by_me, customers.signed_by_me) == (500, 900)
    assert (shop.folder / "keys.json").exists()
    assert not (client / "keys.json").exists(), "the client got its mnemonic by .env"


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
