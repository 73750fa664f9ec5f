"""Puts the parts together as the conf says: keys, hub, wallet, books, node. Holds no rule of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from weakref import WeakValueDictionary

from paypercall.conf import Conf, load_environment
from paypercall.errors import PaypercallError
from paypercall.events import Events
from paypercall.obyte.hub import Hub
from paypercall.obyte.key_file import load_mnemonic
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.network import Network
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.memory import Memory
from paypercall.settlement.node import Node, wall_clock
from paypercall.settlement.spending import Spending
from paypercall.settlement.upkeep import SweepingRules
from paypercall.store import Store
from paypercall.store.node import Node as NodeRow

logger = logging.getLogger(__name__)


class WrongBooks(PaypercallError):
    """The database belongs to another wallet or another network."""

    code = "wrong_books"


def open_wallet(conf: Conf, environment: Mapping[str, str] | None = None) -> Wallet:
    """Makes the wallet of the conf's keys and hub; connects when it is first used.

    Args:
        conf: The settings.
        environment: Where the mnemonic or the passphrase may be; by default the project's.
    """
    network = conf.network_constants()
    environment = load_environment() if environment is None else environment
    key = key_from_mnemonic(load_mnemonic(conf.keys_path, environment, network.name))
    hub, *others = (Hub(url, network, program=conf.device_name) for url in conf.hubs)
    return Wallet(key, LightClient(hub, network, others=others), max_tps_fee=conf.max_tps_fee)


def open_store(conf: Conf, wallet: Wallet, given: Store | None = None) -> Store:
    """Opens the books and claims them for this wallet and network.

    Args:
        conf: The settings.
        wallet: The wallet.
        given: Books that the host has opened; by default those of the conf.

    Raises:
        WrongBooks: When they belong to another wallet or network.
    """
    store = given or Store(conf.database_url)
    try:
        with store.transaction() as books:
            is_new = books.node.identity() is None
            _claim(books.node, wallet.address, conf.network_constants())
    except WrongBooks:
        if given is None:
            store.close()
        raise
    if is_new:
        # A warning, so that it is seen without any set-up of logging: the owner must fund and publish the address.
        logger.warning("====== my single address: %s", wallet.address)
    return store


def _claim(node: NodeRow, my_address: str, network: Network) -> None:
    identity = node.claim(network.version, my_address, wall_clock())
    if identity.my_address != my_address:
        raise WrongBooks(
            f"the database belongs to the wallet {identity.my_address}, the keys are those of {my_address};"
            " set database_url or data_dir so that they go together"
        )
    if identity.network_version != network.version:
        raise WrongBooks(
            f"the database is of network version {identity.network_version}, the conf's network has"
            f" {network.version}; use one database for each network"
        )
    genesis_unit = node.claim_network(network.genesis_unit)
    if genesis_unit != network.genesis_unit:
        raise WrongBooks(
            f"the database is of the network that begins with the unit {genesis_unit}, the conf's network with"
            f" {network.genesis_unit}; use one database for each network"
        )


_events: WeakValueDictionary[tuple[str, str], Events] = WeakValueDictionary()


def events_of(store: Store, wallet: Wallet) -> Events:
    """The events of a wallet's books, the same for all parties of this process: only one of them holds the lease."""
    return _events.setdefault((store.url, wallet.address), Events())


def make_node(conf: Conf, store: Store, wallet: Wallet, events: Events) -> Node:
    """Makes the node that settles for a wallet; it is started when it is first needed."""
    memory = Memory(store, conf.data_dir, wall_clock)
    memory.check()
    return Node(
        store,
        wallet,
        wallet.light,
        events,
        memory=memory,
        sweeping=SweepingRules(
            _limited(conf.max_unsettled_by_channel),
            _limited(conf.max_unsettled_by_asset),
            conf.cost_of_sweep_by_asset,
        ),
        spending=Spending(conf.max_tps_fee, conf.reserve, conf.cost_of_sweep_by_asset),
    )


def _limited(limits: Mapping[str, int | None]) -> dict[str, int]:
    return {asset: limit for asset, limit in limits.items() if limit is not None}
