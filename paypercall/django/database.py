"""Django's database as the books' address. The books have connections of their own: no view can roll a payment back."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from paypercall.store.addresses import postgresql_address, sqlite_address

ALIAS = "default"
"""The database that the books are in."""


def database_url(alias: str = ALIAS) -> str:
    """The address of one of Django's databases, as the books need it.

    Raises:
        ImproperlyConfigured: When the books cannot be kept there.
    """
    database = connections[alias]
    values: dict[str, Any] = database.settings_dict
    if database.vendor == "sqlite":
        return sqlite_address(_path_of(str(values["NAME"])))
    if database.vendor != "postgresql":
        raise ImproperlyConfigured(
            f"payments cannot be kept in the database {alias!r} ({database.vendor}): it must be SQLite or PostgreSQL;"
            " or give PAYPERCALL a database_url of its own"
        )
    texts = {name: value for name, value in values.get("OPTIONS", {}).items() if isinstance(value, str)}
    return postgresql_address(
        database=values["NAME"],
        user=values.get("USER"),
        password=values.get("PASSWORD"),
        host=values.get("HOST"),
        port=values.get("PORT"),
        options=texts,
    )


def _path_of(name: str) -> str:
    if ":memory:" in name or "mode=memory" in name:
        raise ImproperlyConfigured(
            "payments must be kept in a file: give the database a NAME, and for tests TEST = {'NAME': <a file>}"
        )
    path, question_mark, _ = name.removeprefix("file:").partition("?")
    if question_mark:
        raise ImproperlyConfigured("the database of payments must be the path of a file, without options")
    return path
