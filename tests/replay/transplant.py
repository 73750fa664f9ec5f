"""Recorded units on the local network: the same messages, authors, amounts and signing keys, at another place.

What a unit says of its place in the ledger is the local one: parents, last ball, time, TPS fee, the coins that it
spends, and hence its change, its hashes and its signatures. Everything else is left as it was recorded.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from paypercall.devnet.attachment import attach
from paypercall.devnet.books import OutputKey
from paypercall.devnet.graph import Vertex
from paypercall.obyte.address import definition_address
from paypercall.obyte.amounts import BASE
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import hash_to_sign, headers_size, payload_hash, total_payload_size, unit_hash
from tests.devnet.local_node import LocalNode
from tests.replay.names import renamed

Unit = dict[str, Any]


@dataclass
class Transplant:
    """A local network that grows out of recorded units.

    Attributes:
        local: The network.
        names: What stands for a recorded unit, asset or agent here.
    """

    local: LocalNode = field(default_factory=LocalNode)
    names: dict[str, str] = field(default_factory=dict)
    _moved: dict[OutputKey, int] = field(default_factory=dict)

    def post(self, recorded: Unit) -> Vertex:
        """Posts a recorded unit; what it spends is stable here if it was stable there.

        Args:
            recorded: One of the units of `tests/traces/units.json` that a wallet composed.
        """
        unit = deepcopy(recorded["joint"]["unit"])
        self._name_agents(unit)
        unit = self.named(unit)
        for message in unit["messages"]:
            if message["app"] == "payment":
                self._spend(message["payload"], recorded["compose"])
        if self._spends_stable_coins(recorded):
            self.local.node.settle()
        self._place(unit, recorded["compose"])
        self._balance(unit, recorded["compose"])
        orders = [self._sort(message["payload"]) for message in unit["messages"]]
        for message in unit["messages"]:
            message["payload_hash"] = payload_hash(message["payload"])
        unit = self._sign(unit, recorded["private_keys"])
        vertex = self.local.node.post({"unit": json.loads(json.dumps(unit))})
        self.names[recorded["unit"]] = vertex.hash
        for message_index, order in enumerate(orders):
            for index, recorded_index in enumerate(order):
                self._moved[OutputKey(vertex.hash, message_index, recorded_index)] = index
        return vertex

    def _sort(self, payload: Any) -> list[int]:
        """Sorts a payment's outputs, since an agent may have another address; returns where each has been."""
        if not isinstance(payload, dict) or "outputs" not in payload:
            return []
        order = sorted(
            enumerate(payload["outputs"]), key=lambda each: (each[1]["address"], each[1]["amount"])
        )
        payload["outputs"] = [output for _, output in order]
        return [index for index, _ in order]

    def named(self, value: Any) -> Any:
        """The same JSON in the names of the local network."""
        return renamed(value, self.names)

    def _name_agents(self, unit: Unit) -> None:
        """An agent in an asset has another address here, because the asset has another id."""
        for message in unit["messages"]:
            if message["app"] == "definition":
                definition = self.named(message["payload"]["definition"])
                self.names[message["payload"]["address"]] = definition_address(definition)

    def _spends_stable_coins(self, recorded: Unit) -> bool:
        spent = {_place(source) for source in recorded["compose"]["inputs"]}
        unstable = {
            _place(output) for output in recorded["compose"]["available_outputs"] if not output["is_stable"]
        }
        return spent.isdisjoint(unstable)

    def _place(self, unit: Unit, compose: Unit) -> None:
        request = self.named(compose["lp_request"])
        place = attach(
            self.local.ledger,
            self.local.node.clock.now(),
            request["from_addresses"],
            request["output_addresses"],
            unit.get("max_aa_responses"),
        ).for_composer()
        unit.update(
            timestamp=place.timestamp,
            parent_units=list(place.parent_units),
            last_ball=place.last_ball,
            last_ball_unit=place.last_ball_unit,
            tps_fee=place.tps_fee,
        )

    def _spend(self, payload: Unit, compose: Unit) -> None:
        """Lets a payment spend coins of the same owners and amounts; those from before the recording are paid now."""
        asset = payload.get("asset", BASE)
        for source in payload["inputs"]:
            if "unit" not in source:
                continue
            if source["unit"] in self.names.values():
                source["output_index"] = self._moved[OutputKey(**source)]
                continue
            coin = next(coin for coin in compose["available_outputs"] if _place(coin) == _place(source))
            source.update(self._coin(coin["address"], coin["amount"], asset)._asdict())

    def _coin(self, address: str, amount: int, asset: str) -> OutputKey:
        self.local.faucet.fund(address, amount, asset)
        holdings = self.local.ledger.books.spendable(address)
        return next(h.key for h in reversed(holdings) if (h.amount, h.asset) == (amount, asset))

    def _balance(self, unit: Unit, compose: Unit) -> None:
        [payload] = [
            message["payload"]
            for message in unit["messages"]
            if message["app"] == "payment" and "asset" not in message["payload"]
        ]
        unit["headers_commission"] = headers_size(unit)
        unit["payload_commission"] = total_payload_size(unit)
        change = self._change(payload, self.named(compose["outputs"]))
        books = self.local.ledger.books
        spent = sum(books.holdings[OutputKey(**source)].amount for source in payload["inputs"])
        paid = sum(output["amount"] for output in payload["outputs"] if output is not change)
        fees = unit["headers_commission"] + unit["payload_commission"] + unit["tps_fee"]
        change["amount"] = spent - paid - fees

    def _change(self, payload: Unit, outputs: list[Unit]) -> Unit:
        """The one output that nobody asked for."""
        asked = [(output["address"], output["amount"]) for output in outputs]
        for output in payload["outputs"]:
            if (output["address"], output["amount"]) in asked:
                asked.remove((output["address"], output["amount"]))
            else:
                change: Unit = output
        return change

    def _sign(self, unit: Unit, private_keys: Unit) -> Unit:
        digest = hash_to_sign(unit)
        for author in unit["authors"]:
            owner = private_keys[author["address"]]
            keys = owner.get("privkeys", {"r": owner.get("privkey_hex")})
            author["authentifiers"] = {
                path: Key(bytes.fromhex(keys[path])).sign(digest) for path in author["authentifiers"]
            }
        return {**unit, "unit": unit_hash(unit)}


def _place(output: Unit) -> tuple[Any, ...]:
    return output["unit"], output["message_index"], output["output_index"]
