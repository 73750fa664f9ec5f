"""The channel agent as its two parties see it: its parameters and address, what they send to it, what it answers.

Pure: no I/O, no clock, and no judgement on money, which is the business of `channel.py`. The rules of the agent itself
are on the ledger; the local network has a model of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.address import definition_address, is_valid_address, is_valid_base64
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.unit import Unit
from paypercall.trigger_data import LARGEST_INTEGER, integer, is_true, select

BOUNCE_FEE = 10_000
"""Bytes that every unit sent to the agent must carry (agent 1.1)."""

BASE_AGENTS: Mapping[str, str] = {"1.1": "4IRUGAUUCAQ6QRQLG4SNOLOE6VW2STWZ"}
"""Address of the agent's code on the ledger, by version."""

NEWEST_AGENT = "1.1"

MAX_SALT_LENGTH = 50


@dataclass(frozen=True)
class ChannelParameters:
    """What identifies a channel: the parameters of its agent.

    Attributes:
        address_a: The payee, whose address the customer was told.
        address_b: The customer, who creates the channel.
        asset: `base` or the 44-character id of the asset.
        salt: 1 to 50 characters that make the address unique.
        timeout: Seconds for which the side that closes must wait for the other's answer.
        version: The agent's version.
    """

    address_a: str
    address_b: str
    asset: str
    salt: str
    timeout: int
    version: str = NEWEST_AGENT

    @cached_property
    def definition(self) -> list[Any]:
        """The agent's definition as it stands in a unit."""
        return [
            "autonomous agent",
            {
                "base_aa": BASE_AGENTS[self.version],
                "params": {
                    "addressA": self.address_a,
                    "addressB": self.address_b,
                    "asset": self.asset,
                    "salt": self.salt,
                    "timeout": self.timeout,
                },
            },
        ]

    @cached_property
    def aa_address(self) -> str:
        """The agent's address: the chash160 of its definition's JSON source string."""
        return definition_address(self.definition)

    def check(self) -> None:
        """Checks every parameter by itself.

        Raises:
            Refusal: With `wrong_agent_version` or `wrong_parameters`.
        """
        if not isinstance(self.version, str) or self.version not in BASE_AGENTS:
            raise Refusal(
                RefusalCode.WRONG_AGENT_VERSION,
                f"unknown version of the channel agent; this node takes {', '.join(BASE_AGENTS)}",
            )
        for name, address in (("payee", self.address_a), ("customer", self.address_b)):
            if not is_valid_address(address):
                raise _wrong_parameters(f"the {name}'s address is not a valid Obyte address")
        if self.address_a == self.address_b:
            raise _wrong_parameters("payee and customer are the same address: one cannot pay oneself")
        if self.asset != BASE and not (isinstance(self.asset, str) and is_valid_base64(self.asset, 44)):
            raise _wrong_parameters(f"the asset must be {BASE!r} or a 44-character asset id")
        if not isinstance(self.salt, str) or not 1 <= len(self.salt) <= MAX_SALT_LENGTH:
            raise _wrong_parameters(f"the salt must be a text of 1 to {MAX_SALT_LENGTH} characters")
        if not is_printable_ascii(self.salt):
            raise _wrong_parameters("the salt must be printable ASCII: a unit cannot carry every text")
        if type(self.timeout) is not int or self.timeout <= 0:
            raise _wrong_parameters("the timeout must be a positive integer of seconds")


def read_definition(definition: object) -> ChannelParameters | None:
    """The parameters that an agent's definition holds, or None if it is no channel agent that is known."""
    versions = {address: version for version, address in BASE_AGENTS.items()}
    match definition:
        case [
            "autonomous agent",
            {
                "base_aa": str(base_agent),
                "params": {
                    "addressA": str(address_a),
                    "addressB": str(address_b),
                    "asset": str(asset),
                    "salt": str(salt),
                    "timeout": int(timeout),
                },
            },
        ] if base_agent in versions:
            parameters = ChannelParameters(address_a, address_b, asset, salt, timeout, versions[base_agent])
        case _:
            return None
    try:
        parameters.check()
    except Refusal:
        return None
    return parameters


def _wrong_parameters(message: str) -> Refusal:
    return Refusal(RefusalCode.WRONG_PARAMETERS, message)


def is_printable_ascii(text: str) -> bool:
    """Whether a text has only the characters from space to tilde, which every canonical form keeps as they are."""
    return text.isascii() and text.isprintable()


# --- what a party sends to the agent ---------------------------------------------------------------------------------


