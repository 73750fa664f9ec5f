"""The schema comes from the migrations alone, once, and never from a newer version."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from paypercall.bought_call import Spending, Spent
from paypercall.payment_token import hash_of
from paypercall.store import OutboxKind, Store, StoreError, Subject, database, upgrade
from paypercall.store.schema import REVISION, VERSION_TABLE, metadata
from tests.store.old_books import (
    add_a_row_to_each,
    engine_for,
    make_old_books,
    migrated,
    renamed,
    rows_of,
    sample,
    schema_of,
)

ROOT = Path(__file__).parents[2]

OPEN_AND_CLAIM = """
import sys
import threading
from paypercall.store import Store
store = Store(sys.argv[1])
sys.stdin.readline()
with store.transaction() as books:
    books.node.claim("4.0", sys.argv[2], now=10)
store.close()
"""


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'books.sqlite'}"


def open_books(url: str) -> None:
    store = Store(url)
    try:
        with store.transaction() as books:
            books.node.claim("4.0", "address", now=10)
    finally:
        store.close()


def execute(url: str, statement: str) -> None:
    with engine_for(url).begin() as connection:
        connection.execute(text(statement))


def differences_from_the_code(url: str) -> list[Any]:
    with engine_for(url).connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE},
        )
        return compare_metadata(context, metadata)


def test_a_new_database_has_the_schema_that_the_code_works_on(url: str) -> None:
    open_books(url)
    assert differences_from_the_code(url) == []


def test_the_newest_migration_is_the_revision_that_the_code_works_on() -> None:
    config = Config()
    config.set_main_option("script_location", "paypercall.store:migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [REVISION]


@pytest.mark.parametrize("revision", [f"{number:04}" for number in range(1, int(REVISION))])
def test_a_database_of_each_older_version_is_migrated_and_keeps_its_rows(
    url_without_tables: str, revision: str
) -> None:
    url = url_without_tables
    old_tables = make_old_books(url, revision).sorted_tables
    add_a_row_to_each(url, old_tables)
    before = rows_of(url, old_tables)
    assert {len(rows) for rows in before} == {1}
    store = Store(url)
    store.migrate()
    assert rows_of(url, map(renamed, old_tables)) == migrated(old_tables, before)
    with store.transaction() as books:
        assert books.node.max_sweeping_period() == (None if revision == "0001" else 1)
        books.node.set_max_sweeping_period(60)
        assert books.node.max_sweeping_period() == 60
        assert books.outbox.add(OutboxKind.CLOSE, aa_address="text", period=1, details={}, now=1) == 2
    store.close()


def test_a_migrated_database_has_the_schema_of_a_new_one(url_without_tables: str) -> None:
    url = url_without_tables
    make_old_books(url, "0001")
    store = Store(url)
    store.migrate()
    schema = schema_of(url)
    metadata.drop_all(engine_for(url))
    execute(url, f"DROP TABLE {VERSION_TABLE}")
    store.migrate()
    store.close()
    assert schema_of(url) == schema
    assert all(name.startswith("paypercall_") for name in inspect(engine_for(url)).get_table_names())


def test_a_file_keeps_no_token_of_an_older_version_and_the_token_is_still_good(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up = database._set_up_sqlite

    def leaving_what_is_deleted(connection: sqlite3.Connection, record: object) -> None:
        set_up(connection, record)
        connection.execute("PRAGMA secure_delete = OFF")  # as SQLite is built, but for some systems

    monkeypatch.setattr(database, "_set_up_sqlite", leaving_what_is_deleted)
    paid_calls = make_old_books(sqlite_url, "0009").tables["paid_calls"]
    tokens = [f"{number:043}" for number in range(200)]
    with engine_for(sqlite_url).begin() as connection:
        row = {column.name: sample(column) for column in paid_calls.c if column.name != "id"}
        row["state"] = "accepted"
        rows = [{**row, "payment": f"{number}", "token": token} for number, token in enumerate(tokens)]
        connection.execute(paid_calls.insert(), [*rows, {**row, "payment": "direct", "token": None}])
    store = Store(sqlite_url)
    with store.transaction() as books:
        found = [books.paid_calls.lock_token(hash_of(token)) for token in tokens]
        direct = books.paid_calls.lock("text", "direct")
    store.close()
    assert [call.payment for call in found if call is not None] == [f"{number}" for number in range(200)]
    assert direct is not None
    assert direct.token_hash is None
    content = Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()
    assert [token for token in tokens if token.encode() in content] == []


def test_a_database_that_has_a_table_of_ours_without_being_ours_is_left_as_it_is(
    url_without_tables: str,
) -> None:
    url = url_without_tables
    execute(url, "CREATE TABLE paypercall_payments (note TEXT)")
    before = schema_of(url)
    store = Store(url)
    with pytest.raises(StoreError, match=r"paypercall_payments.* already exists"):
        store.migrate()
    store.close()
    assert schema_of(url) == before


def test_an_upgrade_that_meets_a_table_of_its_new_names_changes_nothing(url_without_tables: str) -> None:
    url = url_without_tables
    old_tables = make_old_books(url, "0009").sorted_tables
    add_a_row_to_each(url, old_tables)
    execute(url, "CREATE TABLE paypercall_bought_calls (note TEXT)")
    before = schema_of(url), rows_of(url, old_tables)
    store = Store(url)
    with pytest.raises(StoreError, match="paypercall_bought_calls"):
        store.migrate()
    store.close()
    assert (schema_of(url), rows_of(url, old_tables)) == before


def test_books_from_before_coins_were_kept_know_none_and_no_position(
    url_without_tables: str,
) -> None:
    url = url_without_tables
    old_tables = make_old_books(url, "0003").sorted_tables
    add_a_row_to_each(url, old_tables)
    before = rows_of(url, old_tables)
    store = Store(url)
    store.migrate()
    with store.reading() as books:
        assert books.coins.all() == []
        assert [books.positions.get(subject) for subject in Subject] == [None, None]
    store.close()
    assert rows_of(url, map(renamed, old_tables)) == migrated(old_tables, before)


def test_what_is_unsettled_is_counted_anew_without_the_credit_that_older_books_counted(
    url_without_tables: str,
) -> None:
    url = url_without_tables
    tables = make_old_books(url, "0008").tables
    channels = [
        # asset, signed by the peer, accepted of it, signed by me: what is unsettled is then 1, 40, 0 and 5
        ("base", 800_000, 1, 0),
        ("base", 90, 70, 30),
        ("base", 90, 30, 70),
        ("asset", 9, 5, 0),
    ]
    with engine_for(url).begin() as connection:
        for number, (asset, signed_by_peer, accepted, signed_by_me) in enumerate(channels):
            row = {column.name: sample(column) for column in tables["channels"].c} | {
                "aa_address": f"{number}",
                "asset": asset,
                "signed_by_peer": signed_by_peer,
                "accepted_from_peer": accepted,
                "signed_by_me": signed_by_me,
                "unsettled": signed_by_peer - signed_by_me,
            }
            connection.execute(tables["channels"].insert().values(row))
        for asset, unsettled in (("base", 800_080), ("asset", 9), ("no channel", 7)):
            row = {"asset": asset, "exposure": 3, "unsettled": unsettled}
            connection.execute(tables["totals"].insert().values(row))
    store = Store(url)
    store.migrate()
    with store.reading() as books:
        assert [books.totals.unsettled(asset) for asset in ("base", "asset", "no channel")] == [41, 5, 0]
        assert [books.channels.sum_unsettled("base", least) for least in (0, 1, 40)] == [41, 40, 0]
        assert books.channels.sum_unsettled("asset", 0) == 5
        assert books.totals.exposure("base", since=0) == 3
    store.close()


def test_what_is_not_answered_yet_is_bound_to_its_request_anew(url_without_tables: str) -> None:
    paid_calls = make_old_books(url_without_tables, "0009").tables["paid_calls"]
    row = {column.name: sample(column) for column in paid_calls.c if column.name not in ("id", "token")}
    states = [("channel", state) for state in ("accepted", "running", "answered", "refunded")]
    with engine_for(url_without_tables).begin() as connection:
        for method, state in [*states, ("onchain", "accepted")]:
            call = {"method": method, "payment": state, "state": state, "request": "a" * 64, "token": None}
            connection.execute(paid_calls.insert().values({**row, **call}))
    store = Store(url_without_tables)
    store.migrate()
    with store.transaction() as books:
        calls = [books.paid_calls.lock(*key) for key in [*states, ("onchain", "accepted")]]
    assert [call.request for call in calls if call is not None] == [None, None, "a" * 64, "a" * 64, "a" * 64]
    store.close()


def test_what_was_spent_in_the_last_day_counts_after_an_upgrade(url_without_tables: str) -> None:
    bought_calls = make_old_books(url_without_tables, "0010").tables["paypercall_bought_calls"]
    row = {column.name: sample(column) for column in bought_calls.c if column.name != "id"}
    now = int(time.time())
    bought = [
        # seconds ago, amount, refund, origin, payee
        (2 * 3600, 100, 0, "one", "P"),
        (2 * 3600, 50, 20, "two", "P"),
        (1000, 7, 0, "one", "Q"),
        (5 * 24 * 3600, 1000, 0, "one", "P"),
    ]
    with engine_for(url_without_tables).begin() as connection:
        for number, (ago, amount, refund, origin, payee) in enumerate(bought):
            call = {
                "made_at": now - ago,
                "amount": amount,
                "refund": refund,
                "origin": origin,
                "payee": payee,
            }
            call |= {"asset": "base", "payment_key": f"{number}"}
            connection.execute(bought_calls.insert().values({**row, **call}))
    store = Store(url_without_tables)
    store.migrate()
    with store.reading() as books:
        spending = books.bought_calls.spending("base", "one", "P", hour_ago=now - 3600, day_ago=now - 86_400)
        all_that_is_kept = books.bought_calls.spending("base", None, None, hour_ago=0, day_ago=0)
    store.close()
    assert spending == Spending(total=Spent(7, 137), origin=Spent(7, 107), payee=Spent(0, 130))
    assert all_that_is_kept.total.day == 1137


def test_an_sqlite_file_of_an_older_version_is_migrated_by_itself(sqlite_url: str) -> None:
    old_tables = make_old_books(sqlite_url, "0001").tables
    open_books(sqlite_url)
    assert {f"paypercall_{name}" for name in old_tables} <= set(schema_of(sqlite_url))


def test_a_new_sqlite_file_is_migrated_by_itself(sqlite_url: str) -> None:
    open_books(sqlite_url)
    with engine_for(sqlite_url).connect() as connection:
        assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar() == REVISION


def test_migrating_again_changes_nothing(url: str) -> None:
    open_books(url)
    store = Store(url)
    store.migrate()
    with store.reading() as books:
        assert books.node.identity() is not None
    store.close()


def test_the_migrations_of_a_host_in_the_same_database_are_its_own(sqlite_url: str) -> None:
    execute(sqlite_url, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    execute(sqlite_url, "INSERT INTO alembic_version VALUES ('ffff')")
    open_books(sqlite_url)
    with engine_for(sqlite_url).connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "ffff"


def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    open_books(url)
    execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer paypercall") as caught:
        open_books(url)
    assert caught.value.code == "schema_new"
    store = Store(url)
    with pytest.raises(StoreError, match="newer paypercall"):
        store.migrate()
    store.close()


def test_a_migration_that_fails_leaves_nothing_behind(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old_books(sqlite_url, "0008")
    before = schema_of(sqlite_url)
    migrate = upgrade._run_migrations

    def failing(connection: Connection) -> None:
        migrate(connection)
        raise InterruptedError

    with monkeypatch.context() as patched:
        patched.setattr(upgrade, "_run_migrations", failing)
        with pytest.raises(InterruptedError):
            open_books(sqlite_url)
    assert schema_of(sqlite_url) == before
    open_books(sqlite_url)


def test_processes_that_start_at_once_share_one_migrated_file(sqlite_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_CLAIM, sqlite_url, f"address {number}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("start\n")
        process.stdin.flush()
    results = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert results == [("", 0)] * 4
    store = Store(sqlite_url)
    with store.reading() as books:
        assert books.node.identity() is not None
    store.close()


def test_a_new_file_that_another_process_is_setting_up_is_waited_for(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "books.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, lambda: other.execute("ROLLBACK"))
    release.start()
    open_books(f"sqlite:///{tmp_path / 'books.sqlite'}")
    release.join()
    other.close()


def test_a_new_file_that_others_never_leave_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(tmp_path / "books.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as caught:
        open_books(f"sqlite:///{tmp_path / 'books.sqlite'}")
    other.close()
    assert caught.value.code == "busy"
