"""Django's database as the books' address. The books have connections of their own: no view can roll a payment back."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from paypercall.store.database import server_url

ALIAS = "default"
"""The database that the books are in."""

_BACKENDS = {"sqlite": "sqlite", "postgresql": "postgresql"}


def database_url(alias: str = ALIAS) -> str:
    """The address of one of Django's databases, as the books need it.

    Raises:
        ImproperlyConfigured: When the books cannot be kept there.
    """
    database = connections[alias]
    backend = _BACKENDS.get(database.vendor)
    values: dict[str, Any] = database.settings_dict
    if backend is None:
        raise ImproperlyConfigured(
            f"payments cannot be kept in the database {alias!r} ({database.vendor}): it must be SQLite or PostgreSQL;"
            " or give PAYPERCALL a database_url of its own"
        )
    if backend == "sqlite":
        return _sqlite_url(str(values["NAME"]))
    options = values.get("OPTIONS", {})
    return server_url(
        username=values.get("USER") or None,
        password=values.get("PASSWORD") or None,
        host=values.get("HOST") or "",
        port=int(values["PORT"]) if values.get("PORT") else None,
        name=values["NAME"],
        options={name: value for name, value in options.items() if isinstance(value, str)},
    )


def _sqlite_url(name: str) -> str:
    if ":memory:" in name or "mode=memory" in name:
        raise ImproperlyConfigured(
            "payments must be kept in a file: give the database a NAME, and for tests TEST = {'NAME': <a file>}"
            " and PAYPERCALL a data_dir of its own"
        )
    path = name
    if name.startswith("file:"):
        path, _, query = name.removeprefix("file:").partition("?")
        if parse_qsl(query):
            raise ImproperlyConfigured(
                "the database of payments must be given as the path of a file, without options"
            )
    return f"sqlite:///{path}"
