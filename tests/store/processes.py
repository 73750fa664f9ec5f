"""What the tests run in processes of their own: python -m tests.store.processes <name> <url> [argument]."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

from paypercall.store import Books, OutboxKind, Store
from tests.store.samples import channel, package, unconfirmed, unit_hash

AA_ADDRESS = channel().aa_address
THREADS = 3
ROUNDS = 25
FORKS = 5


def pay(books: Books) -> int:
    """Books one more payment of 1 and returns how many there are."""
    record = books.channels.lock(AA_ADDRESS)
    assert record is not None
    before = record.channel
    total = before.signed_by_peer + 1
    assert books.payments.add(package(before, amount_spent=total), "base", now=1) is not None
    books.channels.save(before, replace(before, signed_by_peer=total, accepted_from_peer=total))
    return total


def crash(store: Store, steps: int) -> None:
    """Dies in the middle of a transaction."""
    with store.transaction() as books:
        for step in _steps(books)[:steps]:
            step()
        os._exit(9)


def _steps(books: Books) -> list[Callable[[], object]]:
    return [
        lambda: pay(books),
        lambda: books.unconfirmed.see(AA_ADDRESS, unconfirmed(1)),
        lambda: books.payments.add_sent(
            AA_ADDRESS, "key", period=1, amount=1, amount_spent=1, package={}, now=1
        ),
        lambda: books.outbox.add(OutboxKind.CLOSE, aa_address=AA_ADDRESS, period=1, details={}, now=1),
        lambda: books.outbox.signed(1, {"unit": unit_hash(1)}, now=1),
        lambda: books.totals.add_loss("base", 1, now=1),
    ]


def hammer(store: Store, rounds: int) -> None:
    """Pays from several threads at once."""

    def work() -> None:
        for _ in range(rounds):
            with store.transaction() as books:
                pay(books)

    _run_threads(work)


def fork(store: Store, forks: int) -> None:
    """Forks while threads are paying; each child pays once, on the store that it was given."""
    stopping = threading.Event()

    def work() -> None:
        while not stopping.is_set():
            with store.transaction() as books:
                pay(books)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    exits = [_exit_of_child(store) for _ in range(forks)]
    stopping.set()
    for thread in threads:
        thread.join()
    assert exits == [0] * forks, exits


def fork_in_the_middle(store: Store, _: int) -> None:
    """Forks while another thread is in the middle of a transaction."""
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        with store.transaction() as books:
            pay(books)
            has_begun.set()
            may_end.wait()

    thread = threading.Thread(target=work)
    thread.start()
    has_begun.wait()
    threading.Timer(0.3, may_end.set).start()
    assert _exit_of_child(store) == 0
    thread.join()


def _exit_of_child(store: Store) -> int:
    child = os.fork()
    if not child:
        with store.transaction() as books:
            pay(books)
        store.close()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run_threads(work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    name, url, number = sys.argv[1:]
    books_store = Store(url)
    {"crash": crash, "hammer": hammer, "fork": fork, "fork_in_the_middle": fork_in_the_middle}[name](
        books_store, int(number)
    )
    books_store.close()
