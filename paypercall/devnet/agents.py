"""The agents of the network: their definitions, states and balances, and the answers that they gave.

What an agent answers is decided by the rules in `agent.py` and `agent_unit.py`; this module finds the
triggers, hands over what the rules need from the ledger, and puts the answers on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from paypercall.devnet.agent import AgentParameters, AgentState, NotModelled, Trigger
from paypercall.devnet.agent_unit import AgentCoin, Anchor, Execution, execute
from paypercall.devnet.books import Books, created_holdings
from paypercall.devnet.graph import Graph, Sequence, Vertex
from paypercall.obyte.amounts import BASE
from paypercall.obyte.network import Network
from paypercall.obyte.unit import Unit

_BALANCES = ("balanceA", "balanceB")


@dataclass(slots=True)
class Agent:
    """One agent that the ledger knows.

    Attributes:
        definition: As published.
        vertex: The stable unit that published it first.
        index: The main chain index of that unit; earlier payments trigger nothing.
        balances: What it has, by asset, without triggers that still wait for their answer.
    """

    address: str
    definition: list[Any]
    parameters: AgentParameters
    vertex: Vertex
    index: int
    state: AgentState = field(default_factory=AgentState)
    balances: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent answered to one trigger.

    Attributes:
        number: Counts all answers of the network.
        index: The main chain index of the trigger.
        timestamp: Of the main chain unit there; the time that the agent sees.
        created: Ledger time in seconds when the answer was made.
        trigger: The unit that paid the agent.
        agent: Address of the agent.
        error: Why it bounced; None when it did not.
        response: The unit that it sent, if any.
        balances: Of the agent after the answer.
        updated_variables: Of the agent's state, as a hub reports them; None when it bounced.
    """

    number: int
    index: int
    timestamp: int
    created: int
    trigger: Vertex
    agent: str
    error: str | None
    response: Vertex | None
    balances: dict[str, int]
    updated_variables: dict[str, Any] | None


class Registrar(Protocol):
    """The part of the ledger that agents write to and ask."""

    network: Network
    graph: Graph
    books: Books

    def add_response(self, unit: Unit) -> Vertex:
        """Adds an agent's unit."""

    def main_chain_index(self, unit: str) -> int | None:
        """The index of a unit, or None when it has none or is unknown."""

    def definition(self, address: str, main_chain_index: int) -> list[Any] | None:
        """The definition of an address as known at an index."""


