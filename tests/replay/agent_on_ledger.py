"""A recorded agent's life on the local network: each trigger posted, each answer made by the ledger itself.

The units are composed anew, with the recorded senders, amounts and data. Packages that were rightly signed there are
signed again where they name what has another name here.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from paypercall.devnet.agents import Answer
from paypercall.devnet.clock import Clock
from paypercall.devnet.hub import _parse_float
from paypercall.obyte.address import definition_address
from paypercall.obyte.canonical import json_source_string
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import Key, verify_signature
from tests.devnet.local_node import LocalNode

Step = dict[str, Any]
BYTES_FOR_EACH = 100_000_000_000
TOKENS_FOR_EACH = 100_000_000_000


class StandingClock(Clock):
    """Shows the time that it was set to."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds

    def now(self) -> int:
        return self.seconds

    def milliseconds(self) -> int:
        return 1000 * self.seconds


@dataclass(frozen=True)
class Happened:
    """What came of a step here.

    Attributes:
        step: As recorded, in the names of the local network.
        answer: The agent's, if the unit triggered it.
        state: The agent's variables afterwards.
        balances: What it owned afterwards, by asset.
        storage_size: How much its variables take.
    """

    step: Step
    answer: Answer | None
    state: Step
    balances: dict[str, int]
    storage_size: int


@dataclass
class AgentOnLedger:
    """One trace on a local network of its own."""

    trace: Step
    assets: list[str]
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        people = [*self.trace["parties"].values(), self.trace["third_party"]]
        self._keys = {person["address"]: Key(bytes.fromhex(person["privkey_hex"])) for person in people}
        self._clock = StandingClock(self.trace["steps"][0]["trigger"]["timestamp"] - 1)
        self._local = LocalNode(self._clock)
        faucet = self._local.faucet
        for asset in self.assets:
            self.names[asset] = faucet.issue_asset(10 * TOKENS_FOR_EACH)
        for address in self._keys:
            faucet.fund(address, BYTES_FOR_EACH)
            for asset in self.assets:
                faucet.fund(address, TOKENS_FOR_EACH, self.names[asset])
        self._local.node.settle()
        self.aa_address = definition_address(self._named(self.trace["aa_definition"]))
        self.names[self.trace["aa_address"]] = self.aa_address

    def play(self) -> list[Happened]:
        """Takes all steps."""
        return [self._take(step) for step in self.trace["steps"]]

    def _take(self, step: Step) -> Happened:
        trigger = step["trigger"]
        self._clock.seconds = (step["result"] or trigger)["timestamp"]
        unit = self._local.compose(self._keys[trigger["address"]], self._draft(trigger["joint"]["unit"]))
        posted = json.loads(json.dumps({"unit": unit}), parse_float=_parse_float)
        vertex = self._local.node.post(posted)
        self.names[trigger["unit"]] = vertex.hash
        self._local.node.settle()
        answers = self._local.ledger.agents.answers_by_trigger.get(vertex.hash, [None])
        agent = self._local.ledger.agents.known.get(self.aa_address)
        books = self._local.ledger.books
        owned = {asset: books.balance(self.aa_address, asset) for asset in ("base", *self.names.values())}
        return Happened(
            step=self._named(step),
            answer=answers[0],
            state=agent.state.variables() if agent else {},
            balances={asset: amount for asset, amount in owned.items() if amount},
            storage_size=agent.state.storage_size if agent else 0,
        )

    def _draft(self, unit: Step) -> Draft:
        outputs: dict[str, tuple[Output, ...]] = {}
        messages = []
        for message in unit["messages"]:
            payload = message["payload"]
            if message["app"] != "payment":
                messages.append({"app": message["app"], "payload": self._signed_again(payload)})
                continue
            paid = [
                Output(self.aa_address, output["amount"])
                for output in payload["outputs"]
                if output["address"] == self.trace["aa_address"]
            ]
            if paid:
                outputs[self._named(payload.get("asset", "base"))] = tuple(paid)
        return Draft(outputs, tuple(messages))

    def _named(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.names.get(value, value)
        if isinstance(value, list):
            return [self._named(element) for element in value]
        if isinstance(value, dict):
            return {self.names.get(name, name): self._named(element) for name, element in value.items()}
        return value

    def _signed_again(self, value: Any) -> Any:
        """The value in local names, with the signatures of packages made right that were right."""
        if isinstance(value, list):
            return [self._signed_again(element) for element in value]
        if not isinstance(value, dict):
            return self._named(value)
        changed = {self._named(name): self._signed_again(element) for name, element in value.items()}
        if "last_ball_unit" in value:
            changed["last_ball_unit"] = self._local.ledger.last_stable.hash
        if "signed_message" not in value or changed == value or not isinstance(value.get("authors"), list):
            return changed
        authors = [
            {**author, "authentifiers": {"r": self._keys[author["address"]].sign(digest_of(changed))}}
            if self._is_right(author, digest_of(value))
            else author
            for author in value["authors"]
        ]
        return {**changed, "authors": authors}

    def _is_right(self, author: Any, digest: bytes) -> bool:
        key = self._keys.get(author.get("address"))
        signatures = author.get("authentifiers") or {}
        return key is not None and verify_signature(digest, signatures.get("r"), key.public_key)


def digest_of(package: Step) -> bytes:
    """The hash that the authors of a package sign."""
    authors = [
        {name: value for name, value in author.items() if name != "authentifiers"}
        for author in package["authors"]
    ]
    return hashlib.sha256(json_source_string({**package, "authors": authors}).encode()).digest()
