"""The account at the end of the demonstration: every byte, from the ledger and from both sides' databases.

Pure arithmetic over what they say; a difference of one byte anywhere is an error. All amounts are bytes. It takes
units as they stand on the ledger and must not ask the classes that made them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paypercall.contract import BOUNCE_FEE
from paypercall.devnet.fees import unit_fees
from paypercall.errors import PaypercallError
from paypercall.obyte.unit import Unit
from paypercall.store import PeriodRecord

Coin = tuple[str, int, int]
"""An output: its unit, and the places of its message and of itself."""


class DoesNotAddUp(PaypercallError):
    """The ledger and the books disagree."""

    code = "does_not_add_up"


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says.

    Attributes:
        units: All good units, of whomever; each has one author.
        balances: What each party's and agent's address has.
    """

    units: Sequence[Unit]
    balances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SideOfBooks:
    """What one party's database says.

    Attributes:
        address: The party's wallet.
        periods: Those that have ended.
        received: By channel, the sum of the payments in the table of payments.
        sent: By unit, the outbox row that it was signed for.
    """

    address: str
    periods: Sequence[PeriodRecord]
    received: Mapping[str, int]
    sent: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AgentAccount:
    """One channel's agent: deposits + commands = payouts + fees + left.

    Attributes:
        aa_address: The agent.
        deposits: What it was given to hold.
        commands: What it was given along with commands: the bounce fee each time.
        to_merchant: Paid out.
        to_customer: Paid out.
        fees: Of its own units.
        left: Still in it.
    """

    aa_address: str
    deposits: int
    commands: int
    to_merchant: int
    to_customer: int
    fees: int
    left: int


@dataclass(frozen=True, slots=True)
class WalletAccount:
    """One party's wallet: funded + from agents = to agents + fees + left."""

    address: str
    funded: int
    from_agents: int
    to_agents: int
    fees: int
    left: int


@dataclass(frozen=True, slots=True)
class PeriodAccount:
    """One period, as both databases tell it: deposited = for the merchant + for the customer.

    Without a fraud, the merchant's part is what was paid less what was refunded.
    """

    aa_address: str
    period: int
    deposited: int
    paid: int
    refunded: int
    for_merchant: int
    for_customer: int
    is_fraud_proven: bool


@dataclass(frozen=True, slots=True)
class Account:
    """The whole account."""

    periods: Sequence[PeriodAccount]
    agents: Sequence[AgentAccount]
    wallets: Sequence[WalletAccount]


def account_for(
    ledger: Ledger,
    merchant: SideOfBooks,
    customers: Mapping[str, SideOfBooks],
    *,
    earned: int,
    sent_by_hand: frozenset[str] = frozenset(),
) -> Account:
    """Accounts for every byte.

    Args:
        ledger: What happened.
        merchant: What the merchant's database says.
        customers: What the customers' databases say, by channel.
        earned: What the calls cost that were served.
        sent_by_hand: Units of the parties that were sent past their nodes, and so are in no outbox.

    Raises:
        DoesNotAddUp: Naming the first difference.
    """
    _check_coins(ledger, {merchant.address, *customers, *(side.address for side in customers.values())})
    for side in (merchant, *customers.values()):
        _check_sent(ledger, side, sent_by_hand)
    pairs = _pair_periods(merchant, customers)
    periods = [
        _account_for_period(ledger, mine, theirs, merchant.address, side.address)
        for aa_address, side in customers.items()
        for mine, theirs in pairs
        if mine.aa_address == aa_address
    ]
    agents = [
        _account_for_agent(ledger, aa_address, merchant.address, side.address)
        for aa_address, side in customers.items()
    ]
    for agent in agents:
        _check_deposits(agent, periods)
        _check_payments(agent.aa_address, merchant, customers[agent.aa_address])
    _require(sum(p.paid - p.refunded for p in periods), earned, "what the served calls brought")
    wallets = [
        _account_for_wallet(ledger, side.address, customers) for side in (merchant, *customers.values())
    ]
    return Account(periods, agents, wallets)


def _require(found: object, expected: object, what: str) -> None:
    if found != expected:
        raise DoesNotAddUp(f"{what}: {found}, not {expected}")


# --- the ledger ------------------------------------------------------------------------------------------------------


