"""The account at the end of the demonstration: every byte, from the ledger and from both sides' books.

Pure arithmetic over what the ledger and the books say; a difference of one byte is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paypercall.errors import PaypercallError
from paypercall.store import PeriodRecord


class DoesNotAddUp(PaypercallError):
    """The ledger and the books disagree."""

    code = "does_not_add_up"


@dataclass
class Flows:
    """The bytes that one address has got, given and paid as fees."""

    received: int = 0
    sent: int = 0
    fees: int = 0
    by_peer: dict[str, int] = field(default_factory=dict)


def flows_of(joints: Iterable[Mapping[str, Any]], addresses: Iterable[str]) -> dict[str, Flows]:
    """Sums what each of the addresses received from others, sent to others and paid as fees, in bytes.

    Args:
        joints: All units of the network, as the hub gives them.
        addresses: Whose; each unit is taken to have one author.
    """
    flows = {address: Flows() for address in addresses}
    for joint in joints:
        unit = joint["unit"]
        author = unit["authors"][0]["address"]
        if author in flows:
            flows[author].fees += (
                unit["headers_commission"] + unit["payload_commission"] + unit.get("tps_fee", 0)
            )
        for address, amount in _outputs(unit):
            if address == author:
                continue
            if author in flows:
                flows[author].sent += amount
                flows[author].by_peer[address] = flows[author].by_peer.get(address, 0) + amount
            if address in flows:
                flows[address].received += amount
    return flows


def _outputs(unit: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    for message in unit.get("messages", []):
        if message["app"] == "payment" and "asset" not in message["payload"]:
            for output in message["payload"]["outputs"]:
                yield output["address"], output["amount"]


@dataclass(frozen=True, slots=True)
class AgentAccount:
    """What one channel's agent took in and gave out, in bytes."""

    aa_address: str
    deposits: int
    payouts: Mapping[str, int]
    fees: int
    left: int


def settle_agents(
    flows: Mapping[str, Flows], balances: Mapping[str, int], aa_addresses: Iterable[str]
) -> list[AgentAccount]:
    """Accounts for each agent: deposits = payouts + fees + what is left in it.

    Raises:
        DoesNotAddUp: For one that does not balance.
    """
    accounts = []
    for aa_address in aa_addresses:
        flow = flows[aa_address]
        account = AgentAccount(aa_address, flow.received, dict(flow.by_peer), flow.fees, balances[aa_address])
        if account.deposits != sum(account.payouts.values()) + account.fees + account.left:
            raise DoesNotAddUp(f"agent {aa_address}: {account}")
        accounts.append(account)
    return accounts


def check_wallets(flows: Mapping[str, Flows], balances: Mapping[str, int], wallets: Iterable[str]) -> None:
    """Checks for each wallet: received = sent + fees + balance.

    Raises:
        DoesNotAddUp: For one that does not balance.
    """
    for address in wallets:
        flow = flows[address]
        if flow.received != flow.sent + flow.fees + balances[address]:
            raise DoesNotAddUp(f"wallet {address}: {flow}, balance {balances[address]}")


def check_books(merchants: Iterable[PeriodRecord], customers: Iterable[PeriodRecord]) -> None:
    """Checks that both sides' books tell the same of every period that has ended.

    Raises:
        DoesNotAddUp: For a period that one side does not know, or in which they differ.
    """
    by_customer = {(record.aa_address, record.period): record for record in customers}
    for mine in merchants:
        theirs = by_customer.pop((mine.aa_address, mine.period), None)
        if theirs is None:
            raise DoesNotAddUp(f"the customer does not know period {mine.period} of {mine.aa_address}")
        seen_by_merchant = (mine.deposited_by_peer, mine.signed_by_peer, mine.signed_by_me)
        seen_by_customer = (theirs.deposited_by_me, theirs.signed_by_me, theirs.signed_by_peer)
        if seen_by_merchant != seen_by_customer:
            raise DoesNotAddUp(
                f"period {mine.period} of {mine.aa_address}: deposits, payments and refunds are {seen_by_merchant}"
                f" for the merchant, {seen_by_customer} for the customer"
            )
    if by_customer:
        raise DoesNotAddUp(f"the merchant does not know the periods {sorted(by_customer)}")
