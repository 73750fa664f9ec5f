"""What happens to a request for a payable resource: free, asked to pay, answered again, or run and paid for.

No framework and no I/O of its own: the payment methods and the books that are handed in do that, each in calls that
are over when they return. Nothing is locked while a view runs.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from http import HTTPStatus

from paypercall import wire
from paypercall.call_book import CallBook
from paypercall.errors import PaypercallError, Refusal
from paypercall.heartbeat import Heartbeat
from paypercall.methods.base import Order, PaymentMethod
from paypercall.paid_call import (
    RUN_SECONDS,
    Attempt,
    CallConflict,
    PaidCall,
    PaidCallState,
    PaymentInProgress,
    PaymentRefused,
    answer,
    free,
    give_back,
    release,
)
from paypercall.paywall.answer import Answer, Ending, Pairs, problem, refused, unavailable, value_of
from paypercall.paywall.caching import cache_headers
from paypercall.paywall.finding import FoundPayment, find_payment, require_distinct
from paypercall.paywall.price import Price, PriceTag
from paypercall.paywall.refund_in_body import is_json, with_refund, with_refund_in_body
from paypercall.paywall.refunds import RefundPolicy, checked
from paypercall.paywall.request import Request
from paypercall.paywall.running import Running
from paypercall.store import StoredAnswer

logger = logging.getLogger(__name__)

FREE_METHODS = frozenset({"HEAD", "OPTIONS"})
"""Requests that are never charged: a CORS preflight, and a look at the terms. They do not reach a payable view: its
headers alone, such as a `Location`, may be what others pay for, and to run it is work."""

MONEY_HEADERS = frozenset({wire.PACKAGE.lower(), wire.RECEIPT.lower()})
"""What only the paywall says, and not a view that passes on what it bought elsewhere."""

_NOT_KEPT = MONEY_HEADERS | {"connection", "content-length", "date", "server", "transfer-encoding"}
"""Headers that belong to one connection or moment, or are said anew."""


class Paywall:
    """Takes payments for requests. Safe to use from many threads and processes.

    Args:
        calls: Where the payments for requests are booked.
        methods: The ways to pay; a 402 names them in this order.
        refunds: Which answers are refunded, by their status; by default all from 400 on.

    Raises:
        WrongUse: When `refunds` is no function, or async; or when two methods have a name or a header in common.
    """

    def __init__(
        self, calls: CallBook, methods: Sequence[PaymentMethod], refunds: RefundPolicy | None = None
    ) -> None:
        self._calls = calls
        self._methods = tuple(methods)
        require_distinct(self._methods)
        self._payment_headers = tuple(name for method in self._methods for name in method.payment_headers)
        self._unpayable: set[str] = set()
        self._refunds = checked(refunds)
        self._heartbeat = Heartbeat(calls.keep_running, RUN_SECONDS / 3)

    # --- before the view ---------------------------------------------------------------------------------------------

    def has_payment_header(self, request: Request) -> bool:
        """Whether a header carries a payment, so that the body is part of what is paid for."""
        return any(request.headers.get(name) is not None for name in self._payment_headers)

    def needs_body(self, request: Request, tag: PriceTag | None = None) -> bool:
        """Whether the body must be read before `begin`: it is paid for, or may hold the payment.

        Args:
            request: The request.
            tag: The price, before it is asked for: a function may take a part of a form or JSON.
        """
        if self.has_payment_header(request) or request.has_payment_in_query or request.may_hold_package:
            return True
        return tag is not None and not tag.is_fixed and (request.has_form or request.has_json)

    def look(self, tag: PriceTag) -> Answer:
        """The answer to a request of `FREE_METHODS` for what is not free for everybody: nothing but the terms."""
        terms = {} if tag.fixed is None else self._terms(tag.fixed)
        return Answer(HTTPStatus.OK, (("Cache-Control", "no-store"), *terms.items()), b"")

    def price_of_free(self, request: Request, tag: PriceTag) -> Price | None:
        """The price at which a free request goes through the paywall; None if its view is to be run without.

        A payment for what is free is not overlooked, or its payer's books would differ from ours: it is taken at the
        price 0, so that all of it goes back with the answer. One that cannot be given back is not looked at, and so
        not collected: it stays good for whatever it was good for.

        Args:
            request: The request, whose body may be missing.
            tag: What the resource costs, if not this request.
        """
        names = (name for method in self._methods if method.can_refund for name in method.payment_headers)
        is_paid = any(request.headers.get(name) is not None for name in names)
        return Price(0, tag.asset) if is_paid and request.method not in FREE_METHODS else None

    def begin(self, request: Request, price: Price) -> Answer | Running:
        """Decides what happens to a request that costs something, or is paid for though it does not.

        Returns:
            The answer to give instead of the view's; or the running payment, and then the view is to be run and
            `finish` to be called with what it answered, or `abandon` if it does not come to that.
        """
        try:
            found = find_payment(self._methods, request)
        except PaymentRefused as error:
            return refused(error, {})
        if found is None:
            return self._payment_required(price)
        method, is_in_body = found.method, found.is_in_body
        try:
            call = self._redeem(found, request, price.amount, price.asset)
        except (Refusal, PaymentRefused, CallConflict) as error:
            return refused(error, self._terms(price))
        except PaypercallError as error:
            return _not_for_now(error)
        if call.is_over:
            return self._answer_again(call, method, price, is_in_body=is_in_body)
        # What cannot be given back was agreed, whatever this costs by now, and in which asset.
        agreed = price.amount if method.can_refund else call.amount
        running = Running(call, method, agreed, was_paid_in_body=is_in_body)
        # An adapter that drops it without an end must not keep the next attempt from running.
        self._heartbeat.add(call, owner=running)
        return running

    def answer_without_price(
        self, request: Request, tag: PriceTag, error: Exception | None = None
    ) -> Answer | None:
        """The answer to a request that was paid for before, and whose price cannot be told any more, or is nothing.

        What was answered or refunded is answered again, what is being answered is not yet, and what a worker has left
        behind is given back. Nothing is taken.

        Args:
            request: The request, with its body.
            tag: The price that was asked for.
            error: How that failed; None where it says that the request is free.

        Returns:
            The answer; or None if no payment was taken for this request: then it goes on as one without.
        """
        try:
            found = find_payment(self._methods, request)
            if found is None:
                return None
            call = self._redeem(found, request, None, tag.asset)
        except PaymentInProgress as conflict:
            return refused(conflict, {})
        except (Refusal, PaymentRefused, CallConflict):
            return None
        except PaypercallError as failure:
            return _not_for_now(failure)
        if error is not None:
            logger.warning("payment %s is answered from the books: its price failed", call.id, exc_info=error)
        return self._answer_again(call, found.method, None, is_in_body=found.is_in_body)

    def _redeem(self, found: FoundPayment, request: Request, price: int | None, asset: str) -> PaidCall:
        method = found.method
        # What can be given back needs no price that was agreed before.
        digest = request.digest() if method.can_refund else request.digest_with_headers()
        attempt = Attempt(digest, os.urandom(16).hex(), price, asset, int(time.time()))
        order = Order(attempt, self._calls, method.name, method.can_refund)
        try:
            return method.redeem_payment(found.payment, order)
        except PaymentInProgress:
            # Perhaps it was answered a moment ago, and that is not in the books yet.
            self._calls.catch_up()
            return method.redeem_payment(found.payment, order)

    def _terms(self, price: Price) -> dict[str, str]:
        """How to pay; nothing for what is free."""
        if not price.amount:
            return {}
        terms: dict[str, str] = {}
        names = []
        for method in self._methods:
            headers = method.get_402_headers(price.amount, price.asset)
            if headers:
                terms |= headers
                names.append(method.name)
        if not names and price.asset not in self._unpayable:
            self._unpayable.add(price.asset)
            logger.error("no method takes %d of %s: what costs that cannot be paid for", *astuple(price))
        return {**terms, wire.METHODS: ", ".join(names)}

    def _payment_required(self, price: Price) -> Answer:
        return problem(
            HTTPStatus.PAYMENT_REQUIRED,
            "payment_required",
            f"this costs {price.amount} {'bytes' if price.asset == 'base' else 'of ' + price.asset}",
            self._terms(price).items(),
            price=price.amount,
            asset=price.asset,
        )

    def _answer_again(
        self, call: PaidCall, method: PaymentMethod, price: Price | None, *, is_in_body: bool
    ) -> Answer:
        again = self._answer_of(call, method, price)
        return with_refund_in_body(again) if is_in_body else again

    def _answer_of(self, call: PaidCall, method: PaymentMethod, price: Price | None) -> Answer:
        told = price.amount if price is not None and price.asset == call.asset else None
        headers = self._money_headers(call, method, told)
        kept = self._calls.answer(call)
        if kept is not None:
            return Answer(kept.status, (*kept.headers, *headers), kept.body, is_given_again=True)
        if call.state is PaidCallState.ANSWERED:
            return problem(
                HTTPStatus.CONFLICT,
                "answer_not_kept",
                "this payment was used for this request, whose answer is not kept any more",
                headers,
            )
        if price is None or not price.amount:
            detail = "this payment was refunded; ask again without one"
            return problem(HTTPStatus.CONFLICT, "refunded", detail, headers)
        terms = self._terms(price)
        if told is not None and call.amount < told:
            code, detail = (
                "underpaid",
                f"the payment is {call.amount}, the price {told}; it is refunded",
            )
        else:
            code, detail = "refunded", "this payment was refunded; pay again"
        return problem(HTTPStatus.PAYMENT_REQUIRED, code, detail, (*terms.items(), *headers))

    @property
    def largest_kept(self) -> int:
        """Bytes of the largest body that is kept, to be given again."""
        return self._calls.largest_kept

    # --- after the view ----------------------------------------------------------------------------------------------

    def finish(
        self,
        running: Running,
        status: int,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
    ) -> Ending:
        """Ends a paid request with what its view answered, before that is sent.

        Args:
            running: As `begin` gave it.
            status: Of the view's answer; 500 for an exception.
            headers: Of the view's answer.
            body: Of the view's answer, or None for a stream, which is neither kept nor changed.

        Returns:
            What to add to the answer: receipt, refund.
        """
        ending = self.finish_or_defer(running, status, headers, body)
        return ending if isinstance(ending, Ending) else ending()

    def finish_or_defer(
        self,
        running: Running,
        status: int,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
    ) -> Ending | Callable[[], Ending]:
        """Like `finish`, for an event loop: where the books must be waited for, it returns what does so in a thread."""
        self._heartbeat.remove(running.call)
        if not running.end():
            return lambda: self._instead(running)
        pairs = [pair for pair in headers if pair[0].lower() not in _NOT_KEPT]
        call = self._end_of(running, status)
        caching = cache_headers(pairs, has_refund=call.refund > 0)
        kept = None
        if call.is_over and body is not None:
            replaced = {name.lower() for name, _ in caching}
            others = [pair for pair in pairs if pair[0].lower() not in replaced]
            kept = StoredAnswer(status, (*others, *caching), body)
        in_body = body if running.was_paid_in_body and is_json(value_of("content-type", pairs)) else None
        if kept is not None and self._calls.finish_soon(call, kept):
            return self._ending(running, call, caching, in_body)

        def finish_now() -> Ending:
            if self._calls.finish(call, kept):
                return self._ending(running, call, caching, in_body)
            return self._instead(running)

        return finish_now

    def _ending(self, running: Running, call: PaidCall, caching: Pairs, body: bytes | None) -> Ending:
        running.call = call
        money = self._money_headers(call, running.method, running.price)
        changed = None if body is None else with_refund(body, dict(money).get(wire.PACKAGE))
        return Ending((*money, *caching), changed)

    def _instead(self, running: Running) -> Ending:
        """What a run says that was lost: its answer would be for nothing if the payment is refunded by another."""
        logger.warning("payment %s: another worker has taken over, or it has ended", running.payment_id)
        call = self._calls.find(running.call)
        if call is None or not call.is_over:
            return Ending((), instead=refused(PaymentInProgress("ask again, with the same payment"), {}))
        price = Price(running.price, running.asset)
        again = self._answer_again(call, running.method, price, is_in_body=running.was_paid_in_body)
        return Ending((), instead=again)

    def fail(self, running: Running, status: int) -> None:
        """Refunds a request whose view raised what stands for a status, whatever the host's error handler answers."""
        if self._refunds(status):
            running.refund()

    def break_off(self, running: Running) -> None:
        """Refunds a stream whose view failed in the middle, as the policy has it for the status 500.

        Only for what the view itself raised while it made a part: a client that hangs up before the last part must
        never get its money back. The beginning is sent, so that the refund comes with the answer to the same payment,
        sent again; it is signed now, so that it is also settled with a payer who never asks. A worker that dies in the
        middle changes nothing.
        """
        if running.call.state is not PaidCallState.ANSWERED or not self._refunds(
            HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            return
        logger.warning("payment %s: its view failed in the middle of a stream", running.payment_id)
        call = self._calls.break_off(running.call, can_refund=running.method.can_refund)
        if call is not None:
            self._money_headers(call, running.method, running.price)

    def abandon(self, running: Running) -> None:
        """Ends a paid request without an answer, as when its client has gone: the same payment runs it anew."""
        self._heartbeat.remove(running.call)
        running.end()  # whoever else would end it comes too late
        if running.call.is_over:
            return
        assert running.call.run is not None
        self._calls.finish(release(running.call, running.call.run), None)

    def _end_of(self, running: Running, status: int) -> PaidCall:
        call, run = running.call, running.call.run
        assert run is not None
        is_unpaid = self._refunds(status) or 0 < running.price <= running.refund_asked
        if not running.method.can_refund:
            return free(call, run) if is_unpaid else answer(call, run, 0)
        if is_unpaid:
            return give_back(call, run)
        return answer(call, run, call.amount - running.price + running.refund_asked)

    def _money_headers(self, call: PaidCall, method: PaymentMethod, price: int | None) -> Pairs:
        """The receipt and, if something goes back, what carries it, and the price, if it is in the payment's asset."""
        if not call.is_over:
            receipt = wire.decode_receipt(call.receipt)
            return ((wire.RECEIPT, wire.encode_receipt({**receipt, "used": False})),)
        if not call.refund:
            return ((wire.RECEIPT, call.receipt),)
        receipt = wire.decode_receipt(call.receipt)
        told = {} if price is None else {"price": price}
        headers: list[tuple[str, str]] = [
            (wire.RECEIPT, wire.encode_receipt({**receipt, **told, "refund": call.refund}))
        ]
        try:
            headers.extend(method.give_back(call).items())
        except PaypercallError as error:
            # The receipt says what is owed; the same payment, sent again, asks for it again.
            logger.warning("the refund of payment %s waits: %s (%s)", call.id, error, error.code)
        return tuple(headers)


def _not_for_now(error: PaypercallError) -> Answer:
    logger.error("a payment could not be taken: %s (%s)", error, error.code)
    why = str(error) if error.is_for_payer else "payments cannot be taken for now"
    return unavailable(error.code, f"{why}; try again with the same payment")
