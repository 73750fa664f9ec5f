"""A merchant's app under gunicorn: two workers that share what was made before they were forked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from paypercall import wire
from paypercall.devnet import Devnet
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE, new_mnemonic
from paypercall.store import Store
from tests.parties import conf_for, settings_for, wait_until

ROOT = Path(__file__).parents[1]
SECONDS = 60


class Keys:
    """A party that processes can be: settings, and keys with some bytes."""

    def __init__(self, net: Devnet, folder: Path) -> None:
        conf_for(net, folder)
        self.settings = settings_for(net, folder)
        self.mnemonic = new_mnemonic()
        self.address = key_from_mnemonic(self.mnemonic).address
        net.fund(self.address, 1_000_000)
        net.settle()

    def environment(self) -> dict[str, str]:
        """The settings and the words as environment variables."""
        settings = {
            f"PAYPERCALL_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in self.settings.items()
        }
        return {**settings, MNEMONIC_VARIABLE: self.mnemonic}


def begin_books(keys: Keys) -> None:
    """Claims a merchant's database, because a channel that is older than its books is not used."""
    with closing(Store(keys.settings["database_url"])) as store, store.transaction() as books:
        books.node.claim(keys.settings["version"], keys.address, int(time.time()))


@contextmanager
def gunicorn(app: str, merchant: Keys, folder: Path) -> Iterator[str]:
    """Serves an app with two workers until the end of the block; gives its URL. The log is in `gunicorn.txt`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "gunicorn.txt").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn"),
                *("--preload", "--workers=2", "--threads=3", f"--bind={address}", app),
            ],
            cwd=ROOT,
            env={**os.environ, **merchant.environment()},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: _is_served(address), "gunicorn listens", seconds=40)
        yield f"http://{address}/"
    finally:
        server.terminate()
        try:
            server.wait(20)
        finally:
            server.kill()
            server.wait()
    assert server.returncode == 0, (folder / "gunicorn.txt").read_text()


def _is_served(address: str) -> bool:
    host, port = address.split(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def ask(url: str, package: dict[str, Any]) -> requests.Response:
    """Asks with a payment, on a connection of its own."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, headers={wire.PACKAGE: wire.encode_package(package)}, timeout=SECONDS)


def ask_until_answered(url: str, package: dict[str, Any]) -> requests.Response:
    """As a client does: again with the same payment after a lost connection, or when the server says later."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            response = ask(url, package)
        except requests.ConnectionError:
            continue
        if response.status_code not in (409, 503):
            return response
        assert response.json()["code"] in ("payment_in_progress", "too_many_waiting")
        time.sleep(int(response.headers["Retry-After"]))
    raise AssertionError("no answer in time")


def accepted(merchant: Keys) -> int:
    """What the merchant has accepted in its only channel."""
    with closing(Store(merchant.settings["database_url"])) as store, store.reading() as books:
        (record,) = books.channels.records(merchant.address)
        return record.channel.accepted_from_peer
