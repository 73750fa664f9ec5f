"""Pays for calls: reserves in the budget, has the package made, books what comes back. No transport.

Each method is a few short transactions, and blocks; the order of the steps is `exchange.py`'s. A reservation is durable
before anything is signed, and the package before it is handed out.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

from paypercall.bought_call import (
    LEASE_SECONDS,
    REFUND_SECONDS,
    RESUME_SECONDS,
    BoughtCall,
    BoughtCallState,
    Spending,
    end,
    give_up,
    is_left,
    let_go,
    put_aside,
    resume,
    unheeded,
    unsent,
)
from paypercall.channel import Status
from paypercall.client import Client
from paypercall.errors import PaypercallError
from paypercall.events import Event, EventKind
from paypercall.heartbeat import Heartbeat
from paypercall.paying.budget import (
    DAY,
    HOUR,
    Budget,
    PaymentDeclined,
    Wish,
    WrongBudget,
    check_patience,
    may_pay_at,
    require_allowed,
    require_within,
)
from paypercall.paying.call import Call, Head
from paypercall.paying.offer import Offer, Quote
from paypercall.paying.prices import Prices, require_payable
from paypercall.paying.purchase import Purchase, Verdict, weigh
from paypercall.settlement.node import wall_clock
from paypercall.store import Store

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""How long a call goes on sending its payment, by the clock."""

_BEAT_SECONDS = 2.0

ClientFactory = Callable[[str, str], Client]
"""Makes the client for a payee and an asset."""


class RefundMissing(PaypercallError):
    """What a merchant had to give back did not come, or was none; the answer is in `response`.

    Attributes:
        response: The HTTP library's answer.
    """

    code = "refund_missing"

    def __init__(self, message: str, response: Any = None) -> None:
        super().__init__(message)
        self.response = response


