"""What one address owns, as far as its units are known: pure book-keeping, without a clock or a connection.

Facts about units may come in any order and any number of times: stable units never change again, and what
units that are still open make and spend is worked out anew from all of them. Nothing here believes more than
the history proves: a unit of others counts as money only when it is stable, one of ours as soon as we have
signed it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Coin
from paypercall.obyte.errors import InsufficientFunds, InvalidUnit
from paypercall.obyte.final_units import FinalUnit, Outcome, Place
from paypercall.obyte.proof import HistoryUnit
from paypercall.obyte.unit import Unit

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Balance:
    """What an address has of one asset.

    Attributes:
        stable: In stable units, not spent.
        pending: In units that are not stable yet: change of ours, which can be spent, and payments of others.
    """

    stable: int
    pending: int

    @property
    def total(self) -> int:
        """Stable and pending together."""
        return self.stable + self.pending


@dataclass(frozen=True, slots=True)
class _Entry:
    """The part of a unit that concerns the address.

    Attributes:
        unit: Its hash.
        timestamp: Seconds.
        is_ours: The address is its only author.
        spends: The places of the inputs, if the address is among the authors.
        coins: The outputs to the address.
        is_posted: The hub has it.
    """

    unit: str
    timestamp: int
    is_ours: bool
    spends: frozenset[Place]
    coins: tuple[Coin, ...]
    is_posted: bool


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What the open units come to.

    Attributes:
        lost: Units of ours that can never become good.
        spent: What the others of ours spend.
        change: What they make for us that is not spent again.
    """

    lost: frozenset[str]
    spent: frozenset[Place]
    change: tuple[Coin, ...]


