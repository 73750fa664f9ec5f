"""What the two sides of a channel share: verifying and creating payment packages, sweeping and closing.

Each call is one transaction: load and lock the channel, apply a rule of `channel.py`, save. Nothing here talks to the
ledger; the `Node` does, and is only woken.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from paypercall.arguments import check_aa_address, check_demands
from paypercall.backing import Limits
from paypercall.calls import Calls, counted
from paypercall.channel import Channel, accept, sign
from paypercall.closing import close_channel, sweep_early
from paypercall.conf import Conf, load_conf
from paypercall.errors import Refusal, RefusalCode
from paypercall.events import Event, EventKind, Events, Subscriber
from paypercall.exposure import backing_of, limits_of, require_limits_over_all
from paypercall.funds import POSTING_SECONDS, Funds
from paypercall.obyte.amounts import BASE
from paypercall.obyte.wallet import Wallet
from paypercall.package import PaymentPackage, compose_package, parse_package
from paypercall.publication import is_published
from paypercall.results import ChannelTimeout, IdempotencyConflict, Payment
from paypercall.settlement.node import Node
from paypercall.store import Books, ChannelRecord, NodeHealth, PeriodRecord, Store
from paypercall.unit_payer import UnitPayer
from paypercall.wiring import events_of, make_node, open_store, open_wallet

_PartyT = TypeVar("_PartyT", bound="Party")

AlsoBook = Callable[[Books, Channel, Payment], None]
"""Books something in the transaction that accepts a payment, or that finds it accepted before; with an exception all
of it is lost. Gets the channel as it is then."""

HEALTH_CHECK_SECONDS = 1.0
"""How long the node's health is remembered, so that not every payment asks the books for it."""

BLIND_SECONDS = 600
"""A merchant that has not seen the ledger for so long accepts no more: a channel may be closing unseen."""

LOOK_SECONDS = 60
"""A party that starts signs nothing before the ledger was seen so lately, which shows whether its books are old."""

TELLING_SECONDS = 2.0
"""How long closing waits for subscribers that are told of events."""

STOPPING_SECONDS = 2.0
"""How long closing waits for what the node is asking its hub, before it hangs up on it."""


