"""The list of announced channels is bounded and expires."""

from __future__ import annotations

from paypercall.store import Store
from tests.store.samples import parameters

ONE, TWO, THREE = parameters("1"), parameters("2"), parameters("3")


def test_announced_channels_come_back_the_oldest_first(store: Store) -> None:
    with store.transaction() as books:
        assert books.announced.add(TWO, 20, limit=9)
        assert books.announced.add(ONE, 10, limit=9)
    with store.reading() as books:
        assert books.announced.all() == [ONE, TWO]


def test_the_list_is_bounded_but_takes_what_it_has_again(store: Store) -> None:
    with store.transaction() as books:
        assert books.announced.add(ONE, 10, limit=2)
        assert books.announced.add(TWO, 10, limit=2)
        assert not books.announced.add(THREE, 10, limit=2)
        assert books.announced.add(ONE, 30, limit=2)
        assert books.announced.all() == sorted([ONE, TWO], key=lambda each: each.aa_address)


def test_an_announcement_repeated_does_not_last_longer(store: Store) -> None:
    with store.transaction() as books:
        books.announced.add(ONE, 10, limit=2)
        books.announced.add(ONE, 30, limit=2)
        assert books.announced.has_older(11)


def test_announcements_expire(store: Store) -> None:
    with store.transaction() as books:
        books.announced.add(ONE, 10, limit=2)
        books.announced.add(TWO, 20, limit=2)
        assert not books.announced.has_older(10)
        books.announced.expire(20)
        assert books.announced.all() == [TWO]
        assert not books.announced.has_older(20)


def test_an_announced_channel_can_be_removed(store: Store) -> None:
    with store.transaction() as books:
        books.announced.add(ONE, 10, limit=2)
        books.announced.remove(ONE.aa_address)
        books.announced.remove(TWO.aa_address)
        assert books.announced.all() == []
