"""Sets the stage of the demonstration: the network, the merchant's process, the customers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from paypercall.client import Client
from paypercall.conf import Conf
from paypercall.demo.merchant import PRICE
from paypercall.devnet import Devnet
from paypercall.errors import PaypercallError
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet

FUNDS = 2_000_000
"""Bytes that each wallet gets from the faucet."""

CHANNEL_TIMEOUT = 3600
SPEED = 5.0
"""Witness units a second: a deposit is confirmed after about a second."""


class DemoFailed(PaypercallError):
    """A step of the demonstration did not show what it should."""

    code = "demo_failed"


def require(is_true: bool, what: str) -> None:
    """Fails the demonstration unless something is true.

    Raises:
        DemoFailed: Naming what was expected.
    """
    if not is_true:
        raise DemoFailed(f"expected: {what}")


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Waits for something that the ledger brings.

    Raises:
        DemoFailed: When it does not come in time.
    """
    deadline = time.monotonic() + seconds
    while not is_true():
        require(time.monotonic() < deadline, what)
        time.sleep(0.05)


def settings_for(net: Devnet, folder: Path) -> dict[str, Any]:
    """The settings of a party that keeps its books in a folder."""
    return {
        "network": "devnet",
        "hub": net.url,
        "genesis_unit": net.network.genesis_unit,
        "order_providers": list(net.network.order_providers),
        "version": net.network.version,
        "alt": net.network.alt,
        "database_url": f"sqlite:///{folder}/paypercall.sqlite",
        "data_dir": str(folder),
        "default_timeout_in_seconds": CHANNEL_TIMEOUT,
        "unconfirmed_amounts_limits_by_asset_or_channel": {
            "base": {
                "max_unconfirmed_by_asset": 1_000_000,
                "max_unconfirmed_by_channel": 500_000,
                "minimum_time_in_seconds": 0,
            }
        },
    }


@dataclass
class Reply:
    """What the merchant answered to one call."""

    status: int
    code: str | None
    refund: str | None


class Merchant:
    """The merchant's API in a process of its own, seen through HTTP."""

    def __init__(self, net: Devnet, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._log = (folder / "log.txt").open("w")
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PAYPERCALL_")
        }
        for name, value in settings_for(net, folder).items():
            environment[f"PAYPERCALL_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "paypercall.demo.merchant"],
            cwd=folder,
            env={**environment, "PORT": str(port)},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
        )
        self._url = f"http://127.0.0.1:{port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self.address = self._first_answer()["peer_address"]

    def _first_answer(self) -> Any:
        deadline = time.monotonic() + 30
        while True:
            try:
                return self._session.get(f"{self._url}/", timeout=5).json()
            except requests.RequestException:
                require(self._process.poll() is None, f"the merchant runs; see {self._log.name}")
                require(time.monotonic() < deadline, "the merchant answers within 30 seconds")
                time.sleep(0.1)

    def call(self, package: dict[str, Any]) -> Reply:
        """Makes one paid call."""
        data = {"payment_package": json.dumps(package)}
        response = self._session.post(f"{self._url}/call", data=data, timeout=60)
        body = response.json()
        return Reply(response.status_code, body.get("code"), body.get("payment_package"))

    def stop(self) -> None:
        """Ends the process and waits for it."""
        self._session.close()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._log.close()


class Stage:
    """Everything that the demonstration runs on; a context manager that takes it all down again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.net = Devnet(speed=SPEED)
        self.customers: list[Client] = []
        try:
            self.merchant = Merchant(self.net, folder / "merchant")
        except BaseException:
            self.net.close()
            raise
        self.net.fund(self.merchant.address, FUNDS)

    def open_customer(self, name: str, deposit_amount: int, refill_threshold: int = 10 * PRICE) -> Client:
        """A customer of the merchant, with a funded wallet and books of its own."""
        folder = self.folder / name
        folder.mkdir()
        key = key_from_mnemonic(new_mnemonic())
        self.net.fund(key.address, FUNDS)
        conf = Conf.from_settings(settings_for(self.net, folder))
        wallet = Wallet(
            key,
            LightClient(Hub(self.net.url, self.net.network), self.net.network),
            max_tps_fee=conf.max_tps_fee,
        )
        customer = Client(
            self.merchant.address, None, deposit_amount, refill_threshold, wallet=wallet, conf=conf
        )
        self.customers.append(customer)
        return customer

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for customer in self.customers:
            customer.close_node()
            customer.wallet.close()
        self.merchant.stop()
        self.net.close()
