"""The database behind the store: one engine a process, and transactions that hold what they have read.

SQLite runs in WAL mode and syncs every commit; a writing transaction holds the write lock from its first
statement. PostgreSQL locks rows instead. No statement about the tables stands here.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy
from sqlalchemy import URL, Engine, PoolProxiedConnection, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from paypercall.store.errors import StoreError, database_failed
from paypercall.store.forking import GATE
from paypercall.store.statements import Connection

BUSY_SECONDS = 15
"""How long a transaction waits for another that writes."""


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What differs between the databases: the statements around a transaction."""

    driver: str
    paramstyle: Literal["named", "pyformat"]
    begin_writing: tuple[str, ...]
    begin_writing_loosely: tuple[str, ...]
    end_writing_loosely: tuple[str, ...]
    begin_reading: tuple[str, ...]
    end_reading: tuple[str, ...]
    has_one_writer: bool


_DIALECTS = {
    "sqlite": _Dialect(
        driver="sqlite+pysqlite",
        paramstyle="named",
        begin_writing=("BEGIN IMMEDIATE",),
        begin_writing_loosely=("PRAGMA synchronous = NORMAL", "BEGIN IMMEDIATE"),
        end_writing_loosely=("PRAGMA synchronous = FULL",),
        begin_reading=("PRAGMA query_only = ON", "BEGIN"),
        end_reading=("PRAGMA query_only = OFF",),
        has_one_writer=True,
    ),
    "postgresql": _Dialect(
        driver="postgresql+psycopg",
        paramstyle="pyformat",
        # A total must be durable before the package that states it leaves, whatever the server's default.
        begin_writing=("SET LOCAL synchronous_commit = on",),
        begin_writing_loosely=("SET LOCAL synchronous_commit = off",),
        end_writing_loosely=(),
        begin_reading=("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",),
        end_reading=(),
        has_one_writer=False,
    ),
}


