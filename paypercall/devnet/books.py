"""Who owns what: every output of the network, who spends it, what each address may spend.

Only bookkeeping: whether a unit may spend an output is decided in `payments.py`, whether it stands is
decided by the ledger. Conflicting units may spend the same output here until one of them is voided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from paypercall.devnet.graph import Sequence, Vertex
from paypercall.obyte.amounts import BASE


class OutputKey(NamedTuple):
    """What an input names: an output by its place."""

    unit: str
    message_index: int
    output_index: int


class IssueKey(NamedTuple):
    """What must be unique among the issues of an asset."""

    asset: str
    serial_number: int
    issuer: str


@dataclass(frozen=True, slots=True)
class Holding:
    """One output.

    Attributes:
        key: Its place.
        address: Its owner.
        amount: Bytes, or units of the asset.
        asset: `base` or the asset's id.
        vertex: The unit that made it.
    """

    key: OutputKey
    address: str
    amount: int
    asset: str
    vertex: Vertex


@dataclass(frozen=True, slots=True)
class Asset:
    """A kind of money defined by a unit.

    Attributes:
        vertex: The unit that defines it; its hash is the asset's id.
        definer: The address that issues it.
        properties: The payload of its definition.
    """

    vertex: Vertex
    definer: str
    properties: dict[str, Any]


@dataclass(slots=True)
class Books:
    """All outputs, spends and assets of the network."""

    holdings: dict[OutputKey, Holding] = field(default_factory=dict)
    unspent: defaultdict[str, dict[OutputKey, Holding]] = field(default_factory=lambda: defaultdict(dict))
    spenders: defaultdict[OutputKey | IssueKey, list[Vertex]] = field(
        default_factory=lambda: defaultdict(list)
    )
    assets: dict[str, Asset] = field(default_factory=dict)

    def enter(self, vertex: Vertex) -> None:
        """Takes in what a new unit spends, creates and defines."""
        for key in spent_keys(vertex.unit):
            self.spenders[key].append(vertex)
            if isinstance(key, OutputKey):
                holding = self.holdings[key]
                self.unspent[holding.address].pop(key, None)
        for holding in created_holdings(vertex):
            self.holdings[holding.key] = holding
            self.unspent[holding.address][holding.key] = holding
        for message in vertex.unit["messages"]:
            if message["app"] == "asset":
                self.assets[vertex.hash] = Asset(vertex, vertex.authors[0], message["payload"])

    def void(self, vertex: Vertex) -> list[Vertex]:
        """Takes back a unit that became final-bad.

        Returns:
            The units that spend its outputs: they fall with it.
        """
        for key in spent_keys(vertex.unit):
            self.spenders[key].remove(vertex)
            if isinstance(key, OutputKey) and not self.spenders[key] and key in self.holdings:
                holding = self.holdings[key]
                self.unspent[holding.address][key] = holding
        heirs: dict[str, Vertex] = {}
        for holding in created_holdings(vertex):
            del self.holdings[holding.key]
            self.unspent[holding.address].pop(holding.key, None)
            heirs.update((spender.hash, spender) for spender in self.spenders[holding.key])
        self.assets.pop(vertex.hash, None)
        return list(heirs.values())

    def spendable(self, address: str) -> list[Holding]:
        """The unspent outputs of an address in units that stand so far, oldest first."""
        return [h for h in self.unspent.get(address, {}).values() if h.vertex.sequence is Sequence.GOOD]

    def balance(self, address: str, asset: str = BASE) -> int:
        """What an address has, unconfirmed outputs included."""
        return sum(holding.amount for holding in self.spendable(address) if holding.asset == asset)


def created_holdings(vertex: Vertex) -> Iterator[Holding]:
    """The outputs of a unit."""
    for message_index, message in enumerate(vertex.unit.get("messages", ())):
        if message["app"] != "payment":
            continue
        payload = message["payload"]
        for output_index, output in enumerate(payload["outputs"]):
            key = OutputKey(vertex.hash, message_index, output_index)
            yield Holding(key, output["address"], output["amount"], payload.get("asset", BASE), vertex)


def spent_keys(unit: dict[str, Any]) -> Iterator[OutputKey | IssueKey]:
    """What a unit's inputs consume."""
    for message in unit.get("messages", ()):
        if message["app"] != "payment":
            continue
        payload = message["payload"]
        for source in payload["inputs"]:
            if source.get("type") == "issue":
                issuer = source.get("address", unit["authors"][0]["address"])
                yield IssueKey(payload.get("asset", BASE), source["serial_number"], issuer)
            else:
                yield OutputKey(source["unit"], source["message_index"], source["output_index"])
