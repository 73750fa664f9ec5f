"""A merchant's books and the watcher that fills them, which looks at the ledger when the test says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paypercall.backing import LOSS_WINDOW_SECONDS, Backing, UnconfirmedUnit, weigh_unconfirmed
from paypercall.channel import Channel
from paypercall.contract import ChannelParameters
from paypercall.devnet import Devnet
from paypercall.events import Events
from paypercall.obyte.amounts import BASE
from paypercall.obyte.errors import HubRefused
from paypercall.obyte.hub import REQUEST_SECONDS, Hub
from paypercall.obyte.keys import Key
from paypercall.obyte.light import LightClient
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.lease import LEASE_SECONDS, Lease
from paypercall.settlement.memory import Memory
from paypercall.settlement.reader import Reader
from paypercall.settlement.watcher import Watcher
from paypercall.store import Store
from tests.two_sides import GENEROUS, PAYEE


@dataclass
class MerchantBooks:
    """The books of the payee of all tests, with a clock that the test moves."""

    store: Store
    folder: Path
    time: int

    def open(self, customer: Key | Wallet, salt: str = "a salt") -> ChannelParameters:
        """Takes a customer's channel up, as if it had been announced."""
        parameters = ChannelParameters(PAYEE.address, customer.address, BASE, salt, 3600)
        with self.store.transaction() as books:
            books.channels.add(Channel(parameters, PAYEE.address), created_at=self.time)
        return parameters

    def sign(self, parameters: ChannelParameters, amount_spent: int) -> None:
        """Brings the customer's signed total, and what is accepted of it, to an amount."""
        with self.store.transaction() as books:
            record = books.channels.lock(parameters.aa_address)
            assert record is not None
            paid = replace(record.channel, signed_by_peer=amount_spent, accepted_from_peer=amount_spent)
            books.channels.save(record.channel, paid)

    def channel(self, parameters: ChannelParameters) -> Channel:
        with self.store.reading() as books:
            record = books.channels.get(parameters.aa_address)
        assert record is not None
        return record.channel

    def unconfirmed(self, parameters: ChannelParameters) -> tuple[UnconfirmedUnit, ...]:
        """The units to the agent that count as unanswered."""
        with self.store.reading() as books:
            return books.unconfirmed.of(parameters.aa_address)

    def backing(self, parameters: ChannelParameters) -> Backing:
        """What unconfirmed deposits would back a payment now."""
        return weigh_unconfirmed(
            self.unconfirmed(parameters),
            peer_address=parameters.address_b,
            is_agent_known=self.channel(parameters).last_event_id > 0,
            limits=GENEROUS,
            now=self.time,
        )

    def exposure(self) -> int:
        """What counts toward the limit over all channels now."""
        with self.store.reading() as books:
            return books.totals.exposure(BASE, self.time - LOSS_WINDOW_SECONDS)

    @contextmanager
    def watcher(self, net: Devnet, hub: Hub | None = None, others: Sequence[Hub] = ()) -> Iterator[Watcher]:
        """A watcher as a process makes it that has just taken over."""
        light = LightClient(hub or Hub(net.url, net.network), net.network, others=others)
        wallet = Wallet(PAYEE, light, max_tps_fee=20_000)
        events, lease = Events(), Lease(self.store, PAYEE.address, self.now)
        discovery = Discovery(self.store, PAYEE.address, events, self.now)
        memory = Memory(self.store, self.folder, self.now)
        assert lease.take()
        try:
            with closing(light):
                reader = Reader(self.store, wallet, discovery, memory, lease, events, self.now)
                yield Watcher(self.store, light, PAYEE.address, discovery, reader, self.now)
        finally:
            lease.release()

    def now(self) -> int:
        return self.time

    def take_over(self) -> None:
        """Lets another process take the wallet over, as if its holder had slept."""
        self.time += LEASE_SECONDS
        with self.store.transaction() as books:
            assert books.lease.take(PAYEE.address, "another process", self.time, LEASE_SECONDS)


class WatchedHub(Hub):
    """A connection that notes which addresses are asked about, and which units are asked for by name.

    Attributes:
        asked_addresses: The addresses of each such request.
        asked_by_name: The units of each such request.
        refusal: What the hub says to them, if not what it has to say.
        interruption: What happens next, once, between the hub's answer and what is made of it.
    """

    def __init__(self, net: Devnet) -> None:
        super().__init__(net.url, net.network)
        self.asked_addresses: list[list[str]] = []
        self.asked_by_name: list[list[str]] = []
        self.refusal: str | None = None
        self.interruption: Callable[[], object] | None = None

    def request(self, command: str, params: Any = None, timeout: float = REQUEST_SECONDS) -> Any:
        if params and "addresses" in params:
            self.asked_addresses.append(params["addresses"])
        if params and "requested_joints" in params:
            self.asked_by_name.append(params["requested_joints"])
            if self.refusal is not None:
                raise HubRefused(self.refusal)
        answer = super().request(command, params, timeout)
        if self.interruption is not None:
            happen, self.interruption = self.interruption, None
            happen()
        return answer


@contextmanager
def merchant_books(folder: Path) -> Iterator[MerchantBooks]:
    """Empty books."""
    with closing(Store(f"sqlite:///{folder}/books.sqlite")) as store:
        with store.transaction() as books:
            books.node.claim("4.0dev", PAYEE.address, now=0)
        yield MerchantBooks(store, folder, int(time.time()))
