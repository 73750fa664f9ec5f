"""Databases as older versions of paypercall made them, with a row in every table, and what is in a database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from alembic import command
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    inspect,
    select,
    text,
)
from sqlalchemy.pool import NullPool

from paypercall.payment_token import hash_of
from paypercall.store import upgrade
from paypercall.store.database import Database
from paypercall.store.schema import VERSION_TABLE

_RELATIONS = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"


def engine_for(url: str) -> Engine:
    """An engine of one's own on a database of the store."""
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)


def make_old_books(url: str, revision: str) -> MetaData:
    """Makes a database as the version of paypercall with this revision did, and gives its tables."""
    database = Database(url)
    with database.migrating() as connection:
        if database.is_sqlite:
            driver_connection = connection.connection.driver_connection
            assert isinstance(driver_connection, sqlite3.Connection)
            upgrade.add_functions(driver_connection)
        command.upgrade(upgrade._config(connection=connection), revision)
    database.close()
    tables = MetaData()
    tables.reflect(engine_for(url))
    tables.remove(tables.tables[VERSION_TABLE])
    return tables


def add_a_row_to_each(url: str, tables: Iterable[Table]) -> None:
    """Adds a row with a value in every column; rows that refer to another find it, since all numbers are 1."""
    with engine_for(url).begin() as connection:
        for table in tables:
            row = {column.name: sample(column) for column in table.c if column is not number_of(table)}
            connection.execute(table.insert().values(row))


def number_of(table: Table) -> Column[Any] | None:
    """The column that the database numbers by itself."""
    [key, *others] = table.primary_key
    is_number = key.name == "id" and _plain_name(table) != "node" and not others
    return key if is_number else None


def sample(column: Column[Any]) -> bool | int | str | bytes:
    """A value for a column."""
    if isinstance(column.type, Boolean):
        return True
    if isinstance(column.type, LargeBinary):
        return b"text"
    if column.name == "signed_by_me":
        return 0  # so that the 1 that was accepted is unsettled
    return 1 if isinstance(column.type, Integer) else "text"


def rows_of(url: str, tables: Iterable[Table]) -> list[list[tuple[Any, ...]]]:
    """All rows of some tables."""
    with engine_for(url).connect() as connection:
        return [[tuple(row) for row in connection.execute(select(table))] for table in tables]


def renamed(table: Table) -> Table:
    """The columns of a table of older books, by the names that they have now."""
    columns = (Column(name, column.type) for column in table.c for name in _names_now(table, column))
    return Table(f"paypercall_{_plain_name(table)}", MetaData(), *columns)


def _plain_name(table: Table) -> str:
    """Since revision 0010 all names begin alike."""
    return table.name.removeprefix("paypercall_")


def _names_now(table: Table, column: Column[Any]) -> tuple[str, ...]:
    """A paid call is known by its payment, no longer by a number of its own."""
    if (table.name, column.name) == ("paid_calls", "id"):
        return ()
    return {"token": ("token_hash",), "call_id": ("method", "payment")}.get(column.name, (column.name,))


def migrated(tables: Iterable[Table], rows: Iterable[list[tuple[Any, ...]]]) -> list[list[tuple[Any, ...]]]:
    """What becomes of the rows of some tables of older books, which have the values of `sample`."""
    return [
        [
            tuple(
                hash_of(value) if column.name == "token" else "text" if column.name == "call_id" else value
                for column, value in zip(table.c, row, strict=True)
                for name in _names_now(table, column)
            )
            for row in of_table
        ]
        for table, of_table in zip(tables, rows, strict=True)
    ]


def schema_of(url: str) -> dict[str, Any]:
    """What tables a database has, and how they are made; on PostgreSQL, all names of it.

    Constraints of SQLite keep the name that they were made with, which means nothing there.
    """
    engine = engine_for(url)
    tables = {name: _schema_of_table(engine, name) for name in inspect(engine).get_table_names()}
    if engine.dialect.name == "sqlite":
        return tables
    with engine.connect() as connection:
        return {**tables, "": [name for (name,) in connection.execute(text(_RELATIONS))]}


def _schema_of_table(engine: Engine, name: str) -> list[Any]:
    inspector = inspect(engine)
    constraints = [
        inspector.get_pk_constraint(name),
        *inspector.get_foreign_keys(name),
        *inspector.get_unique_constraints(name),
    ]
    columns = [{**column, "type": str(column["type"])} for column in inspector.get_columns(name)]
    indexes = [_plain(index) for index in inspector.get_indexes(name)]
    if engine.dialect.name == "sqlite":
        constraints = [{**constraint, "name": None} for constraint in constraints]  # type: ignore[misc]
    return [columns, sorted(map(repr, constraints)), sorted(map(repr, indexes))]


def _plain(index: Any) -> dict[str, Any]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return {**index, "dialect_options": options}