class Party:
    """One side of any number of channels of one wallet. `Client` and `Server` build on it.

    Args:
        conf: The settings; by default those of the host's project.
        wallet: The wallet; by default the one of the conf's keys and hub.
        store: The books; by default those of the conf. Books that are handed in are left open.
    """

    def __init__(self, conf: Conf | None, wallet: Wallet | None, store: Store | None = None) -> None:
        self._conf = conf or load_conf()
        self._owns_wallet = wallet is None
        self._version = self._conf.network_constants().version
        self._health: tuple[float, NodeHealth] | None = None
        self._has_looked = False
        self._calls = Calls()
        self._opening = threading.Lock()
        self.wallet = wallet or open_wallet(self._conf)
        self._owns_store = store is None
        self._store: Store = open_store(self._conf, self.wallet, store)
        self._events = events_of(self._store, self.wallet)
        self._node = self._make_node()
        _parties.add(self)

    def _make_node(self) -> Node:
        try:
            return make_node(self._conf, self._store, self.wallet, self._events)
        except BaseException:
            self._close_store()
            raise

    def _close_store(self) -> None:
        if self._owns_store:
            self._store.close()

    def _begin_in_child(self) -> None:
        """Begins anew in a forked process, which has none of its parent's threads."""
        self._calls.begin_in_child()
        self._opening = threading.Lock()

    @property
    def address(self) -> str:
        """The wallet's address."""
        return self.wallet.address

    @property
    def conf(self) -> Conf:
        """The settings."""
        return self._conf

    @property
    def store(self) -> Store:
        """The books, for other parts of this package."""
        return self._store

    @property
    def events(self) -> Events:
        """Where events are published, for other parts of this package."""
        return self._events

    def subscribe(self, kind: EventKind | str, subscriber: Subscriber) -> Callable[[], None]:
        """Calls `subscriber` with each event of a kind; see `paypercall.events`.

        It is called in a thread of its own, one event after the other. What happens on the ledger is told in the
        process that holds the wallet's lease, payments where they are made. What waits when a program ends without
        `close_node` is lost.

        Returns:
            A function that ends the subscription.
        """
        return self._events.subscribe(kind, subscriber)

    def start_node(self) -> None:
        """Starts watching the ledger, again after `close_node`. Every call that needs it does so by itself."""
        with self._opening:
            if self._calls.are_shut:
                if self._owns_wallet:
                    self.wallet = open_wallet(self._conf)
                self._node = self._make_node()
                self._health, self._has_looked = None, False
                self._calls.open()
        self._node.start()

    def close_node(self) -> None:
        """Stops the thread and the connections; a wallet that was handed in stays connected.

        Nothing is lost: what is in the books goes on with the next start. Calls of other threads are waited for, those
        that wait for the ledger raise `PartyClosed`, and so do all further ones. Subscribers are told of what was
        published before, unless one hangs.
        """
        # While they may still call.
        self._events.flush(TELLING_SECONDS)
        with self._opening:
            self._calls.shut()
            has_stopped = self._node.stop(STOPPING_SECONDS)
            if self._owns_wallet:
                self.wallet.close()
            if not has_stopped:
                self._node.stop()
            self._close_store()
        self._events.flush(TELLING_SECONDS)

    def __enter__(self: _PartyT) -> _PartyT:
        self.start_node()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_node()

    # --- verifying ---------------------------------------------------------------------------------------------------

    @counted
    def verify_payment_package(
        self, package: object, asset: str | None = None, min_amount: int | None = None
    ) -> Payment:
        """Verifies a payment package of a peer and books the payment.

        Args:
            package: A dict, or JSON as str or bytes.
            asset: If given, a payment in any other asset is refused.
            min_amount: If given, a smaller payment is refused, in bytes or units of the asset.

        Returns:
            The payment, with `error` and `code` set if it was not accepted. A bad package never raises.

        Raises:
            Refusal: When the host demands what makes no sense: `wrong_asset` or `wrong_amount`.
        """
        check_demands(asset, min_amount)
        return self._parse_and_verify(package, asset, min_amount)

    verifyPaymentPackage = verify_payment_package

    def _parse_and_verify(
        self, package: object, asset: str | None, min_amount: int | None, also_book: AlsoBook | None = None
    ) -> Payment:
        try:
            parsed = parse_package(package, network_version=self._version)
        except Refusal as refusal:
            return Payment(error=str(refusal), code=refusal.code)
        self._node.start()
        return self._verify(parsed, asset, min_amount, also_book)

    def _verify(
        self,
        package: PaymentPackage,
        asset: str | None,
        min_amount: int | None,
        also_book: AlsoBook | None = None,
    ) -> Payment:
        result = Payment(
            aa_address=package.aa_address, period=package.period, amount_spent=package.amount_spent
        )
        try:
            with self._store.transaction() as books:
                record = books.channels.lock(package.aa_address)
                if record is None:
                    raise Refusal(
                        RefusalCode.UNKNOWN_CHANNEL,
                        "the channel is unknown to this node and to the ledger that it sees; send the first package"
                        " with channel_parameters, after the deposit is posted",
                    )
                result = replace(result, asset=record.channel.parameters.asset)
                repeated = self._repeated(books, record.channel, package, result)
                if repeated is not None:
                    if also_book is not None:
                        also_book(books, record.channel, repeated)
                    return repeated
                self._require_demands(record.channel, package, asset, min_amount)
                channel, payment_id = self._book(books, record, package)
                result = replace(result, amount=package.payment_amount, payment_id=payment_id)
                if also_book is not None:
                    also_book(books, channel, result)
        except Refusal as refusal:
            if record is not None and refusal.code == RefusalCode.ABOVE_UNSETTLED_LIMITS.value:
                self._sweep_early(record.channel, package.payment_amount)
            return replace(result, amount=0, payment_id=None, error=str(refusal), code=refusal.code)
        self._publish(EventKind.PAYMENT_RECEIVED, record.channel, package.payment_amount)
        return result

    def _repeated(
        self, books: Books, channel: Channel, package: PaymentPackage, result: Payment
    ) -> Payment | None:
        """Answers a package whose amount_spent was accepted before: the same one, or another that reuses the number."""
        first = books.payments.find(package.aa_address, package.period, package.amount_spent)
        if first is None:
            return None
        if first.digest != package.digest:
            raise Refusal(
                RefusalCode.CONFLICTING_PACKAGE,
                "another package with the same amount_spent was accepted before",
            )
        accepted = replace(result, amount=first.amount, payment_id=first.id)
        return replace(
            result,
            error="this package was accepted before; it is not charged again",
            code=RefusalCode.DUPLICATE.value,
            first=accepted,
            is_published=is_published(books, channel, package),
        )

    def _require_demands(
        self, channel: Channel, package: PaymentPackage, asset: str | None, min_amount: int | None
    ) -> None:
        if asset is not None and channel.parameters.asset != asset:
            raise Refusal(
                RefusalCode.WRONG_ASSET, f"payment must be in {asset}, this channel is in another asset"
            )
        if channel.is_payee and channel.parameters.asset not in self._conf.accepted_assets:
            raise Refusal(RefusalCode.WRONG_ASSET, "this node does not accept the channel's asset")
        if min_amount is not None and package.payment_amount < min_amount:
            raise Refusal(
                RefusalCode.UNDERPAID,
                f"the package pays {package.payment_amount}, at least {min_amount} is required",
            )
        if not channel.is_payee:
            return
        health = self._node_health()
        if self._is_blind(health):
            raise Refusal(
                RefusalCode.LEDGER_UNREACHABLE,
                "this node does not see the ledger and accepts no payments; try again",
            )
        if health.is_below_reserve:
            raise Refusal(
                RefusalCode.BELOW_RESERVE,
                "this node accepts no payments for now: it could not defend its channels",
            )

    def _book(self, books: Books, record: ChannelRecord, package: PaymentPackage) -> tuple[Channel, int]:
        before = record.channel
        limits, now = limits_of(self._conf, before.parameters.asset), self._node.now()
        after = accept(before, package, backing_of(books, record, limits, now), limits)
        payment_id = books.payments.add(package, before.parameters.asset, now)
        assert payment_id is not None, "looked up under the channel's lock"
        books.channels.save(before, after)
        require_limits_over_all(books, self._conf, before, after, limits, now)
        return after, payment_id

    def _node_health(self) -> NodeHealth:
        if self._health is not None and time.monotonic() - self._health[0] < HEALTH_CHECK_SECONDS:
            return self._health[1]
        with self._store.reading() as books:
            health = books.node.health()
        if not self._is_blind(health):
            self._health = (time.monotonic(), health)
            self._has_looked = True
        return health

    def _is_blind(self, health: NodeHealth) -> bool:
        longest = BLIND_SECONDS if self._has_looked else LOOK_SECONDS
        # A time in the future is that of a clock that has been put right since.
        return health.synced_at is None or abs(self._node.now() - health.synced_at) > longest

    def _wait_for_look(self, timeout: float) -> None:
        """Waits, once after the start, until the ledger has been looked at lately: no memory, no signature."""
        if self._has_looked:
            return
        self._node.start()
        self._wait(
            lambda: not self._is_blind(self._node_health()),
            timeout,
            "this node has not seen the ledger since it started, and signs nothing before",
        )

    # --- creating ----------------------------------------------------------------------------------------------------

    def _create(
        self,
        amount: int,
        aa_address: str,
        idempotency_key: str | None,
        require: Callable[[Books], None] | None = None,
    ) -> dict[str, Any]:
        """Signs a package over `amount` in one transaction, so that the total is durable before the package leaves.

        `require` may refuse that by an error of its own, in the same transaction.
        """
        check_aa_address(aa_address)
        with self._store.transaction() as books:
            # Locked first, so that of two calls with the same key the second finds what the first has made.
            record = books.channels.lock(aa_address)
            if idempotency_key is not None:
                sent = books.payments.sent(aa_address, idempotency_key)
                if sent is not None:
                    if sent.amount != amount:
                        raise IdempotencyConflict(
                            f"the idempotency key was used for {sent.amount}, not {amount}; use a new key"
                        )
                    return sent.package
            if require is not None:
                require(books)
            if record is None:
                raise Refusal(RefusalCode.UNKNOWN_CHANNEL, f"there is no channel {aa_address} in the books")
            before = record.channel
            pending = books.deposits.pending(aa_address, posted_only=True)
            after = sign(before, amount, pending, backing_of(books, record, Limits(), self._node.now()))
            package = compose_package(
                self.wallet.key,
                self._version,
                aa_address=aa_address,
                period=after.period,
                payment_amount=amount,
                amount_spent=after.signed_by_me,
                announce=None if after.is_known_by_peer else after.parameters,
            )
            books.channels.save(before, after)
            if idempotency_key is not None:
                books.payments.add_sent(
                    aa_address,
                    idempotency_key,
                    period=after.period,
                    amount=amount,
                    amount_spent=after.signed_by_me,
                    package=package,
                    now=self._node.now(),
                )
        self._node.start()
        return package

    # --- closing -----------------------------------------------------------------------------------------------------

    def _close(
        self,
        aa_address: str,
        timeout: float,
        *,
        is_last: bool = False,
        require: Callable[[Channel], None] | None = None,
    ) -> None:
        """Closes a channel once the ledger was seen; see `close_channel`."""
        check_aa_address(aa_address)
        deadline = time.monotonic() + timeout
        self._node.start()
        self._wait_for_look(timeout)
        left = deadline - time.monotonic()
        close_channel(self._store, self._node, self._wait, aa_address, left, is_last=is_last, require=require)

    def _sweep_early(self, channel: Channel, payment_amount: int) -> None:
        if self._has_looked:
            limits = limits_of(self._conf, channel.parameters.asset)
            sweep_early(self._store, self._node, channel.aa_address, payment_amount, limits)

    def _wait(self, is_done: Callable[[], bool], timeout: float, what: str) -> None:
        if not self._calls.wait_for(is_done, timeout, self._node.wait_for_change):
            raise ChannelTimeout(f"{what}; it goes on by itself")

    @counted
    def look_at_ledger(self, timeout: float = POSTING_SECONDS) -> None:
        """Has the ledger looked at now, and what is due there settled, as happens by itself again and again.

        Raises:
            ChannelTimeout: When the ledger was not seen in time.
        """
        since = self._node.now()
        self._node.start()
        self._node.look()
        self._wait(lambda: self._has_seen_ledger(since), timeout, "the ledger is not seen yet")

    def _has_seen_ledger(self, since: int) -> bool:
        with self._store.reading() as books:
            seen_at = books.node.health().synced_at
        return seen_at is not None and seen_at >= since

    @counted
    def settled_periods(self) -> list[PeriodRecord]:
        """The sums of all periods that have ended, for the accounts."""
        with self._store.reading() as books:
            return books.periods.all()

    # --- the wallet --------------------------------------------------------------------------------------------------

    @property
    def funds(self) -> Funds:
        """What the wallet has, and ways to move it; to be asked for anew after `close_node`."""
        return Funds(self._store, self.wallet, self._node, self._calls)

    @property
    def unit_payer(self) -> UnitPayer:
        """Makes units that pay for requests; to be asked for anew after `close_node`."""
        return UnitPayer(self._store, self._node, self._calls)

    def withdraw(self, amount: int, address: str, asset: str = BASE, timeout: float = POSTING_SECONDS) -> str:
        """Sends money out of the wallet; see `Funds.send`, which it is."""
        return self.funds.send(amount, address, asset, timeout)

    def _publish(self, kind: EventKind, channel: Channel, amount: int = 0) -> None:
        self._events.publish(
            Event(kind, channel.aa_address, channel.period, channel.parameters.asset, amount)
        )


def _begin_all_in_child() -> None:
    for party in tuple(_parties):
        party._begin_in_child()


_parties: weakref.WeakSet[Party] = weakref.WeakSet()
os.register_at_fork(after_in_child=_begin_all_in_child)
