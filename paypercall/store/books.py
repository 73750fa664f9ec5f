"""The store: opens a database and hands out the books in transactions.

It loads, locks and saves; no rule about money is in here, and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from paypercall.store import upgrade
from paypercall.store.announced import Announced
from paypercall.store.bought_calls import BoughtCalls
from paypercall.store.channels import Channels
from paypercall.store.coins import Coins
from paypercall.store.database import Database
from paypercall.store.deposits import Deposits
from paypercall.store.later import Later
from paypercall.store.lease import Lease
from paypercall.store.node import Node
from paypercall.store.outbox import Outbox
from paypercall.store.paid_calls import PaidCalls
from paypercall.store.payments import Payments
from paypercall.store.periods import Periods
from paypercall.store.positions import Positions
from paypercall.store.statements import Connection
from paypercall.store.totals import Totals
from paypercall.store.unconfirmed import Unconfirmed


class Books:
    """Everything that is stored, within one transaction."""

    __slots__ = (
        "announced",
        "bought_calls",
        "channels",
        "coins",
        "deposits",
        "lease",
        "node",
        "outbox",
        "paid_calls",
        "payments",
        "periods",
        "positions",
        "totals",
        "unconfirmed",
    )

    def __init__(self, connection: Connection) -> None:
        self.totals = Totals(connection)
        self.channels = Channels(connection, self.totals)
        self.payments = Payments(connection)
        self.paid_calls = PaidCalls(connection)
        self.bought_calls = BoughtCalls(connection)
        self.periods = Periods(connection)
        self.deposits = Deposits(connection)
        self.announced = Announced(connection)
        self.unconfirmed = Unconfirmed(connection)
        self.outbox = Outbox(connection)
        self.lease = Lease(connection)
        self.node = Node(connection)
        self.coins = Coins(connection)
        self.positions = Positions(connection)


class Store:
    """One database. Safe to use from many threads and processes.

    It survives a fork, but not one in the middle of the forking thread's own transaction.
    """

    def __init__(self, url: str) -> None:
        """Checks the address; the database is opened when it is first used.

        Args:
            url: `sqlite:///file` or `postgresql://user:password@host/name`.

        Raises:
            StoreError: With `wrong_url`.
        """
        self._database = Database(url)
        self._is_prepared = False
        self._later: Later[Callable[[Books], object]] = Later(self._make)

    @property
    def url(self) -> str:
        """The database's address: may hold a password, and is not to be logged."""
        return self._database.url

    @contextmanager
    def transaction(self) -> Iterator[Books]:
        """Everything in the block is kept together at its end, or lost together with any exception.

        Raises:
            StoreError: When the database cannot be used; nothing is kept.
        """
        self._prepare()
        with self._database.transaction() as connection:
            yield Books(connection)

    @contextmanager
    def brief_transaction(self) -> Iterator[Books]:
        """Like `transaction`, but a power failure may lose what it kept: for what can be found out again.

        Raises:
            StoreError: When the database cannot be used; nothing is kept.
        """
        self._prepare()
        with self._database.transaction(is_durable=False) as connection:
            yield Books(connection)

    def soon(self, change: Callable[[Books], object], size: int) -> bool:
        """Has a change made a moment later in a brief transaction, and waits for nothing; see `Later`.

        Args:
            change: The change; it may run twice, the first time without effect.
            size: Bytes that it holds in memory.

        Returns:
            False when too much waits already: the change will not be made.
        """
        return self._later.add(change, size)

    def flush(self, timeout: float = -1) -> None:
        """Makes the changes that wait; waits at most `timeout` seconds for another thread that does so."""
        self._later.flush(timeout)

    def _make(self, changes: Sequence[Callable[[Books], object]]) -> None:
        with self.brief_transaction() as books:
            for change in changes:
                change(books)

    @contextmanager
    def reading(self) -> Iterator[Books]:
        """One unchanging state of the books, only to be read.

        Raises:
            StoreError: When the database cannot be used.
        """
        self._prepare()
        with self._database.reading() as connection:
            yield Books(connection)

    def migrate(self) -> None:
        """Brings the tables to what this version needs. An SQLite file needs no call: that happens by itself.

        Raises:
            StoreError: With `schema_new`, when a newer version was here.
        """
        upgrade.migrate(self._database)

    def close(self) -> None:
        """Makes the changes that wait, and closes the connections; the next transaction opens new ones."""
        self._later.flush()
        self._database.close()

    def _prepare(self) -> None:
        # Two threads may both do so: the second finds it done.
        if not self._is_prepared:
            upgrade.prepare(self._database)
            self._is_prepared = True