class Database:
    """Connections to one database, safe to use from many threads and across forks."""

    def __init__(self, url: str) -> None:
        """Checks the address; nothing is opened yet.

        Args:
            url: `sqlite:///file` or `postgresql://user:password@host/name`.

        Raises:
            StoreError: With `wrong_url`.
        """
        self._url = _checked_url(url)
        self._dialect = _DIALECTS[self._url.get_backend_name()]
        self._engine: Engine | None = None
        self._opening = threading.Lock()
        self._writing = threading.Lock()
        GATE.register(self)

    @property
    def url(self) -> str:
        """Its address: may hold a password, and is not to be logged."""
        return self._url.render_as_string(hide_password=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is an SQLite file."""
        return self._dialect.has_one_writer

    @contextmanager
    def transaction(self, *, is_durable: bool = True) -> Iterator[Connection]:
        """A transaction that is kept at the end of the block, or lost as a whole with any exception.

        Args:
            is_durable: Whether it is synced to the disk at its end. Without that a power failure may lose it, together
                with all that came after it and was not durable either; the death of the process does not.

        Raises:
            StoreError: With `busy` when another one writes for too long, or with `database`.
        """
        with GATE, self._writer(), self._connected() as connection:
            if is_durable:
                with self._kept(connection, self._dialect.begin_writing) as statements:
                    yield statements
                return
            try:
                with self._kept(connection, self._dialect.begin_writing_loosely) as statements:
                    yield statements
            finally:
                connection.rollback()
                for statement in self._dialect.end_writing_loosely:
                    connection.cursor().execute(statement)

    @contextmanager
    def _kept(self, connection: PoolProxiedConnection, begin: tuple[str, ...]) -> Iterator[Connection]:
        cursor = connection.cursor()
        for statement in begin:
            cursor.execute(statement)
        statements = Connection(cursor, self._opened().dialect)
        yield statements
        if statements.has_failed:
            # PostgreSQL would take the commit, and roll back without a word.
            raise StoreError("a statement of the transaction failed, so nothing of it is kept")
        connection.commit()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and cannot write.

        Raises:
            StoreError: With `database`.
        """
        with GATE, self._connected() as connection:
            cursor = connection.cursor()
            try:
                for statement in self._dialect.begin_reading:
                    cursor.execute(statement)
                yield Connection(cursor, self._opened().dialect)
            finally:
                connection.rollback()
                for statement in self._dialect.end_reading:
                    cursor.execute(statement)

    @contextmanager
    def migrating(self) -> Iterator[sqlalchemy.Connection]:
        """A writing transaction on a connection of SQLAlchemy's own, which migrations need.

        Raises:
            StoreError: As for `transaction`.
        """
        with GATE, self._writer(), _translated(self._opened()), self._opened().connect() as connection:
            for statement in self._dialect.begin_writing:
                connection.exec_driver_sql(statement)
            yield connection
            connection.commit()

    def close(self) -> None:
        """Closes all connections that are not in use; the next transaction opens new ones."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = None

    def close_before_fork(self) -> None:
        """Closes all connections that are not in use, so that a child inherits none."""
        if self._engine is not None:
            self._engine.dispose()

    def start_afresh(self) -> None:
        """In a child: takes new locks, and leaves what it may have inherited alone."""
        self._opening = threading.Lock()
        self._writing = threading.Lock()
        if self._engine is not None:
            self._engine.dispose(close=False)

    @contextmanager
    def _writer(self) -> Iterator[None]:
        """Queues the writers of an SQLite file: its own way of waiting is to sleep and to try again."""
        if not self._dialect.has_one_writer:
            yield
            return
        writing = self._writing
        if not writing.acquire(timeout=BUSY_SECONDS):
            raise StoreError(
                "the database is busy: another transaction of this process does not end", code="busy"
            )
        try:
            yield
        finally:
            writing.release()

    @contextmanager
    def _connected(self) -> Iterator[PoolProxiedConnection]:
        engine = self._opened()
        with _translated(engine):
            connection = engine.raw_connection()
            try:
                yield connection
            finally:
                connection.close()

    def _opened(self) -> Engine:
        engine = self._engine
        if engine is not None:
            return engine
        with self._opening:
            if self._engine is None:
                self._engine = self._open()
            return self._engine

    def _open(self) -> Engine:
        try:
            engine = create_engine(
                self._url,
                hide_parameters=True,
                paramstyle=self._dialect.paramstyle,
                # The threads bound how many connections there are: those that wait for a row must not keep its
                # holder from reading something else.
                max_overflow=-1,
                pool_pre_ping=not self._dialect.has_one_writer,
            )
        except ModuleNotFoundError as error:
            raise StoreError(
                "PostgreSQL needs a driver: pip install 'paypercall[postgres]'", code="driver_missing"
            ) from error
        if self.is_sqlite:
            assert self._url.database is not None
            _create_file(self._url.database)
            event.listen(engine, "connect", _set_up_sqlite)
        return engine


def server_url(
    *,
    username: str | None,
    password: str | None,
    host: str,
    port: int | None,
    name: str,
    options: dict[str, str],
) -> str:
    """The address of a PostgreSQL database, from what another library knows of it; not to be logged.

    Args:
        username: Or None for the driver's default.
        password: Or None.
        host: A name, an address, or the directory of a socket.
        port: Or None for the default.
        name: The database's.
        options: The driver's.
    """
    is_socket = host.startswith("/")
    url = URL.create(
        "postgresql",
        username=username,
        password=password,
        host=None if is_socket else host or None,
        port=port,
        database=name,
        query={**options, "host": host} if is_socket else options,
    )
    return url.render_as_string(hide_password=False)


def _checked_url(text: str) -> URL:
    try:
        url = make_url(text)
        dialect = _DIALECTS.get(url.get_backend_name())
    except SQLAlchemyError:
        dialect = None
    if dialect is None or url.drivername not in (url.get_backend_name(), dialect.driver):
        raise StoreError(
            "the database must be given as sqlite:///file or postgresql://user:password@host/name",
            code="wrong_url",
        )
    if url.get_backend_name() == "sqlite" and (url.database in (None, "", ":memory:") or url.query):
        raise StoreError(
            "an SQLite database must be a file, sqlite:///file, because what it holds is money",
            code="wrong_url",
        )
    return url.set(drivername=dialect.driver)


def _create_file(path: str) -> None:
    """Creates the file for its owner's eyes only; SQLite gives the same mode to the files beside it."""
    try:
        # Never opened when it is there: to close it again would drop this process's other locks on it.
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(
            f"cannot create the database {path}: {error.strerror}", code="cannot_open"
        ) from error


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver must not begin transactions by itself: they would start without the write lock.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    _enter_wal_mode(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _enter_wal_mode(connection: sqlite3.Connection) -> None:
    """Changes the file's mode when it is new; SQLite itself does not wait for others who do the same."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    assert engine.dialect.dbapi is not None
    try:
        yield
    except (SQLAlchemyError, engine.dialect.dbapi.Error) as error:
        raise database_failed(getattr(error, "orig", None) or error) from None
