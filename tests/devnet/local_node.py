"""A node without a hub around it, with funded accounts, for tests of what the ledger and the validation do."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from paypercall.contract import ChannelParameters
from paypercall.devnet.clock import Clock
from paypercall.devnet.faucet import Faucet
from paypercall.devnet.graph import Vertex
from paypercall.devnet.journal import Journal
from paypercall.devnet.ledger import Ledger
from paypercall.devnet.node import Node
from paypercall.devnet.wallets import Purses, Witnesses, compose_from_ledger, compose_genesis
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.network import devnet
from paypercall.obyte.unit import Unit, headers_size, payload_hash, sign_unit, total_payload_size, unit_hash

VERSION = "4.0dev"
ALT = "3"


def make_key(number: int) -> Key:
    """A key that depends on a number only."""
    return Key(number.to_bytes(32, "big"))


class LocalNode:
    """A node and what tests do with it.

    Attributes:
        node: The node under test.
        purses: The keys of its witness, faucet and wallet.
    """

    def __init__(self, clock: Clock | None = None, journal: Journal | None = None) -> None:
        clock = clock or Clock()
        self.purses = Purses.fresh()
        genesis = compose_genesis(VERSION, ALT, self.purses, clock.now())
        witness = key_from_mnemonic(self.purses.witness)
        network = devnet(genesis["unit"], (witness.address,))
        self.node = Node(Ledger(network, genesis), clock, Witnesses((witness,)), journal or Journal(None))
        self.node.begin()
        self.faucet = Faucet(self.node, key_from_mnemonic(self.purses.faucet))

    @property
    def ledger(self) -> Ledger:
        return self.node.ledger

    def account(self, number: int, *amounts: int, asset: str = BASE) -> Key:
        """A key that owns outputs of the given amounts, all of them stable."""
        key = make_key(number)
        for amount in amounts:
            self.faucet.fund(key.address, amount, asset)
        self.node.settle()
        return key

    def compose(self, key: Key, draft: Draft, parents: Iterable[Vertex] | None = None) -> Unit:
        """A unit of the key that the network takes, if nothing else gets in between."""
        return compose_from_ledger(self.ledger, self.node.clock.now(), key, draft, parents)

    def pay(self, key: Key, address: str, amount: int, asset: str = BASE) -> Vertex:
        """Posts a payment."""
        return self.node.post({"unit": self.compose(key, payment(address, amount, asset))})

    def open_channel(
        self, customer: Key, merchant: Key, deposit: int, asset: str = BASE
    ) -> ChannelParameters:
        """Publishes a channel's agent together with a deposit; neither is stable yet."""
        parameters = ChannelParameters(merchant.address, customer.address, asset, "salt", 600)
        payload = {"address": parameters.aa_address, "definition": parameters.definition}
        outputs = {BASE: (Output(parameters.aa_address, deposit),)}
        if asset != BASE:
            outputs = {
                BASE: (Output(parameters.aa_address, 10_000),),
                asset: (Output(parameters.aa_address, deposit),),
            }
        draft = Draft(outputs=outputs, messages=({"app": "definition", "payload": payload},))
        self.node.post({"unit": self.compose(customer, draft)})
        return parameters

    def send_data(self, key: Key, address: str, data: dict[str, Any], amount: int = 10_000) -> Vertex:
        """Posts bytes with a data message."""
        draft = Draft(
            outputs={BASE: (Output(address, amount),)}, messages=({"app": "data", "payload": data},)
        )
        return self.node.post({"unit": self.compose(key, draft)})

    def all_bytes(self) -> int:
        """Everything that somebody owns, and all fees."""
        owned = sum(
            holding.amount
            for holdings in self.ledger.books.unspent.values()
            for holding in holdings.values()
            if holding.asset == BASE
        )
        return owned + self.ledger.fees_total()


def payment(address: str, amount: int, asset: str = BASE) -> Draft:
    """A draft that pays one address."""
    return Draft(outputs={asset: (Output(address, amount),)})


def finished(unit: Unit, *keys: Key) -> Unit:
    """A changed unit with its payload hashes, sizes, signatures and unit hash made right again."""
    unit = deepcopy(unit)
    for message in unit["messages"]:
        message["payload_hash"] = payload_hash(message["payload"])
    return signed(sized(unit), *keys)


def sized(unit: Unit) -> Unit:
    """A changed unit with its commissions made right again."""
    return {**unit, "headers_commission": headers_size(unit), "payload_commission": total_payload_size(unit)}


def signed(unit: Unit, *keys: Key) -> Unit:
    """A changed unit with its signatures and its hash made right again."""
    for key in keys:
        unit = sign_unit(unit, key)
    return unit


def hashed(unit: Unit) -> Unit:
    """A changed unit with its hash made right again."""
    return {**unit, "unit": unit_hash(unit)}