@dataclass(slots=True)
class Agents:
    """All agents of the network."""

    ledger: Registrar
    known: dict[str, Agent] = field(default_factory=dict)
    announced: dict[str, list[Any]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    answers_by_agent: dict[str, list[Answer]] = field(default_factory=dict)
    answers_by_trigger: dict[str, list[Answer]] = field(default_factory=dict)
    _young_responses: list[Vertex] = field(default_factory=list)

    def announce(self, vertex: Vertex) -> None:
        """Remembers the definitions in a new unit, which is not stable yet."""
        for payload in _definition_payloads(vertex):
            self.announced[payload["address"]] = payload["definition"]

    def publish(self, vertex: Vertex) -> None:
        """Makes the agents known that a unit defines, which has become stable."""
        index = vertex.main_chain_index or 0
        for payload in _definition_payloads(vertex):
            address = payload["address"]
            if address in self.known:
                continue
            parameters = AgentParameters.from_definition(payload["definition"])
            agent = Agent(address, payload["definition"], parameters, vertex, index)
            for holding in self.ledger.books.spendable(address):
                if holding.vertex.is_stable and (holding.vertex.main_chain_index or 0) < index:
                    agent.balances[holding.asset] = agent.balances.get(holding.asset, 0) + holding.amount
            self.known[address] = agent

    def run_triggers(self, vertices: list[Vertex], index: int, created: int) -> list[Answer]:
        """Runs the agents that units at a main chain index pay, which has just become stable.

        Args:
            vertices: All units at the index, in the order of their levels and hashes.
            index: Theirs.
            created: Ledger time in seconds.
        """
        answers = []
        for vertex in vertices:
            for address in self._triggered_by(vertex, index):
                answer = self._run(vertex, self.known[address], index, created)
                self.answers.append(answer)
                self.answers_by_agent.setdefault(address, []).append(answer)
                self.answers_by_trigger.setdefault(vertex.hash, []).append(answer)
                answers.append(answer)
        return answers

    def triggers_of(self, output_addresses: set[str], index: int) -> list[str]:
        """Which of the addresses are agents that were known at a main chain index."""
        return sorted(a for a in output_addresses if a in self.known and self.known[a].index <= index)

    def _triggered_by(self, vertex: Vertex, index: int) -> list[str]:
        if vertex.is_response or vertex.sequence is not Sequence.GOOD:
            return []
        return self.triggers_of({holding.address for holding in created_holdings(vertex)}, index)

    def _run(self, vertex: Vertex, agent: Agent, index: int, created: int) -> Answer:
        main_chain_unit = self.ledger.graph.main_chain[index]
        trigger = Trigger.from_unit(
            vertex.unit,
            agent.address,
            timestamp=main_chain_unit.timestamp,
            main_chain_index=index,
            is_second=vertex.hash in self.answers_by_trigger,
        )
        for asset, amount in trigger.outputs.items():
            agent.balances[asset] = agent.balances.get(asset, 0) + amount
        try:
            execution = self._execute(agent, trigger, index)
        except NotModelled as error:
            execution = Execution(state=agent.state, error=str(error), unit=None, spent=())
        updated = None
        if execution.error is None:
            changes = updated_variables(agent.state.variables(), execution.state.variables())
            updated = {agent.address: changes}
        agent.state = execution.state
        response = None
        if execution.unit is not None:
            response = self.ledger.add_response(execution.unit)
            self._young_responses.append(response)
            self._settle_balances(agent, execution, response)
        return Answer(
            number=len(self.answers),
            index=index,
            timestamp=main_chain_unit.timestamp,
            created=created,
            trigger=vertex,
            agent=agent.address,
            error=execution.error,
            response=response,
            balances=dict(agent.balances),
            updated_variables=updated,
        )

    def _execute(self, agent: Agent, trigger: Trigger, index: int) -> Execution:
        main_chain_unit = self.ledger.graph.main_chain[index].unit
        return execute(
            agent.parameters,
            agent.address,
            self.ledger.network,
            agent.state,
            trigger,
            anchor=Anchor(
                timestamp=main_chain_unit["timestamp"],
                last_ball=main_chain_unit["last_ball"],
                last_ball_unit=main_chain_unit["last_ball_unit"],
                parent_units=self._pick_parents(index),
            ),
            coins=self._coins(agent.address, index),
            byte_balance=agent.balances.get(BASE, 0),
            definitions=self.ledger,
        )

    def _coins(self, address: str, index: int) -> tuple[AgentCoin, ...]:
        coins = []
        for holding in self.ledger.books.spendable(address):
            vertex = holding.vertex
            is_old = vertex.main_chain_index is not None and vertex.main_chain_index <= index
            if not is_old and not vertex.is_response:
                continue
            coins.append(
                AgentCoin(
                    unit=holding.key.unit,
                    message_index=holding.key.message_index,
                    output_index=holding.key.output_index,
                    amount=holding.amount,
                    asset=holding.asset,
                    main_chain_index=vertex.main_chain_index,
                    latest_included_index=vertex.latest_included_index,
                    level=vertex.level,
                )
            )
        return tuple(coins)

    def _pick_parents(self, index: int) -> tuple[str, ...]:
        """Chains the answers behind the main chain unit, one below the other (ocore `pickParents`)."""
        main_chain_unit = self.ledger.graph.main_chain[index]
        self._young_responses = [
            vertex
            for vertex in self._young_responses
            if vertex.main_chain_index is None or vertex.main_chain_index > index
        ]
        if not self._young_responses:
            return (main_chain_unit.hash,)
        newest = max(self._young_responses, key=lambda vertex: (vertex.latest_included_index, vertex.level))
        if newest.latest_included_index == index:
            return (newest.hash,)
        return tuple(sorted((newest.hash, main_chain_unit.hash)))

    def _settle_balances(self, agent: Agent, execution: Execution, response: Vertex) -> None:
        for coin in execution.spent:
            agent.balances[coin.asset] = agent.balances.get(coin.asset, 0) - coin.amount
        for holding in created_holdings(response):
            if holding.address == agent.address:
                agent.balances[holding.asset] = agent.balances.get(holding.asset, 0) + holding.amount


def _definition_payloads(vertex: Vertex) -> list[dict[str, Any]]:
    return [
        message["payload"] for message in vertex.unit.get("messages", ()) if message["app"] == "definition"
    ]


def updated_variables(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What a hub reports of an agent's state after an accepted trigger.

    Two oddities of the agent's code show: it adds to a balance that is not there as if it were 0, and it removes both
    balances when it closes a period, whether they are there or not.
    """
    is_closed = "close_initiated_by" in before and "close_initiated_by" not in after
    updated: dict[str, Any] = {}
    for name in sorted({*before, *after, *(_BALANCES if is_closed else ())}):
        old = before.get(name, 0 if name in _BALANCES and name in after else None)
        new = after.get(name, False)
        if name in before and old == after.get(name):
            continue
        updated[name] = change = {"value": new}
        if old is not None:
            change["old_value"] = old
            if type(old) in (int, float) and type(new) in (int, float):
                change["delta"] = new - old
    return updated