def _check_coins(ledger: Ledger, addresses: set[str]) -> None:
    """Checks that every unit of these addresses spends what it pays, no coin twice, and what they have in the end."""
    coins = {coin: output for unit in ledger.units for coin, output in _outputs(unit)}
    unspent = dict(coins)
    for unit in ledger.units:
        author = _author(unit)
        if author not in addresses:
            continue
        spent = 0
        for coin in _inputs(unit):
            if coin not in unspent or unspent[coin][0] != author:
                raise DoesNotAddUp(f"unit {unit['unit']} spends {coin}, which is spent or not its author's")
            spent += unspent.pop(coin)[1]
        paid = sum(amount for _, (_, amount) in _outputs(unit))
        _require(spent, paid + unit_fees(unit), f"the inputs of unit {unit['unit']}")
    for address in addresses:
        left = sum(amount for owner, amount in unspent.values() if owner == address)
        _require(ledger.balances[address], left, f"the balance of {address}")


def _author(unit: Unit) -> str:
    address: str = unit["authors"][0]["address"]
    return address


def _payments(unit: Unit) -> Iterator[tuple[int, dict[str, Any]]]:
    for message_index, message in enumerate(unit.get("messages", ())):
        if message["app"] == "payment" and "asset" not in message["payload"]:
            yield message_index, message["payload"]


def _inputs(unit: Unit) -> Iterator[Coin]:
    for _, payload in _payments(unit):
        for spent in payload["inputs"]:
            yield spent["unit"], spent["message_index"], spent["output_index"]


def _outputs(unit: Unit) -> Iterator[tuple[Coin, tuple[str, int]]]:
    for message_index, payload in _payments(unit):
        for output_index, output in enumerate(payload["outputs"]):
            yield (unit["unit"], message_index, output_index), (output["address"], output["amount"])


def _paid(ledger: Ledger, sender: str, recipient: str) -> list[int]:
    """The amounts of the outputs that one address has given another."""
    return [
        amount
        for unit in ledger.units
        if _author(unit) == sender
        for _, (address, amount) in _outputs(unit)
        if address == recipient
    ]


def _fees(ledger: Ledger, author: str) -> int:
    return sum(unit_fees(unit) for unit in ledger.units if _author(unit) == author)


def _account_for_agent(ledger: Ledger, aa_address: str, merchant: str, customer: str) -> AgentAccount:
    taken = [*_paid(ledger, merchant, aa_address), *_paid(ledger, customer, aa_address)]
    account = AgentAccount(
        aa_address,
        deposits=sum(amount for amount in taken if amount > BOUNCE_FEE),
        commands=sum(amount for amount in taken if amount <= BOUNCE_FEE),
        to_merchant=sum(_paid(ledger, aa_address, merchant)),
        to_customer=sum(_paid(ledger, aa_address, customer)),
        fees=_fees(ledger, aa_address),
        left=ledger.balances[aa_address],
    )
    given = account.to_merchant + account.to_customer + account.fees + account.left
    _require(account.deposits + account.commands, given, f"what agent {aa_address} took")
    return account


def _account_for_wallet(ledger: Ledger, address: str, aa_addresses: Mapping[str, object]) -> WalletAccount:
    everybody = {_author(unit) for unit in ledger.units}
    strangers = everybody - {address, *aa_addresses}
    account = WalletAccount(
        address,
        funded=sum(sum(_paid(ledger, stranger, address)) for stranger in strangers),
        from_agents=sum(sum(_paid(ledger, aa_address, address)) for aa_address in aa_addresses),
        to_agents=sum(sum(_paid(ledger, address, aa_address)) for aa_address in aa_addresses),
        fees=_fees(ledger, address),
        left=ledger.balances[address],
    )
    given = account.to_agents + account.fees + account.left
    _require(account.funded + account.from_agents, given, f"what wallet {address} got")
    return account


# --- the books -------------------------------------------------------------------------------------------------------


def _pair_periods(
    merchant: SideOfBooks, customers: Mapping[str, SideOfBooks]
) -> list[tuple[PeriodRecord, PeriodRecord]]:
    """Puts together what the two sides know of each period, which must be the same."""
    known_to_customers = {
        (record.aa_address, record.period): record for side in customers.values() for record in side.periods
    }
    pairs = []
    for mine in merchant.periods:
        theirs = known_to_customers.pop((mine.aa_address, mine.period), None)
        if theirs is None:
            raise DoesNotAddUp(f"the customer does not know period {mine.period} of {mine.aa_address}")
        _require(_seen_by_peer(theirs), _seen_by_me(mine), f"period {mine.period} of {mine.aa_address}")
        pairs.append((mine, theirs))
    if known_to_customers:
        raise DoesNotAddUp(f"the merchant does not know the periods {sorted(known_to_customers)}")
    return pairs


