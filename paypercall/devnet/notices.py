"""What the hub tells its clients without being asked: units, stability, agents' answers, units gone bad."""

from __future__ import annotations

from typing import Any

from paypercall.devnet.agents import Answer
from paypercall.devnet.graph import Sequence, Vertex
from paypercall.devnet.history import response_of
from paypercall.devnet.ledger import (
    AgentAnswered,
    Event,
    IndexBecameStable,
    Ledger,
    UnitAdded,
    UnitsWentBad,
    addresses_of,
)
from paypercall.devnet.session import Session


class Notices:
    """Tells sessions what concerns them.

    Args:
        ledger: Where things happen.
        sessions: The open ones; the hub adds and removes.

    Attributes:
        speaker: The session whose message is being handled: it is not told of its own unit.
    """

    def __init__(self, ledger: Ledger, sessions: set[Session]) -> None:
        self._ledger = ledger
        self._sessions = sessions
        self.speaker: Session | None = None

    def tell(self, event: Event) -> None:
        """Takes an event of the ledger."""
        if isinstance(event, UnitAdded):
            self._tell_of_unit(event.vertex)
        elif isinstance(event, IndexBecameStable):
            self._tell_of_stability(event.index)
        elif isinstance(event, AgentAnswered):
            self._tell_of_answer(event.answer)
        elif isinstance(event, UnitsWentBad):
            self._tell_of_bad_units(event.vertices)

    def _tell_of_unit(self, vertex: Vertex) -> None:
        if vertex.is_response or vertex.sequence is not Sequence.GOOD:
            return  # of a response is told with the answer
        addresses = set(addresses_of(vertex.unit))
        for session in self._sessions:
            if session is self.speaker:
                continue
            if session.watches_any(addresses):
                session.say("joint", {"unit": vertex.unit})
            for agent in session.agents:
                if agent in addresses and session.watches_agent(agent, vertex.authors):
                    session.say("light/aa_request", {"aa_address": agent, "unit": vertex.unit})

    def _tell_of_stability(self, index: int) -> None:
        main_chain = self._ledger.graph.main_chain
        if index <= 1:
            return
        highest, lowest = main_chain[index].last_ball_index, main_chain[index - 1].last_ball_index
        addresses, units = set(), set()
        for settled in self._ledger.graph.units_by_index[lowest + 1 : highest + 1]:
            for vertex in settled:
                units.add(vertex.hash)
                addresses.update(addresses_of(vertex.unit))
        for session in self._sessions:
            if session.watches_any(addresses) or not session.units.isdisjoint(units):
                session.say("light/have_updates")
            session.units -= units

    def _tell_of_answer(self, answer: Answer) -> None:
        body: dict[str, Any] = {
            "mci": answer.index,
            "timestamp": answer.timestamp,
            "trigger_address": answer.trigger.authors[0],
            "trigger_initial_address": answer.trigger.authors[0],
            "trigger_unit": answer.trigger.hash,
            "trigger_initial_unit": answer.trigger.hash,
            "aa_address": answer.agent,
            "bounced": answer.error is not None,
            "response_unit": None if answer.response is None else answer.response.hash,
            "objResponseUnit": None if answer.response is None else answer.response.unit,
            "response": response_of(answer),
            "balances": answer.balances,
            "allBalances": {answer.agent: answer.balances},
        }
        if answer.updated_variables is not None:
            body["updatedStateVars"] = answer.updated_variables
        concerned = set() if answer.response is None else set(addresses_of(answer.response.unit))
        parties = {answer.trigger.authors[0], *concerned}
        for session in self._sessions:
            if session.watches_agent(answer.agent, parties):
                session.say("light/aa_response", body)
            for _ in session.addresses & concerned:
                session.say("light/have_updates")

    def _tell_of_bad_units(self, vertices: tuple[Vertex, ...]) -> None:
        for session in self._sessions:
            concerned = [
                vertex.hash
                for vertex in vertices
                if session.watches_any(set(addresses_of(vertex.unit))) or vertex.hash in session.units
            ]
            if concerned:
                session.say("light/sequence_became_bad", concerned)
