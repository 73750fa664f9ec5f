"""A pure model of the channel agent 1.1: what it answers to a trigger.

One function states one case of the agent's code (base AA `4IRUGAUUCAQ6QRQLG4SNOLOE6VW2STWZ`), and `respond`
tries them in the agent's order. The model must give the same answers as the real agent for the same
triggers, so it repeats its faults, too. It decides who gets how much; what a response unit looks like and
which coins it spends is the business of `agent_unit.py`. No clock, no ledger, no I/O.
"""

from __future__ import annotations

from dataclasses import dataclass

from paypercall.devnet.agent_language import (
    Bounce,
    NotModelled,
    Value,
    add,
    as_integer,
    assigned,
    differs,
    is_true,
    joined,
    payload_number,
    select,
)
from paypercall.devnet.agent_messages import (
    BOUNCE_FEE,
    DataMessage,
    Payment,
    PaymentMessage,
    Response,
    Trigger,
    bounced,
)
from paypercall.devnet.agent_package import DefinitionHistory, PackageRules
from paypercall.devnet.agent_state import BASE_AGENT, AgentParameters, AgentState, Closing, Party
from paypercall.obyte.amounts import BASE

__all__ = [
    "BASE_AGENT",
    "BOUNCE_FEE",
    "AgentParameters",
    "AgentState",
    "Closing",
    "DataMessage",
    "DefinitionHistory",
    "NotModelled",
    "Party",
    "Payment",
    "PaymentMessage",
    "Response",
    "Trigger",
    "bounced",
    "respond",
]


def respond(
    parameters: AgentParameters,
    aa_address: str,
    network_version: str,
    state: AgentState,
    trigger: Trigger,
    definitions: DefinitionHistory,
) -> Response:
    """Answers a trigger.

    Args:
        parameters: Of this agent.
        aa_address: Its address.
        network_version: The version of the network's units, such as "4.0dev".
        state: What the agent remembers.
        trigger: What it receives.
        definitions: The ledger, asked about packages that name a last ball unit.

    Raises:
        NotModelled: The real agent's answer is not known to the model.
    """
    packages = PackageRules(network_version, trigger.main_chain_index, definitions)
    try:
        _check_trigger(trigger)
        return _evaluate(_Call(parameters, aa_address, state, trigger, packages))
    except Bounce as bounce:
        return bounced(state, trigger, str(bounce))


@dataclass(frozen=True, slots=True)
class _Call:
    """Everything that one run of the agent's code can see."""

    parameters: AgentParameters
    aa_address: str
    state: AgentState
    trigger: Trigger
    packages: PackageRules

    def data(self, *keys: str) -> Value:
        return select(self.trigger.data, *keys)


def _check_trigger(trigger: Trigger) -> None:
    """What ocore asks of every trigger before an agent's code runs."""
    if trigger.outputs.get(BASE, 0) < BOUNCE_FEE:
        raise Bounce("received bytes are not enough to cover bounce fees")
    if trigger.is_second:
        raise Bounce("a second primary trigger from the same unit is not allowed")


def _evaluate(call: _Call) -> Response:
    party = call.parameters.party(call.trigger.address)
    closing = call.state.closing
    if party is not None and _deposited(call):
        return _accept_deposit(call, party) if closing is None else _refuse_deposit(call)
    if party is not None and is_true(call.data("close")) and closing is None:
        return _close(call, party)
    if is_true(call.data("confirm")) and closing is not None:
        return _confirm(call, party, closing)
    if is_true(call.data("fraud_proof")) and closing is not None and is_true(call.data("sentByPeer")):
        return _prove_fraud(call, closing)
    raise Bounce("neither case is true in messages")


def _deposited(call: _Call) -> int:
    """What is deposited: any amount of the channel's asset, of bytes only more than the bounce fee."""
    amount = call.trigger.outputs.get(call.parameters.asset, 0)
    return 0 if call.parameters.asset == BASE and amount <= BOUNCE_FEE else amount


def _accept_deposit(call: _Call, party: Party) -> Response:
    """A deposit by A or B opens period 1 or adds to the balance, whatever data comes with it.

    In bytes the whole output counts, the bounce fee included; the unit fee of the answer is not deducted.
    """
    deposit = {party: _deposited(call)}
    state = call.state.next_event(
        period=call.state.period or 1,
        balance_a=add(call.state.balance_a, deposit.get(Party.A, 0)),
        balance_b=add(call.state.balance_b, deposit.get(Party.B, 0)),
    )
    payload = {
        "open": 1,
        "period": state.period,
        call.parameters.address_a: payload_number(state.balance_a),
        call.parameters.address_b: payload_number(state.balance_b),
        "event_id": call.state.this_event,
        "trigger_unit": call.trigger.unit,
    }
    return Response(state, (DataMessage(payload),))


def _refuse_deposit(call: _Call) -> Response:
    """A deposit while closing goes back, in bytes less the bounce fee; it still counts as an event."""
    amount = _deposited(call)
    refund = add(amount, -BOUNCE_FEE) if call.parameters.asset == BASE else amount
    payload = {"refused": 1, "trigger_unit": call.trigger.unit, "event_id": call.state.this_event}
    payment = PaymentMessage(call.parameters.asset, (Payment(call.trigger.address, refund),))
    return Response(call.state.next_event(), (DataMessage(payload), payment))


