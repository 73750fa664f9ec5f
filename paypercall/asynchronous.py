"""The async twins of `Client` and `Server`, for ASGI hosts: the same core, run in threads of their own.

A call that is cancelled is not undone: a package that was signed meanwhile counts as lost, which costs nobody money.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar
from weakref import WeakSet

from paypercall.channel import Status
from paypercall.client import USABLE_SECONDS, Client
from paypercall.conf import Conf
from paypercall.events import EventKind, Subscriber
from paypercall.funds import POSTING_SECONDS, Funds, Moved
from paypercall.obyte.amounts import BASE
from paypercall.obyte.wallet import Balance, Transaction, Wallet
from paypercall.package import AnnouncedChannel
from paypercall.party import Party
from paypercall.results import ChannelBalance, Payment
from paypercall.server import LEDGER_SECONDS, Server
from paypercall.store import PeriodRecord
from paypercall.unit_payer import PreparedUnit, UnitPayer

MAX_THREADS = 32
"""Calls of one party that run at once; more wait their turn."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_PartyT = TypeVar("_PartyT", bound=Party)
_AsyncPartyT = TypeVar("_AsyncPartyT", bound="AsyncParty[Any]")


class AsyncParty(Generic[_PartyT]):
    """What the async twins share.

    Args:
        party: The synchronous party that does the work.
    """

    def __init__(self, party: _PartyT) -> None:
        self._party = party
        self._forget_threads()
        _async_parties.add(self)

    def _forget_threads(self) -> None:
        """Has the next call make new threads; also in a forked process, which has none of its parent's."""
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="paypercall-async")

    @property
    def party(self) -> _PartyT:
        """The synchronous party that does the work."""
        return self._party

    @property
    def address(self) -> str:
        """The wallet's address."""
        return self._party.address

    def subscribe(self, kind: EventKind | str, subscriber: Subscriber) -> Callable[[], None]:
        """Calls `subscriber`, in another thread than the loop's, with each event of a kind; see `Party.subscribe`."""
        return self._party.subscribe(kind, subscriber)

    async def verify_payment_package(
        self, package: object, asset: str | None = None, min_amount: int | None = None
    ) -> Payment:
        """Verifies a payment package; see `Party.verify_payment_package`."""
        return await self._in_thread(self._party.verify_payment_package, package, asset, min_amount)

    verifyPaymentPackage = verify_payment_package

    async def withdraw(
        self, amount: int, address: str, asset: str = BASE, timeout: float = POSTING_SECONDS
    ) -> str:
        """Sends money out of the wallet; see `Party.withdraw`."""
        return await self._in_thread(self._party.withdraw, amount, address, asset, timeout)

    @property
    def funds(self) -> AsyncFunds:
        """What the wallet has, and ways to move it; see `Party.funds`."""
        return AsyncFunds(self)

    @property
    def conf(self) -> Conf:
        """The settings."""
        return self._party.conf

    async def look_at_ledger(self, timeout: float = POSTING_SECONDS) -> None:
        """Has the ledger looked at now; see `Party.look_at_ledger`."""
        await self._in_thread(self._party.look_at_ledger, timeout)

    @property
    def unit_payer(self) -> AsyncUnitPayer:
        """Makes units that pay for requests; see `Party.unit_payer`."""
        return AsyncUnitPayer(self)

    async def settled_periods(self) -> list[PeriodRecord]:
        """The sums of all periods that have ended."""
        return await self._in_thread(self._party.settled_periods)

    async def start_node(self) -> None:
        """Starts watching the ledger; see `Party.start_node`."""
        await self._in_thread(self._party.start_node)

    async def close_node(self) -> None:
        """Stops the threads and the connections; see `Party.close_node`."""
        # In a thread of the loop's own: calls that wait for the ledger may have taken all of these.
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._party.close_node()
        threads = self._threads
        self._forget_threads()
        threads.shutdown()

    async def __aenter__(self: _AsyncPartyT) -> _AsyncPartyT:
        await self.start_node()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close_node()

    async def _in_thread(
        self, function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


class AsyncFunds:
    """The async twin of `Funds`.

    Args:
        party: Whose.
    """

    def __init__(self, party: AsyncParty[Any]) -> None:
        self._party = party

    async def balance(self) -> dict[str, Balance]:
        """What there is by asset; see `Funds.balance`."""
        return await self._party._in_thread(self._funds.balance)

    async def history(self) -> list[Transaction]:
        """What came and went; see `Funds.history`."""
        return await self._party._in_thread(self._funds.history)

    async def send(
        self, amount: int, address: str, asset: str = BASE, timeout: float = POSTING_SECONDS
    ) -> str:
        """Sends an amount; see `Funds.send`."""
        return await self._party._in_thread(self._funds.send, amount, address, asset, timeout)

    async def sweep_out(self, address: str, timeout: float = POSTING_SECONDS) -> Moved:
        """Sends everything to an address; see `Funds.sweep_out`."""
        return await self._party._in_thread(self._funds.sweep_out, address, timeout)

    async def consolidate(self, asset: str = BASE, timeout: float = POSTING_SECONDS) -> Moved:
        """Makes one coin of many; see `Funds.consolidate`."""
        return await self._party._in_thread(self._funds.consolidate, asset, timeout)

    @property
    def _funds(self) -> Funds:
        funds: Funds = self._party._party.funds
        return funds


class AsyncUnitPayer:
    """The async twin of `UnitPayer`.

    Args:
        party: Whose.
    """

    def __init__(self, party: AsyncParty[Any]) -> None:
        self._party = party

    async def prepare(
        self, amount: int, payee: str, asset: str = BASE, timeout: float = POSTING_SECONDS
    ) -> PreparedUnit:
        """Signs a unit that pays for a request; see `UnitPayer.prepare`."""
        return await self._party._in_thread(self._payer.prepare, amount, payee, asset, timeout)

    async def prepared(self) -> list[PreparedUnit]:
        """The units that can buy something; see `UnitPayer.prepared`."""
        return await self._party._in_thread(self._payer.prepared)

    async def done(self, prepared: PreparedUnit) -> None:
        """Notes that a unit was used; see `UnitPayer.done`."""
        await self._party._in_thread(self._payer.done, prepared)

    async def take_back(self, prepared: PreparedUnit, timeout: float = POSTING_SECONDS) -> None:
        """Spends the coins of a unit otherwise; see `UnitPayer.take_back`."""
        await self._party._in_thread(self._payer.take_back, prepared, timeout)

    @property
    def _payer(self) -> UnitPayer:
        payer: UnitPayer = self._party._party.unit_payer
        return payer


class AsyncClient(AsyncParty[Client]):
    """The async twin of `Client`, with the same arguments."""

    def __init__(
        self,
        peer_address: str,
        asset: str | None = None,
        deposit_amount: int = 100_000,
        refill_threshold: int = 20_000,
        *,
        wallet: Wallet | None = None,
        conf: Conf | None = None,
    ) -> None:
        super().__init__(
            Client(peer_address, asset, deposit_amount, refill_threshold, wallet=wallet, conf=conf)
        )

    @property
    def peer_address(self) -> str:
        """The payee's address."""
        return self._party.peer_address

    @property
    def asset(self) -> str:
        """What it pays in: `base` or an asset's id."""
        return self._party.asset

    async def for_payee(self, peer_address: str, asset: str | None = None) -> AsyncClient:
        """A client of another payee, with the same wallet and settings; see `Client.for_payee`."""
        client = AsyncClient.__new__(AsyncClient)
        AsyncParty.__init__(client, await self._in_thread(self._party.for_payee, peer_address, asset))
        return client

    @property
    def aa_address(self) -> str | None:
        """The channel's address; see `Client.aa_address`."""
        return self._party.aa_address

    async def create_payment_package(
        self, amount: int, idempotency_key: str | None = None, timeout: float = USABLE_SECONDS
    ) -> dict[str, Any]:
        """Creates a package that pays the payee; see `Client.create_payment_package`."""
        return await self._in_thread(self._party.create_payment_package, amount, idempotency_key, timeout)

    createPaymentPackage = create_payment_package

    async def sweep(self, timeout: float = POSTING_SECONDS) -> None:
        """Settles the period; see `Client.sweep`."""
        await self._in_thread(self._party.sweep, timeout)

    async def close(self, timeout: float = POSTING_SECONDS) -> None:
        """Closes the channel; see `Client.close`."""
        await self._in_thread(self._party.close, timeout)

    async def close_request(self) -> str:
        """The signed wish that the payee closes the channel; see `Client.close_request`."""
        return await self._in_thread(self._party.close_request)

    async def balance(self) -> ChannelBalance:
        """Where the channel stands; see `Client.balance`."""
        return await self._in_thread(self._party.balance)


class AsyncServer(AsyncParty[Server]):
    """The async twin of `Server`, with the same arguments."""

    def __init__(
        self,
        max_sweeping_period: int = 7 * 24 * 3600,
        *,
        wallet: Wallet | None = None,
        conf: Conf | None = None,
        ledger_timeout: float = LEDGER_SECONDS,
    ) -> None:
        super().__init__(Server(max_sweeping_period, wallet=wallet, conf=conf, ledger_timeout=ledger_timeout))

    async def create_payment_package(
        self, amount: int, aa_address: str, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Creates a package that pays the customer of a channel; see `Server.create_payment_package`."""
        return await self._in_thread(self._party.create_payment_package, amount, aa_address, idempotency_key)

    createPaymentPackage = create_payment_package

    async def sweep(self, aa_address: str, timeout: float = POSTING_SECONDS) -> None:
        """Settles a channel's period; see `Server.sweep`."""
        await self._in_thread(self._party.sweep, aa_address, timeout)

    async def close(self, aa_address: str, timeout: float = POSTING_SECONDS) -> None:
        """Closes a channel; see `Server.close`."""
        await self._in_thread(self._party.close, aa_address, timeout)

    async def channel(self, aa_address: str) -> ChannelBalance | None:
        """Where a channel stands; see `Server.channel`."""
        return await self._in_thread(self._party.channel, aa_address)

    async def announce(self, announced: AnnouncedChannel) -> str:
        """Starts watching for a channel; see `Server.announce`."""
        return await self._in_thread(self._party.announce, announced)

    async def channels(self, status: Status | None = None) -> list[ChannelBalance]:
        """All channels, or those of one status."""
        return await self._in_thread(self._party.channels, status)


def _begin_all_in_child() -> None:
    for party in tuple(_async_parties):
        party._forget_threads()


_async_parties: WeakSet[AsyncParty[Any]] = WeakSet()
os.register_at_fork(after_in_child=_begin_all_in_child)
