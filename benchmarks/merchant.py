"""A merchant with open channels in its books, and packages of their customers, without a network."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paypercall.channel import Channel, apply_event
from paypercall.conf import Conf
from paypercall.contract import ChannelParameters, Opened
from paypercall.obyte.amounts import BASE
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet
from paypercall.package import compose_package
from paypercall.server import Server
from paypercall.store import Store

VERSION = "4.0dev"
DEPOSIT = 100_000_000
NOWHERE = "ws://127.0.0.1:9"
NEVER_REACHED = 10**14
"""Limits are there, so that each payment is held against them as it is by default."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant and its books."""

    server: Server
    store: Store


@contextmanager
def merchant(folder: Path) -> Iterator[Merchant]:
    """A merchant whose hub is out of reach, so that only its books are at work."""
    conf = Conf.from_settings(settings_in(folder))
    wallet = wallet_of(conf)
    server, store = Server(wallet=wallet, conf=conf), Store(conf.database_url)
    see_ledger(store)
    try:
        yield Merchant(server, store)
    finally:
        store.close()
        server.close_node()
        wallet.close()


def settings_in(folder: Path) -> dict[str, Any]:
    """The settings of a merchant with its books in a folder."""
    return {
        "network": "devnet",
        "hub": NOWHERE,
        "genesis_unit": "RTUynATsgV1FZCSMfIfqUMH2wjfrh0O9k891Ec+d65k=",
        "order_providers": ["XZ33YNFB76VTXXUGNTNHU3QSD43FSURX"],
        "version": VERSION,
        "database_url": f"sqlite:///{folder}/merchant.sqlite",
        "data_dir": str(folder),
        "max_unsettled_by_asset": {BASE: NEVER_REACHED},
        "max_unsettled_by_channel": {BASE: NEVER_REACHED},
    }


def wallet_of(conf: Conf) -> Wallet:
    """A new wallet."""
    network = conf.network_constants()
    light = LightClient(Hub(NOWHERE, network), network)
    return Wallet(key_from_mnemonic(new_mnemonic()), light, max_tps_fee=conf.max_tps_fee)


def see_ledger(store: Store) -> None:
    """Notes that the merchant has just seen the ledger, so that it takes payments."""
    with store.transaction() as books:
        books.node.set_synced_at(int(time.time()))


def open_channel(party: Merchant, customer: str, *, deposited_by_me: int = 0) -> Channel:
    """Adds a channel that the agent has opened."""
    channel = opened_channel(party.server.address, customer, deposited_by_me)
    with party.store.transaction() as books:
        books.channels.add(channel, created_at=0)
    return channel


def opened_channel(my_address: str, customer: str, deposited_by_me: int = 0) -> Channel:
    """A channel that the agent has opened."""
    parameters = ChannelParameters(my_address, customer, BASE, secrets.token_hex(10), 21_600)
    return apply_event(Channel(parameters, my_address), Opened(1, 1, deposited_by_me, DEPOSIT, "unit"))


def packages(key: Key, channel: Channel, count: int) -> list[dict[str, Any]]:
    """Packages of a customer, each paying 100 more."""
    return [
        compose_package(
            key,
            VERSION,
            aa_address=channel.aa_address,
            period=1,
            payment_amount=100,
            amount_spent=100 * (number + 1),
            announce=None,
        )
        for number in range(count)
    ]
