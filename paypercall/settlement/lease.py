"""The lease: of all processes on one wallet, one watches the ledger and sends units; the others only use the books."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable

from paypercall.errors import PaypercallError
from paypercall.store import Books, Store, StoreError

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15
"""How long a holder that died keeps the others waiting."""


class LeaseLost(PaypercallError):
    """Another process has taken the lease: this one must neither send nor say what the ledger shows."""

    code = "lease_lost"


class Lease:
    """One process's hold on one wallet's lease, renewed by a thread of its own while it is held.

    Args:
        store: The books that the processes share.
        name: What is leased: the wallet's address.
        clock: Seconds, the same clock in all processes.
        seconds: How long the lease lasts without renewal.
    """

    def __init__(
        self, store: Store, name: str, clock: Callable[[], int], seconds: int = LEASE_SECONDS
    ) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._seconds = seconds
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._stopping = threading.Event()
        self._renewal: threading.Thread | None = None
        self._held_until = -float("inf")

    def is_held(self) -> bool:
        """Whether this process holds the lease, by its own count of the time since it last renewed it."""
        return time.monotonic() < self._held_until

    def take(self) -> bool:
        """Takes or renews the lease.

        Returns:
            Whether this process holds it now.
        """
        asked_at = time.monotonic()
        with self._store.transaction() as books:
            is_mine = books.lease.take(self._name, self._holder, self._clock(), self._seconds)
        self._held_until = asked_at + self._seconds if is_mine else -float("inf")
        if is_mine and (self._renewal is None or not self._renewal.is_alive()):
            self._renewal = threading.Thread(target=self._renew, name="paypercall-lease", daemon=True)
            self._renewal.start()
        return is_mine

    def require(self, books: Books) -> None:
        """Renews the lease within a transaction that only its holder may commit.

        Raises:
            LeaseLost: When another process holds it, or may have held it meanwhile.
        """
        if not self.is_held() or not books.lease.take(self._name, self._holder, self._clock(), self._seconds):
            raise LeaseLost("another process has taken over this wallet; this one does nothing more")

    def release(self) -> None:
        """Gives the lease back, so that another process need not wait for it to expire."""
        self._stopping.set()
        if self._renewal is not None:
            self._renewal.join()
            self._renewal = None
        try:
            with self._store.transaction() as books:
                books.lease.release(self._name, self._holder)
        except StoreError as error:
            logger.warning("the lease on %s could not be given back, and will expire: %s", self._name, error)

    def _renew(self) -> None:
        """Renews the lease as long as it is held without a break: after one, another process may have spent coins."""
        while not self._stopping.wait(self._seconds / 3) and self.is_held():
            try:
                if not self.take():
                    logger.warning("the lease on %s was lost to another process", self._name)
            except StoreError as error:
                logger.warning("could not renew the lease on %s: %s", self._name, error)
