"""A channel on paper: two sides that follow the pure rules, and the ledger, with a model of the agent.

A `Side` keeps its books in memory as the store does, with the one rule that the store adds to `channel.py`:
of one channel, period and amount_spent at most one package is accepted. The `Ledger` runs the agent on the
units that the sides' drafts describe, at the moment and in the order that a test chooses.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from paypercall.backing import NO_BACKING, Backing, Limits, UnconfirmedUnit, weigh_unconfirmed
from paypercall.channel import Channel, Decision, accept, apply_event, sign, write_off
from paypercall.contract import (
    AgentEvent,
    ChannelParameters,
    Closed,
    DepositRefused,
    Opened,
    TriggerKind,
    close_draft,
    confirm_draft,
    deposit_draft,
    fraud_proof_draft,
    read_response,
    read_trigger,
)
from paypercall.decisions import Command, decide_answer, decide_close, decide_timeout, may_confirm_own_close
from paypercall.devnet.agent import AgentParameters, AgentState, Trigger
from paypercall.devnet.agent_unit import AgentCoin, Anchor, Execution, execute
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft
from paypercall.obyte.keys import Key
from paypercall.obyte.network import devnet
from paypercall.package import PaymentPackage, compose_package, parse_package

VERSION = "4.0dev"
ASSET = "3iSk4jykgYMWX9M7K2b5LxcjN+1Xlqx8AycT+m12Sss="
TIMEOUT = 600

PAYEE = Key(bytes([1]) * 32)
CUSTOMER = Key(bytes([2]) * 32)
STRANGER = Key(bytes([3]) * 32)

GENEROUS = Limits(max_unconfirmed_by_asset=10**12, max_unconfirmed_by_channel=10**12)
"""Limits under which every eligible unconfirmed deposit counts in full, at once."""

Unit = dict[str, Any]


def channel_parameters(asset: str = BASE, timeout: int = TIMEOUT) -> ChannelParameters:
    return ChannelParameters(PAYEE.address, CUSTOMER.address, asset, "a salt", timeout)


def signed_package(
    amount_spent: int,
    payment_amount: int | None = None,
    *,
    key: Key = CUSTOMER,
    period: int = 1,
    parameters: ChannelParameters | None = None,
    announce: ChannelParameters | None = None,
    version: str = VERSION,
) -> dict[str, Any]:
    """A package, by default the customer's first one, which pays all that it has spent."""
    return compose_package(
        key,
        version,
        aa_address=(parameters or channel_parameters()).aa_address,
        period=period,
        payment_amount=amount_spent if payment_amount is None else payment_amount,
        amount_spent=amount_spent,
        announce=announce,
    )


def parsed_package(
    amount_spent: int,
    payment_amount: int | None = None,
    *,
    key: Key = CUSTOMER,
    period: int = 1,
    parameters: ChannelParameters | None = None,
    announce: ChannelParameters | None = None,
) -> PaymentPackage:
    package = signed_package(
        amount_spent, payment_amount, key=key, period=period, parameters=parameters, announce=announce
    )
    return parse_package(package, network_version=VERSION)


def refusal_code(refusal: Refusal) -> RefusalCode:
    return RefusalCode(refusal.code)


@dataclass(frozen=True)
class Settled:
    """What one side's books said about a period when it ended."""

    signed_by_me: int
    accepted_from_peer: int


