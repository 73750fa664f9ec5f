"""A database belongs to one node."""

from __future__ import annotations

from pathlib import Path

from paypercall.store import Store
from paypercall.store.node import NodeHealth
from tests.store.samples import CUSTOMER, PAYEE


def test_the_first_claim_stays(store: Store) -> None:
    with store.reading() as books:
        assert books.node.identity() is None
    with store.transaction() as books:
        identity = books.node.claim("4.0t", PAYEE, now=10)
        assert books.node.claim("4.0", CUSTOMER, now=20) == identity
    assert (identity.network_version, identity.my_address, identity.complete_since) == ("4.0t", PAYEE, 10)
    with store.reading() as books:
        assert books.node.identity() == identity


def test_the_network_that_claims_the_books_first_stays(store: Store) -> None:
    with store.transaction() as books:
        books.node.claim("4.0dev", PAYEE, now=10)
        assert books.node.claim_network("one") == "one"
    with store.transaction() as books:
        books.node.claim("4.0dev", PAYEE, now=20)
        assert books.node.claim_network("another") == "one"


def test_each_database_has_an_id_of_its_own(store: Store, tmp_path: Path) -> None:
    with store.transaction() as books:
        one = books.node.claim("4.0", PAYEE, now=10)
    other_store = Store(f"sqlite:///{tmp_path / 'other.sqlite'}")
    with other_store.transaction() as books:
        other = books.node.claim("4.0", PAYEE, now=10)
    other_store.close()
    assert one.database_id != other.database_id


def test_the_generation_can_be_set(store: Store) -> None:
    with store.transaction() as books:
        assert books.node.claim("4.0", PAYEE, now=10).generation == 1
        books.node.set_generation(7)
        identity = books.node.identity()
    assert identity is not None
    assert identity.generation == 7


def test_what_the_books_may_have_forgotten_can_be_set(store: Store) -> None:
    with store.transaction() as books:
        books.node.claim("4.0", PAYEE, now=10)
        books.node.set_complete_since(30)
        identity = books.node.claim("4.0", PAYEE, now=40)
    assert identity.complete_since == 30


def test_the_node_remembers_its_health(store: Store) -> None:
    with store.transaction() as books:
        books.node.claim("4.0", PAYEE, now=10)
        assert books.node.health() == NodeHealth(False, None)
        books.node.set_below_reserve(True)
        books.node.set_synced_at(50)
        assert books.node.health() == NodeHealth(True, 50)
        books.node.set_below_reserve(False)
        assert books.node.health() == NodeHealth(False, 50)


def test_the_sweeping_period_set_last_is_kept(store: Store) -> None:
    with store.transaction() as books:
        books.node.claim("4.0", PAYEE, now=10)
        assert books.node.max_sweeping_period() is None
        for seconds in (3_600, 60):
            books.node.set_max_sweeping_period(seconds)
        books.node.claim("4.0", PAYEE, now=20)
    with store.reading() as books:
        assert books.node.max_sweeping_period() == 60


def test_a_node_that_nobody_claimed_has_no_complaints(store: Store) -> None:
    with store.transaction() as books:
        books.node.lock()
        assert books.node.health() == NodeHealth(False, None)
        assert books.node.max_sweeping_period() is None
