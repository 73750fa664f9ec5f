"""How far the ledger is taken, kept in the books, so that a node that starts need not ask for whole histories.

What has been taken is in the books before the position says so: the wallet's final units and the channels' events. So a
position may be too old after a crash or in a copy of the books, which costs a longer history, but never too new.

- The wallet has a position of its own, which goes on with each look.
- The channels share one, the least of theirs, noted when none waits to be asked about and nothing of any is in doubt.
  It holds for the channels that were in the books when it was noted. Those that came later, or of which an answer is
  missing, are asked for whole.
- An index is only the word of one hub: with another one, what lies a little before it is asked for, too, and an index
  that the main chain of the hub in use is far from is not believed.
"""

from __future__ import annotations

import logging

from paypercall.obyte.light import LightClient
from paypercall.settlement.following import CLOCKS_DIFFER_SECONDS, INDICES_BETWEEN_HUBS, Following
from paypercall.settlement.reader import Reader
from paypercall.store import Position, Store, Subject

logger = logging.getLogger(__name__)


class Progress:
    """Keeps and restores how far the followed addresses are taken.

    Args:
        store: The books.
        light: The hub in use.
        wallet_address: The wallet's.
        following: The addresses.
        reader: Saves what is taken.
    """

    def __init__(
        self, store: Store, light: LightClient, wallet_address: str, following: Following, reader: Reader
    ) -> None:
        self._store = store
        self._light = light
        self._wallet_address = wallet_address
        self._following = following
        self._reader = reader
        self._misses_coins = False

    def restore(self, hub: str) -> int | None:
        """Goes on from what is in the books, which another process may have brought further.

        Args:
            hub: That is in use. If another one answers, its word is doubted at the next look.

        Returns:
            The highest index up to which something is taken, or None.

        Raises:
            HubError: When the hub is out of reach.
        """
        with self._store.reading() as books:
            of_wallet = books.positions.get(Subject.WALLET)
            of_channels = books.positions.get(Subject.CHANNELS)
            complete = (
                books.channels.complete_by(
                    self._wallet_address, of_channels.listed_at - CLOCKS_DIFFER_SECONDS
                )
                if of_channels
                else []
            )
        # After the positions: it must not be older than they are.
        self._reader.recall()
        reached = [
            self._resume(addresses, position, hub)
            for addresses, position in (([self._wallet_address], of_wallet), (complete, of_channels))
            if position is not None
        ]
        return max((index for index in reached if index is not None), default=None)

    def _resume(self, addresses: list[str], position: Position, hub: str) -> int | None:
        current = self._light.parents([self._wallet_address], [self._wallet_address]).last_ball_mci
        if current < position.main_chain_index - INDICES_BETWEEN_HUBS:
            logger.warning("a hub lies, or has lied, about the length of the main chain: all is read anew")
            return None
        index = min(current, position.main_chain_index)
        if position.hub != hub:
            index = max(0, index - INDICES_BETWEEN_HUBS)
        self._following.resume(addresses, index)
        return index

    def note_missing_coins(self) -> None:
        """Keeps the wallet's position where it is, so that the next start asks again."""
        self._misses_coins = True

    def note(self, hub: str, listed_at: int, *, with_channels: bool) -> None:
        """Notes how far all is taken.

        Args:
            hub: That told it.
            listed_at: When the channels in the books were listed, in seconds.
            with_channels: Whether nothing of any channel waits or is in doubt.

        Raises:
            LeaseLost: When another process has taken over.
        """
        of_wallet = self._following.since([self._wallet_address])
        if of_wallet is not None and not self._misses_coins:
            self._reader.note_look(of_wallet)
        reached = {
            Subject.WALLET: None if self._misses_coins else of_wallet,
            Subject.CHANNELS: self._following.since_all_channels() if with_channels else None,
        }
        positions = {
            subject: Position(hub, index, listed_at)
            for subject, index in reached.items()
            if index is not None
        }
        self._reader.save_positions(positions)
