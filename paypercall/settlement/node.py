"""The node: one background thread that holds the wallet's lease, watches the ledger, decides and sends.

Every process of a host has one for its wallet; the one that holds the lease works, the others wait to take over. It
makes its connection and its thread when it is started, and makes them anew in a forked child.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable

from paypercall.events import Events
from paypercall.obyte.errors import HubError, ProofError
from paypercall.obyte.light import LightClient
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.lease import LEASE_SECONDS, Lease, LeaseLost
from paypercall.settlement.memory import Memory
from paypercall.settlement.outbox import Outbox
from paypercall.settlement.reader import Reader
from paypercall.settlement.reserve import Reserve
from paypercall.settlement.spending import Spending
from paypercall.settlement.upkeep import SweepingRules, Upkeep
from paypercall.settlement.watcher import Watcher
from paypercall.store import Store

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.2
"""How often the books are looked at for what another thread or process has written."""

REFRESH_SECONDS = 20
"""How often the hub is asked although it has announced nothing."""

UPKEEP_SECONDS = 5
"""How often upkeep runs although nothing has happened."""

PROOF_LAG_SECONDS = 60
"""How far what is proven of the ledger's time may be behind what the hub says, before a new proof is asked for."""

PROOF_SECONDS = 10
"""How often such a proof is asked for at most: on a ledger that is quiet there is none."""

LONGEST_PAUSE = 30
"""Seconds between two attempts while the hub is out of reach."""


def wall_clock() -> int:
    """This node's own time in whole seconds."""
    return int(time.time())


_nodes: weakref.WeakSet[Node] = weakref.WeakSet()


def _reset_all_in_child() -> None:
    """Lets every node begin anew in a forked process, which has none of its parent's threads."""
    for node in tuple(_nodes):
        node._reset()


os.register_at_fork(after_in_child=_reset_all_in_child)