def _close(call: _Call, party: Party) -> Response:
    """A or B closes an open channel: says what it owes, and shows what the peer signed.

    Neither amount is compared with a balance. Without a package of the peer, the peer owes nothing.
    """
    _check_period(call)
    owed = {
        party: _claimed_amount(call, "transferredFromMe", "bad amount spent by me: "),
        party.peer: _shown_amount(call, party.peer) if is_true(call.data("sentByPeer")) else 0,
    }
    payload = {
        "closing": 1,
        "period": call.state.period,
        "initiated_by": call.trigger.address,
        call.parameters.address_a: payload_number(owed[Party.A]),
        call.parameters.address_b: payload_number(owed[Party.B]),
        "event_id": call.state.this_event,
        "trigger_unit": call.trigger.unit,
    }
    closing = Closing(party, call.trigger.timestamp, owed[Party.A], owed[Party.B])
    return Response(call.state.next_event(closing=closing), (DataMessage(payload),))


def _confirm(call: _Call, party: Party | None, closing: Closing) -> Response:
    """A or B settles a closing channel, the side that closed only after the timeout; the next period begins.

    The sender may owe more than the close says, never less. The larger final balance (A's when equal) gets
    all that is left, and so bears the fees and collects the bounce fees; the smaller one gets exactly its
    balance and 10,000 bytes.
    """
    unlocks = add(closing.start_timestamp, call.parameters.timeout)
    if party is None or (party is closing.initiated_by and call.trigger.timestamp < unlocks):
        raise Bounce("too early")
    _check_period(call)
    more = _claimed_amount(call, "additionalTransferredFromMe", "bad additionalTransferredFromMe: ")
    more_by_a, more_by_b = (more, 0) if party is Party.A else (0, more)
    state, spent_by_a, spent_by_b = call.state, closing.spent_by_a, closing.spent_by_b
    final_a = max(add(state.balance_a, -spent_by_a, spent_by_b, more_by_b, -more_by_a), 0)
    final_b = max(add(state.balance_b, -spent_by_b, spent_by_a, more_by_a, -more_by_b), 0)
    larger = Party.B if final_a < final_b else Party.A
    smaller_balance = min(final_a, final_b)
    payload = {"closed": 1, "period": state.period, "event_id": state.event_id}
    if call.parameters.asset == BASE:
        payments = [_payout(call, BASE, larger, add(smaller_balance, BOUNCE_FEE))]
    else:
        payments = [
            _payout(call, BASE, larger, BOUNCE_FEE),
            _payout(call, call.parameters.asset, larger, smaller_balance),
        ]
    return Response(state.next_period(), (*payments, DataMessage(payload)))


def _prove_fraud(call: _Call, closing: Closing) -> Response:
    """Anyone who shows that the closing side signed more than it claimed gets everything; the next period
    begins.

    Nobody checks who the sender is: a third party or the liar itself may be. The period in the data is not
    read either.
    """
    if _shown_amount(call, closing.initiated_by) <= closing.claim:
        raise Bounce("the peer didn't lie in his favor")
    assets = dict.fromkeys((BASE, call.parameters.asset))
    everything = (Payment(call.trigger.address, None),)
    payload = {"closed": 1, "fraud_proof": 1, "period": call.state.period, "event_id": call.state.event_id}
    payments = (PaymentMessage(asset, everything) for asset in assets)
    return Response(call.state.next_period(), (*payments, DataMessage(payload)))


def _payout(call: _Call, asset: str, larger: Party, smaller_amount: int) -> PaymentMessage:
    return PaymentMessage(
        asset,
        (
            Payment(call.parameters.address_a, None if larger is Party.A else smaller_amount),
            Payment(call.parameters.address_b, None if larger is Party.B else smaller_amount),
        ),
    )


def _check_period(call: _Call) -> None:
    period = call.data("period")
    if as_integer(period) is None or differs(period, call.state.period or None):
        raise Bounce("wrong period")


def _claimed_amount(call: _Call, field: str, complaint: str) -> int:
    """Returns an amount that the sender states about itself, 0 when it says nothing."""
    claimed = assigned(call.data(field))
    return _amount(claimed, complaint) if is_true(claimed) else 0


def _shown_amount(call: _Call, signer: Party) -> int:
    """Returns the amount_spent of the package that came with the trigger, which one side must have signed."""
    if differs(call.data("sentByPeer", "signed_message", "aa_address"), call.aa_address):
        raise Bounce("signed for another channel")
    if differs(call.data("sentByPeer", "signed_message", "period"), call.state.period):
        raise Bounce("signed for a different period of this channel")
    if not call.packages.is_valid(call.data("sentByPeer"), call.parameters.address(signer)):
        raise Bounce("invalid signature by peer")
    amount = assigned(call.data("sentByPeer", "signed_message", "amount_spent"))
    return _amount(amount, "bad amount spent by peer: ")


def _amount(value: Value, complaint: str) -> int:
    amount = as_integer(value)
    if amount is None or amount < 0:
        raise Bounce(joined(complaint, value))
    return amount
