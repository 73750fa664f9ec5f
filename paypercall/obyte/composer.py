"""Composes and signs units of version 4.0 for one single-signature author.

Pure: what a unit shall do, the coins it may spend and the hub's word on where it belongs come in, a signed
unit goes out, the same one for the same input. It picks coins as ocore's wallet does, so that a unit costs
what the wallets show. It must not ask, remember or post anything, nor compose what the network would refuse
for its size or amounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from paypercall.obyte.address import is_valid_address, is_valid_base64
from paypercall.obyte.amounts import BASE, MAX_CAP
from paypercall.obyte.errors import InsufficientFunds, InvalidUnit, TooManyCoins, UnitTooLarge
from paypercall.obyte.keys import Key
from paypercall.obyte.network import Network
from paypercall.obyte.unit import (
    Unit,
    headers_size,
    payload_hash,
    sign_unit,
    total_payload_size,
)

Message = Mapping[str, Any]
"""An application message, `{"app": …, "payload": …}`; the composer adds where the payload is and its hash."""

# ocore `threshold_size`: above it, and up to a limit of 5 MB, a unit owes an oversize fee, which is never
# paid here.
MAX_UNIT_BYTES = 10_000
MAX_MESSAGES = 128
MAX_OUTPUTS = 128
MAX_COINS = 126  # two fewer than a payment may have inputs, as ocore picks them
INPUT_BYTES = 44 + 8 + 8 + len("unit" + "message_index" + "output_index")

_SIGNATURE_PLACEHOLDER = "-" * 88
_CHANGE_PLACEHOLDER = 0  # every number counts eight bytes, so the size is right before the amount is known


@dataclass(frozen=True, slots=True)
class Output:
    """A payment to an address, in bytes or in units of an asset."""

    address: str
    amount: int


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output.

    Attributes:
        unit: The unit that made it.
        message_index: Which of the unit's messages holds it.
        output_index: Its place among the outputs there.
        amount: Bytes, or units of the asset.
        asset: "base" or the asset's id.
        address: Who may spend it.
        is_stable: Stable coins are picked before change that is still unconfirmed.
        main_chain_index: Where the unit is on the main chain, by the hub's word; None while it is nowhere. Of
            coins that are equal otherwise the oldest is picked.
    """

    unit: str
    message_index: int
    output_index: int
    amount: int
    asset: str
    address: str
    is_stable: bool = True
    main_chain_index: int | None = None


@dataclass(frozen=True, slots=True)
class Parents:
    """Where the hub says that a unit made now belongs (`light/get_parents_and_last_ball_and_witness…`).

    Attributes:
        timestamp: The hub's time, in seconds.
        parent_units: The units to attach to.
        last_ball: The ball of the last stable unit that the parents see.
        last_ball_unit: That unit.
        last_ball_mci: Its main chain index.
        tps_fee: What the network asks for the unit besides its size, in bytes.
        primary_aa_triggers: How many agents known to the ledger the unit pays.
    """

    timestamp: int
    parent_units: tuple[str, ...]
    last_ball: str
    last_ball_unit: str
    last_ball_mci: int
    tps_fee: int
    primary_aa_triggers: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """What a unit shall do.

    Attributes:
        outputs: The payments by asset ("base" for bytes); change is not among them.
        messages: Data, text, definition and other messages, also a payment that issues an asset.
        max_aa_responses: How many responses of agents the unit pays the TPS fee for; None means the most that
            the network knows, ten. It is written only into units that pay an agent, as the network demands.
        change_to: Who gets the change in bytes; None means the author.
    """

    outputs: Mapping[str, tuple[Output, ...]] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    max_aa_responses: int | None = None
    change_to: str | None = None

    @property
    def payees(self) -> set[str]:
        """All that it pays, the author apart."""
        payees = {output.address for outputs in self.outputs.values() for output in outputs}
        return payees if self.change_to is None else {*payees, self.change_to}


