"""`paypercall migrate`: brings the tables of the conf's database to what this version needs."""

from __future__ import annotations

import argparse
from typing import Any

from paypercall.conf import load_conf


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "migrate", help="update the database's tables; SQLite files update by themselves"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Migrates the database that the conf in this folder names."""
    from paypercall.store import Store

    store = Store(load_conf().database_url)
    try:
        store.migrate()
    finally:
        store.close()
    print("the database is up to date")
    return 0
