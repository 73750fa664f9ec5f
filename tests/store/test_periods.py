"""Ended periods keep their sums."""

from __future__ import annotations

from paypercall.settled import Settled
from paypercall.store import PeriodRecord, Store
from tests.store.samples import channel, unit_hash


def test_ended_periods_come_back_in_order(store: Store) -> None:
    first = channel(
        deposited_by_me=1, deposited_by_peer=2, signed_by_me=3, signed_by_peer=4, accepted_from_peer=5
    )
    with store.transaction() as books:
        books.channels.add(first, created_at=1)
        books.periods.add(channel(period=2), None, is_fraud_proven=True, unit=unit_hash(2), now=20)
        books.periods.add(first, Settled(6, 7, 8), is_fraud_proven=False, unit=unit_hash(1), now=10)
    with store.transaction() as books:
        assert books.periods.all() == [
            PeriodRecord(first.aa_address, 1, 1, 2, 3, 4, 5, False, unit_hash(1), 10, Settled(6, 7, 8)),
            PeriodRecord(first.aa_address, 2, 0, 0, 0, 0, 0, True, unit_hash(2), 20),
        ]
        for amount in (100, 11):
            ended = books.periods.get(first.aa_address, 1)
            assert ended is not None
            books.periods.pay_anew(ended, amount)
        assert [period.paid_anew for period in books.periods.all()] == [111, 0]
        assert books.periods.get(first.aa_address, 3) is None
