"""What is final of the wallet's units. Rows are only added: a coin is spent once another row says so."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from paypercall.obyte.composer import Coin
from paypercall.obyte.final_units import FinalUnit, Outcome, Place
from paypercall.store.schema import coins, final_units, spent_places
from paypercall.store.statements import Connection, Statement, adding_unless_there

_OWN = 0
"""In place of the main chain index, which was kept once: it was only a hub's word."""


class Coins:
    """The wallet's final units with its coins, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, finals: Iterable[FinalUnit]) -> None:
        """Adds units with all that they make and spend; what is there already stays as it is."""
        for final in finals:
            row = {
                "unit": final.unit,
                "outcome": final.outcome.value,
                "own_index": _OWN if final.is_own else None,
            }
            self._connection.change(_ADD_UNIT, row)
            for coin in final.coins:
                self._connection.change(_ADD_COIN, _row_of(coin))
            for unit, message_index, output_index in final.spends:
                place = {"unit": unit, "message_index": message_index, "output_index": output_index}
                self._connection.change(_ADD_SPENT, {**place, "spent_by": final.unit})

    def all(self) -> list[FinalUnit]:
        """All units, in no order; one may be there both without its content and with it."""
        made: dict[str, list[Coin]] = {}
        for unit, message_index, output_index, amount, asset, address, index in self._connection.all(
            _ALL_COINS, {}
        ):
            coin = Coin(unit, message_index, output_index, amount, asset, address, main_chain_index=index)
            made.setdefault(unit, []).append(coin)
        spent: dict[str, list[Place]] = {}
        for spent_by, *place in self._connection.all(_ALL_SPENT, {}):
            spent.setdefault(spent_by, []).append((place[0], place[1], place[2]))
        found = []
        for unit, word, own_index in self._connection.all(_ALL_UNITS, {}):
            outcome = Outcome(word)
            is_good = outcome is Outcome.GOOD
            makes, spends = (made.get(unit, ()), spent.get(unit, ())) if is_good else ((), ())
            found.append(FinalUnit(unit, outcome, own_index is not None, tuple(makes), frozenset(spends)))
        return found


def _row_of(coin: Coin) -> dict[str, str | int | None]:
    return {
        "unit": coin.unit,
        "message_index": coin.message_index,
        "output_index": coin.output_index,
        "amount": coin.amount,
        "asset": coin.asset,
        "address": coin.address,
        "main_chain_index": coin.main_chain_index,
    }


_ADD_UNIT = adding_unless_there(final_units)
_ADD_COIN = adding_unless_there(coins)
_ADD_SPENT = adding_unless_there(spent_places)
_ALL_UNITS = Statement(select(final_units.c.unit, final_units.c.outcome, final_units.c.own_index))
_ALL_COINS = Statement(
    select(
        coins.c.unit,
        coins.c.message_index,
        coins.c.output_index,
        coins.c.amount,
        coins.c.asset,
        coins.c.address,
        coins.c.main_chain_index,
    ).order_by(coins.c.unit, coins.c.message_index, coins.c.output_index)
)
_ALL_SPENT = Statement(
    select(
        spent_places.c.spent_by,
        spent_places.c.unit,
        spent_places.c.message_index,
        spent_places.c.output_index,
    )
)