def deposit_draft(parameters: ChannelParameters, amount: int, *, with_definition: bool) -> Draft:
    """A deposit or refill of `amount` (bytes, or units of the asset, plus the bounce fee in bytes).

    Args:
        parameters: The channel's.
        amount: For base the whole output, which must be above the bounce fee to be a deposit.
        with_definition: True for the first one: a deposit before the definition is known triggers nothing.
    """
    definition = {
        "app": "definition",
        "payload": {"address": parameters.aa_address, "definition": parameters.definition},
    }
    outputs = {BASE: (Output(parameters.aa_address, amount),)}
    if parameters.asset != BASE:
        outputs = {
            BASE: (Output(parameters.aa_address, BOUNCE_FEE),),
            parameters.asset: (Output(parameters.aa_address, amount),),
        }
    return Draft(outputs=outputs, messages=(definition,) if with_definition else (), max_aa_responses=1)


def close_draft(
    parameters: ChannelParameters, *, period: int, transferred_from_me: int, sent_by_peer: str | None
) -> Draft:
    """The command that starts closing.

    Args:
        parameters: The channel's.
        period: The one to close.
        transferred_from_me: What I owe the peer in this period, in units of the channel's asset.
        sent_by_peer: The peer's highest package as JSON, or None when the peer owes nothing.
    """
    payload: dict[str, Any] = {"close": 1, "period": period}
    if transferred_from_me:
        payload["transferredFromMe"] = transferred_from_me
    if sent_by_peer is not None:
        payload["sentByPeer"] = json.loads(sent_by_peer)
    return _command_draft(parameters, payload)


def confirm_draft(
    parameters: ChannelParameters, *, period: int, additional_transferred_from_me: int
) -> Draft:
    """The command that answers the peer's honest close, or ends one's own after the timeout."""
    payload: dict[str, Any] = {"confirm": 1, "period": period}
    if additional_transferred_from_me:
        payload["additionalTransferredFromMe"] = additional_transferred_from_me
    return _command_draft(parameters, payload)


def fraud_proof_draft(parameters: ChannelParameters, *, period: int, sent_by_peer: str) -> Draft:
    """The command that answers a close which claims less than the peer signed; it takes the whole channel."""
    return _command_draft(
        parameters, {"fraud_proof": 1, "period": period, "sentByPeer": json.loads(sent_by_peer)}
    )


def _command_draft(parameters: ChannelParameters, payload: dict[str, Any]) -> Draft:
    # More than the bounce fee would make it a deposit (agent 1.1).
    outputs = {BASE: (Output(parameters.aa_address, BOUNCE_FEE),)}
    return Draft(outputs=outputs, messages=({"app": "data", "payload": payload},), max_aa_responses=1)


# --- what others send to the agent -----------------------------------------------------------------------------------


class TriggerKind(Enum):
    """What a unit sent to the agent asks for, by its form. Only a deposit is sure to be answered: it cannot bounce."""

    DEPOSIT = "deposit"
    CLOSE = "close"
    CONFIRM = "confirm"
    FRAUD_PROOF = "fraud_proof"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A unit that pays to a channel's agent.

    Attributes:
        unit: Its hash.
        sender: Its first author, which is whom the agent sees.
        kind: What it asks for.
        amount: For a deposit, in bytes or units of the channel's asset; else 0.
        has_data: Whether it carries a data message.
        has_definition: Whether it carries the agent's definition.
        period: The period that a close names, if it is an integer.
        owed_by_sender: What the sender of a close claims to owe; None for a claim that is no integer.
    """

    unit: str
    sender: str
    kind: TriggerKind
    amount: int
    has_data: bool
    has_definition: bool
    period: int | None = None
    owed_by_sender: int | None = 0


def read_trigger(parameters: ChannelParameters, unit: Unit) -> Trigger | None:
    """Reads a unit as a trigger of the channel's agent, in the agent's order of precedence (agent 1.1).

    Args:
        parameters: The channel's.
        unit: A unit whose hash was checked.

    Returns:
        None when the unit gives the agent too few bytes to trigger it, or is the agent's own.
    """
    sender = unit["authors"][0]["address"]
    if sender == parameters.aa_address:
        return None
    received = _received(parameters.aa_address, unit.get("messages", []))
    if received.get(BASE, 0) < BOUNCE_FEE:
        return None
    data = next(iter(_payloads(unit, "data")), None)
    has_definition = any(
        isinstance(payload, dict) and payload.get("address") == parameters.aa_address
        for payload in _payloads(unit, "definition")
    )
    amount = min(received.get(parameters.asset, 0), LARGEST_INTEGER)
    is_from_party = sender in (parameters.address_a, parameters.address_b)
    if is_from_party and amount > (BOUNCE_FEE if parameters.asset == BASE else 0):
        if _may_bounce(parameters.aa_address, unit):
            return Trigger(unit["unit"], sender, TriggerKind.OTHER, 0, data is not None, has_definition)
        return Trigger(unit["unit"], sender, TriggerKind.DEPOSIT, amount, data is not None, has_definition)
    kind, period, owed = _read_command(data)
    return Trigger(unit["unit"], sender, kind, 0, data is not None, has_definition, period, owed)


def defined_agents(unit: Unit) -> list[ChannelParameters]:
    """The channels whose agents a unit defines, whoever may use them."""
    definitions = (
        read_definition(payload.get("definition"))
        for payload in _payloads(unit, "definition")
        if isinstance(payload, dict)
    )
    return [parameters for parameters in definitions if parameters is not None]


def _payloads(unit: Unit, app: str) -> list[Any]:
    """The payloads of a unit's messages for one use; only those of payments have a shape that was checked."""
    return [
        message["payload"]
        for message in unit.get("messages", [])
        if message.get("app") == app and "payload" in message
    ]


