"""A ledger of a straight line of units, for histories that no recording has.

Every unit is on the main chain, its parent is the one before it, and its last ball lies a few units back. Nothing is
validated: the tests decide what a unit says and who signs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from paypercall.obyte.keys import Key
from paypercall.obyte.network import Network, devnet
from paypercall.obyte.unit import (
    Unit,
    ball_hash,
    hash_to_sign,
    headers_size,
    message_payload_hash,
    sign_unit,
    total_payload_size,
    unit_hash,
)

VERSION = "4.0dev"
LAST_BALL_DISTANCE = 3
SHOWN_UNITS = 6  # how many units of the main chain a history shows
FIRST_TIMESTAMP = 1_700_000_000


def key_named(name: str) -> Key:
    """A key of its own for each name."""
    return Key(sha256(name.encode()).digest())


def payment(address: str, amount: int = 1000) -> dict[str, Any]:
    """A payment message; what it spends does not exist."""
    spent = {"unit": "A" * 43 + "=", "message_index": 0, "output_index": 0}
    return message("payment", {"inputs": [spent], "outputs": [{"address": address, "amount": amount}]})


def message(app: str, payload: Any) -> dict[str, Any]:
    """A message with its payload hash."""
    content = {"app": app, "payload_location": "inline", "payload": payload}
    return {**content, "payload_hash": message_payload_hash(content, VERSION)}


@dataclass
class SmallLedger:
    """The units so far, oldest first; the first one is the genesis unit, signed by all order providers."""

    providers: Sequence[Key]
    addresses: Sequence[str] = ()
    units: list[Unit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.addresses = self.addresses or tuple(sorted(key.address for key in self.providers))
        definitions = {key.address: key.definition for key in self.providers}
        self.genesis = self.add(*self.providers, definitions=definitions)

    @property
    def network(self) -> Network:
        """The network that a light node of this ledger is configured for."""
        return devnet(self.genesis["unit"], tuple(self.addresses))

    def add(self, *signers: Key, **fields: Any) -> Unit:
        """Appends a unit that the keys sign, each for its own address; see `compose`."""
        unit = self.compose(*signers, **fields)
        self.units.append(unit)
        return unit

    def compose(
        self,
        *signers: Key,
        messages: Sequence[dict[str, Any]] = (),
        definitions: dict[str, Any] | None = None,
        address: str | None = None,
        timestamp: int | None = None,
        version: str = VERSION,
    ) -> Unit:
        """Makes the next unit without appending it.

        Args:
            signers: Who signs; alone, a key may sign for another address.
            messages: By default a text.
            definitions: The definitions to carry, by address.
            address: The author, if it is not the signer's own address.
            timestamp: Seconds, if the unit does not come a second after the one before it.
            version: The unit's.
        """
        authors = [{"address": address or key.address, "authentifiers": {"r": "-" * 88}} for key in signers]
        for author in authors:
            if author["address"] in (definitions or {}):
                author["definition"] = (definitions or {})[author["address"]]
        index = len(self.units)
        unit: Unit = {
            "version": version,
            "alt": "3",
            "timestamp": timestamp or FIRST_TIMESTAMP + index,
            "authors": sorted(authors, key=lambda author: author["address"]),
            "messages": list(messages) or [message("text", f"unit {index}")],
        }
        if index:
            last_ball = max(0, index - LAST_BALL_DISTANCE)
            unit["parent_units"] = [self.units[-1]["unit"]]
            unit["last_ball_unit"] = self.units[last_ball]["unit"]
            unit["last_ball"] = self.ball(last_ball)
        unit["headers_commission"] = headers_size(unit)
        unit["payload_commission"] = total_payload_size(unit)
        for key in signers:
            unit = sign_for(unit, key, address or key.address)
        return unit

    def advance(self, rounds: int = 3) -> None:
        """Every order provider appends a unit, again and again."""
        for _ in range(rounds):
            for key in self.providers:
                self.add(key)

    def ball(self, index: int) -> str:
        """The ball of the unit at a main chain index; skiplists are left out, which no light node can tell."""
        parents = [self.ball(index - 1)] if index else []
        return ball_hash(self.units[index]["unit"], parents)

    def history(self, *joints: Unit, definitions: Sequence[Unit] = ()) -> dict[str, Any]:
        """The answer of a hub for these units; `definitions` come after the genesis unit's.

        It proves down from the last ball of the oldest unit shown, which is older than an honest hub's.
        """
        shown = self.units[max(1, len(self.units) - SHOWN_UNITS) :]
        [newest] = [i for i, unit in enumerate(self.units) if unit["unit"] == shown[0]["last_ball_unit"]]
        return {
            "unstable_mc_joints": [{"unit": unit} for unit in reversed(shown)],
            "witness_change_and_definition_joints": [
                self.joint(unit) for unit in (self.genesis, *definitions)
            ],
            "joints": [self.joint(unit) if unit in self.units else {"unit": unit} for unit in joints],
            "proofchain_balls": [self.proof_element(index) for index in range(newest, -1, -1)],
        }

    def joint(self, unit: Unit) -> dict[str, Any]:
        """A unit of the ledger with its ball."""
        index = self.units.index(unit)
        return {"unit": {**unit, "main_chain_index": index}, "ball": self.ball(index)}

    def proof_element(self, index: int) -> dict[str, Any]:
        """An element of the proof chain."""
        element = {"unit": self.units[index]["unit"], "ball": self.ball(index)}
        return {**element, "parent_balls": [self.ball(index - 1)]} if index else element


def sign_for(unit: Unit, key: Key, address: str) -> Unit:
    """Signs for an address with any key, right or wrong."""
    if key.address == address:
        return sign_unit(unit, key)
    signature = {"r": key.sign(hash_to_sign(unit))}
    authors = [
        {**author, "authentifiers": signature} if author["address"] == address else author
        for author in unit["authors"]
    ]
    signed = {**unit, "authors": authors}
    return {**signed, "unit": unit_hash(signed)}
