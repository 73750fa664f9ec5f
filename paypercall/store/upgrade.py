"""Brings the schema of a database to the one that this code works on.

An SQLite file is migrated by itself when it is opened. Another database is a shared one with an
administrator: there it happens only when asked for.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from paypercall.store.database import Database
from paypercall.store.errors import StoreError
from paypercall.store.schema import REVISION

_LOCK_KEY = 0x70617970
"""Of PostgreSQL's advisory lock while migrating; any number that others are unlikely to use."""


def prepare(database: Database) -> None:
    """Checks the schema before its first use, and migrates an SQLite file.

    Raises:
        StoreError: With `schema_old` or `schema_new`.
    """
    with database.reading() as connection:
        found = _revision(connection)
    if found == REVISION:
        return
    _refuse_newer(found)
    if not database.is_sqlite:
        raise StoreError(
            "the database has no tables of paypercall, or those of an older one: migrate it first",
            code="schema_old",
        )
    migrate(database)


def migrate(database: Database) -> None:
    """Migrates to `REVISION` in one transaction; a second process that comes meanwhile finds it done.

    Raises:
        StoreError: With `schema_new`.
    """
    with database.transaction() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        found = _revision(connection)
        if found != REVISION:
            _refuse_newer(found)
            _run_migrations(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _refuse_newer(found: str | None) -> None:
    if found is not None and found > REVISION:
        raise StoreError(
            f"the database is of a newer paypercall (schema {found}, not {REVISION}): upgrade paypercall",
            code="schema_new",
        )


def _run_migrations(connection: Connection) -> None:
    # Imported only here: that takes longer than all the work that many programs have for the store.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "paypercall.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    environment = EnvironmentContext(
        config, scripts, fn=lambda revision, _: scripts._upgrade_revs(REVISION, revision)
    )
    with environment:
        environment.configure(connection=connection)
        environment.run_migrations()
