"""Programs run as a reader of the documents runs them: in a folder of their own, on a local network."""

from __future__ import annotations

import json
import os
import re
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
from paypercall.devnet import Devnet
from paypercall.store import Store
from tests.parties import settings_for

SECONDS = 90
ADDRESS = re.compile(r"my single address: ([A-Z2-7]{32})")


@dataclass(frozen=True)
class Shop:
    """A merchant's program while it runs."""

    url: str
    folder: Path


def environment(**variables: str) -> dict[str, str]:
    """The environment of a program: this one, but for what would change its settings, or when it prints."""
    changing = ("PAYPERCALL_", "PYTHONUNBUFFERED")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(changing)}
    return {**clean, "NO_PROXY": "127.0.0.1", **variables}


def use_conf_in(folder: Path, net: Devnet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a folder the project of whoever reads the conf next."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, value in settings_for(net, folder).items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setitem(os.environ, f"PAYPERCALL_{name.upper()}", text)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running(folder: Path, log: str, *command: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a Python program in a folder until the end of the block; what it prints is in the file `log`."""
    with (folder / log).open("w") as printed:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=environment(**variables),
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


@contextmanager
def running_server(folder: Path, *command: str, port: int, log: str = "log.txt") -> Iterator[Shop]:
    """Runs a merchant's program until the end of the block."""
    with running(folder, log, *command, PORT=str(port)) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_it_answers(url, process)
        yield Shop(url, folder)


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            requests.get(url, timeout=5)
            return
        except requests.ConnectionError:
            assert process.poll() is None and time.monotonic() < deadline, "the server does not start"
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


def run(folder: Path, *command: str, **variables: str) -> str:
    """Runs a Python program in a folder to its end, and returns what it prints."""
    result = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def run_client(folder: Path, program: str, url: str) -> str:
    """Runs a customer's program."""
    return run(folder, program, API_URL=url)


def the_channel_in(folder: Path, database: str = "paypercall.sqlite") -> tuple[Channel, int]:
    """The only channel in a folder's database, and the sum of its payments."""
    with closing(Store(f"sqlite:///{folder}/{database}")) as store, store.reading() as books:
        identity = books.node.identity()
        assert identity is not None
        (record,) = books.channels.records(identity.my_address)
        return record.channel, books.payments.total_accepted(record.channel.aa_address)
