"""The databases that every test of the store runs on: SQLite files, and PostgreSQL where its binaries are installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from paypercall.store import Store
from tests.store import postgresql

DATABASES = ["sqlite", "postgresql"] if postgresql.is_installed() else ["sqlite"]

collect_ignore = [] if "postgresql" in DATABASES else ["test_postgresql.py"]

_numbers = count(1)


def pytest_report_header() -> str:
    """Says what the store is tested on."""
    return f"databases: {', '.join(DATABASES)}"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Path]:
    """A server with a migrated database to copy."""
    with postgresql.running_server() as server:
        postgresql.execute(server, "CREATE DATABASE migrated")
        store = Store(postgresql.address(server, "migrated"))
        store.migrate()
        store.close()
        yield server


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with empty books, or of an SQLite file that is not there yet."""
    with _database(request, tmp_path, template="migrated") as url:
        yield url


@pytest.fixture(params=DATABASES)
def url_without_tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that no migration has touched, or of an SQLite file that is not there yet."""
    with _database(request, tmp_path, template="template1") as url:
        yield url


@contextmanager
def _database(request: pytest.FixtureRequest, tmp_path: Path, template: str) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'books.sqlite'}"
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"books_{next(_numbers)}"
    postgresql.execute(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield postgresql.address(server, name)
    postgresql.execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """Empty books."""
    store = Store(url)
    yield store
    store.close()
