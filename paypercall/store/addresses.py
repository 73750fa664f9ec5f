"""Addresses of databases, made of their parts: for hosts that have those and not the address."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import URL


def sqlite_address(path: str) -> str:
    """The address of a file."""
    return URL.create("sqlite", database=path).render_as_string()


def postgresql_address(
    *,
    database: str,
    user: str | None = None,
    password: str | None = None,
    host: str | None = None,
    port: int | str | None = None,
    options: Mapping[str, str] | None = None,
) -> str:
    """The address of a database; empty parts are left to its driver. It may hold the password: not to be logged."""
    return URL.create(
        "postgresql",
        username=user or None,
        password=password or None,
        host=host or None,
        port=int(port) if port else None,
        database=database,
        query=dict(options or {}),
    ).render_as_string(hide_password=False)
