"""A merchant that follows many channels on a local network, and does a round of its node's work when it is told to.

Only the CPU time of the calling thread is taken: the network and other work on the machine do not count.
"""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from typing import Protocol

from benchmarks.merchant import opened_channel
from paypercall.channel import Channel
from paypercall.contract import ChannelParameters
from paypercall.costs import SWEEPING_COST
from paypercall.events import Events
from paypercall.obyte.address import chash160
from paypercall.obyte.amounts import BASE
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.network import Network
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.lease import Lease
from paypercall.settlement.memory import Memory
from paypercall.settlement.outbox import Outbox
from paypercall.settlement.reader import Reader
from paypercall.settlement.reserve import Reserve
from paypercall.settlement.spending import Spending
from paypercall.settlement.upkeep import SweepingRules, Upkeep
from paypercall.settlement.watcher import Watcher
from paypercall.store import Store

SWEEPING_PERIOD = 7 * 24 * 3600
RESERVE = 1_000
PATIENCE = 10.0


class LocalNetwork(Protocol):
    """What a follower needs of a local network, which may run in another process."""

    @property
    def url(self) -> str:
        """The address of the hub."""

    @property
    def network(self) -> Network:
        """The constants."""

    def fund(self, address: str, amount: int) -> str:
        """Pays an address from the faucet."""


class Follower:
    """What a node does each time that something has happened, in the benchmark's own thread.

    The clock stands, so that what is done once in a while is not measured. The wallet holds its reserve; all channels
    are past the sweeping period, and nothing is owed in them.
    """

    def __init__(self, net: LocalNetwork, folder: Path, count: int) -> None:
        """Opens books with so many channels of customers who are never heard of again."""
        self._now = int(time.time())
        light = LightClient(Hub(net.url, net.network), net.network)
        self.wallet = Wallet(key_from_mnemonic(new_mnemonic()), light, max_tps_fee=100_000)
        self.address = self.wallet.address
        self.store = Store(f"sqlite:///{folder}/books.sqlite")
        net.fund(self.address, 2 * RESERVE * count)
        self._fill(net.network.version, count)
        events = Events()
        self._lease = lease = Lease(self.store, self.address, self._clock)
        self._memory = Memory(self.store, folder, self._clock)
        discovery = Discovery(self.store, self.address, events, self._clock)
        reader = Reader(self.store, self.wallet, discovery, self._memory, lease, events, self._clock)
        self._watcher = Watcher(self.store, light, self.address, discovery, reader, self._clock)
        spending = Spending(max_tps_fee=100_000, reserve=RESERVE)
        rules = SweepingRules({}, {}, {BASE: SWEEPING_COST})
        self._upkeep = Upkeep(self.store, self.address, rules, events, self._clock, self._clock)
        self._reserve = Reserve(self.store, self.wallet, spending, self._clock)
        self._outbox = Outbox(self.store, self.wallet, light, lease, spending, self._clock, self._clock)
        self._has_news = threading.Event()
        assert lease.take()
        light.on_news(self._note_news)

    def _clock(self) -> int:
        return self._now

    def _note_news(self, unit: object) -> None:
        self._watcher.show(unit)
        self._has_news.set()

    def _fill(self, version: str, count: int) -> None:
        with self.store.transaction() as books:
            books.node.claim(version, self.address, 0)
            books.node.set_max_sweeping_period(SWEEPING_PERIOD)
            for _ in range(count):
                channel = opened_channel(self.address, chash160(secrets.token_hex(16)))
                books.channels.add(channel, created_at=0)
                books.channels.set_opened_at(channel.aa_address, self._now - 2 * SWEEPING_PERIOD)

    def expect(self, customer: str) -> ChannelParameters:
        """Takes up a channel that the ledger does not show yet."""
        parameters = ChannelParameters(self.address, customer, BASE, secrets.token_hex(10), 21_600)
        with self.store.transaction() as books:
            books.channels.add(Channel(parameters, self.address), created_at=self._now)
        return parameters

    def follow_all(self) -> float:
        """Looks at all channels for the first time, and returns the CPU seconds that it took."""
        started = time.thread_time()
        self._watcher.refresh()
        while self._watcher.is_behind:
            self._watcher.refresh()
        return time.thread_time() - started

    def look(self) -> None:
        """Looks at what is new, as it happens for a new channel; the hub tells of it from now on."""
        self._watcher.refresh()

    def forget_news(self) -> None:
        """Waits for the next hint of the hub, not for one that has come."""
        self._has_news.clear()

    def take_news(self) -> float:
        """Waits for a hint of the hub, does one round, and returns the CPU seconds that it took."""
        assert self._has_news.wait(PATIENCE), "the hub says that something has happened"
        started = time.thread_time()
        self._watcher.has_new_addresses()
        self._watcher.refresh()
        with self.store.transaction() as books:
            books.node.set_synced_at(self._now)
            self._memory.trust_next_periods(books, self.address, self._watcher.is_up_to_date)
        self._upkeep.run()
        self._reserve.update()
        self._outbox.advance()
        return time.thread_time() - started

    def channel(self, parameters: ChannelParameters) -> tuple[Channel, int]:
        """A channel as the books have it, and how many units to it are unanswered."""
        with self.store.reading() as books:
            record = books.channels.get(parameters.aa_address)
            unanswered = len(books.unconfirmed.of(parameters.aa_address))
        assert record is not None
        return record.channel, unanswered

    def close(self) -> None:
        """Gives the lease back, and closes the books and the connection."""
        self._lease.release()
        self.store.close()
        self.wallet.close()
