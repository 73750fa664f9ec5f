"""Brings the schema of a database to the one that this code works on.

An SQLite file is migrated by itself when it is opened. Another database is a shared one with an
administrator: there it happens only when asked for.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, column, func, select, table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement

from paypercall.store.database import Database
from paypercall.store.errors import StoreError
from paypercall.store.schema import REVISION, VERSION_TABLE, metadata
from paypercall.store.statements import Statement

if TYPE_CHECKING:
    from alembic.config import Config

_WRITERS = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect}

_LOCK_KEY = 0x70617970
"""Of PostgreSQL's advisory lock while migrating; any number that others are unlikely to use."""


def prepare(database: Database) -> None:
    """Checks the schema before its first use, and migrates an SQLite file.

    Raises:
        StoreError: With `schema_old` or `schema_new`.
    """
    with database.reading() as connection:
        found = connection.value(_VERSION, {}) if connection.value(_HAS_VERSION, {}) else None
    if found == REVISION:
        return
    _refuse_newer(found)
    if not database.is_sqlite:
        raise StoreError(
            "the database has no tables of paypercall, or those of an older one: run `paypercall migrate`",
            code="schema_old",
        )
    migrate(database)


def migrate(database: Database) -> None:
    """Migrates to `REVISION` in one transaction; a second process that comes meanwhile finds it done.

    Raises:
        StoreError: With `schema_new`.
    """
    with database.migrating() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        # Imported only here: that takes longer than all the work that many programs have for the store.
        from alembic.runtime.migration import MigrationContext

        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        found = context.get_current_revision()
        if found is None:
            for statement in creation(connection.dialect.name):
                connection.exec_driver_sql(statement)
        elif found != REVISION:
            _refuse_newer(found)
            if database.is_sqlite:
                driver_connection = connection.connection.driver_connection
                assert isinstance(driver_connection, sqlite3.Connection)
                add_functions(driver_connection)
            _run_migrations(connection)


def _refuse_newer(found: str | None) -> None:
    if found is not None and found > REVISION:
        raise StoreError(
            f"the database is of a newer paypercall (schema {found}, not {REVISION}): upgrade paypercall",
            code="schema_new",
        )


def creation(dialect: str) -> list[str]:
    """The statements that make the tables of `REVISION` in a database that has none of ours.

    The migrations are not run for that: the older ones make tables whose names may be those of a host's.

    Args:
        dialect: `sqlite` or `postgresql`.
    """
    tables = metadata.sorted_tables
    indexes = sorted(
        (index for table in tables for index in table.indexes), key=lambda index: str(index.name)
    )
    definitions: list[ClauseElement] = [*map(CreateTable, tables), *map(CreateIndex, indexes)]
    writer = _WRITERS[dialect]()
    return [
        *(str(definition.compile(dialect=writer)) for definition in definitions),
        # As Alembic would make it, but for a RETURNING that older versions of SQLite do not know.
        f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL,"
        f" CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num))",
        f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ('{REVISION}')",
    ]


def statements(dialect: str, since: str, until: str) -> list[str]:
    """The statements that bring a database from one revision to another, for a host that runs migrations of its own.

    Args:
        dialect: `sqlite` or `postgresql`.
        since: The revision that the database has.
        until: The revision that it is to have.
    """
    from alembic import command

    written = _Written()
    command.upgrade(_config(dialect=dialect, output=written), f"{since}:{until}", sql=True)
    return [
        text for piece in written.pieces if (text := piece.strip().rstrip(";")) and not text.startswith("--")
    ]


def add_functions(connection: sqlite3.Connection) -> None:
    """Gives a connection what migrations call, and SQLite does not have."""
    connection.create_function("paypercall_sha256", 1, _sha256, deterministic=True)


def _sha256(value: str | None) -> str | None:
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()


class _Written:
    """Takes the statements that Alembic writes down, each in one piece."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def write(self, text: str) -> None:
        self.pieces.append(text)

    def flush(self) -> None:
        """Alembic asks for it after each piece."""


def _run_migrations(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection=connection), REVISION)


def _config(**attributes: Any) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "paypercall.store:migrations")
    config.attributes.update(attributes)
    return config


def _has_version(dialect: str) -> ClauseElement:
    if dialect == "sqlite":
        tables = table("sqlite_master", column("name"))
        return select(tables.c.name).where(tables.c.name == VERSION_TABLE)
    return select(func.to_regclass(VERSION_TABLE))


_HAS_VERSION = Statement(_has_version)
_VERSION = Statement(select(column("version_num")).select_from(table(VERSION_TABLE)))
