"""The merchant's side of paid requests without any framework or transport: terms, channels, payments for requests.

Every transport (the HTTP endpoint is one) is a thin layer on it. It holds no rule about money.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from paypercall.call_book import (
    AnswerLimits,
    CallBook,
    call_of,
    claim_known,
    claim_published,
    keep,
    take,
)
from paypercall.channel import Channel, Status
from paypercall.close_request import check_close_request
from paypercall.contract import BASE_AGENTS
from paypercall.errors import Refusal, RefusalCode
from paypercall.funds import POSTING_SECONDS
from paypercall.obyte.wallet import Wallet
from paypercall.package import parse_announcement, parse_package
from paypercall.paid_call import (
    Attempt,
    PaidCall,
    PaymentRefused,
    PaymentUsed,
    PriceUnknown,
    package_published,
)
from paypercall.payment_token import PURPOSE, hash_of, token_for
from paypercall.publication import is_published
from paypercall.results import ChannelBalance, IdempotencyConflict, Payment
from paypercall.server import Server
from paypercall.settlement.node import wall_clock
from paypercall.store import Books
from paypercall.terms import Terms, UnconfirmedTerms

CHANNEL = "channel"
"""The name of the payment method that pays over channels."""

_REFUND_KEY = "paypercall: refund of payment"
"""Begins the idempotency keys of refunds, which no host's own key may meet."""


@dataclass(frozen=True, slots=True)
class Prepayment:
    """A payment for a request that comes later.

    Attributes:
        token: Stands for the payment in one request: as good as money, not to be logged.
        receipt: What the payer is told of the payment, as JSON.
    """

    token: str = field(repr=False)
    receipt: str = field(repr=False)


