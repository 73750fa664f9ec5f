"""The clients that pay: one for each payee and asset, made when it is first wanted. Knows nothing of calls."""

from __future__ import annotations

import threading
from collections.abc import Callable

from paypercall.client import Client
from paypercall.paying.budget import WrongBudget

ClientFactory = Callable[[str, str], Client]
"""Makes the client for a payee and an asset."""


class PayeeClients:
    """A client, and those of other payees and assets with the same database. Safe to use from many threads.

    Args:
        client: Pays its payee.
        make: Makes the others; by default each is like `client`, with the same deposits.
    """

    def __init__(self, client: Client, make: ClientFactory | None) -> None:
        self._client = client
        self._make = make or client.for_payee
        self._clients = {(client.peer_address, client.asset): client}
        self._making = threading.Lock()

    def begin_in_child(self) -> None:
        """Begins anew in a forked process: another thread may have held the lock, and is not there to free it."""
        self._making = threading.Lock()

    def of(self, payee: str, asset: str) -> Client:
        """The client of a payee and an asset.

        Raises:
            WrongBudget: When what makes it makes another one.
        """
        client = self._clients.get((payee, asset))
        if client is not None:
            return client
        with self._making:
            client = self._clients.get((payee, asset))
            if client is None:
                client = self._clients[payee, asset] = self._made(payee, asset)
        return client

    def close(self) -> None:
        """Closes the clients that were made here; not the one that was given."""
        with self._making:
            made = [client for client in self._clients.values() if client is not self._client]
            self._clients = {(self._client.peer_address, self._client.asset): self._client}
        for client in made:
            client.close_node()

    def _made(self, payee: str, asset: str) -> Client:
        client = self._make(payee, asset)
        if (client.peer_address, client.asset, client.store.url) != (payee, asset, self._client.store.url):
            client.close_node()
            raise WrongBudget(
                "clients must make one of the payee and asset that it is told, with the same database"
            )
        return client
