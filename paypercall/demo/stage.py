"""Sets the stage of the demonstration: the network, the merchant's process, the customers.

Whatever is started here is taken down again, however the demonstration ends.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from paypercall.client import Client
from paypercall.conf import Conf
from paypercall.demo.merchant import PRICE
from paypercall.demo.merchant_process import Merchant
from paypercall.devnet import Devnet
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


def books_in(folder: Path) -> str:
    """The address of the database of the party that lives in a folder."""
    return f"sqlite:///{folder}/paypercall.sqlite"


class Stage:
    """Everything that the demonstration runs on; a context manager that takes it all down again.

    Attributes:
        folder: Has a folder for each party.
        net: The local network.
        merchant: The merchant's process.
        customers: By name.
        sent_by_hand: Units that a customer sent past its node.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.customers: dict[str, Client] = {}
        self.sent_by_hand: list[str] = []
        with ExitStack() as started:
            self.net = started.enter_context(Devnet(speed=SPEED))
            self.merchant = Merchant(folder / "merchant", self._settings_for(folder / "merchant"))
            started.callback(self.merchant.stop)
            self._started = started.pop_all()
        self._fund(self.merchant.address)

    def open_customer(self, name: str, deposit_amount: int, refill_threshold: int = 10 * PRICE) -> Client:
        """A customer of the merchant, with a funded wallet and books of its own."""
        folder = self.folder / name
        folder.mkdir()
        conf = Conf.from_settings(self._settings_for(folder))
        key = key_from_mnemonic(new_mnemonic())
        self._fund(key.address)
        light = LightClient(Hub(self.net.url, self.net.network), self.net.network)
        wallet = Wallet(key, light, max_tps_fee=conf.max_tps_fee)
        self._started.callback(wallet.close)
        customer = Client(
            self.merchant.address, None, deposit_amount, refill_threshold, wallet=wallet, conf=conf
        )
        self._started.callback(customer.close_node)
        self.customers[name] = customer
        return customer

    def channels(self) -> dict[str, str]:
        """The addresses of the customers' channels, as far as there are any, by the customer's name."""
        channels = ((name, customer.aa_address) for name, customer in self.customers.items())
        return {name: aa_address for name, aa_address in channels if aa_address is not None}

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started.close()

    def _fund(self, address: str) -> None:
        self.net.fund(address, FUNDS)
        self.net.settle()

    def _settings_for(self, folder: Path) -> dict[str, Any]:
        network = self.net.network
        return {
            "network": "devnet",
            "hub": self.net.url,
            "genesis_unit": network.genesis_unit,
            "order_providers": list(network.order_providers),
            "version": network.version,
            "alt": network.alt,
            "database_url": books_in(folder),
            "data_dir": str(folder),
            "default_timeout_in_seconds": CHANNEL_TIMEOUT,
            # The channel is swept when the story has it swept, however many calls are made before.
            "max_unsettled_by_channel": {"base": None},
            "max_unsettled_by_asset": {"base": None},
            "unconfirmed_amounts_limits_by_asset_or_channel": {
                "base": {
                    "max_unconfirmed_by_asset": 1_000_000,
                    "max_unconfirmed_by_channel": 500_000,
                    "minimum_time_in_seconds": 0,
                }
            },
        }
