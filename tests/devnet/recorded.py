"""Replays the recorded life of real agents through the model, with the same coins at the same places."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from paypercall.devnet.agent import AgentParameters, AgentState, NotModelled, Response, Trigger, respond
from paypercall.devnet.agent_unit import AgentCoin, Anchor, Execution, execute
from paypercall.obyte.network import Network, devnet

Step = dict[str, Any]
Coins = dict[tuple[str, int, int], AgentCoin]

_file = Path(__file__).parent.parent / "traces" / "agent_traces.json"
_nowhere = Anchor(timestamp=0, last_ball="", last_ball_unit="", parent_units=())


@dataclass(frozen=True)
class Replayed:
    """One recorded step, and what the model made of it; `execution` is None where the model passes."""

    step: Step
    response: Response | None
    execution: Execution | None
    state: AgentState
    balances: dict[str, int]

    @property
    def recorded(self) -> Step:
        """What the real agent answered."""
        result: Step = self.step["result"]
        return result

    @property
    def is_trigger(self) -> bool:
        """Whether the unit reached an agent at all."""
        return self.step["result"] is not None


@cache
def recording() -> Step:
    """Returns the whole file; do not change it."""
    content: Step = json.loads(_file.read_text())
    return content


def trace_names() -> list[str]:
    return [trace["name"] for trace in recording()["traces"]]


@cache
def replay(name: str) -> tuple[Replayed, ...]:
    """Runs the model through a trace; each step starts from what the model made of the last."""
    trace = next(trace for trace in recording()["traces"] if trace["name"] == name)
    chain = recording()["network"]
    network = devnet(chain["genesis_unit"], tuple(chain["witnesses"]))
    return tuple(_Run(trace, network).steps())


@dataclass
class _Definitions:
    """Knows the definitions of all parties, as the recorded ledger did when it was asked."""

    known: dict[str, list[Any]]

    def main_chain_index(self, unit: str) -> int | None:
        return 1

    def definition(self, address: str, main_chain_index: int) -> list[Any] | None:
        return self.known.get(address)


@dataclass
class _Run:
    trace: Step
    network: Network
    state: AgentState = field(default_factory=AgentState)
    coins: Coins = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.aa_address = self.trace["aa_address"]
        self.parameters = AgentParameters.from_definition(self.trace["aa_definition"])
        people = [*self.trace["parties"].values(), self.trace["third_party"]]
        self.definitions = _Definitions({person["address"]: person["definition"] for person in people})

    def steps(self) -> list[Replayed]:
        steps = self.trace["steps"]
        return [self._take(step, following) for step, following in zip_longest(steps, steps[1:])]

    def _take(self, step: Step, following: Step | None) -> Replayed:
        unit = step["trigger"]["joint"]["unit"]
        balance = self._balances()["base"] + step["trigger"]["outputs"].get("base", 0)
        self._receive(unit, step["trigger"]["mci"])
        response, execution = None, None
        if step["result"] is not None:
            try:
                response, execution = self._answer(step, balance)
            except NotModelled:
                self.state = AgentState()  # whatever follows in this trace fails, too
        if execution is not None:
            self.state = execution.state
            for coin in execution.spent:
                del self.coins[coin.unit, coin.message_index, coin.output_index]
            if execution.unit is not None:
                self._receive(execution.unit, self._index_of_response(step, execution, following))
        return Replayed(step, response, execution, self.state, dict(self._balances()))

    def _answer(self, step: Step, byte_balance: int) -> tuple[Response, Execution]:
        result = step["result"]
        trigger = Trigger.from_unit(
            step["trigger"]["joint"]["unit"],
            self.aa_address,
            timestamp=result["timestamp"],
            main_chain_index=step["trigger"]["mci"],
        )
        response = respond(
            self.parameters, self.aa_address, self.network.version, self.state, trigger, self.definitions
        )
        execution = execute(
            self.parameters,
            self.aa_address,
            self.network,
            self.state,
            trigger,
            anchor=_anchor(result),
            coins=self.coins.values(),
            byte_balance=byte_balance,
            definitions=self.definitions,
        )
        return response, execution

    def _index_of_response(self, step: Step, execution: Execution, following: Step | None) -> int | None:
        """A response is stable at the next trigger, unless both were posted at once."""
        index: int = step["trigger"]["mci"]
        assert execution.unit is not None
        if following is None:
            return None
        if execution.unit["unit"] in following["trigger"]["joint"]["unit"]["parent_units"]:
            return int(following["trigger"]["mci"])  # a tip until then, so included by this unit first
        return None if "parallel" in self.trace["tags"] else index + 1

    def _receive(self, unit: Step, main_chain_index: int | None) -> None:
        for message_index, message in enumerate(unit["messages"]):
            if message["app"] != "payment":
                continue
            asset = message["payload"].get("asset", "base")
            for output_index, output in enumerate(message["payload"]["outputs"]):
                if output["address"] == self.aa_address:
                    place = (unit["unit"], message_index, output_index)
                    self.coins[place] = AgentCoin(*place, output["amount"], asset, main_chain_index, 0, 0)

    def _balances(self) -> Counter[str]:
        balances: Counter[str] = Counter()
        for coin in self.coins.values():
            balances[coin.asset] += coin.amount
        return balances


def _anchor(result: Step) -> Anchor:
    """The place of the recorded response unit; the ledger decides it, not the agent."""
    if "response_joint" not in result:
        return _nowhere
    unit = result["response_joint"]["unit"]
    return Anchor(unit["timestamp"], unit["last_ball"], unit["last_ball_unit"], tuple(unit["parent_units"]))
