"""The merchant's side: verify the packages that customers send, refund them, settle. Thin; see `party.py`."""

from __future__ import annotations

import time
from typing import Any

from paypercall.arguments import check_aa_address, check_amount, check_idempotency_key
from paypercall.assets import require_usable_asset
from paypercall.balances import balance_of, balances_of_all
from paypercall.calls import counted
from paypercall.channel import Channel, Status
from paypercall.conf import Conf
from paypercall.contract import ChannelParameters
from paypercall.errors import PaypercallError, Refusal, RefusalCode
from paypercall.funds import POSTING_SECONDS
from paypercall.obyte.wallet import Wallet
from paypercall.package import AnnouncedChannel, PaymentPackage
from paypercall.party import AlsoBook, Party
from paypercall.results import ChannelBalance, Payment
from paypercall.settlement.discovery import MAX_ANNOUNCED, MAX_ANNOUNCED_BY_CUSTOMER
from paypercall.store import Store
from paypercall.sweeping import cost_of_sweep, require_paid_close
from paypercall.waiting import Waiting

LEDGER_SECONDS = 15.0
"""How long a package may wait for what the ledger is about to show: its deposit, the end of the last period."""

LONGEST_SWEEPING_PERIOD = 100 * 365 * 24 * 3600
"""Seconds: a hundred years."""

MAX_WAITING = 8
"""Packages of known channels that wait at a time in a process; more would take the host's threads."""

MAX_UNKNOWN_WAITING = 2
"""Packages of unknown channels that do. Announcing costs nothing, so more would take all threads of a host with few.
What is sent again finds its channel, which is watched for meanwhile."""

_WHAT_IS_SHOWN_SOON = "what the ledger is about to show"

_MAY_PASS_SOON = frozenset(
    {
        RefusalCode.ABOVE_DEPOSIT.value,
        RefusalCode.DEPOSIT_TOO_YOUNG.value,
        RefusalCode.EVENTS_MISSING.value,
        RefusalCode.LEDGER_UNREACHABLE.value,
    }
)
"""An honest customer never signs more than it has posted: what is missing is about to be seen."""

_MAY_PASS_IN_NEXT_PERIOD = frozenset({RefusalCode.CHANNEL_CLOSING.value, RefusalCode.WRONG_PERIOD.value})


