"""The customer's side: one channel to one payee, opened, refilled and swept by itself. Thin; see `party.py`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paypercall.arguments import check_amount, check_idempotency_key, check_refill_threshold
from paypercall.assets import require_usable_asset
from paypercall.backing import UNANSWERED_SECONDS
from paypercall.balances import balance_of
from paypercall.calls import counted
from paypercall.channel import Channel, check_deposit, spendable
from paypercall.close_request import sign_close_request
from paypercall.conf import Conf
from paypercall.contract import ChannelParameters
from paypercall.errors import Refusal, RefusalCode
from paypercall.events import EventKind
from paypercall.funds import POSTING_SECONDS
from paypercall.obyte.amounts import BASE
from paypercall.obyte.wallet import Wallet
from paypercall.party import AlsoBook, Party
from paypercall.results import ChannelBalance, ChannelTimeout, Payment
from paypercall.settlement.repetition import may_send
from paypercall.settlement.upkeep import add_deposit, add_refill
from paypercall.store import Books, OutboxKind, OutboxState, Refill

USABLE_SECONDS = 60.0
"""How long `create_payment_package` waits for the channel to be usable."""

_MAY_PASS = frozenset(
    {RefusalCode.CHANNEL_CLOSING.value, RefusalCode.ABOVE_DEPOSIT.value, RefusalCode.EVENTS_MISSING.value}
)


class Client(Party):
    """Pays one payee over one channel, which it finds in its books or creates.

    Only `create_payment_package` creates the channel and locks a deposit in it; to look costs nothing. Safe to use
    from many threads and, with one database, from many processes.

    Args:
        peer_address: The payee's address.
        asset: `base` or None for bytes, or the id of the asset to pay in.
        deposit_amount: What each deposit locks, in bytes or units of the asset; for base above 10,000, and above
            12,500 to be worth the payee's while.
        refill_threshold: Below this spendable amount the channel is refilled.
        wallet: The wallet; by default the one of the conf's keys and hub.
        conf: The settings; by default those of the host's project.

    Raises:
        Refusal: When an argument makes no sense: `wrong_amount` or `wrong_parameters`.
    """

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
        self._asset = asset or BASE
        check_deposit(self._asset, deposit_amount)
        check_refill_threshold(refill_threshold, deposit_amount)
        super().__init__(conf, wallet)
        self._refill = Refill(deposit_amount, refill_threshold)
        self._peer_address = peer_address
        self._aa_address: str | None = None
        try:
            self._new_parameters(peer_address).check()
        except Refusal:
            self.close_node()
            raise

    @property
    def peer_address(self) -> str:
        """The payee's address."""
        return self._peer_address

    @property
    def asset(self) -> str:
        """What it pays in: `base` or an asset's id."""
        return self._asset

    def for_payee(self, peer_address: str, asset: str | None = None) -> Client:
        """A client of another payee, with the same wallet, settings, deposits and threshold; to be closed by itself.

        Raises:
            Refusal: When the address or the asset makes no sense.
        """
        return Client(
            peer_address,
            asset,
            self._refill.deposit_amount,
            self._refill.threshold,
            wallet=self.wallet,
            conf=self._conf,
        )

    @property
    def aa_address(self) -> str | None:
        """The channel's address; None until the first `create_payment_package` creates the channel."""
        return self._aa_address or self._find()

    @counted
    def create_payment_package(
        self, amount: int, idempotency_key: str | None = None, timeout: float = USABLE_SECONDS
    ) -> dict[str, Any]:
        """Creates a package that pays the payee, to be sent with a request.

        Waits until the channel is usable: opened, refilled, or open again after a sweep. What it signs is durable
        before it returns.

        Args:
            amount: In bytes or units of the asset.
            idempotency_key: The same key gives the same package again, for a retry after an unknown outcome.
            timeout: Seconds to wait at most.

        Raises:
            Refusal: When the amount can never be paid with this deposit amount, or the channel cannot be used.
            IdempotencyConflict: When the key was used for another amount.
            ChannelTimeout: When the channel is not usable in time; it says what is missing.
            WrongIdempotencyKey: When the key is no text that can be kept.
        """
        return self._create_when_usable(amount, idempotency_key, timeout)

    createPaymentPackage = create_payment_package

    @counted
    def pay_for(self, amount: int, idempotency_key: str, require: Callable[[Books], None]) -> dict[str, Any]:
        """Like `create_payment_package`; `require` may refuse to have it signed, in the transaction that does so.

        Args:
            amount: In bytes or units of the asset.
            idempotency_key: Of what is paid for.
            require: Raises an error of its own; not called if the package was signed before.
        """
        return self._create_when_usable(amount, idempotency_key, USABLE_SECONDS, require)

    def _create_when_usable(
        self,
        amount: int,
        idempotency_key: str | None,
        timeout: float,
        require: Callable[[Books], None] | None = None,
    ) -> dict[str, Any]:
        check_amount(amount)
        check_idempotency_key(idempotency_key)
        deadline = time.monotonic() + timeout
        self._wait_for_look(timeout)
        while True:
            self._calls.require_open()
            try:
                aa_address = self._find_or_create(amount)
                return self._create(amount, aa_address, idempotency_key, require)
            except Refusal as refusal:
                if refusal.code not in _MAY_PASS or self._aa_address is None:
                    raise
                self._deposit_if_needed(self._aa_address, amount, refusal)
                self._node.start()
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise ChannelTimeout(
                        f"the channel is not usable yet: {self._obstacle(refusal)}"
                    ) from None
                self._node.wait_for_change(remaining)

    @counted
    def sent_package(self, idempotency_key: str) -> dict[str, Any] | None:
        """The package that was made for a key, over whichever channel to the payee; None if there is none."""
        with self._store.reading() as books:
            return self.sent_by_books(books, idempotency_key)

    def sent_by_books(self, books: Books, idempotency_key: str) -> dict[str, Any] | None:
        """The same, within a transaction of the books."""
        for channel in self._channels(books):
            sent = books.payments.sent(channel.aa_address, idempotency_key)
            if sent is not None:
                return sent.package
        return None

    @counted
    def receive_refund(self, package: object, also_book: AlsoBook) -> Payment:
        """Like `verify_payment_package`; what `also_book` books is kept or lost together with the refund.

        Args:
            package: A dict, or JSON as str or bytes.
            also_book: Also called for a package that was accepted before.
        """
        return self._parse_and_verify(package, self._asset, None, also_book)

    @counted
    def sweep(self, timeout: float = POSTING_SECONDS) -> None:
        """Settles the period; the channel opens again with the next deposit, by itself.

        Args:
            timeout: Seconds to wait until the closing unit is posted.

        Raises:
            Refusal: When there is nothing to close.
            ChannelTimeout: When the unit is not posted yet; it will be.
        """
        aa_address = self.aa_address
        if aa_address is None:
            raise Refusal(
                RefusalCode.UNKNOWN_CHANNEL, "there is no channel yet: the first payment creates it"
            )
        self._close(aa_address, timeout)

    @counted
    def close(self, timeout: float = POSTING_SECONDS) -> None:
        """Settles the period, and deposits no more; the next `create_payment_package` opens the channel again.

        A deposit that is not signed yet is cancelled. One that is cannot be taken back: if it is to open the channel,
        that is waited for. A channel that is closed, or was never opened, stays so without an error.

        Args:
            timeout: Seconds to wait until the closing unit is posted.

        Raises:
            Refusal: When this node may have forgotten what it signed, and cannot close the channel.
            ChannelTimeout: When the unit is not posted yet, which it will be; or when a deposit is still opening the
                channel, which is then to be closed later.
        """
        aa_address = self.aa_address
        if aa_address is not None:
            self._close(aa_address, timeout, is_last=True)

    def close_request(self) -> str:
        """The signed wish that the payee closes the channel's current period, for its channel endpoint.

        Raises:
            Refusal: With `unknown_channel` before the first payment.
        """
        balance = self.balance()
        if balance.aa_address is None:
            raise Refusal(
                RefusalCode.UNKNOWN_CHANNEL, "there is no channel yet, the first payment creates it"
            )
        return sign_close_request(self.wallet.key, balance.aa_address, balance.period)

    @counted
    def balance(self) -> ChannelBalance:
        """Where the channel stands: all zero, without an `aa_address`, until the first payment creates it."""
        aa_address = self.aa_address
        if aa_address is None:
            none_yet = Channel(self._new_parameters(self._peer_address), self.address)
            return replace(ChannelBalance.of(none_yet, pending_deposits=0), aa_address=None)
        with self._store.reading() as books:
            record = books.channels.get(aa_address)
            assert record is not None, "found or created before, and never deleted"
            return balance_of(books, record)

    # --- the channel -------------------------------------------------------------------------------------------------

    @counted
    def _find(self) -> str | None:
        """The channel's address, without creating one."""
        with self._store.reading() as books:
            channels = self._channels(books)
        return channels[0].aa_address if channels else None

    def _find_or_create(self, amount: int) -> str:
        """The channel to pay an amount over.

        Raises:
            Refusal: When a new channel could not pay it, or not in this asset; none is created then.
        """
        if self._aa_address is not None:
            return self._aa_address
        with self._store.transaction() as books:
            known = self._usable_channel(books)
            if known is not None:
                self._renew_refill(books, known.aa_address)
        if known is None:
            if amount > self._refill.deposit_amount:
                raise self._too_much(amount, left=0)
            require_usable_asset(self._asset, self.wallet.light)
            channel, is_new = self._create_channel()
        else:
            channel, is_new = known, False
        if is_new:
            self._publish(EventKind.CHANNEL_CREATED, channel)
        self._node.start()
        self._node.wake()
        self._aa_address = channel.aa_address
        return channel.aa_address

    def _create_channel(self) -> tuple[Channel, bool]:
        with self._store.transaction() as books:
            # Another thread or process may have been faster.
            books.node.lock()
            known = self._usable_channel(books)
            if known is not None:
                return known, False
            channel = Channel(self._new_parameters(self._peer_address), self.address)
            books.channels.add(channel, created_at=self._node.now(), refill=self._refill)
            add_deposit(books, OutboxKind.OPEN, channel, self._refill.deposit_amount, self._node.now())
            return channel, True

    def _renew_refill(self, books: Books, aa_address: str) -> None:
        """Refills from now on as this client says, unless the channel was closed for good."""
        record = books.channels.lock(aa_address)
        if record is not None and record.refill is not None and record.refill != self._refill:
            books.channels.set_refill(aa_address, self._refill)

    def _usable_channel(self, books: Books) -> Channel | None:
        """The newest channel to the payee in which this node remembers all it signed."""
        return next((channel for channel in self._channels(books) if not channel.is_distrusted), None)

    def _channels(self, books: Books) -> list[Channel]:
        """The channels to the payee: first those in which this node remembers all it signed, the newest first."""
        records = books.channels.between(self.address, self._peer_address, self._asset)
        channels = [record.channel for record in records if not record.channel.is_payee]
        return sorted(channels, key=lambda channel: channel.is_distrusted)

    def _new_parameters(self, peer_address: str) -> ChannelParameters:
        return ChannelParameters(
            address_a=peer_address,
            address_b=self.address,
            asset=self._asset,
            salt=secrets.token_hex(25),
            timeout=self._conf.default_timeout_in_seconds,
        )

    def _deposit_if_needed(self, aa_address: str, amount: int, refusal: Refusal) -> None:
        """Writes a deposit into the books if the amount is not there and none is on its way.

        Raises:
            Refusal: When not even the next deposit would do.
        """
        if refusal.code != RefusalCode.ABOVE_DEPOSIT.value:
            return
        with self._store.transaction() as books:
            record = books.channels.lock(aa_address)
            assert record is not None
            if record.refill != self._refill:
                books.channels.set_refill(aa_address, self._refill)
            left = spendable(record.channel, books.deposits.pending(aa_address))
            if left >= amount:
                return
            if left + self._refill.deposit_amount < amount:
                raise self._too_much(amount, left)
            is_agent_known = record.channel.last_event_id > 0
            if not is_agent_known and left > 0:
                # A second deposit could come before the definition that is on its way, and trigger nothing.
                return
            if not self._may_deposit(books, record.channel):
                return
            deposit_amount, now = self._refill.deposit_amount, self._node.now()
            refilled = None
            if is_agent_known:
                refilled = add_refill(books, record.channel, deposit_amount, now)
            else:
                add_deposit(books, OutboxKind.OPEN, record.channel, deposit_amount, now)
        if refilled is not None:
            self._events.publish(refilled)
        self._node.wake()

    def _may_deposit(self, books: Books, channel: Channel) -> bool:
        """Whether no deposit of the period may have arrived already, whose answer the hub leaves out.

        To a channel that is not open yet one more may go after a pause that grows: it would be of no use otherwise.
        """
        if channel.last_event_id > 0:
            return not books.deposits.awaits_answer(channel.aa_address, channel.period)
        rows = books.outbox.of_period(channel.aa_address, channel.period)
        taken = [row for row in rows if row.kind is OutboxKind.OPEN and row.state is OutboxState.STABLE]
        return may_send(taken, UNANSWERED_SECONDS, self._node.now())

    def _too_much(self, amount: int, left: int) -> Refusal:
        return Refusal(
            RefusalCode.ABOVE_DEPOSIT,
            f"cannot pay {amount}: the channel has {max(0, left)} left and a deposit adds"
            f" {self._refill.deposit_amount}; use a larger deposit_amount",
        )

    def _obstacle(self, refusal: Refusal) -> str:
        """What keeps the channel from being usable, in words."""
        with self._store.reading() as books:
            rows = [row for row in books.outbox.unfinished() if row.aa_address == self._aa_address]
        for row in rows:
            if row.last_error is not None:
                return f"{row.kind.value} fails ({row.last_error}); the wallet's address is {self.address}"
        return str(refusal)
