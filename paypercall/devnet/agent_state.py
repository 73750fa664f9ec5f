"""What an instance of the channel agent 1.1 is made with and what it remembers, as the ledger stores both.

Only facts live here; `agent.py` has the rules that change them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from paypercall.devnet.agent_language import NotModelled, as_integer, select, state_number
from paypercall.obyte.address import HASH_LENGTH, is_valid_address, is_valid_base64
from paypercall.obyte.amounts import BASE
from paypercall.obyte.canonical import format_number

BASE_AGENT = "4IRUGAUUCAQ6QRQLG4SNOLOE6VW2STWZ"
"""Address of the agent's code on the ledger."""


class Party(Enum):
    """The two sides of a channel, by the names that they have in the agent's state."""

    A = "A"
    B = "B"

    @property
    def peer(self) -> Party:
        """The other side."""
        return Party.B if self is Party.A else Party.A


@dataclass(frozen=True, slots=True)
class AgentParameters:
    """What one instance of the agent is about.

    Attributes:
        address_a: The payee.
        address_b: The customer.
        asset: "base" or an asset's id.
        timeout: Seconds that the side that closes must wait for the other's confirmation.
    """

    address_a: str
    address_b: str
    asset: str
    timeout: int

    @classmethod
    def from_definition(cls, definition: Any) -> AgentParameters:
        """Reads the parameters out of an agent's definition.

        Raises:
            NotModelled: The definition is no instance of the agent 1.1, or has parameters that no channel
                would have.
        """
        body = definition[1] if isinstance(definition, list) and len(definition) == 2 else None
        if (
            not isinstance(body, Mapping)
            or body.get("base_aa") != BASE_AGENT
            or definition[0] != "autonomous agent"
        ):
            raise NotModelled("only instances of the channel agent 1.1 are modelled")
        parameters = body.get("params")
        address_a, address_b = select(parameters, "addressA"), select(parameters, "addressB")
        asset, timeout = select(parameters, "asset"), as_integer(select(parameters, "timeout"))
        if not isinstance(address_a, str) or not isinstance(address_b, str) or address_a == address_b:
            raise NotModelled("a channel has two different addresses")
        if not is_valid_address(address_a) or not is_valid_address(address_b):
            raise NotModelled("addressA and addressB must be addresses")
        if not isinstance(asset, str) or not (asset == BASE or is_valid_base64(asset, HASH_LENGTH)):
            raise NotModelled('the asset must be "base" or the id of an asset')
        if timeout is None:
            raise NotModelled("the timeout must be a whole number of seconds")
        return cls(address_a, address_b, asset, timeout)

    def party(self, address: str) -> Party | None:
        """Returns the side that an address is, None for a third party."""
        return {self.address_a: Party.A, self.address_b: Party.B}.get(address)

    def address(self, party: Party) -> str:
        """Returns the address of a side."""
        return self.address_a if party is Party.A else self.address_b


@dataclass(frozen=True, slots=True)
class Closing:
    """A close that waits for its confirmation.

    Attributes:
        initiated_by: The side that closes.
        start_timestamp: Seconds; the ledger's time when the close became stable.
        spent_by_a: What A owes B, as claimed or shown by the side that closes.
        spent_by_b: The same for B.
    """

    initiated_by: Party
    start_timestamp: int
    spent_by_a: int
    spent_by_b: int

    @property
    def claim(self) -> int:
        """What the side that closes says that it spent."""
        return self.spent_by_a if self.initiated_by is Party.A else self.spent_by_b


@dataclass(frozen=True, slots=True)
class AgentState:
    """What the agent remembers. Amounts are in bytes or in units of the channel's asset.

    Attributes:
        period: The current period, 0 before the first deposit.
        event_id: The number that the next event gets, 0 before the first deposit.
        balance_a: What A deposited in this period.
        balance_b: What B deposited in this period.
        closing: Set between close and confirmation.
    """

    period: int = 0
    event_id: int = 0
    balance_a: int = 0
    balance_b: int = 0
    closing: Closing | None = None

    def variables(self) -> dict[str, int | float | str]:
        """Returns the state variables as a node reports them; those that are not set are missing."""
        amounts = {name: number for name, number in self._numbers().items() if number}
        variables: dict[str, int | float | str] = {
            name: state_number(number) for name, number in amounts.items()
        }
        if self.closing is not None:
            variables |= {
                "close_initiated_by": self.closing.initiated_by.value,
                "close_start_ts": self.closing.start_timestamp,
                "spentByA": state_number(self.closing.spent_by_a),
                "spentByB": state_number(self.closing.spent_by_b),
            }
        return variables

    @property
    def storage_size(self) -> int:
        """Bytes that the state takes on the ledger: the lengths of all names and values."""
        return sum(
            len(name) + len(value if isinstance(value, str) else format_number(value))
            for name, value in self.variables().items()
        )

    @property
    def this_event(self) -> int:
        """The number of the event that is happening."""
        return self.event_id or 1

    def next_event(self, **changes: Any) -> AgentState:
        """Returns the state after an event."""
        return replace(self, event_id=self.this_event + 1, **changes)

    def next_period(self) -> AgentState:
        """Returns the state after a period was settled."""
        return AgentState(period=self.period + 1, event_id=self.event_id + 1)

    def _numbers(self) -> dict[str, int]:
        return {
            "period": self.period,
            "event_id": self.event_id,
            "balanceA": self.balance_a,
            "balanceB": self.balance_b,
        }
