"""Transactions: what is kept, what is lost, who waits for whom, and what the files look like."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url

from paypercall.store import Store, StoreError, database
from paypercall.store.database import Database, server_url
from tests.store.samples import PAYEE, channel, paid

AA_ADDRESS = channel().aa_address


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An SQLite file that is not there yet."""
    return tmp_path / "books.sqlite"


LEAVE_WAL_MODE = """
import sqlite3, sys
sqlite3.connect(sys.argv[1], timeout=0).execute("PRAGMA journal_mode = DELETE")
"""


def claim(store: Store) -> None:
    with store.transaction() as books:
        books.node.claim("4.0", PAYEE, now=10)


def test_a_transaction_is_kept_as_a_whole(store: Store) -> None:
    claim(store)
    with store.reading() as books:
        assert books.node.identity() is not None


def test_a_transaction_with_an_exception_is_lost_as_a_whole(store: Store) -> None:
    with suppress(InterruptedError), store.transaction() as books:
        books.node.claim("4.0", PAYEE, now=10)
        books.channels.add(paid("salt", 5), created_at=1)
        raise InterruptedError
    with store.reading() as books:
        assert books.node.identity() is None
        assert books.channels.get(AA_ADDRESS) is None
        assert books.totals.unsettled("base") == 0


def test_a_transaction_of_which_a_statement_failed_is_not_kept(store: Store) -> None:
    with pytest.raises(StoreError, match="nothing of it is kept"):
        claim_and_fail(store)
    with store.reading() as books:
        assert books.node.identity() is None


def claim_and_fail(store: Store) -> None:
    with store.transaction() as books:
        books.node.claim("4.0", PAYEE, now=10)
        with suppress(StoreError):
            books.deposits.add(None, None, "of no channel", 5, now=1)


def test_reading_cannot_write(store: Store) -> None:
    claim(store)
    with pytest.raises(StoreError), store.reading() as books:
        books.node.set_generation(5)
    claim(store)  # the same connection can write again


def test_reading_sees_one_state_while_others_write(store: Store) -> None:
    claim(store)
    with store.reading() as books:
        before = books.node.identity()
        writer = threading.Thread(target=lambda: bump(store))
        writer.start()
        writer.join()
        assert books.node.identity() == before
    with store.reading() as books:
        assert books.node.identity() != before


def bump(store: Store) -> None:
    with store.transaction() as books:
        books.node.set_generation(9)


def test_one_may_read_within_a_transaction(store: Store) -> None:
    with store.transaction() as books:
        books.node.claim("4.0", PAYEE, now=10)
        with store.reading() as other_books:
            assert other_books.node.identity() is None


def test_many_may_read_within_transactions_that_wait_for_one_channel(store: Store) -> None:
    with store.transaction() as books:
        books.channels.add(channel(), created_at=1)
    errors: list[StoreError] = []

    def work() -> None:
        try:
            with store.transaction() as books:
                record = books.channels.lock(AA_ADDRESS)
                assert record is not None
                with store.reading() as other_books:
                    other_books.node.identity()
                after = replace(record.channel, signed_by_me=record.channel.signed_by_me + 1)
                books.channels.save(record.channel, after)
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with store.reading() as books:
        record = books.channels.get(AA_ADDRESS)
    assert record is not None
    assert record.channel.signed_by_me == 30


def test_a_closed_store_can_be_used_again(store: Store) -> None:
    store.close()
    claim(store)
    store.close()
    store.close()
    with store.reading() as books:
        assert books.node.identity() is not None


def test_sqlite_syncs_every_commit_in_wal_mode(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connections: list[sqlite3.Connection] = []
    set_up = database._set_up_sqlite

    def noting(connection: sqlite3.Connection, record: object) -> None:
        set_up(connection, record)
        connections.append(connection)

    monkeypatch.setattr(database, "_set_up_sqlite", noting)
    store = Store(f"sqlite:///{path}")
    claim(store)
    [connection] = connections
    pragmas = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
    }
    store.close()
    full = 2
    assert pragmas == {"journal_mode": "wal", "synchronous": full, "foreign_keys": 1, "busy_timeout": 15_000}


def test_the_sqlite_files_are_for_their_owner_only(path: Path) -> None:
    store = Store(f"sqlite:///{path}")
    claim(store)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    store.close()
    assert modes == {"books.sqlite": 0o600, "books.sqlite-wal": 0o600, "books.sqlite-shm": 0o600}


def test_a_second_store_on_a_file_does_not_take_the_locks_of_the_first_away(path: Path) -> None:
    # Closing any descriptor of a file drops a process's locks on it, so an SQLite file must not be opened in passing.
    first = Store(f"sqlite:///{path}")
    with first.reading() as books:
        books.node.identity()
        second = Store(f"sqlite:///{path}")
        claim(second)
        probe = subprocess.run(
            [sys.executable, "-c", LEAVE_WAL_MODE, path], capture_output=True, text=True, check=False
        )
        assert "database is locked" in probe.stderr
        second.close()
    first.close()


def test_a_writer_that_waits_too_long_is_told_that_the_database_is_busy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    store = Store(f"sqlite:///{path}")
    claim(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as caught:
        claim(store)
    other.execute("ROLLBACK")
    other.close()
    claim(store)
    store.close()
    assert caught.value.code == "busy"


def test_a_second_transaction_in_a_thread_is_told_that_the_database_is_busy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    store = Store(f"sqlite:///{path}")
    with store.transaction() as books:
        with pytest.raises(StoreError) as caught:
            claim(store)
        assert books.node.identity() is None
    store.close()
    assert caught.value.code == "busy"


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root@localhost/books",
        "postgresql+asyncpg://localhost/books",
        "books.sqlite",
        "",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:books?mode=memory&uri=true",
    ],
)
def test_another_kind_of_database_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store(url)
    assert caught.value.code == "wrong_url"
    assert "\n" not in str(caught.value)


def test_the_error_about_an_address_does_not_repeat_its_password() -> None:
    with pytest.raises(StoreError) as caught:
        Store("mysql://root:secret@localhost/books")
    assert "secret" not in str(caught.value)


def test_a_database_that_cannot_be_created_is_a_clear_error(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'missing' / 'books.sqlite'}")
    with pytest.raises(
        StoreError, match=r"cannot create the database .*books\.sqlite: No such file"
    ) as caught:
        claim(store)
    assert caught.value.code == "cannot_open"


def test_a_file_that_is_no_database_is_a_clear_error(path: Path) -> None:
    path.write_bytes(b"no database" * 100)
    store = Store(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="the database failed: file is not a database"):
        claim(store)
    store.close()


def test_a_missing_driver_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    store = Store("postgresql://localhost/books")
    with pytest.raises(StoreError, match=r"pip install 'paypercall\[postgres\]'") as caught:
        claim(store)
    assert caught.value.code == "driver_missing"


@pytest.mark.parametrize("host", ["db.example", "::1", "/var/run/postgresql"])
def test_an_address_is_made_of_its_parts_whatever_is_in_them(host: str) -> None:
    parts = {"username": "me@home", "password": "a/b:c@d e%", "port": 5433, "name": "books"}
    text = server_url(host=host, options={"sslmode": "require"}, **parts)  # type: ignore[arg-type]
    url = make_url(Database(text).url)
    assert (url.username, url.password, url.port, url.database) == tuple(parts.values())
    assert url.query["sslmode"] == "require"
    assert (url.query.get("host") or url.host) == host
