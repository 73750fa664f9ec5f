"""Units to an agent are kept from when they are first seen until the agent has answered them."""

from __future__ import annotations

import pytest

from paypercall.contract import TriggerKind
from paypercall.store import Store
from tests.store.samples import channel, unconfirmed, unit_hash

AA_ADDRESS, OTHER_ADDRESS = channel().aa_address, channel("other").aa_address


@pytest.fixture(autouse=True)
def known_channels(store: Store) -> None:
    """Adds the channels that the rows belong to."""
    with store.transaction() as books:
        books.channels.add(channel(), created_at=1)
        books.channels.add(channel("other"), created_at=1)


def test_units_come_back_as_they_were_seen_in_that_order(store: Store) -> None:
    early = unconfirmed(2, TriggerKind.CLOSE, amount=0, has_data=True, has_definition=False, first_seen=50)
    late = unconfirmed(1, stable_since=300, is_double_spent=True)
    with store.transaction() as books:
        assert books.unconfirmed.see(AA_ADDRESS, late)
        assert books.unconfirmed.see(AA_ADDRESS, early)
        assert books.unconfirmed.see(OTHER_ADDRESS, unconfirmed(3))
    with store.reading() as books:
        assert books.unconfirmed.of(AA_ADDRESS) == (early, late)
        assert books.unconfirmed.of(channel("unknown").aa_address) == ()
        assert books.unconfirmed.all_unanswered_units() == [unit_hash(2), unit_hash(3)]  # 1 is double-spent


def test_whether_a_deposit_is_unanswered_is_told_over_all_channels(store: Store) -> None:
    with store.transaction() as books:
        books.unconfirmed.see(AA_ADDRESS, unconfirmed(1, TriggerKind.CLOSE))
        books.unconfirmed.see(AA_ADDRESS, unconfirmed(2, TriggerKind.DEPOSIT, is_double_spent=True))
        assert not books.unconfirmed.has_deposits()
        books.unconfirmed.see(OTHER_ADDRESS, unconfirmed(3, TriggerKind.DEPOSIT))
        assert books.unconfirmed.has_deposits()


def test_the_time_of_the_first_sight_is_kept(store: Store) -> None:
    with store.transaction() as books:
        assert books.unconfirmed.see(AA_ADDRESS, unconfirmed(1, first_seen=50))
        assert not books.unconfirmed.see(AA_ADDRESS, unconfirmed(1, first_seen=70))
        assert books.unconfirmed.of(AA_ADDRESS) == (unconfirmed(1, first_seen=50),)


def test_an_answered_unit_is_forgotten_in_its_channel(store: Store) -> None:
    with store.transaction() as books:
        books.unconfirmed.see(AA_ADDRESS, unconfirmed(1))
        books.unconfirmed.see(OTHER_ADDRESS, unconfirmed(1))
        assert books.unconfirmed.get(AA_ADDRESS, unit_hash(1)) == unconfirmed(1)
        assert books.unconfirmed.answered(AA_ADDRESS, unit_hash(1))
        assert not books.unconfirmed.answered(AA_ADDRESS, unit_hash(1))
        assert books.unconfirmed.get(AA_ADDRESS, unit_hash(1)) is None
        assert books.unconfirmed.get(OTHER_ADDRESS, unit_hash(1)) is not None


def test_a_unit_is_stable_since_it_was_first_seen_so(store: Store) -> None:
    with store.transaction() as books:
        books.unconfirmed.see(AA_ADDRESS, unconfirmed(1))
        books.unconfirmed.mark_stable(unit_hash(1), now=200)
        books.unconfirmed.mark_stable(unit_hash(1), now=300)
        assert books.unconfirmed.of(AA_ADDRESS) == (unconfirmed(1, stable_since=200),)


def test_a_double_spend_is_marked_once_for_each_channel(store: Store) -> None:
    with store.transaction() as books:
        books.unconfirmed.see(AA_ADDRESS, unconfirmed(1))
        books.unconfirmed.see(OTHER_ADDRESS, unconfirmed(1))
        books.unconfirmed.see(OTHER_ADDRESS, unconfirmed(2))
        assert books.unconfirmed.channels_of(unit_hash(1)) == sorted([AA_ADDRESS, OTHER_ADDRESS])
        assert books.unconfirmed.mark_double_spent(OTHER_ADDRESS, unit_hash(1))
        assert not books.unconfirmed.mark_double_spent(OTHER_ADDRESS, unit_hash(1))
        assert not books.unconfirmed.mark_double_spent(OTHER_ADDRESS, unit_hash(9))
        assert [unit.is_double_spent for unit in books.unconfirmed.of(OTHER_ADDRESS)] == [True, False]
        assert [unit.is_double_spent for unit in books.unconfirmed.of(AA_ADDRESS)] == [False]


def test_the_commands_of_a_period_are_forgotten_but_not_the_deposits(store: Store) -> None:
    with store.transaction() as books:
        for number, kind in enumerate(TriggerKind):
            books.unconfirmed.see(AA_ADDRESS, unconfirmed(number, kind))
        books.unconfirmed.see(OTHER_ADDRESS, unconfirmed(1, TriggerKind.CLOSE))
        books.unconfirmed.forget_commands(AA_ADDRESS)
        kinds = {unit.kind for unit in books.unconfirmed.of(AA_ADDRESS)}
        assert kinds == {TriggerKind.DEPOSIT, TriggerKind.OTHER}
        assert books.unconfirmed.get(OTHER_ADDRESS, unit_hash(1)) is not None


def test_what_is_proven_stable_is_not_double_spent_whoever_says_so_before_or_after(store: Store) -> None:
    with store.transaction() as books:
        books.unconfirmed.see(AA_ADDRESS, unconfirmed(1, is_double_spent=True))
        books.unconfirmed.see(AA_ADDRESS, unconfirmed(2, is_double_spent=True, stable_since=150))
        for number in (1, 2):
            books.unconfirmed.mark_stable(unit_hash(number), now=200)
            assert not books.unconfirmed.mark_double_spent(AA_ADDRESS, unit_hash(number))
        assert books.unconfirmed.of(AA_ADDRESS) == (
            unconfirmed(1, stable_since=200),
            unconfirmed(2, stable_since=150),
        )
