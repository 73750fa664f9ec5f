"""Which of the followed addresses the hub is asked about, and from which point of the ledger on.

What one event on the ledger costs must not grow with the number of channels. A hub shows each unit that pays a
watched address, so only those are asked about on which something is under way; all others are asked about in turn,
for the case that a unit was not shown. It asks nothing itself, and believes nothing but which address is worth a look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from threading import Lock

BATCH = 2_000
"""Addresses that a hub takes in one question (ocore `light`)."""

INDICES_BETWEEN_HUBS = 10_000
"""How far back another hub is asked, because the index that was reached is only one hub's word."""

CLOCKS_DIFFER_SECONDS = 600
"""How much the clocks of the processes on one database may differ."""

RECENT_SECONDS = 600
"""How long an address is asked about each time after something was seen there: answers of agents come later."""


class Following:
    """The followed addresses. Used by one thread, but for `touch`.

    Args:
        wallet_address: Followed from the beginning, and asked about each time.
        clock: Seconds.
    """

    def __init__(self, wallet_address: str, clock: Callable[[], int]) -> None:
        self._wallet_address = wallet_address
        self._clock = clock
        self._since: dict[str, int | None] = {}
        self._waiting: dict[str, None] = {}
        self._recent: dict[str, int] = {}
        self._turn: Iterator[str] = iter(())
        self._touched: set[str] = set()
        self._touched_lock = Lock()
        self.add([wallet_address])

    def __contains__(self, address: object) -> bool:
        return address in self._since

    @property
    def is_behind(self) -> bool:
        """Whether an address waits to be asked about for the first time, or for the first time in this session."""
        return bool(self._waiting)

    def is_up_to_date(self, address: str) -> bool:
        """Whether everything that the hub has shown of an address is taken."""
        return address in self._since and address not in self._waiting

    def since(self, addresses: Iterable[str]) -> int | None:
        """The main chain index from which all of the addresses must be asked about; None for the whole history."""
        indices = [self._since[address] for address in addresses]
        return (
            None if None in indices else min((index for index in indices if index is not None), default=None)
        )

    def since_all_channels(self) -> int | None:
        """The index from which all addresses but the wallet's must be asked about; None for the whole history."""
        return self.since(address for address in self._since if address != self._wallet_address)

    def resume(self, addresses: Iterable[str], index: int) -> None:
        """Follows addresses of which all below an index was taken before, by this process or another."""
        for address in addresses:
            self.add([address])
            self._since[address] = max(self._since[address] or 0, index)

    def add(self, addresses: Iterable[str]) -> None:
        """Follows further addresses; each waits to be asked about."""
        new = [address for address in addresses if address not in self._since]
        self._since |= dict.fromkeys(new)
        self._waiting |= dict.fromkeys(new)

    def keep(self, addresses: Iterable[str]) -> None:
        """Follows these addresses and no others."""
        kept = {self._wallet_address, *addresses}
        for address in self._since.keys() - kept:
            del self._since[address]
            self._waiting.pop(address, None)
            self._recent.pop(address, None)
        self.add(kept)

    def begin_session(self) -> None:
        """Lets all addresses wait, because the hub does not know yet what to show."""
        self._waiting = dict.fromkeys(self._since)

    def step_back(self, indices: int) -> None:
        """Asks from so much earlier on, because another hub told the index that was reached."""
        for address, index in self._since.items():
            self._since[address] = index and max(0, index - indices)

    def begin_anew(self, addresses: Iterable[str] | None = None) -> None:
        """Asks for whole histories next time, of some addresses or of all."""
        for address in self._since if addresses is None else addresses:
            if address in self._since:
                self._since[address] = None

    def asked(self, addresses: Iterable[str], reached: int | None) -> None:
        """Notes that all about some addresses is taken.

        Args:
            addresses: The ones.
            reached: The index that was proven before the hub was asked. What reached the hub while it answered can be
                missing in an answer whose proof goes beyond it, but comes later in the main chain than this index.
        """
        for address in addresses:
            if address in self._since:
                self._since[address] = reached
                self._waiting.pop(address, None)

    def asked_in_part(self, addresses: Iterable[str]) -> None:
        """Notes that not all about some addresses is taken: they are asked about from the same index again."""
        for address in addresses:
            self._waiting.pop(address, None)

    def note_recent(self, addresses: Iterable[str]) -> None:
        """Asks about some addresses each time for a while, because something has happened there."""
        until = self._clock() + RECENT_SECONDS
        self._recent |= {address: until for address in addresses if address in self._since}

    def touch(self, addresses: Iterable[str]) -> None:
        """Notes that a hub has shown something about some addresses. May be called by any thread."""
        with self._touched_lock:
            self._touched.update(address for address in addresses if address in self._since)

    def active(self) -> list[str]:
        """The addresses to ask about now, the wallet's first."""
        with self._touched_lock:
            touched, self._touched = self._touched, set()
        self.note_recent(touched)
        now = self._clock()
        self._recent = {address: until for address, until in self._recent.items() if until > now}
        return [self._wallet_address, *self._recent]

    def next_waiting(self) -> list[str]:
        """As many of the waiting addresses as fit into one question, the longest waiting first."""
        return list(islice(self._waiting, BATCH))

    def next_in_turn(self) -> list[str]:
        """As many addresses as fit into one question, so that each has its turn; empty once at the end of a round."""
        batch = [address for address in islice(self._turn, BATCH) if address in self._since]
        if not batch:
            self._turn = iter(tuple(self._since))
        return batch