@dataclass
class Side:
    """One side: its channel, and what its store holds besides."""

    key: Key
    parameters: ChannelParameters
    limits: Limits = GENEROUS
    channel: Channel = field(init=False)
    accepted: dict[tuple[str, int, int], str] = field(default_factory=dict)
    unconfirmed: dict[str, UnconfirmedUnit] = field(default_factory=dict)
    pending_deposits: dict[str, int] = field(default_factory=dict)
    settled: dict[int, Settled] = field(default_factory=dict)
    clock: int = 1_000_000

    def __post_init__(self) -> None:
        self.channel = Channel(self.parameters, self.key.address)

    @property
    def address(self) -> str:
        return self.key.address

    @property
    def backing(self) -> Backing:
        if not self.unconfirmed:
            return NO_BACKING
        return weigh_unconfirmed(
            self.unconfirmed.values(),
            peer_address=self.channel.peer_address,
            is_agent_known=self.channel.last_event_id > 0,
            limits=self.limits,
            now=self.clock,
        )

    def pay(self, amount: int) -> dict[str, Any]:
        self.channel = sign(self.channel, amount, sum(self.pending_deposits.values()), self.backing)
        return compose_package(
            self.key,
            VERSION,
            aa_address=self.channel.aa_address,
            period=self.channel.period,
            payment_amount=amount,
            amount_spent=self.channel.signed_by_me,
            announce=None if self.channel.is_known_by_peer else self.parameters,
        )

    def verify(self, package: object) -> PaymentPackage:
        """Accepts a package as a server does; raises `Refusal` and changes nothing otherwise."""
        parsed = parse_package(package, network_version=VERSION)
        place = (parsed.aa_address, parsed.period, parsed.amount_spent)
        if place in self.accepted:
            is_same = self.accepted[place] == parsed.digest
            raise Refusal(
                RefusalCode.DUPLICATE if is_same else RefusalCode.CONFLICTING_PACKAGE, "accepted before"
            )
        self.channel = accept(self.channel, parsed, self.backing, self.limits)
        self.accepted[place] = parsed.digest
        return parsed

    def see(self, unit: Unit) -> None:
        """Takes note of a unit to the agent that is not stable yet."""
        trigger = read_trigger(self.parameters, unit)
        if trigger is not None:
            self.unconfirmed[trigger.unit] = UnconfirmedUnit(
                trigger.unit,
                trigger.sender,
                trigger.kind,
                trigger.amount,
                trigger.has_data,
                trigger.has_definition,
                first_seen=self.clock,
            )

    def see_double_spend(self, unit: Unit) -> None:
        self.pending_deposits.pop(unit["unit"], None)
        if unit["unit"] in self.unconfirmed:
            known = self.unconfirmed[unit["unit"]]
            self.unconfirmed[unit["unit"]] = replace(known, is_double_spent=True)
            self.channel, _ = write_off(self.channel, self.backing)

    def read(self, event: AgentEvent) -> None:
        before = self.channel
        self.channel = apply_event(before, event)
        if isinstance(event, (Opened, DepositRefused)):
            self.pending_deposits.pop(event.trigger_unit, None)
        if not isinstance(event, Closed):
            self.unconfirmed.pop(event.trigger_unit, None)
        elif self.channel.last_event_id > before.last_event_id:
            self.settled[before.period] = Settled(before.signed_by_me, before.accepted_from_peer)
            self.unconfirmed = {
                name: unit for name, unit in self.unconfirmed.items() if unit.kind is TriggerKind.DEPOSIT
            }

    def forget_bounced(self, unit: Unit) -> None:
        """What the store does some time after a stable unit that the agent did not answer."""
        self.pending_deposits.pop(unit["unit"], None)
        if self.unconfirmed.pop(unit["unit"], None) is not None:
            self.channel, _ = write_off(self.channel, self.backing)

    def close(self) -> Draft:
        self.channel, command = decide_close(self.channel)
        return command_draft(self.parameters, command)

    def answer(self) -> Draft:
        close = self.channel.pending_close
        assert close is not None
        assert not close.initiated_by_me
        self.channel, command = decide_answer(self.channel, close.owed_by_peer)
        return command_draft(self.parameters, command)

    def end_own_close(self, ledger_time: int) -> Draft | None:
        if not may_confirm_own_close(self.channel, ledger_time):
            return None
        self.channel, command = decide_timeout(self.channel)
        return command_draft(self.parameters, command)


def command_draft(parameters: ChannelParameters, command: Command) -> Draft:
    """What the outbox makes of a decision."""
    if command.decision is Decision.CLOSE:
        return close_draft(
            parameters,
            period=command.period,
            transferred_from_me=command.transferred_from_me,
            sent_by_peer=command.sent_by_peer,
        )
    if command.decision is Decision.CONFIRM:
        return confirm_draft(
            parameters, period=command.period, additional_transferred_from_me=command.transferred_from_me
        )
    assert command.sent_by_peer is not None
    return fraud_proof_draft(parameters, period=command.period, sent_by_peer=command.sent_by_peer)


class _NoDefinitions:
    """No package in these tests names a last ball unit."""

    def main_chain_index(self, unit: str) -> int | None:
        return None

    def definition(self, address: str, main_chain_index: int) -> list[Any] | None:
        return None


@dataclass(frozen=True)
class Payout:
    """What the agent paid at the end of a period, and from what."""

    deposits: Counter[str]
    paid: dict[str, Counter[str]]
    fees: int
    is_fraud_proven: bool
    sender: str