class Server(Party):
    """Takes payments over any number of channels.

    Safe to use from many threads and, with one database, from many processes.

    Args:
        max_sweeping_period: Seconds after which an open channel is swept: closed, so that its payments are settled.
            Kept in the books, for whichever process settles: of several servers, the one made last counts.
        wallet: The wallet; by default the one of the conf's keys and hub.
        conf: The settings; by default those of the host's project.
        ledger_timeout: Seconds that a package may wait for what the ledger is about to show, such as its deposit.
        store: The books; by default those of the conf. Books that are handed in are left open.
    """

    def __init__(
        self,
        max_sweeping_period: int = 7 * 24 * 3600,
        *,
        wallet: Wallet | None = None,
        conf: Conf | None = None,
        ledger_timeout: float = LEDGER_SECONDS,
        store: Store | None = None,
    ) -> None:
        if type(max_sweeping_period) is not int or not 0 < max_sweeping_period <= LONGEST_SWEEPING_PERIOD:
            raise ValueError(
                f"max_sweeping_period must be a positive integer of seconds, at most {LONGEST_SWEEPING_PERIOD}"
            )
        super().__init__(conf, wallet, store)
        self._keep_sweeping_period(max_sweeping_period)
        self._ledger_timeout = ledger_timeout
        self._waiting = Waiting(_WHAT_IS_SHOWN_SOON, MAX_WAITING)
        self._unknown_waiting = Waiting(_WHAT_IS_SHOWN_SOON, MAX_UNKNOWN_WAITING)

    def _keep_sweeping_period(self, seconds: int) -> None:
        try:
            with self._store.transaction() as books:
                books.node.set_max_sweeping_period(seconds)
        except BaseException:
            self.close_node()
            raise

    @counted
    def create_payment_package(
        self, amount: int, aa_address: str, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Creates a package that pays the customer of a channel, e.g. a refund.

        The first one after the start waits until this node has seen the ledger, at most `ledger_timeout`.

        Args:
            amount: In bytes or units of the channel's asset.
            aa_address: The channel, as in `Payment.aa_address`.
            idempotency_key: The same key gives the same package again.

        Raises:
            Refusal: When the channel cannot be used or does not hold the amount.
            IdempotencyConflict: When the key was used for another amount.
            ChannelTimeout: When the ledger was not seen in time.
            WrongIdempotencyKey: When the key is no text that can be kept.
        """
        check_amount(amount)
        check_idempotency_key(idempotency_key)
        self._wait_for_look(self._ledger_timeout)
        return self._create(amount, aa_address, idempotency_key)

    createPaymentPackage = create_payment_package

    @counted
    def sweep(self, aa_address: str, timeout: float = POSTING_SECONDS) -> None:
        """Settles a channel's period; the customer may open the next one.

        Args:
            aa_address: The channel.
            timeout: Seconds to wait until the closing unit is posted.

        Raises:
            Refusal: When there is nothing to close.
            ChannelTimeout: When the unit is not posted yet; it will be.
        """
        self._close(aa_address, timeout)

    @counted
    def close(self, aa_address: str, timeout: float = POSTING_SECONDS) -> None:
        """Closes a channel. For a merchant that is the same as `sweep`: only the customer can open it again."""
        self._close(aa_address, timeout)

    @counted
    def close_for_customer(self, aa_address: str, timeout: float = POSTING_SECONDS) -> None:
        """Closes a channel because its customer asks for it, if enough is owed; see `close`.

        Raises:
            Refusal: With `uneconomic`, when it is less than a multiple of what a close costs.
        """

        def require(channel: Channel) -> None:
            asset = channel.parameters.asset
            require_paid_close(channel, cost_of_sweep(asset, self._conf.cost_of_sweep_by_asset))

        # Asked where it is decided: a refund that is signed at the same time counts.
        self._close(aa_address, timeout, require=require)

    @counted
    def channels(self, status: Status | None = None) -> list[ChannelBalance]:
        """All channels, or those of one status."""
        with self._store.reading() as books:
            return balances_of_all(books, self.address, status)

    @counted
    def channel(self, aa_address: str) -> ChannelBalance | None:
        """Where a channel stands, or None if it is not in the books."""
        check_aa_address(aa_address)
        with self._store.reading() as books:
            record = books.channels.get(aa_address)
            return None if record is None else balance_of(books, record)

    @counted
    def announce(self, announced: AnnouncedChannel) -> str:
        """Starts watching for a channel before its first package comes, so that this need not wait for the ledger.

        Args:
            announced: Its parameters.

        Returns:
            Its address.

        Raises:
            Refusal: When the channel would not be acceptable.
        """
        parameters = announced.parameters(payee=self.address)
        if self.channel(parameters.aa_address) is None:
            self._node.start()
            self._announce(parameters)
        return parameters.aa_address

    @counted
    def receive_payment(self, package: object, asset: str | None, also_book: AlsoBook) -> Payment:
        """Like `verify_payment_package`; what `also_book` books is kept or lost together with the payment.

        Args:
            package: A dict, or JSON as str or bytes.
            asset: If given, a payment in any other asset is refused.
            also_book: Also called for a package that was accepted before.
        """
        return self._parse_and_verify(package, asset, None, also_book)

    def _verify(
        self,
        package: PaymentPackage,
        asset: str | None,
        min_amount: int | None,
        also_book: AlsoBook | None = None,
    ) -> Payment:
        """Verifies a package; one that the ledger may help soon waits for it."""
        payment = super()._verify(package, asset, min_amount, also_book)
        if not self._may_pass_soon(payment, package):
            return payment
        waiting = self._waiting
        if payment.code == RefusalCode.UNKNOWN_CHANNEL.value:
            try:
                self._watch(package)
            except PaypercallError as error:
                return _refused(package, error)
            waiting = self._unknown_waiting
        try:
            with waiting.turn():
                deadline = time.monotonic() + self._ledger_timeout
                while (
                    self._may_pass_soon(payment, package) and (remaining := deadline - time.monotonic()) > 0
                ):
                    self._calls.require_open()
                    self._node.wait_for_change(remaining)
                    payment = super()._verify(package, asset, min_amount, also_book)
                return payment
        except Refusal as refusal:
            return _refused(package, refusal)

    def _may_pass_soon(self, payment: Payment, package: PaymentPackage) -> bool:
        """Whether the ledger is about to show what the package builds on."""
        if payment.code is None or payment.code in _MAY_PASS_SOON:
            return payment.code is not None
        if payment.code == RefusalCode.UNKNOWN_CHANNEL.value:
            return package.announced is not None
        with self._store.reading() as books:
            record = books.channels.get(package.aa_address)
        if record is None:
            return False
        if payment.code in _MAY_PASS_IN_NEXT_PERIOD:
            return package.period == record.channel.period + 1
        is_new = record.channel.last_event_id == 0
        return is_new and payment.code == RefusalCode.ABOVE_UNCONFIRMED_LIMITS.value

    def _watch(self, package: PaymentPackage) -> None:
        """Starts watching the agent that a package announces, which is no part of the books.

        Raises:
            Refusal: When the channel would not be acceptable.
        """
        announced = package.announced
        assert announced is not None
        if announced.customer == self.address:
            raise Refusal(RefusalCode.WRONG_PARAMETERS, "the channel's customer is this node itself")
        parameters = announced.parameters(payee=self.address)
        if package.signer != announced.customer:
            raise Refusal(
                RefusalCode.WRONG_SIGNER, "the package is not signed by the customer that it announces"
            )
        if parameters.aa_address != package.aa_address:
            raise Refusal(
                RefusalCode.WRONG_PARAMETERS,
                "channel_parameters and this node's address do not give the aa_address",
            )
        self._announce(parameters)

    def _announce(self, parameters: ChannelParameters) -> None:
        """Puts a channel that would be acceptable on the list of those that are watched for."""
        least, most = self._conf.min_channel_timeout_in_seconds, self._conf.max_channel_timeout_in_seconds
        if not least <= parameters.timeout <= most:
            raise Refusal(
                RefusalCode.WRONG_TIMEOUT, f"the channel's timeout must be from {least} to {most} seconds"
            )
        if parameters.asset not in self._conf.accepted_assets:
            raise Refusal(RefusalCode.WRONG_ASSET, "this node does not accept the channel's asset")
        require_usable_asset(parameters.asset, self.wallet.light)
        with self._store.transaction() as books:
            books.announced.add(
                parameters,
                self._node.now(),
                limit=MAX_ANNOUNCED,
                limit_by_customer=MAX_ANNOUNCED_BY_CUSTOMER,
            )
        self._node.wake()


def _refused(package: PaymentPackage, error: PaypercallError) -> Payment:
    return Payment(aa_address=package.aa_address, period=package.period, error=str(error), code=error.code)
