"""Merchants and customers on a local network, for the tests that need real ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.conf import Conf
from paypercall.contract import ChannelParameters, read_definition
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet
from paypercall.server import Server

UNCONFIRMED = {
    "base": {
        "max_unconfirmed_by_asset": 1_000_000,
        "max_unconfirmed_by_channel": 500_000,
        "minimum_time_in_seconds": 0,
    }
}


def settings_for(net: Devnet, folder: Path) -> dict[str, Any]:
    """The settings of a party on a local network that keeps its books in `folder`, ready for JSON."""
    return {
        "network": "devnet",
        "hub": net.url,
        "genesis_unit": net.network.genesis_unit,
        "order_providers": list(net.network.order_providers),
        "version": net.network.version,
        "alt": net.network.alt,
        "database_url": f"sqlite:///{folder}/paypercall.sqlite",
        "data_dir": str(folder),
        "min_channel_timeout_in_seconds": 60,
        "default_timeout_in_seconds": 3600,
        "unconfirmed_amounts_limits_by_asset_or_channel": UNCONFIRMED,
    }


def conf_for(net: Devnet, folder: Path, **settings: Any) -> Conf:
    """A party's settings with some changed; makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return Conf.from_settings({**settings_for(net, folder), **settings})


_NETWORKS: WeakKeyDictionary[Hub, Devnet] = WeakKeyDictionary()


def close_connections_left_behind() -> None:
    """Ends what tries to connect to a network that is gone, which it would do for as long as the process lives."""
    for hub, net in tuple(_NETWORKS.items()):
        if net.is_closed:
            hub.close()


def wallet_on(net: Devnet, key: Key | None = None, funds: int = 1_000_000) -> Wallet:
    """A wallet with bytes in it."""
    key = key or key_from_mnemonic(new_mnemonic())
    if funds:
        net.fund(key.address, funds)
        net.settle()
    hub = Hub(net.url, net.network)
    _NETWORKS[hub] = net
    return Wallet(key, LightClient(hub, net.network), max_tps_fee=20_000)


def merchant_on(net: Devnet, folder: Path, *, funds: int = 1_000_000, **settings: Any) -> Server:
    """A merchant that serves at once what unconfirmed deposits cover."""
    return Server(
        max_sweeping_period=7 * 24 * 3600,
        wallet=wallet_on(net, funds=funds),
        conf=conf_for(net, folder, **settings),
    )


def customer_on(
    net: Devnet,
    folder: Path,
    peer_address: str,
    *,
    funds: int = 1_000_000,
    deposit_amount: int = 100_000,
    refill_threshold: int = 20_000,
    asset: str | None = None,
    **settings: Any,
) -> Client:
    """A customer of one merchant."""
    return Client(
        peer_address,
        asset,
        deposit_amount,
        refill_threshold,
        wallet=wallet_on(net, funds=funds),
        conf=conf_for(net, folder, **settings),
    )


def open_channel(customer: Client) -> str:
    """Has a customer's channel created and its deposit decided, before anything is signed."""
    return customer._find_or_create(1)


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Polls until something is true.

    Raises:
        AssertionError: When it is not in time.
    """
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


def pay(customer: Client, merchant: Server, amount: int = 10_000, times: int = 1) -> None:
    """Pays as often as told, with payments that the merchant accepts."""
    for _ in range(times):
        payment = merchant.verify_payment_package(customer.create_payment_package(amount))
        assert payment.error is None, payment


def wait_until_open(customer: Client, merchant: Server) -> None:
    """Waits until both see the only channel open."""
    wait_until(lambda: customer.balance().status is Status.OPEN, "the customer sees the channel open")
    wait_until(lambda: [c.status for c in merchant.channels()] == [Status.OPEN], "the merchant sees it open")


def parameters_of(net: Devnet, aa_address: str) -> ChannelParameters:
    """The parameters of a channel, by the definition that the ledger has of its agent."""
    definitions = [
        message["payload"]["definition"]
        for joint in net.units()
        for message in joint["unit"].get("messages", [])
        if message["app"] == "definition" and message["payload"]["address"] == aa_address
    ]
    parameters = read_definition(definitions[0])
    assert parameters is not None
    return parameters