class Node:
    """Runs settlement for one wallet in one process.

    Args:
        store: The books.
        wallet: The wallet.
        light: The hub, verified.
        events: Told what happens.
        memory: Tells that the books are the newest.
        sweeping: When channels are swept.
        spending: What the outbox may spend.
        clock: Seconds.
        lease_seconds: How long a holder that died keeps the others waiting.
    """

    def __init__(
        self,
        store: Store,
        wallet: Wallet,
        light: LightClient,
        events: Events,
        *,
        memory: Memory,
        sweeping: SweepingRules,
        spending: Spending,
        clock: Callable[[], int] = wall_clock,
        lease_seconds: int = LEASE_SECONDS,
    ) -> None:
        self.store = store
        self.wallet = wallet
        self.light = light
        self.events = events
        self._memory = memory
        self._sweeping = sweeping
        self._spending = spending
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._reset()
        _nodes.add(self)

    def _reset(self) -> None:
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        # Each thread has its own, so that one that is told to stop does so, even if another is started meanwhile.
        self._stopping = threading.Event()
        self._wakeup = threading.Event()
        self._changed = threading.Condition()
        self._has_news = threading.Event()
        self._proof_asked_at = -float("inf")

    def now(self) -> int:
        """This node's time in seconds."""
        return self._clock()

    def start(self) -> None:
        """Starts the thread, unless it runs."""
        with self._start_lock:
            if self._thread is not None and not self._stopping.is_set():
                return
            self._stopping = threading.Event()
            self._thread = threading.Thread(
                target=self._run, args=(self._stopping,), name="paypercall-node", daemon=True
            )
            self._thread.start()

    def stop(self, seconds: float | None = None) -> bool:
        """Stops the thread after what it is doing, and gives the lease back.

        Args:
            seconds: How long to wait for it, because a hub that does not answer holds it up. None waits to the end.

        Returns:
            Whether it has ended; always true for a call out of the thread itself, which ends after it.
        """
        with self._start_lock:
            thread = self._thread
            self._stopping.set()
        self._wakeup.set()
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(seconds)
        return not thread.is_alive()

    def wake(self) -> None:
        """Lets the thread look at the books now: something was decided."""
        self._wakeup.set()

    def look(self) -> None:
        """Lets the thread ask the hub for news now, and then look at the books."""
        self._has_news.set()
        self._wakeup.set()

    def wait_for_change(self, seconds: float) -> None:
        """Waits until the books may have changed, at most so long; other processes' changes are not noticed."""
        with self._changed:
            self._changed.wait(min(seconds, TICK_SECONDS))

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self, stopping: threading.Event) -> None:
        lease = Lease(self.store, self.wallet.address, self._clock, self._lease_seconds)
        # It remembers what is taken, so that a hub that was away for a moment need not tell everything again.
        watcher = self._make_watcher(lease)
        pause = 1.0
        try:
            while not stopping.is_set():
                began = time.monotonic()
                try:
                    if not lease.take():
                        stopping.wait(min(1.0, self._lease_seconds / 4))
                        continue
                    self._work(lease, watcher, stopping)
                except (HubError, ProofError) as error:
                    if not stopping.is_set():
                        logger.warning("settlement is waiting for the hub: %s", error)
                except LeaseLost as lost:
                    logger.warning("settlement stops here: %s", lost)
                except Exception as error:
                    logger.exception("settlement failed and starts again")
                    # It may be the hub's word that cannot be taken, and each time it would be the same.
                    self.light.leave_hub(f"{type(error).__name__} while settling")
                if time.monotonic() - began > LONGEST_PAUSE:
                    pause = 1.0
                stopping.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        finally:
            lease.release()

    def _make_watcher(self, lease: Lease) -> Watcher:
        discovery = Discovery(self.store, self.wallet.address, self.events, self._clock)
        reader = Reader(self.store, self.wallet, discovery, self._memory, lease, self.events, self._clock)
        return Watcher(self.store, self.light, self.wallet.address, discovery, reader, self._clock)

    def _work(self, lease: Lease, watcher: Watcher, stopping: threading.Event) -> None:
        """Settles until it is stopped, the lease is lost or the hub fails; starts from the books each time."""
        outbox = Outbox(
            self.store, self.wallet, self.light, lease, self._spending, self._clock, self._certain_time
        )
        reserve = Reserve(self.store, self.wallet, self._spending, self._clock)
        upkeep = Upkeep(
            self.store, self.wallet.address, self._sweeping, self.events, self._clock, self._certain_time
        )

        def note_news(unit: object) -> None:
            watcher.show(unit)
            self._has_news.set()
            self._wakeup.set()

        unsubscribe = self.light.on_news(note_news)
        try:
            if not self._is_connected(lease, stopping):
                return
            watcher.resume()
            outbox.adopt_all()
            self._look(lease, watcher)
            self._settle_until_stopped(lease, stopping, watcher, outbox, reserve, upkeep)
        finally:
            unsubscribe()

    def _look(self, lease: Lease, watcher: Watcher) -> None:
        """Takes what is new on the ledger."""
        watcher.refresh()
        if watcher.is_behind:
            return
        with self.store.transaction() as books:
            lease.require(books)
            books.node.set_synced_at(self._clock())
            self._memory.trust_next_periods(books, self.wallet.address, watcher.is_up_to_date)

    def _is_connected(self, lease: Lease, stopping: threading.Event) -> bool:
        """Waits for the hub, but not for longer than this thread is to work.

        A request would wait for a connection, too, and could not be stopped.
        """
        while not stopping.is_set() and lease.is_held():
            if self.light.find_connection():
                return True
            stopping.wait(TICK_SECONDS)
        return False

    def _settle_until_stopped(
        self,
        lease: Lease,
        stopping: threading.Event,
        watcher: Watcher,
        outbox: Outbox,
        reserve: Reserve,
        upkeep: Upkeep,
    ) -> None:
        refreshed = upkept = -float("inf")
        while self._is_connected(lease, stopping):
            is_woken = self._wakeup.is_set()
            self._wakeup.clear()
            has_changed = False
            now = time.monotonic()
            is_due = self._has_news.is_set() or watcher.is_behind or now - refreshed > REFRESH_SECONDS
            if is_due or watcher.has_new_addresses():
                self._has_news.clear()
                self._look(lease, watcher)
                refreshed, has_changed = now, True
            if has_changed or is_woken or now - upkept > UPKEEP_SECONDS:
                upkeep.run()
                reserve.update()
                upkept = now
            has_changed |= outbox.advance()
            self._memory.note()
            if has_changed:
                with self._changed:
                    self._changed.notify_all()
            if not watcher.is_behind:
                self._wakeup.wait(TICK_SECONDS)

    def _certain_time(self) -> int:
        """The ledger's time as far as it is certain: what the hub says of a unit composed now, and is proven.

        What is confirmed too early bounces, and what presses may cost more.
        """
        parents = self.light.parents([self.wallet.address], [self.wallet.address])
        is_doubtful = parents.timestamp > self.light.least_time + PROOF_LAG_SECONDS
        if is_doubtful and time.monotonic() - self._proof_asked_at > PROOF_SECONDS:
            self._proof_asked_at = time.monotonic()
            # Whatever unit is asked for, the answer proves how far the ledger has got.
            self.light.history([], requested_units=[parents.last_ball_unit])
        return min(parents.timestamp, self.light.least_time)