def compose(
    network: Network,
    key: Key,
    draft: Draft,
    coins: Iterable[Coin],
    parents: Parents,
    *,
    with_definition: bool,
    must_spend: tuple[Coin, ...] = (),
) -> Unit:
    """Composes a unit of the key's address, with the change going back to it, and signs it.

    The messages stand in the order of ocore's composer: what is no payment, the payment in bytes, those in
    assets.

    Args:
        network: Whose version and currency id the unit carries.
        key: Signs the unit and owns the coins.
        draft: What the unit shall do.
        coins: What may be spent; coins of other addresses are left alone.
        parents: The hub's answer, used for this one unit only.
        with_definition: Whether no unit of the address is stable at the last ball yet: until then the network
            demands the definition, and afterwards it refuses it.
        must_spend: Coins to spend in any case, in bytes or in an asset that the draft pays.

    Raises:
        InsufficientFunds: The coins do not cover the outputs and the fees.
        TooManyCoins: They would, if they were fewer.
        UnitTooLarge: More messages, outputs or bytes than the network takes without an oversize fee.
        InvalidUnit: An amount, an address or an asset of the draft is none.
        CanonicalError: A message has no canonical form.
    """
    _check_draft(draft, must_spend)
    spendable = [coin for coin in coins if coin.address == key.address]
    byte_target = _sum(draft.outputs.get(BASE, ()))
    byte_outputs = _wire_outputs(draft.outputs.get(BASE, ()))
    change_output: dict[str, Any] = {"address": draft.change_to or key.address, "amount": _CHANGE_PLACEHOLDER}
    byte_payment: dict[str, Any] = {"inputs": [], "outputs": [change_output, *byte_outputs]}
    byte_message = _inline_unhashed("payment", byte_payment)
    given = [_inline(message["app"], deepcopy(message["payload"])) for message in draft.messages]
    messages = [message for message in given if message["app"] != "payment"]
    messages += [byte_message, *(message for message in given if message["app"] == "payment")]
    for asset, outputs in draft.outputs.items():
        if asset != BASE:
            messages.append(_inline("payment", _asset_payment(key, asset, outputs, spendable, must_spend)))

    unit = _frame(network, key, draft, parents, messages, with_definition)
    fees_without_inputs = unit["headers_commission"] + total_payload_size(unit) + parents.tps_fee
    chosen = _pick(BASE, spendable, byte_target + fees_without_inputs, INPUT_BYTES, must_spend)
    byte_payment["inputs"] = _wire_inputs(chosen)
    unit["payload_commission"] = total_payload_size(unit)
    _check_size(unit)

    fees = unit["headers_commission"] + unit["payload_commission"] + parents.tps_fee
    change_output["amount"] = sum(coin.amount for coin in chosen) - byte_target - fees
    byte_payment["outputs"] = _sorted([change_output, *byte_outputs])
    byte_message["payload_hash"] = payload_hash(byte_payment)
    return sign_unit(unit, key)


def _frame(
    network: Network,
    key: Key,
    draft: Draft,
    parents: Parents,
    messages: list[dict[str, Any]],
    with_definition: bool,
) -> Unit:
    """Returns the unit without inputs, change, signature and hash, its headers as long as they will be."""
    author: dict[str, Any] = {"address": key.address, "authentifiers": {"r": _SIGNATURE_PLACEHOLDER}}
    if with_definition:
        author["definition"] = key.definition
    unit: Unit = {
        "version": network.version,
        "alt": network.alt,
        "messages": messages,
        "authors": [author],
        "parent_units": sorted(parents.parent_units),
        "last_ball": parents.last_ball,
        "last_ball_unit": parents.last_ball_unit,
        "timestamp": parents.timestamp,
        "tps_fee": parents.tps_fee,
    }
    if parents.primary_aa_triggers and draft.max_aa_responses is not None:
        unit["max_aa_responses"] = draft.max_aa_responses
    unit["headers_commission"] = headers_size(unit)
    return unit


def _asset_payment(
    key: Key,
    asset: str,
    outputs: Sequence[Output],
    spendable: Iterable[Coin],
    must_spend: Iterable[Coin],
) -> dict[str, Any]:
    target = _sum(outputs)
    chosen = _pick(asset, spendable, target, 0, must_spend)
    paid = _wire_outputs(outputs)
    change = sum(coin.amount for coin in chosen) - target
    if change:
        paid.append({"address": key.address, "amount": change})
    return {"asset": asset, "inputs": _wire_inputs(chosen), "outputs": _sorted(paid)}


def _pick(
    asset: str, spendable: Iterable[Coin], target: int, input_bytes: int, must_spend: Iterable[Coin]
) -> tuple[Coin, ...]:
    """Picks the coins that pay `target` and the bytes that the inputs themselves take.

    As ocore does: the smallest single coin that suffices, stable ones first; else from the largest down.
    Where inputs cost bytes, something must be left over, because the change may not be zero.
    """
    chosen = [coin for coin in must_spend if coin.asset == asset]
    total = sum(coin.amount for coin in chosen)
    taken = set(chosen)
    candidates = [coin for coin in spendable if coin.asset == asset and coin not in taken]

    def covers(amount: int, inputs: int) -> bool:
        left = amount - target - inputs * input_bytes
        return left > 0 if input_bytes else left >= 0

    if chosen and covers(total, len(chosen)):
        return tuple(chosen)
    for coin in sorted(candidates, key=_smallest_stable_first):
        if covers(total + coin.amount, len(chosen) + 1):
            return (*chosen, coin)
    for coin in sorted(candidates, key=_largest_first)[: MAX_COINS - len(chosen)]:
        chosen.append(coin)
        total += coin.amount
        if covers(total, len(chosen)):
            return tuple(chosen)
    required = target + max(len(chosen), 1) * input_bytes + (1 if input_bytes else 0)
    found = f"{len(chosen)} coins give {total} of {asset}"
    all_of_worth = [coin.amount for coin in {*chosen, *candidates} if coin.amount > input_bytes]
    if covers(sum(all_of_worth), len(all_of_worth)):
        text = f"{found} (a unit spends at most {MAX_COINS}), but {required} is needed: consolidate them"
        raise TooManyCoins(text, asset)
    raise InsufficientFunds(f"{found}, but {required} is needed")


