"""What goes into the channel agent and what comes out: the trigger, and the answer's payments and data.

Amounts are in bytes or in units of an asset. Nothing here knows the rules of a channel, except the one that
holds for every agent: what happens to the money of a trigger that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paypercall.devnet.agent_state import AgentState
from paypercall.obyte.amounts import BASE

BOUNCE_FEE = 10_000
"""Bytes that a trigger must carry, and that the agent keeps when it bounces."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A unit that pays the agent, as the agent sees it.

    Attributes:
        unit: The hash of the unit.
        address: Its first author.
        outputs: What it pays the agent by asset, in the order of the unit's payments.
        data: The payload of its first data message, or None.
        timestamp: Seconds; of the main-chain unit at the trigger's index, not of the trigger.
        main_chain_index: The index at which the trigger became stable.
        is_second: Whether the unit triggered another agent before, which ocore refuses.
    """

    unit: str
    address: str
    outputs: Mapping[str, int]
    data: Any
    timestamp: int
    main_chain_index: int
    is_second: bool = False

    @classmethod
    def from_unit(
        cls,
        unit: Mapping[str, Any],
        aa_address: str,
        *,
        timestamp: int,
        main_chain_index: int,
        is_second: bool = False,
    ) -> Trigger:
        """Reads a trigger out of a unit on the ledger (ocore `getTrigger`)."""
        outputs: dict[str, int] = {}
        data = None
        for message in unit["messages"]:
            payload = message.get("payload")
            if message["app"] == "data" and data is None:
                data = payload
            if message["app"] != "payment" or payload is None:
                continue
            asset = payload.get("asset", BASE)
            for output in payload["outputs"]:
                if output["address"] == aa_address:
                    outputs[asset] = outputs.get(asset, 0) + output["amount"]
        return cls(
            unit=unit["unit"],
            address=unit["authors"][0]["address"],
            outputs=outputs,
            data=data,
            timestamp=timestamp,
            main_chain_index=main_chain_index,
            is_second=is_second,
        )


@dataclass(frozen=True, slots=True)
class Payment:
    """An output of the agent; without an amount it gets all that is left after the others and the fees."""

    address: str
    amount: int | None


@dataclass(frozen=True, slots=True)
class PaymentMessage:
    """What the agent pays in one asset."""

    asset: str
    payments: tuple[Payment, ...]


@dataclass(frozen=True, slots=True)
class DataMessage:
    """What the agent tells its parties."""

    payload: Mapping[str, Any]


Message = DataMessage | PaymentMessage


@dataclass(frozen=True, slots=True)
class Response:
    """The agent's answer to one trigger.

    Attributes:
        state: The state afterwards; unchanged by a bounce.
        messages: What the response unit carries, in order; empty when none is sent.
        error: Why the trigger bounced, None when it was accepted.
    """

    state: AgentState
    messages: tuple[Message, ...] = ()
    error: str | None = None

    @property
    def is_bounced(self) -> bool:
        """Whether the trigger changed nothing."""
        return self.error is not None

    @property
    def data(self) -> Mapping[str, Any] | None:
        """The payload of the data message, if there is one."""
        return next((message.payload for message in self.messages if isinstance(message, DataMessage)), None)

    @property
    def payments(self) -> dict[str, tuple[Payment, ...]]:
        """The outputs by asset."""
        return {
            message.asset: message.payments
            for message in self.messages
            if isinstance(message, PaymentMessage)
        }


def bounced(state: AgentState, trigger: Trigger, error: str) -> Response:
    """Returns the answer to a trigger that is refused: what it brought goes back, less the bounce fee.

    With less bytes than the bounce fee nothing is returned at all, not even other assets.
    """
    if trigger.outputs.get(BASE, 0) < BOUNCE_FEE:
        return Response(state, error=error)
    kept = {BASE: BOUNCE_FEE}
    refunds = {asset: amount - kept.get(asset, 0) for asset, amount in trigger.outputs.items()}
    messages = (
        PaymentMessage(asset, (Payment(trigger.address, amount),))
        for asset, amount in refunds.items()
        if amount
    )
    return Response(state, tuple(messages), error)
