"""Statements of SQLAlchemy Core, compiled once for each database and run straight on the driver's cursor.

A payment is four small statements in one transaction. SQLAlchemy's own connection takes several times as long for
them as an SQLite file does, its sync included, so it only builds the statements, pools the connections and migrates
the schema. Parameters are plain values that every driver knows; none of them is ever logged or part of an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Dialect, Insert, Table, bindparam, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql import ClauseElement

from paypercall.store.errors import database_failed

DialectInsert = sqlite.Insert | postgresql.Insert
"""An insert that can say what a conflict means."""

_INSERT: Mapping[str, Callable[[Table], DialectInsert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}

Row = tuple[Any, ...]


class Statement:
    """A statement and its text for each database."""

    def __init__(self, build: ClauseElement | Callable[[str], ClauseElement]) -> None:
        """Takes a statement that is the same for all databases, or builds it from the name of a dialect."""
        self._build = build
        self._texts: dict[str, tuple[str, dict[str, Any]]] = {}

    def text_for(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        """Its text, and the parameters that it holds itself."""
        try:
            return self._texts[dialect.name]
        except KeyError:
            text = self._texts[dialect.name] = self._compile(dialect)
            return text

    def _compile(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        clause = self._build if isinstance(self._build, ClauseElement) else self._build(dialect.name)
        compiled = clause.compile(dialect=dialect)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        return str(compiled), constants


class Connection:
    """A cursor in a transaction, for the statements of this package.

    Every method raises a `StoreError` when the database refuses; the transaction cannot be kept then, whoever
    catches it.
    """

    __slots__ = ("_cursor", "_dialect", "_driver_error", "has_failed")

    def __init__(self, cursor: DBAPICursor, dialect: Dialect) -> None:
        assert dialect.dbapi is not None
        self._cursor = cursor
        self._dialect = dialect
        self._driver_error = dialect.dbapi.Error
        self.has_failed = False

    def change(self, statement: Statement, parameters: Mapping[str, Any]) -> int:
        """Runs a statement and returns how many rows it changed."""
        self._run(statement, parameters)
        return self._cursor.rowcount

    def add(self, statement: Statement, parameters: Mapping[str, Any]) -> int | None:
        """Runs an insert into a table with numbers and returns the row's number, or None if it was there already."""
        self._run(statement, parameters)
        if not self._cursor.rowcount:
            return None
        if self._dialect.name == "sqlite":
            return self._cursor.lastrowid
        row = self._cursor.fetchone()
        return None if row is None else int(row[0])

    def first(self, statement: Statement, parameters: Mapping[str, Any]) -> Row | None:
        """Runs a query and returns its first row."""
        self._run(statement, parameters)
        row: Row | None = self._cursor.fetchone()
        return row

    def all(self, statement: Statement, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """Runs a query and returns all its rows."""
        self._run(statement, parameters)
        return self._cursor.fetchall()

    def value(self, statement: Statement, parameters: Mapping[str, Any]) -> Any:
        """Runs a query and returns the first column of its first row, or None if there is no row."""
        row = self.first(statement, parameters)
        return None if row is None else row[0]

    def values(self, statement: Statement, parameters: Mapping[str, Any]) -> list[Any]:
        """Runs a query and returns the first column of all its rows."""
        return [row[0] for row in self.all(statement, parameters)]

    def _run(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        text, constants = statement.text_for(self._dialect)
        try:
            self._cursor.execute(text, {**constants, **parameters} if constants else parameters)
        except (self._driver_error, OverflowError) as error:
            self.has_failed = True
            raise database_failed(error) from None


def adding(table: Table) -> Statement:
    """An insert of a whole row, which fails if the row is there already."""
    return Statement(lambda dialect: _numbered(_insert(table, dialect), table, dialect))


def adding_unless_there(table: Table) -> Statement:
    """An insert of a whole row, which changes nothing if the row is there already."""
    return Statement(
        lambda dialect: _numbered(_insert(table, dialect).on_conflict_do_nothing(), table, dialect)
    )


def adding_or(table: Table, on_conflict: Callable[[DialectInsert], Insert]) -> Statement:
    """An insert of a whole row that says itself what a conflict means."""
    return Statement(lambda dialect: on_conflict(_insert(table, dialect)))


def _insert(table: Table, dialect: str) -> DialectInsert:
    number = table.autoincrement_column
    return _INSERT[dialect](table).values(
        {column.name: bindparam(column.name) for column in table.c if column is not number}
    )


def _numbered(insert: Insert, table: Table, dialect: str) -> ClauseElement:
    number = table.autoincrement_column
    # SQLite's driver tells the number by itself; the versions before 3.35 cannot return a row.
    return insert if number is None or dialect == "sqlite" else insert.returning(number)


def one_of(column: Column[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether a column has one of some constant values."""
    return or_(*(column == value for value in values))
