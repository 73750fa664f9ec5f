"""One agent on a stage: whoever wants to pays it, and every coin is counted."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from paypercall.devnet.agent import (
    BASE_AGENT,
    AgentParameters,
    AgentState,
    Response,
    Trigger,
    respond,
)
from paypercall.devnet.agent_unit import AgentCoin, Anchor, Execution, execute
from paypercall.obyte.address import definition_address
from paypercall.obyte.canonical import json_source_string
from paypercall.obyte.keys import Key
from paypercall.obyte.network import devnet

A, B, STRANGER = (Key(bytes([number]) * 32) for number in (1, 2, 3))
START = 1_800_000_000
TIMEOUT = 600
NETWORK = devnet(b64encode(b"g" * 32).decode(), (STRANGER.address,))
TOKEN = b64encode(b"t" * 32).decode()


def some_hash(seed: object) -> str:
    """Returns what looks like the hash of a unit."""
    return b64encode(hashlib.sha256(repr(seed).encode()).digest()).decode()


class NoLedger:
    """A ledger that nothing may ask."""

    def main_chain_index(self, unit: str) -> int | None:
        raise AssertionError(f"asked for {unit}")

    def definition(self, address: str, main_chain_index: int) -> list[Any] | None:
        raise AssertionError(f"asked for {address}")


def sign(signer: Key, message: Any, *, with_definition: bool = True, **fields: Any) -> dict[str, Any]:
    """Returns a package as its signer sends it."""
    author: dict[str, Any] = {"address": signer.address}
    if with_definition:
        author["definition"] = signer.definition
    package = {"version": NETWORK.version, "signed_message": message, "authors": [author], **fields}
    digest = hashlib.sha256(json_source_string(package).encode()).digest()
    return {**package, "authors": [{**author, "authentifiers": {"r": signer.sign(digest)}}]}


@dataclass
class Scene:
    """An agent between A and B.

    Attributes:
        asset: What the channel is in.
        received: All that was ever sent to the agent, by asset.
        paid: All that it ever sent to others, by asset.
        fees: Bytes that its response units paid to the network.
        time: The ledger's time in seconds.
        history: The state after each trigger.
    """

    asset: str = "base"
    received: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    fees: int = 0
    time: int = START
    state: AgentState = field(default_factory=AgentState)
    coins: list[AgentCoin] = field(default_factory=list)
    main_chain_index: int = 100

    def __post_init__(self) -> None:
        parameters = {
            "addressA": A.address,
            "addressB": B.address,
            "asset": self.asset,
            "salt": "scene",
            "timeout": TIMEOUT,
        }
        definition = ["autonomous agent", {"base_aa": BASE_AGENT, "params": parameters}]
        self.parameters = AgentParameters.from_definition(definition)
        self.aa_address = definition_address(definition)

    def trigger(self, sender: Key, data: Any = None, **outputs: int) -> Trigger:
        """Returns a trigger of 10,000 bytes, unless `bytes` or `tokens` say otherwise."""
        amounts = {"base": outputs.get("bytes", 10_000), TOKEN: outputs.get("tokens", 0)}
        return Trigger(
            unit=some_hash((self.main_chain_index, sender.address)),
            address=sender.address,
            outputs={asset: amount for asset, amount in amounts.items() if amount},
            data=data,
            timestamp=self.time,
            main_chain_index=self.main_chain_index,
        )

    def respond(self, trigger: Trigger) -> Response:
        """Returns what the rules say, and changes nothing."""
        return respond(self.parameters, self.aa_address, NETWORK.version, self.state, trigger, NoLedger())

    def execute(self, trigger: Trigger, coins: Iterable[AgentCoin], byte_balance: int) -> Execution:
        """Returns what a trigger brings about with certain coins, and books nothing."""
        return execute(
            self.parameters,
            self.aa_address,
            NETWORK,
            self.state,
            trigger,
            anchor=Anchor(self.time, some_hash("ball"), some_hash("unit"), (trigger.unit,)),
            coins=coins,
            byte_balance=byte_balance,
            definitions=NoLedger(),
        )

    def send(self, sender: Key, data: Any = None, **outputs: int) -> Execution:
        """Sends a trigger, and books the answer; a later trigger finds the response unit stable."""
        trigger = self.trigger(sender, data, **outputs)
        for message_index, (asset, amount) in enumerate(trigger.outputs.items()):
            self.received[asset] += amount
            self._add_coin(trigger.unit, message_index, 0, amount, asset)
        execution = self.execute(trigger, self.coins, self.balance("base"))
        self.state = execution.state
        self.main_chain_index += 1
        if execution.unit is not None:
            self._book(execution)
        return execution

    def deposit(self, sender: Key, amount: int) -> Execution:
        """Sends a deposit in the channel's asset."""
        return self.send(sender, bytes=amount) if self.asset == "base" else self.send(sender, tokens=amount)

    def package(self, signer: Key, amount_spent: Any, **fields: Any) -> dict[str, Any]:
        """Returns a good package of this channel and period, as far as the arguments let it be one."""
        message = {"aa_address": self.aa_address, "period": self.state.period, "amount_spent": amount_spent}
        return sign(signer, {**message, **fields})

    def balance(self, asset: str) -> int:
        """Returns all that the agent has, spendable or not."""
        return sum(coin.amount for coin in self.coins if coin.asset == asset)

    def _book(self, execution: Execution) -> None:
        assert execution.unit is not None
        self.coins = [coin for coin in self.coins if coin not in execution.spent]
        self.fees += execution.unit["headers_commission"] + execution.unit["payload_commission"]
        for message_index, message in enumerate(execution.unit["messages"]):
            if message["app"] != "payment":
                continue
            asset = message["payload"].get("asset", "base")
            for output_index, output in enumerate(message["payload"]["outputs"]):
                if output["address"] == self.aa_address:
                    self._add_coin(
                        execution.unit["unit"], message_index, output_index, output["amount"], asset
                    )
                else:
                    self.paid[asset] += output["amount"]

    def _add_coin(self, unit: str, message_index: int, output_index: int, amount: int, asset: str) -> None:
        place = (unit, message_index, output_index)
        self.coins.append(AgentCoin(*place, amount, asset, self.main_chain_index, self.main_chain_index, 0))


def outputs(execution: Execution, asset: str = "base") -> dict[str, int]:
    """Returns what a response unit pays in an asset, by address."""
    assert execution.unit is not None
    return {
        output["address"]: output["amount"]
        for message in execution.unit["messages"]
        if message["app"] == "payment" and message["payload"].get("asset", "base") == asset
        for output in message["payload"]["outputs"]
    }