class CoinBook:
    """The coins of one address. Not thread-safe.

    Args:
        address: Whose coins.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.changes = 0
        self._coins: dict[Place, Coin] = {}
        self._spent: dict[Place, str] = {}
        self._final: list[FinalUnit] = []
        self._stable: set[str] = set()
        self._stripped: set[str] = set()
        self._void: set[str] = set()
        self._open: dict[str, _Entry] = {}
        self._forgotten: dict[str, _Entry] = {}
        self._has_own_final_unit = False
        self._cached_outlook: _Outlook | None = None

    @property
    def has_own_final_unit(self) -> bool:
        """Whether a unit of the address is proven to be stable and good."""
        return self._has_own_final_unit

    def take(self, entry: HistoryUnit) -> None:
        """Takes in what a verified history says of a unit."""
        unit = entry.hash
        if unit in self._stable or unit in self._void:
            return
        if entry.is_final_bad:
            # Kept whether it concerns us or not: it comes without its messages, and an older history may
            # still show what it would have paid us.
            self.learn(FinalUnit(unit, Outcome.VOID))
            return
        is_known = unit in self._open or unit in self._stripped
        if not is_known and not self._concerns_us(entry.unit):
            return
        if entry.is_stable or unit in self._stripped:
            self._take_stable(entry)
        elif is_known or (entry.is_signature_checked and not entry.is_stripped):
            self._forgotten.pop(unit, None)
            self._put_open(self._read(entry.unit, is_posted=True))

    def learn(self, final: FinalUnit) -> None:
        """Takes in what is known for good of a unit, in any order and as often as it comes."""
        self._has_own_final_unit |= final.is_own
        unit = final.unit
        if unit in self._stable or unit in self._void:
            return
        if final.outcome is Outcome.UNKNOWN:
            if unit not in self._stripped:
                self._stripped.add(unit)
                self._final.append(final)
            return
        self._final.append(final)
        self._stripped.discard(unit)
        self._open.pop(unit, None)
        self._forgotten.pop(unit, None)
        (self._void if final.outcome is Outcome.VOID else self._stable).add(unit)
        for coin in final.coins:
            if _place(coin) not in self._spent:
                self._coins[_place(coin)] = coin
        for place in final.spends:
            self._spent[place] = unit
            self._coins.pop(place, None)
        self._note_change()

    def final_units(self, after: int = 0) -> list[FinalUnit]:
        """What is known for good, in the order in which it came, without so many of the first."""
        return self._final[after:]

    def adopt(self, unit: Unit) -> None:
        """Takes in a signed unit of ours that the hub may not know yet.

        Raises:
            InvalidUnit: The address is not its only author.
        """
        entry = self._read(unit, is_posted=False)
        if not entry.is_ours:
            raise InvalidUnit(f"unit {entry.unit} is not of {self.address} alone")
        if entry.unit not in self._stable and entry.unit not in self._void:
            self._forgotten.pop(entry.unit, None)
            self._put_open(entry)

    def note_posted(self, unit: str) -> None:
        """Notes that the hub has a unit of ours."""
        entry = self._open.get(unit)
        if entry is not None:
            self._put_open(replace(entry, is_posted=True))

    def forget(self, unit: str) -> None:
        """Drops a unit of ours that will never be posted; one that the hub has shown stays."""
        entry = self._open.get(unit)
        if entry is None:
            return
        if entry.is_posted:
            _logger.warning("unit %s is not forgotten: the hub has it", unit)
            return
        self._forgotten[unit] = self._open.pop(unit)
        self._note_change()

    def spendable(self) -> list[Coin]:
        """Stable coins and our own unconfirmed change."""
        return self._spendable(self._outlook())

    def spendable_instead_of(self, *units: Unit) -> tuple[list[Coin], tuple[Coin, ...]]:
        """What a unit can spend that takes the place of others of ours, or of none.

        Returns:
            The coins, and those byte coins among them that the other units spend: with them spent, at most
            one of all these units can become stable. Units that have lost already take no part.

        Raises:
            InvalidUnit: One of the other units is stable.
            InsufficientFunds: No byte coin of one of the other units can be spent.
        """
        entries = [self._read(unit, is_posted=False) for unit in units]
        for entry in entries:
            if entry.unit in self._stable:
                raise InvalidUnit(f"unit {entry.unit} is stable, nothing can take its place")
        lost = self._find_lost([*self._open.values(), *self._forgotten.values(), *entries])
        rivals = [entry for entry in entries if entry.unit not in lost and entry.unit not in self._void]
        coins = self._spendable(self._look_ahead(without={entry.unit for entry in rivals}))
        shared: dict[Place, Coin] = {}
        for entry in rivals:
            spent = {
                _place(coin): coin for coin in coins if coin.asset == BASE and _place(coin) in entry.spends
            }
            if not spent:
                raise InsufficientFunds(f"no byte coin of unit {entry.unit} can be spent by another unit")
            shared |= spent
        return coins, tuple(shared.values())

    def balances(self) -> dict[str, Balance]:
        """What there is, by asset."""
        outlook = self._outlook()
        totals: dict[str, list[int]] = {BASE: [0, 0]}
        for place, coin in self._coins.items():
            if place not in outlook.spent:
                totals.setdefault(coin.asset, [0, 0])[0] += coin.amount
        from_others = (coin for entry in self._open.values() if not entry.is_ours for coin in entry.coins)
        for coin in (*outlook.change, *from_others):
            if _place(coin) in outlook.spent:
                continue
            totals.setdefault(coin.asset, [0, 0])[1] += coin.amount
        return {asset: Balance(*amounts) for asset, amounts in totals.items()}

    def has_lost(self, unit: str) -> bool:
        """Whether a unit of ours can never become good: it is final-bad, or its inputs are spent for good."""
        return unit in self._void or unit in self._outlook().lost

    def undecided_units(self) -> list[str]:
        """The units to ask for by name: open ones, and stable ones whose content is not known yet."""
        return [*(self._open.keys() - self._outlook().lost), *self._stripped]

    def open_own_units(self) -> list[str]:
        """Our units that are not known to be stable or lost."""
        lost = self._outlook().lost
        return [unit for unit, entry in self._open.items() if entry.is_ours and unit not in lost]

    # --- taking in ---

    def _concerns_us(self, unit: Unit) -> bool:
        if any(author["address"] == self.address for author in unit["authors"]):
            return True
        return any(
            output["address"] == self.address
            for _, payload in payments_of(unit)
            for output in payload["outputs"]
        )

    def _read(self, unit: Unit, *, is_posted: bool) -> _Entry:
        authors = [author["address"] for author in unit["authors"]]
        coins: list[Coin] = []
        spends: set[Place] = set()
        for index, payload in payments_of(unit):
            if self.address in authors:
                spends.update(spent_places(payload))
            for place, output in enumerate(payload["outputs"]):
                if output["address"] == self.address:
                    asset = payload.get("asset", BASE)
                    coins.append(
                        Coin(
                            unit["unit"], index, place, output["amount"], asset, self.address, is_stable=False
                        )
                    )
        is_ours = authors == [self.address]
        return _Entry(
            unit=unit["unit"],
            timestamp=unit.get("timestamp", 0),
            is_ours=is_ours,
            spends=frozenset(spends),
            coins=tuple(coins),
            is_posted=is_posted,
        )

    def _put_open(self, entry: _Entry) -> None:
        known = self._open.get(entry.unit)
        merged = entry if known is None else replace(known, is_posted=known.is_posted or entry.is_posted)
        if merged != known:
            self._open[entry.unit] = merged
            self._note_change()

    def _take_stable(self, history_unit: HistoryUnit) -> None:
        unit, index = history_unit.hash, history_unit.main_chain_index
        is_own = self.address in (author["address"] for author in history_unit.unit["authors"])
        entry = self._open.get(unit)
        if entry is None and history_unit.is_stripped:
            self.learn(FinalUnit(unit, Outcome.UNKNOWN, is_own))
            return
        entry = entry or self._read(history_unit.unit, is_posted=True)
        coins = tuple(replace(coin, is_stable=True, main_chain_index=index) for coin in entry.coins)
        self.learn(FinalUnit(unit, Outcome.GOOD, is_own, coins, entry.spends))

    def _note_change(self) -> None:
        self.changes += 1
        self._cached_outlook = None

    # --- working out ---

    def _spendable(self, outlook: _Outlook) -> list[Coin]:
        stable = (coin for place, coin in self._coins.items() if place not in outlook.spent)
        return [*stable, *outlook.change]

    def _outlook(self) -> _Outlook:
        if self._cached_outlook is None:
            self._cached_outlook = self._look_ahead()
        return self._cached_outlook

    def _look_ahead(self, without: AbstractSet[str] = frozenset()) -> _Outlook:
        """Works out what the open units come to, as if some of them would never be posted."""
        own = [entry for entry in self._open.values() if entry.spends and entry.unit not in without]
        lost = self._find_lost([*own, *self._forgotten.values()])
        living = [entry for entry in own if entry.unit not in lost]
        spent = frozenset(place for entry in living for place in entry.spends)
        gone = self._forgotten.keys() | without
        doubtful = _find_doubtful(living, gone)
        change = tuple(
            coin
            for entry in living
            if entry.is_ours and entry.unit not in doubtful
            for coin in entry.coins
            if _place(coin) not in spent
        )
        return _Outlook(frozenset(lost), spent, change)

    def _find_lost(self, own: Iterable[_Entry]) -> set[str]:
        """Finds units that spend what a stable unit has spent, or what a lost unit would have made."""
        lost: set[str] = set()
        while True:
            more = {
                entry.unit
                for entry in own
                if entry.unit not in lost
                and any(
                    place in self._spent or place[0] in self._void or place[0] in lost
                    for place in entry.spends
                )
            }
            if not more:
                return lost
            lost |= more


def _find_doubtful(living: list[_Entry], gone: AbstractSet[str]) -> set[str]:
    """Finds units whose change must not be spent: a rival is likelier to win, or they build on such a unit.

    Of units that spend the same coin, one that the hub has shown is likelier than one that it has not, and
    the later one than the earlier.
    """
    doubtful: set[str] = set()
    taken: set[Place] = set()
    for entry in sorted(
        living, key=lambda entry: (entry.is_posted, entry.timestamp, entry.unit), reverse=True
    ):
        if taken.isdisjoint(entry.spends):
            taken |= entry.spends
        else:
            doubtful.add(entry.unit)
    while True:
        more = {
            entry.unit
            for entry in living
            if entry.unit not in doubtful
            and any(place[0] in doubtful or place[0] in gone for place in entry.spends)
        }
        if not more:
            return doubtful
        doubtful |= more


def payments_of(unit: Unit) -> list[tuple[int, dict[str, Any]]]:
    """The public payments of a unit, each with its place; fixed denominations are no coins for us."""
    return [
        (index, message["payload"])
        for index, message in enumerate(unit.get("messages", ()))
        if message["app"] == "payment" and "payload" in message and "denomination" not in message["payload"]
    ]


def spent_places(payload: dict[str, Any]) -> list[Place]:
    """Where the coins are that a payment spends."""
    return [
        (source["unit"], source["message_index"], source["output_index"])
        for source in payload["inputs"]
        if source.get("type", "transfer") == "transfer"
    ]


def _place(coin: Coin) -> Place:
    return coin.unit, coin.message_index, coin.output_index
