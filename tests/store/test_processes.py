"""Several processes on one database: crashes, forks, and payments in one channel from all sides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.pool import NullPool

from paypercall.store import Store
from paypercall.store.schema import metadata
from tests.store.processes import AA_ADDRESS, FORKS, ROUNDS, THREADS, pay
from tests.store.samples import channel

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def paid_channel(store: Store) -> None:
    """Adds a channel with one payment in it."""
    with store.transaction() as books:
        books.channels.add(channel(), created_at=1)
        pay(books)


def start(name: str, url: str, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.store.processes", name, url, str(number)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def contents(url: str) -> dict[str, list[Any]]:
    """Reads all rows of all tables."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    with engine.connect() as connection:
        return {
            table.name: sorted(tuple(row) for row in connection.execute(select(table)))
            for table in metadata.sorted_tables
        }


def paid(store: Store) -> int:
    """What was paid, 1 at a time, having checked that all sums agree."""
    with store.reading() as books:
        record = books.channels.get(AA_ADDRESS)
        assert record is not None
        total = books.payments.total_accepted(AA_ADDRESS)
        assert record.channel.signed_by_peer == record.channel.accepted_from_peer == total
        assert books.totals.unsettled("base") == total
    return total


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_a_process_that_dies_in_a_transaction_changes_nothing(url: str, store: Store, steps: int) -> None:
    before = contents(url)
    assert finish(start("crash", url, steps)) == (9, "")
    assert contents(url) == before
    with store.transaction() as books:
        assert pay(books) == 2


def test_no_payment_is_lost_when_processes_and_threads_pay_in_one_channel(url: str, store: Store) -> None:
    processes = [start("hammer", url, ROUNDS) for _ in range(2)]
    assert [finish(process) for process in processes] == [(0, "")] * 2
    assert paid(store) == 1 + 2 * THREADS * ROUNDS


def test_children_forked_while_threads_pay_have_connections_of_their_own(url: str, store: Store) -> None:
    assert finish(start("fork", url, FORKS)) == (0, "")
    assert paid(store) > FORKS


def test_a_fork_waits_for_the_transaction_of_another_thread(url: str, store: Store) -> None:
    assert finish(start("fork_in_the_middle", url, 1)) == (0, "")
    assert paid(store) == 3
