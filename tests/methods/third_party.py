"""The example third party as a process of its own, a line to it that can fail, and a merchant that takes transfers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import requests

from paypercall.call_book import CallBook
from paypercall.methods.bit_transfer import BitTransfer
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.paywall import Answer, Paywall, Price, Request, Running
from paypercall.store import Store
from paypercall.transfer import SignedTransfer, Transfer, sign_transfer
from tests.methods.http_merchant import ANSWER
from tests.paywall.merchant import Headers

ACCOUNTS = Path(__file__).parents[2] / "examples" / "accounts"
SECONDS = 30
PRICE = 100
ADDRESS = "MERCHANT ADDRESS"


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def running_accounts(folder: Path) -> Iterator[str]:
    """Runs the example; tells its address."""
    port = free_port()
    database = str(folder / "accounts.sqlite")
    variables = {"PORT": str(port), "ACCOUNTS_DATABASE": database}
    environment = {"STARTING_BALANCE": "1000", **os.environ, **variables}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ACCOUNTS, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + SECONDS
        while not _answers(url):
            assert process.poll() is None and time.monotonic() < deadline, "the third party does not start"
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(SECONDS)


def _answers(url: str) -> bool:
    try:
        requests.get(url, timeout=5)
    except requests.ConnectionError:
        return False
    return True


def open_account(url: str, username: str, key: Key | None = None) -> Key:
    """Opens an account with 1,000 of play money."""
    key = key or key_from_mnemonic(new_mnemonic())
    body = {"username": username, "public_key": key.public_key}
    assert requests.post(f"{url}/accounts", json=body, timeout=5).status_code == 201
    return key


def balance(url: str, username: str) -> int:
    """What an account has."""
    return int(requests.get(f"{url}/accounts/{username}", timeout=5).json()["balance"])


def redeem(url: str, username: str, signed: SignedTransfer, key: str = '"first"') -> requests.Response:
    """Redeems a transfer as a payee does."""
    body = {"bittransfer": signed.text, "signature": signed.signature}
    headers = {"Idempotency-Key": key}
    return requests.post(f"{url}/accounts/{username}/transfers", json=body, headers=headers, timeout=5)


def transfer(key: Key, **changes: Any) -> Transfer:
    """What Alice signs to pay the price to the merchant now, with some of it changed."""
    now = int(time.time())
    common = Transfer("alice", key.public_key, ADDRESS, "merchant", PRICE, now, "/answer")
    return replace(common, **changes)


Act = Callable[[bytes, Callable[[], requests.Response]], "tuple[int, bytes, dict[str, str]] | None"]
"""What becomes of a request: gets its body and a way to have it answered; None is silence, then a hang-up."""


class Line:
    """A line to the third party; what it does can be changed.

    Attributes:
        url: Where it listens.
        act: What it does with the next requests; None lets them through.
        heard: How many requests came.
    """

    def __init__(self, target: str) -> None:
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"

            def do_POST(self) -> None:
                line.heard += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))

                def forward() -> requests.Response:
                    carried = ("Content-Type", "Idempotency-Key")
                    headers = {name: self.headers[name] for name in carried}
                    return requests.post(target + self.path, data=body, headers=headers, timeout=5)

                answer = line.act(body, forward) if line.act else _as_it_is(forward())
                if answer is None:
                    self.close_connection = True
                    return
                status, content, more = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.act: Act | None = None
        self.heard = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """Hangs up."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _as_it_is(response: requests.Response) -> tuple[int, bytes, dict[str, str]]:
    return response.status_code, response.content, {}


class TransferShop:
    """A merchant that takes transfers, over a line to the third party."""

    def __init__(self, folder: Path, accounts: str) -> None:
        self.accounts = accounts
        self.line = Line(accounts)
        self.merchant = open_account(accounts, "merchant")
        self.alice = open_account(accounts, "alice")
        self.folder = folder
        self.open()

    def open(self, **options: Any) -> None:
        """Opens the books, as a process that starts does."""
        self.store = Store(f"sqlite:///{self.folder}/paypercall.sqlite")
        self.calls = CallBook(self.store)
        url = self.line.url + "/accounts/{}/transfers"
        self.method = BitTransfer(url, "merchant", ADDRESS, **options)
        self.paywall = Paywall(self.calls, [self.method])

    def restart(self, **options: Any) -> None:
        """Goes on with the books as they are."""
        self.store.close()
        self.open(**options)

    def close(self) -> None:
        """Ends it."""
        self.store.close()
        self.line.close()

    def sign(self, **changes: Any) -> SignedTransfer:
        """A transfer of Alice's."""
        return sign_transfer(transfer(self.alice, **changes), self.alice)

    def ask(
        self, signed: SignedTransfer, price: int = PRICE, path: str = "/answer", asset: str = "base"
    ) -> Answer | Running:
        """Asks for something with a transfer."""
        return self.paywall.begin(Request("GET", path, "", Headers(signed.headers)), Price(price, asset))

    def sell(self, signed: SignedTransfer, **options: Any) -> dict[str, str]:
        """Serves a request; tells the headers of its answer."""
        running = self.ask(signed, **options)
        assert isinstance(running, Running), running
        return dict(self.paywall.finish(running, 200, [], ANSWER).headers)

    def balances(self) -> tuple[int, int]:
        """What Alice and the merchant have."""
        return balance(self.accounts, "alice"), balance(self.accounts, "merchant")


def code_of(answer: object) -> tuple[int, str]:
    """The status and the code of the paywall's own answer."""
    assert isinstance(answer, Answer), answer
    return answer.status, json.loads(answer.body)["code"]
