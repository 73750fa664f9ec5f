"""What an agent's answer becomes on the ledger: the response unit, its fees, and the coins that it spends.

Every node makes the response units of agents by itself, so they are the same to the byte; this module
follows ocore's `aa_composer` in the choice and order of coins, outputs and messages. It knows no rule of the
channel agent. Agents sign nothing and pay no TPS fee; the answers of this one are far too small to pay for
their size beyond the ordinary fees.

Only plain assets are modelled: public, divisible, freely transferable and issued by nobody but their definer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paypercall.devnet.agent import respond
from paypercall.devnet.agent_language import LARGEST_SAFE_INTEGER, Bounce
from paypercall.devnet.agent_messages import DataMessage, Payment, PaymentMessage, Response, Trigger, bounced
from paypercall.devnet.agent_package import DefinitionHistory
from paypercall.devnet.agent_state import AgentParameters, AgentState
from paypercall.obyte.amounts import BASE
from paypercall.obyte.network import Network
from paypercall.obyte.unit import Unit, headers_size, payload_hash, total_payload_size, unit_hash

INPUT_SIZE = 89
"""Bytes that one more input adds to a unit; smaller coins are never spent, a smaller state is not backed."""
OUTPUT_SIZE = 53
"""Bytes that one more output adds to a unit."""

_NO_HASH = "-" * 44


@dataclass(frozen=True, slots=True)
class AgentCoin:
    """An unspent output of the agent.

    Attributes:
        unit: The unit that made it, with `message_index` and `output_index` the place in it.
        amount: In bytes or in units of the asset.
        asset: "base" or the asset's id.
        main_chain_index: Of the unit; None while it has none.
        latest_included_index: The newest main chain index that the unit includes.
        level: The unit's distance from the genesis unit.
    """

    unit: str
    message_index: int
    output_index: int
    amount: int
    asset: str
    main_chain_index: int | None
    latest_included_index: int
    level: int

    def spending_order(self, main_chain_index: int) -> tuple[bool, int, int, str, int]:
        """The order of spending: first the stable coins, then those that agents just sent."""
        if self.main_chain_index is not None and self.main_chain_index <= main_chain_index:
            return (False, self.main_chain_index, 0, self.unit, self.output_index)
        return (True, self.latest_included_index, self.level, self.unit, self.output_index)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a response unit hangs in the ledger.

    Attributes:
        timestamp: Seconds; of the main-chain unit at the trigger's index, as are the last ball and its unit.
        last_ball: The ball on which the unit relies.
        last_ball_unit: The unit of that ball.
        parent_units: Sorted.
    """

    timestamp: int
    last_ball: str
    last_ball_unit: str
    parent_units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Execution:
    """All that a trigger brings about.

    Attributes:
        state: The agent's state afterwards.
        error: Why the trigger bounced, None when it was accepted.
        unit: The response unit; None when nothing is sent.
        spent: The coins that the response unit spends.
    """

    state: AgentState
    error: str | None
    unit: Unit | None
    spent: tuple[AgentCoin, ...]

    @property
    def is_bounced(self) -> bool:
        """Whether the trigger changed nothing but balances."""
        return self.error is not None


@dataclass(frozen=True, slots=True)
class _Purse:
    """What the agent can pay from, and what its units have in common.

    Attributes:
        coins: Spendable ones, in the order of spending.
        reserve: Bytes that a payment of all bytes leaves in the agent.
    """

    network: Network
    aa_address: str
    anchor: Anchor
    coins: tuple[AgentCoin, ...]
    reserve: int


@dataclass(frozen=True, slots=True)
class _Fees:
    """Bytes that a payment message pays besides its outputs."""

    unit: int = 0
    per_input: int = 0
    per_output: int = 0


@dataclass(frozen=True, slots=True)
class _Spending:
    """How a payment message is met: with which coins, and what they become."""

    coins: tuple[AgentCoin, ...]
    outputs: tuple[Payment, ...]


def execute(
    parameters: AgentParameters,
    aa_address: str,
    network: Network,
    state: AgentState,
    trigger: Trigger,
    *,
    anchor: Anchor,
    coins: Iterable[AgentCoin],
    byte_balance: int,
    definitions: DefinitionHistory,
) -> Execution:
    """Runs the agent on a trigger and makes the response unit.

    Args:
        parameters: Of this agent.
        aa_address: Its address.
        network: Gives the version and alt of the unit.
        state: What the agent remembers.
        trigger: What it receives.
        anchor: The place of the response unit in the ledger.
        coins: All unspent outputs of the agent that are stable at the trigger's index, the trigger's own
            included, and those that response units sent to it since.
        byte_balance: What the agent has in bytes after the trigger, without triggers that still wait for
            their answer.
        definitions: The ledger, asked about packages that name a last ball unit.

    Raises:
        NotModelled: The real agent's answer is not known to the model.
    """
    spendable = sorted(
        (coin for coin in coins if coin.asset != BASE or coin.amount >= INPUT_SIZE),
        key=lambda coin: coin.spending_order(trigger.main_chain_index),
    )
    reserve = state.storage_size if state.storage_size > INPUT_SIZE else 0
    purse = _Purse(network, aa_address, anchor, tuple(spendable), reserve)
    response = respond(parameters, aa_address, network.version, state, trigger, definitions)
    if response.error is None:
        try:
            return _carry_out(response, purse, byte_balance)
        except Bounce as bounce:
            response = bounced(state, trigger, str(bounce))
    return _refund(response, purse)


