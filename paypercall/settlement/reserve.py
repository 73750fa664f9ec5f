"""The byte reserve: what a node must hold back to close and contest its channels.

Below it the node warns and stops accepting; the flag is in the books, so that all processes know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from paypercall.obyte.wallet import Wallet
from paypercall.settlement.outbox import bytes_in_reserve
from paypercall.settlement.spending import Spending
from paypercall.store import Books, Store

logger = logging.getLogger(__name__)


MAX_OPENED_SINCE = 1_000
"""Channels that may open before all are summed again."""

SUM_SECONDS = 60
"""How long a sum of what is at stake is gone by."""


class Reserve:
    """Compares the wallet's bytes with the reserve. Used by the lease holder's thread only.

    To sum what is at stake in the channels takes the longer the more there are. So that is done once a minute, and
    whenever the wallet could be short: it holds less than the last sum, and the whole reserve of each channel opened
    since, ask for.

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
        self._summed: tuple[int, int] | None = None

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
        """The bytes to hold back for all channels and a new one; where `held` is more, as of up to a minute ago."""
        now = self._clock()
        each = self._spending.reserve
        if self._summed is not None and 0 <= now - self._summed[1] < SUM_SECONDS:
            at_stake, summed_at = self._summed
            opened = books.channels.count_opened_since(summed_at, at_most=MAX_OPENED_SINCE)
            reserve = at_stake + each * (opened + 1)
            if opened < MAX_OPENED_SINCE and reserve <= held:
                return reserve
        reserve = bytes_in_reserve(books, self._spending, new_channels=1)
        self._summed = reserve - each, now
        return reserve
