"""Which packages are on the ledger for everybody to read, by the books of their payee."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paypercall.channel import Channel, Decision, Freeze
from paypercall.publication import is_published
from paypercall.store import OutboxKind, Store
from tests.store.samples import package, paid, unit_hash

OPEN = paid("salt", 100)
FROZEN = paid("salt", 100, freeze=Freeze(Decision.CLOSE, 0, 100))
NEXT = paid("salt", 0, period=2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path}/books.sqlite")
    yield store
    store.close()


def published(store: Store, channel: Channel, *kinds: OutboxKind, is_noted: bool = True) -> list[bool]:
    """Whether the package before the last one of the first period is published, and the last one."""
    with store.transaction() as books:
        books.channels.add(channel, created_at=1)
        for kind in kinds:
            books.outbox.add(kind, aa_address=OPEN.aa_address, period=1, details={}, now=1)
        if channel.period > 1 and is_noted:
            books.periods.add(OPEN, None, is_fraud_proven=False, unit=unit_hash(1), now=1)
        return [is_published(books, channel, package(OPEN, total)) for total in (99, 100)]


def test_nothing_is_published_while_the_channel_is_open(store: Store) -> None:
    assert published(store, OPEN) == [False, False]


@pytest.mark.parametrize("kind", [OutboxKind.CLOSE, OutboxKind.FRAUD_PROOF])
@pytest.mark.parametrize("channel", [FROZEN, NEXT])
def test_the_last_package_is_published_by_a_close_and_by_a_fraud_proof_of_its_payee(
    store: Store, channel: Channel, kind: OutboxKind
) -> None:
    assert published(store, channel, kind) == [False, True]


@pytest.mark.parametrize("channel", [FROZEN, NEXT])
def test_none_is_published_where_the_payer_has_closed_and_the_payee_confirms(
    store: Store, channel: Channel
) -> None:
    assert published(store, channel, OutboxKind.CONFIRM) == [False, False]


def test_every_package_may_be_published_of_a_period_that_the_books_do_not_know(store: Store) -> None:
    assert published(store, NEXT, is_noted=False) == [True, True]