@dataclass
class Ledger:
    """The agent of one channel, its coins, and the units that wait for it."""

    parameters: ChannelParameters
    time: int = 1_000_000
    state: AgentState = field(default_factory=AgentState)
    events: list[AgentEvent] = field(default_factory=list)
    payouts: dict[int, Payout] = field(default_factory=dict)
    bounced: list[str] = field(default_factory=list)
    received: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    fees: int = 0

    def __post_init__(self) -> None:
        self._agent = AgentParameters.from_definition(self.parameters.definition)
        self._network = devnet("g" * 44, ("W" * 32,))
        self._coins: list[AgentCoin] = []
        self._deposits: dict[int, Counter[str]] = defaultdict(Counter)
        self._fees_before = 0
        self._count = 0

    def compose(self, sender: str, draft: Draft) -> Unit:
        """The unit that a wallet makes of a draft, as far as the agent and the sides look at it."""
        self._count += 1
        payments = [
            {
                "app": "payment",
                "payload": {
                    **({} if asset == BASE else {"asset": asset}),
                    "outputs": [{"address": output.address, "amount": output.amount} for output in outputs],
                },
            }
            for asset, outputs in draft.outputs.items()
        ]
        return {
            "unit": f"{self._count:043}=",
            "authors": [{"address": sender}],
            "messages": [*draft.messages, *payments],
            "timestamp": self.time,
        }

    def run(self, unit: Unit) -> AgentEvent | None:
        """Makes a unit stable and runs the agent on it; returns the agent's answer, None when it bounced."""
        trigger = Trigger.from_unit(
            unit, self.parameters.aa_address, timestamp=self.time, main_chain_index=len(self.events) + 1
        )
        for index, (asset, amount) in enumerate(trigger.outputs.items()):
            self._coins.append(AgentCoin(unit["unit"], index, 0, amount, asset, 0, 0, 0))
            self.received[asset] += amount
        execution = execute(
            self._agent,
            self.parameters.aa_address,
            self._network,
            self.state,
            trigger,
            anchor=Anchor(self.time, "b" * 44, "l" * 44, ("p" * 44,)),
            coins=tuple(self._coins),
            byte_balance=self.balance(BASE),
            definitions=_NoDefinitions(),
        )
        paid = self._spend(execution)
        self.state = execution.state
        if execution.error is not None:
            self.bounced.append(execution.error)
            return None
        assert execution.unit is not None
        event = read_response(self.parameters, execution.unit)
        assert event is not None
        self.events.append(event)
        self._note(event, trigger, paid)
        return event

    def balance(self, asset: str) -> int:
        return sum(coin.amount for coin in self._coins if coin.asset == asset)

    def is_balanced(self) -> bool:
        """Whether all that came in was paid out, is still there, or went into fees."""
        left = Counter({asset: self.balance(asset) for asset in self.received})
        spent = self.paid + Counter({BASE: self.fees})
        return self.received == left + spent

    def _spend(self, execution: Execution) -> dict[str, Counter[str]]:
        """Moves the coins of a response unit; returns what it pays to others, by asset and address."""
        self._coins = [coin for coin in self._coins if coin not in execution.spent]
        paid: dict[str, Counter[str]] = {BASE: Counter(), self.parameters.asset: Counter()}
        if execution.unit is None:
            return paid
        self.fees += execution.unit["headers_commission"] + execution.unit["payload_commission"]
        for message_index, message in enumerate(execution.unit["messages"]):
            if message["app"] != "payment":
                continue
            asset = message["payload"].get("asset", BASE)
            for output_index, output in enumerate(message["payload"]["outputs"]):
                if output["address"] != self.parameters.aa_address:
                    paid.setdefault(asset, Counter())[output["address"]] += output["amount"]
                    self.paid[asset] += output["amount"]
                    continue
                place = (execution.unit["unit"], message_index, output_index)
                self._coins.append(AgentCoin(*place, output["amount"], asset, 0, 0, 0))
        return paid

    def _note(self, event: AgentEvent, trigger: Trigger, paid: dict[str, Counter[str]]) -> None:
        if isinstance(event, Opened):
            self._deposits[event.period][trigger.address] += trigger.outputs[self.parameters.asset]
        if isinstance(event, Closed):
            self.payouts[event.period] = Payout(
                self._deposits[event.period],
                paid,
                self.fees - self._fees_before,
                event.is_fraud_proven,
                trigger.address,
            )
            self._fees_before = self.fees


@dataclass
class World:
    """A payee, a customer and the ledger between them, for tests that tell a story."""

    parameters: ChannelParameters = field(default_factory=channel_parameters)
    payee_limits: Limits = GENEROUS
    payee: Side = field(init=False)
    customer: Side = field(init=False)
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.payee = Side(PAYEE, self.parameters, self.payee_limits)
        self.customer = Side(CUSTOMER, self.parameters)
        self.ledger = Ledger(self.parameters)

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.payee, self.customer

    def peer(self, side: Side) -> Side:
        return self.customer if side is self.payee else self.payee

    def post(self, side: Side, draft: Draft) -> Unit:
        """Posts a unit that both sides see at once, unconfirmed."""
        unit = self.ledger.compose(side.address, draft)
        for each in self.sides:
            each.see(unit)
        return unit

    def post_deposit(self, side: Side, amount: int) -> Unit:
        draft = deposit_draft(self.parameters, amount, with_definition=not self.ledger.events)
        unit = self.post(side, draft)
        side.pending_deposits[unit["unit"]] = amount
        return unit

    def confirm(self, unit: Unit) -> AgentEvent | None:
        """Makes a unit stable, and both sides read the agent's answer."""
        event = self.ledger.run(unit)
        for side in self.sides:
            if event is None:
                side.forget_bounced(unit)
            else:
                side.read(event)
        return event

    def deposit(self, side: Side, amount: int) -> None:
        assert isinstance(self.confirm(self.post_deposit(side, amount)), Opened)

    def settle(self, closer: Side) -> Payout:
        """Closes by one side, answered by the other; returns what each was paid."""
        self.confirm(self.post(closer, closer.close()))
        return self.answer_close(self.peer(closer))

    def answer_close(self, side: Side) -> Payout:
        period = side.channel.period
        event = self.confirm(self.post(side, side.answer()))
        assert isinstance(event, Closed), self.ledger.bounced
        return self.ledger.payouts[period]
