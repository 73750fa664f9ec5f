"""How far the ledger is taken is noted for the wallet and for the channels apart."""

from __future__ import annotations

from paypercall.store import Position, Store, Subject
from tests.store.samples import PAYEE, channel


def test_each_position_is_the_one_noted_last(store: Store) -> None:
    with store.transaction() as books:
        books.positions.put(Subject.WALLET, Position("ws://one", 100, 10))
        books.positions.put(Subject.WALLET, Position("ws://two", 90, 20))
    with store.reading() as books:
        assert books.positions.get(Subject.WALLET) == Position("ws://two", 90, 20)
        assert books.positions.get(Subject.CHANNELS) is None


def test_channels_that_are_new_or_lack_an_answer_are_not_complete(store: Store) -> None:
    whole, gap, new = (
        channel("whole", known_event_id=2, last_event_id=2),
        channel("gap", last_event_id=2),
        channel("new"),
    )
    with store.transaction() as books:
        for each, created_at in ((whole, 10), (gap, 10), (new, 20)):
            books.channels.add(each, created_at=created_at)
    with store.reading() as books:
        assert books.channels.complete_by(PAYEE, 20) == [whole.aa_address]
