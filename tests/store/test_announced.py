"""The list of announced channels is bounded and expires."""

from __future__ import annotations

from dataclasses import replace

from paypercall.contract import ChannelParameters
from paypercall.store import Books, Store
from tests.store.samples import PAYEE, parameters

ONE, TWO, THREE = parameters("1"), parameters("2"), parameters("3")


def add(books: Books, announced: ChannelParameters, now: int, limit: int = 9, by_customer: int = 9) -> None:
    books.announced.add(announced, now, limit=limit, limit_by_customer=by_customer)


def test_announced_channels_come_back_the_oldest_first(store: Store) -> None:
    with store.transaction() as books:
        add(books, TWO, 20)
        add(books, ONE, 10)
    with store.reading() as books:
        assert books.announced.all() == [ONE, TWO]
        assert books.announced.addresses() == [ONE.aa_address, TWO.aa_address]


def test_the_oldest_makes_room_when_the_list_is_full(store: Store) -> None:
    with store.transaction() as books:
        add(books, ONE, 20, limit=2)
        add(books, TWO, 10, limit=2)
        add(books, ONE, 30, limit=2)
        assert books.announced.all() == [TWO, ONE]
        add(books, THREE, 30, limit=2)
        assert books.announced.all() == [ONE, THREE]


def test_a_customer_with_too_many_pushes_out_only_its_own(store: Store) -> None:
    others = replace(parameters("other's"), address_b=PAYEE)
    with store.transaction() as books:
        add(books, others, 10, limit=3, by_customer=2)
        add(books, ONE, 20, limit=3, by_customer=2)
        add(books, TWO, 30, limit=3, by_customer=2)
        add(books, THREE, 40, limit=3, by_customer=2)
        assert books.announced.all() == [others, TWO, THREE]


def test_an_announcement_repeated_does_not_last_longer(store: Store) -> None:
    with store.transaction() as books:
        add(books, ONE, 10)
        add(books, ONE, 30)
        assert books.announced.has_older(11)


def test_announcements_expire(store: Store) -> None:
    with store.transaction() as books:
        add(books, ONE, 10)
        add(books, TWO, 20)
        assert not books.announced.has_older(10)
        books.announced.expire(20)
        assert books.announced.all() == [TWO]
        assert not books.announced.has_older(20)


def test_an_announced_channel_can_be_removed(store: Store) -> None:
    with store.transaction() as books:
        add(books, ONE, 10)
        books.announced.remove(ONE.aa_address)
        books.announced.remove(TWO.aa_address)
        assert books.announced.all() == []
