"""The floor: what a payment costs at the very least, with coincurve and sqlite3 alone."""

from __future__ import annotations

import sqlite3
from pathlib import Path


class RawBooks:
    """An SQLite file in WAL mode with synchronous=FULL, and the rows that a payment writes."""

    def __init__(self, folder: Path, package: str) -> None:
        self._connection = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(
            "CREATE TABLE channels (aa_address TEXT PRIMARY KEY, signed INTEGER, accepted INTEGER, package TEXT)"
        )
        self._connection.execute(
            "CREATE TABLE payments (id INTEGER PRIMARY KEY, aa_address TEXT, period INTEGER, amount_spent INTEGER,"
            " amount INTEGER, asset TEXT, digest TEXT, accepted_at INTEGER, UNIQUE (aa_address, period, amount_spent))"
        )
        self._connection.execute("INSERT INTO channels VALUES ('A', 0, 0, '')")
        self._package = package

    def take_payment(self, number: int) -> None:
        """One commit of a payment and its channel's new sums."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute(
            "INSERT INTO payments (aa_address, period, amount_spent, amount, asset, digest, accepted_at)"
            " VALUES ('A', 1, ?, 100, 'base', ?, 0)",
            (number, "0" * 64),
        )
        self._connection.execute(
            "UPDATE channels SET signed = ?, accepted = ?, package = ?", (number, number, self._package)
        )
        self._connection.execute("COMMIT")

    def sign_payment(self, number: int) -> None:
        """One commit of a channel's new sum."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("UPDATE channels SET signed = ?", (number,))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()
