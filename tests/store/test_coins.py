"""Final units come back as they were added, whatever was added before."""

from __future__ import annotations

from paypercall.obyte.composer import Coin
from paypercall.obyte.final_units import FinalUnit, Outcome
from paypercall.store import Store
from tests.store.samples import ASSET, CUSTOMER, unit_hash

COINS = (
    Coin(unit_hash(1), 0, 0, 9_000_000_000_000_000, "base", CUSTOMER, main_chain_index=7),
    Coin(unit_hash(1), 2, 1, 5, ASSET, CUSTOMER),
)
RECEIVED = FinalUnit(unit_hash(1), Outcome.GOOD, coins=COINS)
SPENT = FinalUnit(
    unit_hash(2), Outcome.GOOD, True, spends=frozenset({(unit_hash(1), 0, 0), (unit_hash(8), 1, 3)})
)
UNKNOWN = FinalUnit(unit_hash(3), Outcome.UNKNOWN, True)
KNOWN_LATER = FinalUnit(unit_hash(3), Outcome.GOOD, coins=(Coin(unit_hash(3), 0, 0, 1, "base", CUSTOMER),))
VOID = FinalUnit(unit_hash(4), Outcome.VOID)
ALL = (RECEIVED, SPENT, UNKNOWN, KNOWN_LATER, VOID)


def test_final_units_come_back_as_they_were_added(store: Store) -> None:
    with store.transaction() as books:
        books.coins.add(ALL)
    with store.reading() as books:
        assert set(books.coins.all()) == set(ALL)


def test_what_is_there_already_is_not_added_again(store: Store) -> None:
    for finals in (ALL[2:], ALL, ALL):
        with store.transaction() as books:
            books.coins.add(finals)
    with store.reading() as books:
        found = books.coins.all()
    assert len(found) == len(ALL)
    assert all(final in found for final in ALL)