class Payer:
    """Pays for calls within budgets; `prices` is what is known of what they cost.

    Safe to use from many threads, and with one database from many processes.

    Args:
        client: Pays its payee; the budget may allow others.
        budget: What may be spent; several, one for each asset.
        clients: Makes the clients of other payees and assets; by default each is like `client`, with the same deposits.
        strict: Whether a refund that is missing or wrong raises `RefundMissing`; it is told as an event in any case.
        patience: Seconds after which a call does not send its payment again, whoever says: later.

    Raises:
        WrongBudget: When there are two budgets in an asset, or the patience makes no sense.
    """

    def __init__(
        self,
        client: Client,
        budget: Budget | Iterable[Budget],
        *,
        clients: ClientFactory | None = None,
        strict: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        check_patience(patience)
        budgets = [budget] if isinstance(budget, Budget) else list(budget)
        self.patience = patience
        self._budgets = {each.asset: each for each in budgets}
        if len(self._budgets) != len(budgets):
            raise WrongBudget("each asset has one budget")
        self._client = client
        self._make_client = clients or client.for_payee
        self._clients = {(client.peer_address, client.asset): client}
        self._making = threading.Lock()
        self._is_strict = strict
        self._store = client.store
        self._network = client.conf.network_constants().version
        self._timeout = client.conf.default_timeout_in_seconds
        self.prices = Prices(self._network, self._timeout)
        self._heartbeat: Heartbeat[BoughtCall] = Heartbeat(self._keep, _BEAT_SECONDS)

    def close(self) -> None:
        """Closes the clients that were made here; not the one that was given."""
        with self._making:
            made = [client for client in self._clients.values() if client is not self._client]
            self._clients = {(self._client.peer_address, self._client.asset): self._client}
        for client in made:
            client.close_node()

    # --- prices ------------------------------------------------------------------------------------------------------

    def quote(self, call: Call) -> Quote | None:
        """What a call costs, by what was told or paid last; None if it has to be asked for."""
        told = self.prices.quote(call)
        if told is not None or self.prices.must_be_asked_for(call):
            return told
        last = self._last_paid(call)
        # What came back of it may have been what the price had fallen by, or a part of the price.
        if not last or last[0].state is not BoughtCallState.ANSWERED or last[0].refund:
            return None
        quotes = {Quote(each.amount, each.asset, each.payee) for each in last}
        if len(quotes) > 1 and last[0].request != call.request:
            return None
        return Quote(last[0].amount, last[0].asset, last[0].payee)

    def price_list_at(self, call: Call) -> str | None:
        """Where the price list is that a call may be on; None if it was read before, or nothing is paid there."""
        is_payable = any(may_pay_at(budget, call.origin) for budget in self._budgets.values())
        return self.prices.list_at(call) if is_payable else None

    def _last_paid(self, call: Call) -> list[BoughtCall]:
        with self._store.reading() as books:
            return books.bought_calls.last_ended(call.resource)

    # --- paying ------------------------------------------------------------------------------------------------------

    def others_at(self, call: Call) -> dict[int, int]:
        """The pending calls like this one that other processes are at, or died at, and until when they are theirs."""
        now = wall_clock()
        with self._store.reading() as books:
            pending = books.bought_calls.in_state(BoughtCallState.PENDING, call.request, now - RESUME_SECONDS)
        return {row.id: row.runs_until for row in pending if row.run != _this.run and not is_left(row, now)}

    def resume(self, call: Call) -> Purchase | None:
        """Goes on with a call like this one that was left with an unknown outcome, if it may cost that now."""
        row = self._take_left(call.request, call)
        if row is None:
            return None
        purchase = Purchase(call, row, self._client_for(row.payee, row.asset), may_have_left=True)
        self._heartbeat.add(row)
        return self._packed(purchase, is_new=False)

    def owed(self, call: Call) -> Purchase | None:
        """Takes a call like this one for which the merchant still has to give something back, with its payment."""
        row = self._take_left(call.request, call, BoughtCallState.REFUND_DUE, REFUND_SECONDS)
        if row is None:
            return None
        purchase = Purchase(call, row, self._client_for(row.payee, row.asset), may_have_left=True)
        self._heartbeat.add(row)
        return self._packed(purchase, is_new=False)

    def _take_left(
        self,
        request: str,
        call: Call,
        state: BoughtCallState = BoughtCallState.PENDING,
        seconds: int = RESUME_SECONDS,
    ) -> BoughtCall | None:
        """Takes what was left of a request, by its digest, or put aside, if the call may cost that."""
        now = wall_clock()
        with self._store.reading() as books:
            if not books.bought_calls.in_state(state, request, now - seconds):
                return None
        with self._store.transaction() as books:
            rows = books.bought_calls.lock_in_state(state, request, now - seconds)
            left = next((row for row in rows if is_left(row, now) and self._may_take(call, row)), None)
            if left is None:
                return None
            row = resume(left, call.request, call.resource, _this.run, now)
            books.bought_calls.save(row)
        return row

    def buy(self, call: Call, quote: Quote, offer: Offer | None = None) -> Purchase:
        """Pays for a call.

        Args:
            call: What is called.
            quote: What it costs.
            offer: The terms that the merchant has just told, if it has.

        Raises:
            PaymentDeclined: When the budget does not allow it, or it cannot be paid from here.
            PaypercallError: When the client cannot pay it; nothing is reserved then.
        """
        budget = self._require_allowed(call, quote)
        self._require_max_price(call, quote)
        self._require_approval(budget, call, quote, offer)
        client = self._client_for(quote.payee, quote.asset)
        if offer is not None:
            require_payable(offer, self._network, self._timeout if client.aa_address is None else None)
        purchase = self._second_hand(call, quote, client)
        if purchase is not None:
            return purchase
        return self._first_hand(Purchase(call, self._reserved(budget, call, quote), client))

    def renew(self, purchase: Purchase) -> Purchase:
        """Pays for a call anew, where the payment that was to be used a second time was used before.

        Raises:
            PaymentDeclined: When the budget does not allow it.
            PaypercallError: When the client cannot pay it; nothing is reserved then.
        """
        call, row = purchase.call, purchase.row
        quote = Quote(row.amount, row.asset, row.payee)
        reserved = self._reserved(self._budgets[row.asset], call, quote)
        return self._first_hand(Purchase(call, reserved, purchase.client))

    def _first_hand(self, purchase: Purchase) -> Purchase:
        self._heartbeat.add(purchase.row)
        return self._packed(purchase)

    def _second_hand(self, call: Call, quote: Quote, client: Client) -> Purchase | None:
        """Takes a payment that another call has left aside."""
        place = (call.origin, quote.payee, quote.asset, quote.price)
        for request in (unsent(*place), unheeded(*place, call.asker)):
            row = self._take_left(request, call)
            if row is not None:
                self._heartbeat.add(row)
                return self._packed(Purchase(call, row, client, is_second_hand=True), is_new=False)
        return None

    def _reserved(self, budget: Budget, call: Call, quote: Quote) -> BoughtCall:
        row = BoughtCall(
            request=call.request,
            resource=call.resource,
            origin=call.origin,
            payee=quote.payee,
            asset=quote.asset,
            amount=quote.price,
            key=secrets.token_hex(16),
            made_at=0,
            run=_this.run,
        )
        return reserve(self._store, budget, row)

    def _may_take(self, call: Call, row: BoughtCall) -> bool:
        """Whether a call may take a row that another session may have made: it may cost that, or is owed it."""
        quote = Quote(row.amount, row.asset, row.payee)
        try:
            budget = self._require_allowed(call, quote)
            if row.state is BoughtCallState.PENDING:
                self._require_max_price(call, quote)
                # What was reserved is among what was spent already.
                require_within(budget, Wish(row.amount, row.origin, row.payee), Spending())
        except PaymentDeclined:
            return False
        return True

    def _require_allowed(self, call: Call, quote: Quote) -> Budget:
        budget = self._budgets.get(quote.asset)
        if budget is None:
            raise PaymentDeclined(f"there is no budget in {quote.asset}", code="asset_not_allowed")
        require_allowed(budget, call.origin, quote.payee, self._client.peer_address)
        return budget

    def _require_max_price(self, call: Call, quote: Quote) -> None:
        if call.max_price is None:
            return
        asset = self._client.asset
        if quote.asset != asset or quote.price > call.max_price:
            raise PaymentDeclined(
                f"the price is {quote.price} of {quote.asset}, this call may cost {call.max_price} of {asset}",
                code="above_max_price",
            )

    def _require_approval(self, budget: Budget, call: Call, quote: Quote, offer: Offer | None) -> None:
        """Asks the owner about a price that has risen, or is another payee's or asset's, once it is told."""
        if budget.approve is None:
            return
        last = next(iter(self._last_paid(call)), None)
        if last is None:
            return
        is_alike = (last.asset, last.payee) == (quote.asset, quote.payee)
        paid = last.amount if is_alike else 0
        if quote.price > paid and (offer is None or not budget.approve(offer, paid)):
            raise PaymentDeclined(
                f"the price was {paid}, and {quote.price} is not approved", code="not_approved"
            )

    def _client_for(self, payee: str, asset: str) -> Client:
        with self._making:
            client = self._clients.get((payee, asset))
            if client is None:
                client = self._clients[payee, asset] = self._made_client(payee, asset)
        return client

    def _made_client(self, payee: str, asset: str) -> Client:
        client = self._make_client(payee, asset)
        if (client.peer_address, client.asset, client.store.url) != (payee, asset, self._store.url):
            client.close_node()
            raise WrongBudget(
                "clients must make one of the payee and asset that it is told, with the same database"
            )
        return client

    def _packed(self, purchase: Purchase, *, is_new: bool = True) -> Purchase:
        """Has the package made, or finds the one that was made before."""
        row, client = purchase.row, purchase.client
        try:
            made = None if is_new else client.sent_package(row.key)
            purchase.package = made or client.create_payment_package(row.amount, row.key)
        except BaseException:
            self._let_go_unsent(purchase)
            raise
        return purchase

    def _let_go_unsent(self, purchase: Purchase) -> None:
        """Takes a reservation back if nothing was signed for it; the package did not leave this process."""
        try:
            # Only while it is still this process's: another one might sign for what is dropped here.
            if not self._may_be_signed(purchase):
                with self._store.transaction() as books:
                    books.bought_calls.drop(purchase.row.id, _this.run)
                purchase.is_over = True
        finally:
            self.release(purchase)

    def _may_be_signed(self, purchase: Purchase) -> bool:
        try:
            return purchase.client.sent_package(purchase.row.key) is not None
        except PaypercallError:
            return True  # the client was closed, or the database is away: that cannot be told now

    def has_left_period(self, purchase: Purchase) -> bool:
        """Whether no payment of the purchase's period can be accepted any more, by this side's books."""
        balance, period = purchase.client.balance(), purchase.package["signed_message"]["period"]
        if balance.aa_address != purchase.aa_address or balance.period > period:
            return True
        return balance.is_frozen or balance.status is Status.CLOSING

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def release(self, purchase: Purchase | None) -> None:
        """Leaves a purchase whose outcome is unknown to whoever makes the call again; one that is over stays so."""
        if purchase is None:
            return
        self._heartbeat.remove(purchase.row)
        if purchase.is_over:
            return
        purchase.is_over = True
        with self._store.brief_transaction() as books:
            row = books.bought_calls.lock(purchase.row.id)
            # After a long sleep it may be another process's, which may have sent the payment.
            if row.run == _this.run:
                books.bought_calls.save(_left(purchase, row))

    def abandon(self, purchase: Purchase) -> None:
        """Ends a purchase whose payment the merchant says it has not taken; it goes on counting in the budget."""
        self.prices.learn(purchase.call, None)
        self._end(purchase, give_up)

    def doubt(self, purchase: Purchase, status: int) -> None:
        """Notes an answer that says nothing of the payment: whoever gave it may never have seen it.

        The next call asks for the price before it pays. After an error of the client's, the payment is good for that.
        """
        self.prices.learn(purchase.call, None)
        purchase.is_unheeded = status < HTTPStatus.INTERNAL_SERVER_ERROR

    def settle(self, purchase: Purchase, head: Head) -> int:
        """Books what a merchant answered to a payment that it took, and tells what disagrees with the books.

        Returns:
            What came back, in bytes or units of the asset.

        Raises:
            RefundMissing: In strict mode, when a refund is missing or wrong; all else is booked then.
        """
        verdict = weigh(purchase, head)
        ended = self._end(purchase, _ending(verdict))
        price = _price_of_next(ended, verdict)
        if price is None:
            self.prices.learn(purchase.call, None)
        elif head.status < HTTPStatus.BAD_REQUEST:
            self.prices.learn(purchase.call, Quote(price, ended.asset, ended.payee))
        self._tell_all(purchase, verdict)
        if verdict.missing is not None and self._is_strict:
            raise RefundMissing(f"{purchase.row.origin}: {verdict.missing}", head.response)
        return ended.refund

    def collect(self, purchase: Purchase, head: Head) -> None:
        """Books a refund that was due and has come; one that is wrong is not asked for again."""
        verdict = weigh(purchase, head)
        self._end(purchase, end)
        self._tell_all(purchase, verdict)

    def _tell_all(self, purchase: Purchase, verdict: Verdict) -> None:
        if verdict.dispute is not None:
            self._tell(EventKind.RECEIPT_DISPUTED, purchase, verdict.dispute)
        missing = verdict.missing or verdict.kept
        if missing is not None:
            self._tell(EventKind.REFUND_MISSING, purchase, missing)

    def _end(self, purchase: Purchase, how: Callable[[BoughtCall, str], BoughtCall]) -> BoughtCall:
        self._heartbeat.remove(purchase.row)
        purchase.is_over = True
        # If this is forgotten, the same package is sent again and answered again.
        with self._store.brief_transaction() as books:
            row = how(books.bought_calls.lock(purchase.row.id), purchase.aa_address)
            books.bought_calls.save(row)
        return row

    def _tell(self, kind: EventKind, purchase: Purchase, what: str) -> None:
        logger.error("call %d to %s: %s", purchase.row.id, purchase.row.origin, what)
        period = purchase.package["signed_message"]["period"]
        row = purchase.row
        purchase.client.events.publish(Event(kind, purchase.aa_address, period, row.asset, row.amount))

    def _keep(self, rows: list[BoughtCall]) -> None:
        with self._store.brief_transaction() as books:
            books.bought_calls.prolong((row.id for row in rows), _this.run, wall_clock() + LEASE_SECONDS)


def reserve(store: Store, budget: Budget, row: BoughtCall) -> BoughtCall:
    """Books a call if the budget allows it, durably, before anything is signed for it.

    Raises:
        PaymentDeclined: When a limit would be passed.
    """
    with store.transaction() as books:
        # Of two that reserve at once, the second sees what the first has reserved.
        books.node.lock()
        now = wall_clock()
        spending = books.bought_calls.spending(
            row.asset, row.origin, row.payee, hour_ago=now - HOUR, day_ago=now - DAY
        )
        require_within(budget, Wish(row.amount, row.origin, row.payee), spending)
        return books.bought_calls.add(replace(row, made_at=now, runs_until=now + LEASE_SECONDS))


def _left(purchase: Purchase, row: BoughtCall) -> BoughtCall:
    """What becomes of a call whose outcome is unknown."""
    if not purchase.may_have_left:
        return put_aside(row)
    return put_aside(row, purchase.call.asker) if purchase.is_unheeded else let_go(row)


def _price_of_next(ended: BoughtCall, verdict: Verdict) -> int | None:
    """What to pay for the next call like one that was answered; None if that is to be asked for."""
    receipt = verdict.receipt
    if receipt is None or verdict.missing is not None:
        return None
    if receipt.price is None:
        return None if 0 < ended.refund < ended.amount else ended.amount
    return receipt.price if 0 < receipt.price <= ended.amount else None


def _ending(verdict: Verdict) -> Callable[[BoughtCall, str], BoughtCall]:
    """What an answer makes of a call."""
    receipt = verdict.receipt
    if receipt is None:
        return give_up
    return partial(end, promised=receipt.refund)


class _Process:
    """Tells this process from all others, the one that it was forked from included."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.run = secrets.token_hex(16)


_this = _Process()
os.register_at_fork(after_in_child=_this.begin)
