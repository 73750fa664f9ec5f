"""The books of a party as they are in its database: to prove that something has left them as they were."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

NOT_OF_THE_BOOKS = {
    "paypercall_leases",
    "paypercall_node",
    "paypercall_announced_channels",
    "paypercall_positions",
    "paypercall_final_units",
    "paypercall_coins",
    "paypercall_spent_places",
}
"""Who watches the ledger, how far, what it shows of the wallet, and what strangers announced."""


def dump(folder: Path) -> dict[str, list[Any]]:
    """Every row of every table of the books."""
    with closing(sqlite3.connect(f"file:{folder}/paypercall.sqlite?mode=ro", uri=True)) as database:
        names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        return {
            name: sorted(database.execute(f"select * from {name}").fetchall(), key=repr)
            for name in names
            if name not in NOT_OF_THE_BOOKS
        }


def announced(folder: Path) -> int:
    """How many channels are watched that strangers announced."""
    with closing(sqlite3.connect(f"file:{folder}/paypercall.sqlite?mode=ro", uri=True)) as database:
        return int(database.execute("select count(*) from paypercall_announced_channels").fetchone()[0])


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Fails the test if the books differ afterwards."""
    before = dump(folder)
    assert len(before) >= 10
    yield
    assert dump(folder) == before
