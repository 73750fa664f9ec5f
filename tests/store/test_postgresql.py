"""What PostgreSQL does in its own way."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from paypercall.store import Store, StoreError
from tests.store import postgresql
from tests.store.samples import PAYEE


def claim(store: Store) -> None:
    with store.transaction() as books:
        books.node.claim("4.0", PAYEE, now=10)


def test_a_database_is_migrated_only_when_asked_for(postgresql_server: Path) -> None:
    postgresql.execute(postgresql_server, "CREATE DATABASE empty")
    with closing(Store(postgresql.address(postgresql_server, "empty"))) as store:
        with pytest.raises(StoreError, match="run `paypercall migrate`") as caught:
            claim(store)
        assert caught.value.code == "schema_old"
        store.migrate()
        claim(store)


def test_a_server_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    refusal = pytest.raises(StoreError, match="the database failed: connection")
    with closing(Store(postgresql.address(tmp_path, "books"))) as store, refusal as caught:
        claim(store)
    assert caught.value.code == "database"


def test_connections_that_the_server_ended_are_replaced(postgresql_server: Path) -> None:
    postgresql.execute(postgresql_server, "CREATE DATABASE interrupted TEMPLATE migrated")
    with closing(Store(postgresql.address(postgresql_server, "interrupted"))) as store:
        claim(store)
        postgresql.execute(
            postgresql_server,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'interrupted'",
        )
        claim(store)