def _carry_out(response: Response, purse: _Purse, byte_balance: int) -> Execution:
    amounts = [payment.amount for payments in response.payments.values() for payment in payments]
    if any(amount is not None and amount >= LARGEST_SAFE_INTEGER for amount in amounts):
        raise Bounce("negative or fractional amounts")
    spendings = _spend(response, purse)
    kept = [output.amount or 0 for output in spendings[BASE].outputs if output.address == purse.aa_address]
    balance = byte_balance - sum(coin.amount for coin in spendings[BASE].coins) + sum(kept)
    storage_size = response.state.storage_size
    if balance < storage_size and storage_size > INPUT_SIZE:
        raise Bounce(f"byte balance {balance} would drop below new storage size {storage_size}")
    return _execution(response, purse, spendings)


def _refund(response: Response, purse: _Purse) -> Execution:
    if not response.messages:
        return Execution(response.state, response.error, None, ())
    try:
        return _execution(response, purse, _spend(response, purse))
    except Bounce as bounce:
        return Execution(response.state, f"{response.error}, then {bounce}", None, ())


def _execution(response: Response, purse: _Purse, spendings: Mapping[str, _Spending]) -> Execution:
    unit = _unit(response, purse, spendings)
    unit["headers_commission"] = headers_size(unit)
    unit["payload_commission"] = total_payload_size(unit)
    unit["unit"] = unit_hash(unit)
    coins = tuple(coin for spending in spendings.values() for coin in spending.coins)
    return Execution(response.state, response.error, unit, coins)


def _spend(response: Response, purse: _Purse) -> dict[str, _Spending]:
    """Decides how every payment is met: bytes last, for they also pay for all the rest of the unit.

    When all bytes are paid out, the agent still keeps as many as its state takes on the ledger.
    """
    wanted = {BASE: (), **response.payments}
    spendings = {
        asset: _meet(asset, payments, purse, _Fees()) for asset, payments in wanted.items() if asset != BASE
    }
    payments = wanted[BASE]
    if purse.reserve and any(payment.amount is None for payment in payments):
        payments = (*payments, Payment(purse.aa_address, purse.reserve))
    fixed = tuple(payment for payment in payments if payment.amount is not None)
    unit = _unit(response, purse, {**spendings, BASE: _Spending((), fixed)})
    fees = _Fees(headers_size(unit) + total_payload_size(unit), INPUT_SIZE, OUTPUT_SIZE)
    spendings[BASE] = _meet(BASE, payments, purse, fees)
    return spendings


def _meet(asset: str, payments: tuple[Payment, ...], purse: _Purse, fees: _Fees) -> _Spending:
    """Takes coins until they cover the payments, or all of them when one payment is what is left of
    everything.

    Raises:
        Bounce: The coins do not suffice.
    """
    takes_all = next((payment for payment in payments if payment.amount is None), None)
    outputs = [payment for payment in payments if payment.amount]
    target = fees.unit + sum(payment.amount or 0 for payment in outputs)
    coins: list[AgentCoin] = []
    is_covered, total, rest = False, 0, 0
    for coin in (coin for coin in purse.coins if coin.asset == asset):
        coins.append(coin)
        total += coin.amount
        target += fees.per_input
        if total == target and (outputs or takes_all):
            is_covered = True
        elif total - target > fees.per_output:
            is_covered, rest = True, total - target - fees.per_output
        if is_covered and takes_all is None:
            break
    if not is_covered and asset != BASE and not outputs:
        return _Spending((), ())  # everything of nothing
    if not is_covered:
        raise Bounce(f"not enough funds for {target} {'bytes' if asset == BASE else f'of asset {asset}'}")
    if rest:
        outputs.append(Payment(takes_all.address if takes_all else purse.aa_address, rest))
    return _Spending(
        tuple(coins), tuple(sorted(outputs, key=lambda output: (output.address, output.amount or 0)))
    )


def _unit(response: Response, purse: _Purse, spendings: Mapping[str, _Spending]) -> Unit:
    """Returns a unit without fees and hash; the payment of bytes comes last unless the answer places it."""
    messages = list(response.messages)
    if BASE not in response.payments:
        messages.append(PaymentMessage(BASE, ()))
    return {
        "version": purse.network.version,
        "alt": purse.network.alt,
        "timestamp": purse.anchor.timestamp,
        "messages": [
            _data_message(message)
            if isinstance(message, DataMessage)
            else _payment_message(message, spendings)
            for message in messages
            if isinstance(message, DataMessage) or message.asset == BASE or spendings[message.asset].outputs
        ],
        "authors": [{"address": purse.aa_address}],
        "last_ball_unit": purse.anchor.last_ball_unit,
        "last_ball": purse.anchor.last_ball,
        "parent_units": list(purse.anchor.parent_units),
    }


def _data_message(message: DataMessage) -> dict[str, Any]:
    payload = dict(message.payload)
    return {
        "app": "data",
        "payload": payload,
        "payload_location": "inline",
        "payload_hash": payload_hash(payload),
    }


def _payment_message(message: PaymentMessage, spendings: Mapping[str, _Spending]) -> dict[str, Any]:
    spending = spendings[message.asset]
    payload: dict[str, Any] = {
        "inputs": [
            {"unit": coin.unit, "message_index": coin.message_index, "output_index": coin.output_index}
            for coin in spending.coins
        ],
        "outputs": [{"address": output.address, "amount": output.amount} for output in spending.outputs],
    }
    if message.asset != BASE:
        payload["asset"] = message.asset
    sealed = payload_hash(payload) if spending.coins else _NO_HASH
    return {"app": "payment", "payload": payload, "payload_location": "inline", "payload_hash": sealed}
