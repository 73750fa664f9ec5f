"""The totals move with the channels, and losses count from a time on."""

from __future__ import annotations

from dataclasses import replace

from paypercall.channel import Channel
from paypercall.store import Store
from tests.store.samples import ASSET, channel, paid


def test_totals_of_an_unknown_asset_are_zero(store: Store) -> None:
    with store.reading() as books:
        assert books.totals.exposure("base", since=0) == 0
        assert books.totals.unsettled("base") == 0


def test_totals_follow_every_save_and_each_asset_has_its_own(store: Store) -> None:
    first, second = paid("1", 10), paid("2", 3, ASSET)
    with store.transaction() as books:
        books.channels.add(first, created_at=1)
        books.channels.add(second, created_at=1)
        backed = replace(first, signed_by_peer=15, accepted_from_peer=11, deposited_by_peer=12)
        books.channels.save(first, backed)
        assert (books.totals.exposure("base", since=0), books.totals.unsettled("base")) == (3, 11)
        assert (books.totals.exposure(ASSET, since=0), books.totals.unsettled(ASSET)) == (3, 3)
        settled = Channel(backed.parameters, backed.my_address, period=2)
        books.channels.save(backed, settled)
        assert (books.totals.exposure("base", since=0), books.totals.unsettled("base")) == (0, 0)


def test_losses_count_toward_the_exposure_from_a_time_on(store: Store) -> None:
    with store.transaction() as books:
        books.channels.add(paid("salt", 10), created_at=1)
        books.totals.add_loss("base", 5, now=100)
        books.totals.add_loss("base", 7, now=200)
        books.totals.add_loss(ASSET, 9, now=200)
    with store.reading() as books:
        assert books.totals.exposure("base", since=100) == 22
        assert books.totals.exposure("base", since=101) == 17
        assert books.totals.exposure("base", since=201) == 10
        assert books.totals.unsettled("base") == 10


def test_totals_can_be_locked_before_there_are_any(store: Store) -> None:
    with store.transaction() as books:
        books.totals.lock("base")
        books.channels.add(paid("salt", 1), created_at=1)
        books.totals.lock("base")
        assert books.totals.unsettled("base") == 1


def test_a_channels_losses_are_made_good_the_newest_first_and_no_others(store: Store) -> None:
    mine, other = channel("1").aa_address, channel("2").aa_address
    with store.transaction() as books:
        for amount, now, aa_address in ((5, 100, mine), (7, 200, mine), (20, 300, other), (30, 300, None)):
            books.totals.add_loss("base", amount, now, aa_address=aa_address)
        for amount, left in ((3, 59), (6, 53), (2, 51), (1, 50), (4, 50)):
            books.totals.make_good(mine, amount)
            assert books.totals.exposure("base", since=0) == left
        assert books.totals.exposure("base", since=300) == 50