def _may_bounce(aa_address: str, unit: Unit) -> bool:
    """Whether the network may let a trigger bounce that the agent would take (ocore `aa_composer`).

    Of the agents that a unit pays only the first by address is run, and any payee but an author may be an agent, even
    one that is defined later. For a deposit one response is enough: what the agent sends triggers nothing.
    """
    payees = {output["address"] for _, output in _outputs(unit["messages"])}
    authors = {author["address"] for author in unit["authors"]}
    return payees - authors != {aa_address} or unit.get("max_aa_responses") == 0


def _received(address: str, messages: list[dict[str, Any]]) -> dict[str, int]:
    received: dict[str, int] = {}
    for asset, output in _outputs(messages):
        if output.get("address") == address:
            received[asset] = received.get(asset, 0) + output["amount"]
    return received


def _outputs(messages: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The public outputs of a unit, each with its asset."""
    for message in messages:
        if message.get("app") == "payment" and "payload" in message:
            for output in message["payload"].get("outputs", []):
                yield message["payload"].get("asset", BASE), output


def _read_command(data: object) -> tuple[TriggerKind, int | None, int | None]:
    period = integer(select(data, "period"))
    for kind in (TriggerKind.CLOSE, TriggerKind.CONFIRM, TriggerKind.FRAUD_PROOF):
        if is_true(select(data, kind.value)):
            claim = select(data, "transferredFromMe") if kind is TriggerKind.CLOSE else False
            return kind, period, integer(claim) if is_true(claim) else 0
    return TriggerKind.OTHER, period, 0


# --- what the agent answers ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """The agent took a deposit: the balances of both sides in this period."""

    event_id: int
    period: int
    deposited_by_a: int
    deposited_by_b: int
    trigger_unit: str


@dataclass(frozen=True, slots=True)
class Closing:
    """The agent took a close: what each side owes the other by the closer's word; `timestamp` starts the timeout."""

    event_id: int
    period: int
    initiated_by: str
    owed_by_a: int
    owed_by_b: int
    trigger_unit: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The agent paid out and went to the next period: what each side got, in bytes or units of the channel's asset."""

    event_id: int
    period: int
    is_fraud_proven: bool
    paid_to_a: int
    paid_to_b: int


@dataclass(frozen=True, slots=True)
class DepositRefused:
    """The agent sent a deposit back, because the channel was closing."""

    event_id: int
    trigger_unit: str


AgentEvent = Opened | Closing | Closed | DepositRefused


def read_response(parameters: ChannelParameters, unit: Unit) -> AgentEvent | None:
    """Reads a response unit of the channel's agent.

    Args:
        parameters: The channel's.
        unit: A unit that is proven stable.

    Returns:
        None for a unit of anybody else, who may write the same data into it, and for one without data that the agent
        writes: the refund of a bounced trigger, or one stripped of its messages.
    """
    if unit["authors"][0]["address"] != parameters.aa_address:
        return None
    data = next(iter(_payloads(unit, "data")), None)
    if not isinstance(data, dict):
        return None
    try:
        return _read_event(parameters, data, unit)
    except ValueError:
        return None


def _read_event(parameters: ChannelParameters, data: dict[str, Any], unit: Unit) -> AgentEvent:
    event_id = _number(data, "event_id")
    if data.get("open"):
        return Opened(
            event_id,
            _number(data, "period"),
            _number(data, parameters.address_a),
            _number(data, parameters.address_b),
            _text(data, "trigger_unit"),
        )
    if data.get("closing"):
        return Closing(
            event_id,
            _number(data, "period"),
            _text(data, "initiated_by"),
            _number(data, parameters.address_a),
            _number(data, parameters.address_b),
            _text(data, "trigger_unit"),
            unit["timestamp"],
        )
    if data.get("closed"):
        paid_to_a, paid_to_b = (
            _received(address, unit["messages"]).get(parameters.asset, 0)
            for address in (parameters.address_a, parameters.address_b)
        )
        return Closed(event_id, _number(data, "period"), bool(data.get("fraud_proof")), paid_to_a, paid_to_b)
    return DepositRefused(event_id, _text(data, "trigger_unit"))


def _number(data: dict[str, Any], name: str) -> int:
    """Reads a number of the agent, which writes large ones as text."""
    number = integer(select(data, name))
    if number is None:
        raise ValueError(f"{name} is no whole number")
    return number


def _text(data: dict[str, Any], name: str) -> str:
    text = data.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{name} is no text")
    return text
