"""What came to an address and went from it, as a verified history tells. Pure.

It lists, it does not account: what counts as money that can be spent is the business of `coins`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paypercall.obyte.amounts import BASE
from paypercall.obyte.coins import payments_of, spent_places
from paypercall.obyte.final_units import Place
from paypercall.obyte.proof import History, HistoryUnit


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one unit did to an address.

    Attributes:
        unit: Its hash.
        timestamp: Seconds, as its author says.
        amounts: What came, or with a minus what went, by asset; fees included.
        is_stable: Whether it is proven to be final.
        is_withheld: Whether the hub has not told what it pays; then `amounts` is empty.
    """

    unit: str
    timestamp: int
    amounts: Mapping[str, int]
    is_stable: bool
    is_withheld: bool


def transactions_of(address: str, *histories: History) -> list[Transaction]:
    """Lists the units from and to an address, in the order of the first history that has them.

    Units that lost against another are left out, as they move nothing, and so are those that are not final and whose
    signature could not be checked: the hub may have invented them.

    Args:
        address: Whose.
        histories: All of the address; later ones complete what earlier ones have without content.
    """
    entries: dict[str, HistoryUnit] = {}
    for history in histories:
        for entry in history.units:
            known = entries.get(entry.hash)
            if known is None or (known.is_stripped and not entry.is_stripped):
                entries[entry.hash] = entry
    counted = [entry for entry in entries.values() if entry.is_signature_checked and not entry.is_final_bad]
    coins = _coins_of(address, counted)
    return [
        Transaction(
            unit=entry.hash,
            timestamp=entry.unit.get("timestamp", 0),
            amounts=amounts,
            is_stable=entry.is_stable,
            is_withheld=entry.is_stripped,
        )
        for entry in counted
        if (amounts := _amounts(entry, coins)) or entry.is_stripped
    ]


def _coins_of(address: str, entries: Iterable[HistoryUnit]) -> dict[Place, tuple[str, int]]:
    """All outputs to the address, each with its asset and amount."""
    return {
        (entry.hash, index, place): (payload.get("asset", BASE), output["amount"])
        for entry in entries
        for index, payload in payments_of(entry.unit)
        for place, output in enumerate(payload["outputs"])
        if output["address"] == address
    }


def _amounts(entry: HistoryUnit, coins: Mapping[Place, tuple[str, int]]) -> dict[str, int]:
    amounts: dict[str, int] = {}
    for index, payload in payments_of(entry.unit):
        places = [(entry.hash, index, place) for place in range(len(payload["outputs"]))]
        for sign, moved in ((1, places), (-1, spent_places(payload))):
            for asset, amount in (coins[place] for place in moved if place in coins):
                amounts[asset] = amounts.get(asset, 0) + sign * amount
    return {asset: amount for asset, amount in amounts.items() if amount}