class PaymentServer:
    """Takes payments for requests, over channels.

    Safe to use from many threads and, with one database, from many processes.

    Args:
        server: The server or, to make one with the conf's settings, its wallet or nothing.
        answers: How answers are kept, to be given again.
    """

    def __init__(self, server: Server | Wallet | None = None, *, answers: AnswerLimits | None = None) -> None:
        self.server = server if isinstance(server, Server) else Server(wallet=server)
        self.calls = CallBook(self.server.store, answers)

    def identify(self) -> Terms:
        """The merchant's terms."""
        conf = self.server.conf
        return Terms(
            address=self.server.address,
            network=conf.network_constants().version,
            agent_versions=tuple(sorted(BASE_AGENTS, key=_version_order, reverse=True)),
            min_timeout=conf.min_channel_timeout_in_seconds,
            max_timeout=conf.max_channel_timeout_in_seconds,
            assets=conf.accepted_assets,
            unconfirmed={
                asset: UnconfirmedTerms(
                    limits.max_unconfirmed_by_channel,
                    limits.max_unconfirmed_by_asset,
                    limits.minimum_time_in_seconds,
                )
                for asset, limits in conf.unconfirmed_amounts_limits_by_asset_or_channel.items()
            },
        )

    def open(self, channel_parameters: object) -> str:
        """Starts watching for a channel that a customer announces.

        Args:
            channel_parameters: `{address, asset, salt, timeout, version}`, as in a payment package.

        Returns:
            The channel's address.

        Raises:
            Refusal: When the channel would not be acceptable.
        """
        return self.server.announce(parse_announcement(channel_parameters))

    def receive_payment(self, package: object) -> Prepayment:
        """Accepts a payment for a request that comes later; the same package gives the same token.

        Raises:
            PaymentRefused: When it is not accepted.
            PaymentUsed: When it was used without a token.
            PackagePublished: When its period ends, so that anybody can send it: the token may be for its payer only.
        """
        tokens: list[str] = []

        def book(books: Books, channel: Channel, payment: Payment) -> PaidCall:
            tokens.append(self._token_for(books, payment))
            token_hash = hash_of(tokens[-1])
            known = _known_call(books, payment)
            if known is None:
                now = wall_clock()
                return keep(books, replace(_call_of(payment, channel, now), token_hash=token_hash), now)
            if payment.is_published:
                raise package_published()
            if known.token_hash is None:
                raise PaymentUsed("this payment was used for a request already; it needs no token")
            if known.token_hash != token_hash:
                # An older version has drawn the token by lot. Only its hash is left, so this one takes its place.
                books.paid_calls.save_token_hash(known, token_hash)
            return known

        call = self._receive(package, None, book)
        return Prepayment(tokens[-1], call.receipt)

    def _token_for(self, books: Books, payment: Payment) -> str:
        assert payment.aa_address is not None
        assert payment.period is not None
        assert payment.amount_spent is not None
        accepted = books.payments.find(payment.aa_address, payment.period, payment.amount_spent)
        assert accepted is not None, "it was accepted before, or in this transaction"
        return token_for(self.server.wallet.key.secret_for(PURPOSE), accepted.digest)

    def redeem(self, payment: object, attempt: Attempt) -> PaidCall:
        """Uses a payment for a request.

        Args:
            payment: A package (a dict, or JSON as str or bytes).
            attempt: Which request is answered, what it costs, and who is at it. Where nobody can tell what it costs,
                no payment is accepted, and the ledger not waited for.

        Returns:
            The call. It is running, and the request to be answered; or it is over, and to be answered as before.

        Raises:
            PaymentRefused: When the payment is not accepted.
            CallConflict: When it cannot be used for this request.
            Refusal: When it cannot be read, and nobody can tell the price.
        """
        if attempt.price is None:
            return self._find_again(payment, attempt)

        def book(books: Books, channel: Channel, accepted: Payment) -> PaidCall:
            known = _known_call(books, accepted)
            if known is None:
                return take(books, _call_of(accepted, channel, attempt.now), attempt)
            if accepted.is_published:
                return claim_published(books, known, attempt)
            return claim_known(books, known, attempt)

        return self._receive(payment, attempt.asset, book)

    def _find_again(self, package: object, attempt: Attempt) -> PaidCall:
        parsed = parse_package(package, network_version=self.server.conf.network_constants().version)
        with self.server.store.transaction() as books:
            record = books.channels.lock(parsed.aa_address)
            first = books.payments.find(parsed.aa_address, parsed.period, parsed.amount_spent)
            known = None
            if first is not None and first.digest == parsed.digest:
                known = books.paid_calls.lock(CHANNEL, str(first.id))
            if known is None or record is None:
                raise PriceUnknown("nobody can tell what this request costs; the payment is not in the books")
            if is_published(books, record.channel, parsed):
                return claim_published(books, known, attempt)
            return claim_known(books, known, attempt)

    def redeem_token(self, token: object, attempt: Attempt) -> PaidCall:
        """Uses the payment that a token stands for, for a request; see `redeem`.

        Args:
            token: As it came; what is no text is no token.
            attempt: Which request is answered, what it costs, and who is at it.

        Raises:
            PaymentRefused: With `unknown_token`.
            CallConflict: When it cannot be used for this request.
        """
        call = self.calls.redeem_token(attempt, token) if isinstance(token, str) else None
        if call is None:
            raise PaymentRefused("there is no payment with this token", code="unknown_token")
        return call

    def refund(self, call: PaidCall) -> dict[str, Any] | None:
        """The package that gives back what a call's payer gets back, always the same one; None if that is nothing.

        Where a part went back with the beginning of an answer that broke off, it gives back the rest.

        Raises:
            Refusal: When the channel does not allow it now: it is closing, for example. Ask again later.
            ChannelTimeout: When the ledger was not seen in time after the start.
        """
        if not call.refund:
            return None
        assert call.aa_address is not None
        key = f"{_REFUND_KEY} {call.payment}"
        try:
            return self.server.create_payment_package(call.refund, call.aa_address, key)
        except IdempotencyConflict:
            with self.server.store.reading() as books:
                part = books.payments.sent(call.aa_address, key)
            if part is None or part.amount > call.refund:
                raise  # it broke off after the call was read: who asks again gets all of it
            rest = call.refund - part.amount
            return self.server.create_payment_package(rest, call.aa_address, f"{key}, rest")

    def status(self, aa_address: str) -> ChannelBalance:
        """Where a channel stands.

        Raises:
            Refusal: With `unknown_channel`.
        """
        balance = self.server.channel(aa_address)
        if balance is None:
            raise Refusal(RefusalCode.UNKNOWN_CHANNEL, "there is no such channel in the books")
        return balance

    def close(self, aa_address: str, signature: str, timeout: float = POSTING_SECONDS) -> None:
        """Closes a channel for its customer, who can do so on the ledger, too.

        Args:
            aa_address: The channel.
            signature: As `close_request.sign_close_request` makes it.
            timeout: Seconds to wait until the closing unit is posted.

        Raises:
            Refusal: When the signature is not the customer's for this period; when there is nothing to close; or, with
                `uneconomic`, when less is owed than ten times what it costs: the customer may close it.
            ChannelTimeout: When the unit is not posted yet; it will be.
        """
        balance = self.status(aa_address)
        check_close_request(signature, aa_address, balance.period, balance.peer_address)
        if balance.status is Status.CLOSING or balance.is_frozen:
            return
        self.server.close_for_customer(aa_address, timeout)

    def sync(self, timeout: float = POSTING_SECONDS) -> None:
        """Looks at the ledger now, and settles what is due there, as the server's node does by itself all the time.

        Raises:
            ChannelTimeout: When the ledger was not seen in time.
        """
        self.server.look_at_ledger(timeout)

    def _receive(
        self, package: object, asset: str | None, book: Callable[[Books, Channel, Payment], PaidCall]
    ) -> PaidCall:
        calls: list[PaidCall] = []
        payment = self.server.receive_payment(
            package, asset, lambda books, channel, accepted: calls.append(book(books, channel, accepted))
        )
        if payment.error is not None and payment.first is None:
            raise PaymentRefused(payment.error, code=payment.code)
        return calls[-1]


def _known_call(books: Books, payment: Payment) -> PaidCall | None:
    """The call that a payment was used for, or None if it was accepted in this transaction.

    Raises:
        PaymentUsed: When it was accepted before, but not for a paid call.
    """
    if payment.first is None:
        return None
    known = books.paid_calls.lock(CHANNEL, str(payment.first.payment_id))
    if known is None:
        raise PaymentUsed("this payment was accepted before, for something else")
    return known


def _call_of(payment: Payment, channel: Channel, now: int) -> PaidCall:
    """An accepted payment as a call, whose receipt tells of the channel after it."""
    assert payment.asset is not None
    return call_of(
        CHANNEL,
        str(payment.payment_id),
        payment.amount,
        payment.asset,
        now,
        payment.aa_address,
        {
            "accepted": channel.accepted_from_peer,
            "credit": channel.credit,
            "remaining": max(0, channel.deposited_by_peer + channel.signed_by_me - channel.signed_by_peer),
        },
    )


def _version_order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