def _seen_by_me(record: PeriodRecord) -> tuple[object, ...]:
    """What both sides must tell alike; no package got lost, so all that was signed was accepted as well."""
    return (
        *(record.deposited_by_me, record.deposited_by_peer),
        *(record.signed_by_me, record.signed_by_peer, record.accepted_from_peer),
        *(record.is_fraud_proven, record.unit),
    )


def _seen_by_peer(record: PeriodRecord) -> tuple[object, ...]:
    return (
        *(record.deposited_by_peer, record.deposited_by_me),
        *(record.accepted_from_peer, record.signed_by_me, record.signed_by_me),
        *(record.is_fraud_proven, record.unit),
    )


def _account_for_period(
    ledger: Ledger, mine: PeriodRecord, theirs: PeriodRecord, merchant: str, customer: str
) -> PeriodAccount:
    """Accounts for a period, and holds the books against the agent's payout (agent 1.1)."""
    what = f"period {mine.period} of {mine.aa_address}"
    _require(theirs.signed_by_peer, theirs.accepted_from_peer, f"{what}: the refunds that arrived")
    deposited = mine.deposited_by_peer + mine.deposited_by_me
    for_merchant = mine.deposited_by_me + mine.accepted_from_peer - mine.signed_by_me
    if mine.is_fraud_proven:
        for_merchant = deposited
    account = PeriodAccount(
        mine.aa_address,
        mine.period,
        deposited=deposited,
        paid=mine.signed_by_peer,
        refunded=mine.signed_by_me,
        for_merchant=for_merchant,
        for_customer=deposited - for_merchant,
        is_fraud_proven=mine.is_fraud_proven,
    )
    endings = [unit for unit in ledger.units if unit["unit"] == mine.unit]
    _require([_author(unit) for unit in endings], [mine.aa_address], f"{what}: who sent the payout")
    payout = dict.fromkeys((merchant, customer), 0)
    for _, (address, amount) in _outputs(endings[0]):
        payout[address] = payout.get(address, 0) + amount
    _check_payout(account, payout[merchant], payout[customer], what)
    return account


def _check_payout(account: PeriodAccount, to_merchant: int, to_customer: int, what: str) -> None:
    """The larger part pays the agent's fees out of the bounce fees, the smaller one comes with a bounce fee."""
    if account.is_fraud_proven:
        _require(to_customer, 0, f"{what}: paid out to the customer after its fraud")
        return
    parts = sorted([(account.for_merchant, to_merchant), (account.for_customer, to_customer)])
    (smaller, paid_smaller), (larger, paid_larger) = parts
    _require(paid_smaller, smaller + BOUNCE_FEE, f"{what}: paid out to the side with less")
    if paid_larger < larger:
        raise DoesNotAddUp(f"{what}: paid out to the side with more: {paid_larger}, not at least {larger}")


def _check_deposits(agent: AgentAccount, periods: Sequence[PeriodAccount]) -> None:
    booked = sum(period.deposited for period in periods if period.aa_address == agent.aa_address)
    _require(booked, agent.deposits, f"the deposits of {agent.aa_address} in the books")


def _check_payments(aa_address: str, merchant: SideOfBooks, customer: SideOfBooks) -> None:
    """The payments one by one must make the sums of the periods."""
    for side in (merchant, customer):
        accepted = sum(p.accepted_from_peer for p in side.periods if p.aa_address == aa_address)
        _require(side.received.get(aa_address, 0), accepted, f"the payments in the books of {side.address}")


def _check_sent(ledger: Ledger, side: SideOfBooks, sent_by_hand: frozenset[str]) -> None:
    """Checks that each unit of a wallet was decided in its books, and no decision was carried out twice."""
    units = {unit["unit"] for unit in ledger.units if _author(unit) == side.address} - sent_by_hand
    _require(set(side.sent), units, f"the units in the outbox of {side.address}")
    _require(len(set(side.sent.values())), len(units), f"the decisions that {side.address} carried out")
