"""The byte reserve: what a node must hold back to close and contest its channels.

Below it the node warns and stops accepting; the flag is in the books, so that all processes know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from paypercall.obyte.wallet import Wallet
from paypercall.settlement.spending import Spending
from paypercall.store import Books, Store

logger = logging.getLogger(__name__)


MAX_OPENED_SINCE = 1_000
"""Channels that may open before all are counted again."""


class Reserve:
    """Compares the wallet's bytes with the reserve. Used by the lease holder's thread only.

    To count the channels takes the longer the more there are. So that is done only when the wallet could be short: as
    long as it holds enough for all that were counted and all that have opened since, no other count would say more.

    Args:
        store: The books.
        wallet: Whose bytes these are.
        spending: Says how much is held back for a channel.
        clock: Seconds, this node's own.
    """

    def __init__(self, store: Store, wallet: Wallet, spending: Spending, clock: Callable[[], int]) -> None:
        self._store = store
        self._wallet = wallet
        self._spending = spending
        self._clock = clock
        self._counted: tuple[int, int] | None = None

    def update(self) -> None:
        """Writes into the books whether the wallet is below the reserve."""
        held = self._wallet.spendable_bytes()
        with self._store.reading() as books:
            reserve = self._reserve(books, held)
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

    def _reserve(self, books: Books, held: int) -> int:
        """The bytes to hold back for all channels and a new one; only if `held` is more, it may be told too high."""
        now = self._clock()
        if self._counted is not None and self._counted[1] <= now:
            count, counted_at = self._counted
            opened = books.channels.count_opened_since(counted_at, at_most=MAX_OPENED_SINCE)
            reserve = self._spending.reserve * (count + opened + 1)
            if opened < MAX_OPENED_SINCE and reserve <= held:
                return reserve
        count = books.channels.count_not_closed()
        self._counted = count, now
        return self._spending.reserve * (count + 1)
