"""Runs the migrations of the books as migrations of Django's, on Django's connection: there is one schema, not two."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

from paypercall.django.database import ALIAS
from paypercall.store.schema import VERSION_TABLE
from paypercall.store.upgrade import add_functions, creation, statements


class Upgrade(Operation):
    """Brings the tables of the books to a revision; what is there already stays, and is never dropped: it is money.

    A database without them gets those of the newest revision at once, and the later operations find nothing to do.

    Args:
        revision: The revision.
    """

    reduces_to_sql = True
    reversible = False

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def state_forwards(self, app_label: str, state: Any) -> None:
        """There are no models."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Creates or changes the tables."""
        connection = schema_editor.connection
        if connection.alias != ALIAS:
            return
        if connection.vendor not in ("sqlite", "postgresql"):
            raise ImproperlyConfigured("payments must be kept in SQLite or PostgreSQL")
        found = None
        if VERSION_TABLE in connection.introspection.table_names():
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT version_num FROM {VERSION_TABLE}")
                [found] = cursor.fetchone()
        if connection.vendor == "sqlite":
            connection.ensure_connection()
            add_functions(connection.connection)
        for statement in self._statements(connection.vendor, found):
            schema_editor.execute(statement, params=None)

    def _statements(self, vendor: str, found: str | None) -> list[str]:
        if found is None:
            return creation(vendor)
        return statements(vendor, found, self.revision) if found < self.revision else []

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Never called: the operation is not reversible."""
        raise NotImplementedError

    def describe(self) -> str:
        """What `manage.py` shows."""
        return f"Bring the books to revision {self.revision}"
