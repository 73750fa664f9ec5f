"""The byte reserve: what a node must hold back to close and contest its channels.

Below it the node warns and stops accepting; the flag is in the books, so that all processes know.
"""

from __future__ import annotations

import logging

from paypercall.obyte.wallet import Wallet
from paypercall.settlement.outbox import bytes_in_reserve
from paypercall.settlement.spending import Spending
from paypercall.store import Store

logger = logging.getLogger(__name__)


class Reserve:
    """Compares the wallet's bytes with the reserve."""

    def __init__(self, store: Store, wallet: Wallet, spending: Spending) -> None:
        self._store = store
        self._wallet = wallet
        self._spending = spending

    def update(self) -> None:
        """Writes into the books whether the wallet is below the reserve."""
        held = self._wallet.spendable_bytes()
        with self._store.reading() as books:
            reserve = bytes_in_reserve(books, self._spending, new_channels=1)
            was_short = books.node.health().is_below_reserve
        is_short = held < reserve
        if is_short == was_short:
            return
        with self._store.transaction() as books:
            books.node.set_below_reserve(is_short)
        if is_short:
            logger.warning(
                "the wallet holds %d bytes, below its reserve of %d: no more payments are accepted; send bytes to %s",
                held,
                reserve,
                self._wallet.address,
            )