def _smallest_stable_first(coin: Coin) -> tuple[Any, ...]:
    return not coin.is_stable, coin.amount, *_oldest_first(coin)


def _largest_first(coin: Coin) -> tuple[Any, ...]:
    return -coin.amount, *_oldest_first(coin)


def _oldest_first(coin: Coin) -> tuple[Any, ...]:
    index = coin.main_chain_index
    return index is None, index or 0, coin.unit, coin.message_index, coin.output_index


def _check_draft(draft: Draft, must_spend: Iterable[Coin]) -> None:
    if len(draft.messages) + len(draft.outputs) >= MAX_MESSAGES:
        raise UnitTooLarge(f"a unit carries at most {MAX_MESSAGES} messages")
    for asset, outputs in draft.outputs.items():
        if asset != BASE and not is_valid_base64(asset, 44):
            raise InvalidUnit(f"{asset!r} is no asset")
        if asset != BASE and not outputs:
            raise InvalidUnit(f"nothing to pay in {asset}")
        if len(outputs) >= MAX_OUTPUTS:
            raise UnitTooLarge(f"a payment has at most {MAX_OUTPUTS - 1} outputs besides its change")
        for output in outputs:
            _check_output(output)
    if draft.change_to is not None and not is_valid_address(draft.change_to):
        raise InvalidUnit(f"{draft.change_to!r} is no address")
    if draft.max_aa_responses is not None and not 1 <= draft.max_aa_responses <= 10:
        raise InvalidUnit(f"max_aa_responses must be 1 to 10, not {draft.max_aa_responses}")
    for coin in must_spend:
        if coin.asset != BASE and coin.asset not in draft.outputs:
            raise InvalidUnit(f"a coin of {coin.asset} must be spent, but nothing is paid in it")


def _check_output(output: Output) -> None:
    amount = output.amount
    if isinstance(amount, bool) or not isinstance(amount, int) or not 0 < amount <= MAX_CAP:
        raise InvalidUnit(f"an amount must be an integer from 1 to {MAX_CAP}, not {amount!r}")
    if not is_valid_address(output.address):
        raise InvalidUnit(f"{output.address!r} is no address")


def _check_size(unit: Unit) -> None:
    size = unit["headers_commission"] + unit["payload_commission"]
    if size <= MAX_UNIT_BYTES:
        return
    text = f"the unit has {size} bytes; above {MAX_UNIT_BYTES} it would owe an oversize fee"
    payments = [message["payload"] for message in unit["messages"] if message["app"] == "payment"]
    largest = max(payments, key=lambda payment: len(payment["inputs"]))
    count = len(largest["inputs"])
    if size - (count - 1) * INPUT_BYTES <= MAX_UNIT_BYTES:
        raise TooManyCoins(
            f"{text}: consolidate the {count} coins that it spends", largest.get("asset", BASE)
        )
    raise UnitTooLarge(text)


def _inline(app: str, payload: Any) -> dict[str, Any]:
    return {**_inline_unhashed(app, payload), "payload_hash": payload_hash(payload)}


def _inline_unhashed(app: str, payload: Any) -> dict[str, Any]:
    return {"app": app, "payload_location": "inline", "payload_hash": "-" * 44, "payload": payload}


def _wire_inputs(coins: Iterable[Coin]) -> list[dict[str, Any]]:
    return [
        {"unit": coin.unit, "message_index": coin.message_index, "output_index": coin.output_index}
        for coin in coins
    ]


def _wire_outputs(outputs: Iterable[Output]) -> list[dict[str, Any]]:
    return [{"address": output.address, "amount": output.amount} for output in outputs]


def _sorted(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(outputs, key=lambda output: (output["address"], output["amount"]))


def _sum(outputs: Iterable[Output]) -> int:
    return sum(output.amount for output in outputs)


def bytes_left(coins: Iterable[Coin], unit: Unit, address: str) -> int:
    """The bytes of an address that can still be spent after a unit of it, its change included."""
    before = sum(coin.amount for coin in coins if coin.asset == BASE)
    paid: int = sum(
        output["amount"]
        for message in unit["messages"]
        if message["app"] == "payment" and "asset" not in message["payload"]
        for output in message["payload"]["outputs"]
        if output["address"] != address
    )
    fees: int = unit["headers_commission"] + unit["payload_commission"] + unit["tps_fee"]
    return before - paid - fees
