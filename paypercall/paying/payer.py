"""Pays for calls: asks whether they may cost that, has the package made, books what comes back. No transport.

Each method is a few short transactions, and blocks; the order of the steps is `exchange.py`'s. A place in the budget is
durable before anything is signed, and the package before it is handed out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from weakref import WeakSet

from paypercall.bought_call import (
    REFUND_SECONDS,
    BoughtCall,
    BoughtCallState,
    end,
    give_up,
    unheeded,
    unsent,
)
from paypercall.channel import Status
from paypercall.client import Client
from paypercall.errors import PaypercallError
from paypercall.events import Event, EventKind
from paypercall.paying.allowance import Allowance
from paypercall.paying.budget import Budget, check_patience
from paypercall.paying.call import Call, Head
from paypercall.paying.chain import FOLLOWED
from paypercall.paying.clients import ClientFactory, PayeeClients
from paypercall.paying.offer import Offer, Quote
from paypercall.paying.places import Places, require_place
from paypercall.paying.prices import Prices, require_payable
from paypercall.paying.purchase import (
    Purchase,
    Verdict,
    ending_of,
    price_of_next,
    take_refund,
    weigh,
)
from paypercall.paying.refusals import Outlook, is_lost
from paypercall.paying.rejections import RefundMissing
from paypercall.settled import Standing
from paypercall.settlement.node import wall_clock

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""How long a call goes on sending its payment, by the clock."""


class Payer:
    """Pays for calls within budgets; `prices` is what is known of what they cost, `places` their rows in the books.

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
        self.patience = patience
        self._client = client
        self._clients = PayeeClients(client, clients)
        self._is_strict = strict
        self._network = client.conf.network_constants().version
        self._timeout = client.conf.default_timeout_in_seconds
        self.prices = Prices(self._network, self._timeout)
        self.places = Places(client.store)
        self.allowance = Allowance(
            [budget] if isinstance(budget, Budget) else budget,
            client.peer_address,
            client.asset,
            self.places,
            self.prices,
        )
        _payers.add(self)

    def begin_in_child(self) -> None:
        """Begins anew in a forked process: another thread may have held a lock, and is not there to free it."""
        self._clients.begin_in_child()
        self.prices.begin_in_child()

    def close(self) -> None:
        """Closes the clients that were made here; not the one that was given."""
        self.places.end_dropped()
        self._clients.close()

    # --- prices ------------------------------------------------------------------------------------------------------

    def quote(self, call: Call) -> Quote | None:
        """What a call costs, by what was told or paid last; None if it has to be asked for."""
        told = self.prices.quote(call)
        if told is not None or self.prices.must_be_asked_for(call):
            return told
        last = self.places.last_paid(call)
        # What came back of it may have been what the price had fallen by, or a part of the price.
        if not last or last[0].state is not BoughtCallState.ANSWERED or last[0].refund:
            return None
        quotes = {Quote(each.amount, each.asset, each.payee) for each in last}
        if len(quotes) > 1 and last[0].request != call.request:
            return None
        quote = Quote(last[0].amount, last[0].asset, last[0].payee)
        place = (call.origin, quote.payee, quote.asset, quote.price)
        return None if self.places.is_aside(unheeded(*place, call.asker)) else quote

    def price_list_at(self, call: Call) -> str | None:
        """Where the price list is that a call may be on; None if it was read before, or nothing is paid there."""
        return self.prices.list_at(call) if self.allowance.may_pay_at(call) else None

    # --- paying ------------------------------------------------------------------------------------------------------

    def resume(self, call: Call) -> Purchase | None:
        """Goes on with a call like this one that was left with an unknown outcome, if it may cost that now.

        It may be the one that this one follows from, too.
        """
        row = self.places.take_left(call.request, call, self.allowance.may_take)
        left = call.chain.left_at(call.resource)
        if row is None and left is not None:
            row = self.places.take_left(left, call, self.allowance.may_take)
        if row is None:
            return None
        return self._packed(self._taken(call, row), is_new=False)

    def owed(self, call: Call) -> Purchase | None:
        """Takes a call like this one for which the merchant still has to give something back, with its payment."""
        row = self.places.take_left(
            call.request, call, self.allowance.may_take, BoughtCallState.REFUND_DUE, REFUND_SECONDS
        )
        if row is None:
            return None
        purchase = self._taken(call, row)
        try:
            # Never made anew: it has bought what it was made for.
            purchase.package = purchase.client.sent_package(row.key) or {}
        finally:
            if not purchase.package:
                self.places.release(purchase)
        return purchase if purchase.package else None

    def _taken(self, call: Call, row: BoughtCall) -> Purchase:
        """The purchase of a row that was taken for a call; without its client, it is left again."""
        purchase = Purchase(call, row, self._client, may_have_left=True)
        try:
            purchase.client = self._clients.of(row.payee, row.asset)
        except BaseException:
            self.places.release(purchase)
            raise
        return purchase

    def buy(self, call: Call, quote: Quote, offer: Offer | None = None) -> Purchase | None:
        """Pays for a call; gives None where only what was left may pay for it, and does not.

        Args:
            call: What is called.
            quote: What it costs.
            offer: The terms that the merchant has just told, if it has.

        Raises:
            PaymentDeclined: When the budget does not allow it, or it cannot be paid from here.
            PaypercallError: When the client cannot pay it; nothing is reserved then.
        """
        budget = self.allowance.require(call, quote, offer)
        client = self._clients.of(quote.payee, quote.asset)
        if offer is not None:
            require_payable(offer, self._network, self._timeout if client.aa_address is None else None)
        purchase = self._second_hand(call, quote, client)
        if purchase is None and call.chain.may_make_new:
            purchase = self._packed(Purchase(call, self.places.reserve(budget, call, quote), client))
        if purchase is not None:
            self.prices.forget_shown(call)
        return purchase

    def renew(self, purchase: Purchase) -> Purchase:
        """Pays for a call anew, where the payment that was to be used a second time was used before.

        Raises:
            PaymentDeclined: When the budget does not allow it.
            PaypercallError: When the client cannot pay it; nothing is reserved then.
        """
        call, row = purchase.call, purchase.row
        quote = Quote(row.amount, row.asset, row.payee)
        reserved = self.places.reserve(self.allowance.budget_in(row.asset), call, quote)
        return self._packed(Purchase(call, reserved, purchase.client))

    def _second_hand(self, call: Call, quote: Quote, client: Client) -> Purchase | None:
        """Takes a payment that another call has left aside."""
        place = (call.origin, quote.payee, quote.asset, quote.price)
        # Whoever makes a request that follows from another, perhaps with a new token, asks for the same.
        askers = {call.asker, call.chain.left_asker or call.asker}
        for request in (unsent(*place), *(unheeded(*place, asker) for asker in askers)):
            has_left = request != unsent(*place)
            while (row := self.places.take_left(request, call, self.allowance.may_take)) is not None:
                purchase = Purchase(call, row, client, may_have_left=has_left, is_second_hand=True)
                self._packed(purchase, is_new=False)
                try:
                    if has_left or not self.has_left_period(purchase):
                        return purchase
                except BaseException:
                    self.places.release(purchase)
                    raise
                self.places.end(purchase, give_up)  # it was never sent, and is of a period that is over
        return None

    def _packed(self, purchase: Purchase, *, is_new: bool = True) -> Purchase:
        """Has the package made, or finds the one that was made before."""
        row, client = purchase.row, purchase.client
        try:
            made = None if is_new else client.sent_package(row.key)
            if made is None and not is_new:
                # What is signed now counts from now on, not since a process died that had not come to that.
                purchase.row = self.places.reserve_anew(self.allowance.budget_in(row.asset), row)
            purchase.package = made or client.pay_for(
                row.amount, row.key, lambda books: require_place(books, purchase.row)
            )
        except BaseException:
            self._let_go_unsent(purchase)
            raise
        return purchase

    def _let_go_unsent(self, purchase: Purchase) -> None:
        """Takes a reservation back if nothing was signed for it; the package did not leave this process."""
        try:
            self.places.drop_unsigned(purchase)
        except PaypercallError as error:  # it counts on, and is left
            logger.warning("the place of a call was not given back: %s (%s)", error, error.code)
        finally:
            self.places.release(purchase)

    def has_left_period(self, purchase: Purchase) -> bool:
        """Whether no payment of the purchase's period can be accepted any more, by this side's books."""
        balance, period = purchase.client.balance(), purchase.package["signed_message"]["period"]
        if balance.aa_address != purchase.aa_address or balance.period > period:
            return True
        return balance.is_frozen or balance.status is Status.CLOSING

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def abandon(self, purchase: Purchase) -> None:
        """Ends a purchase whose payment the merchant says it has not taken; it goes on counting in the budget."""
        self.prices.learn(purchase.call, None)
        self.places.end(purchase, give_up)

    def is_lost(self, purchase: Purchase, expected: Outlook) -> bool:
        """Whether a payment that was refused by name is not to be offered again, whatever the ledger tells."""
        return is_lost(expected, wall_clock() - purchase.row.made_at)

    def end_by_ledger(self, purchase: Purchase) -> Standing:
        """Ends a purchase whose payment was refused by name, if the ledger tells what has become of that."""
        standing = self.places.end_by_ledger(purchase)
        if standing.is_final:
            self.prices.learn(purchase.call, None)
        if standing is Standing.KEPT:
            self._tell_missing(purchase, "what it paid was claimed, and said not to be taken")
        return standing

    def keep(self, purchase: Purchase, expected: Outlook) -> None:
        """Leaves a payment that was refused by name, and may be taken yet, to whichever call offers it next."""
        if expected is Outlook.IN_USE:
            return  # it is this call's
        if expected not in (Outlook.NOT_YET, Outlook.OTHER_PERIOD):
            self.prices.learn(purchase.call, None)
        purchase.is_unheeded = True

    def doubt(self, purchase: Purchase, status: int, *, is_new: bool = True) -> None:
        """Notes an answer that says nothing of the payment: whoever gave it may never have seen it.

        The next call asks for the price before it pays. After an error of the client's, the payment is good for that.
        After a redirection it is, too, and for what that leads to: the same call is not to run into it again and again.
        """
        self.prices.learn(purchase.call, None)
        is_redirection = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
        # What follows from another answer takes the payment along by itself.
        is_final = is_new and status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in FOLLOWED
        if is_redirection:
            purchase.call.chain.leads_on()
        elif is_final:
            purchase.call.chain.makes_no_other()
        purchase.is_unheeded = is_redirection or is_final

    def take_refund(self, purchase: Purchase, head: Head) -> Head:
        """Books what an answer brings that says nothing else of the payment; `settle` books the rest of it then.

        Returns:
            The answer, with what its refund was found to be.
        """
        refund, forgery = take_refund(purchase, head)
        if forgery is not None:
            self._tell_missing(purchase, forgery)
        return replace(head, is_refunded=refund > 0, forgery=forgery)

    def require_no_forgery(self, purchase: Purchase, head: Head) -> None:
        """Checks an answer that does not take a payment, once all that it means for that is booked.

        Raises:
            RefundMissing: In strict mode, when what came as a refund is none.
        """
        if self._is_strict and head.forgery is not None:
            raise RefundMissing(f"{purchase.row.origin}: {head.forgery}", head.response)

    def settle(self, purchase: Purchase, head: Head) -> int:
        """Books what a merchant answered to a payment that it took, and tells what disagrees with the books.

        Where the answer's body is still to come, the purchase ends with it, and is left if it breaks off.

        Returns:
            What came back, in bytes or units of the asset.

        Raises:
            RefundMissing: In strict mode, when a refund is missing or wrong; all else is booked then.
        """
        verdict = weigh(purchase, head)
        how = ending_of(verdict)
        fails = verdict.missing is not None and self._is_strict
        if head.rest is None or head.status == HTTPStatus.PAYMENT_REQUIRED or fails:
            ended = self.places.end(purchase, how)
        else:
            ended = self.places.hand_on(purchase, how, head.rest)
        price = price_of_next(ended, verdict)
        if price is None:
            self.prices.learn(purchase.call, None)
        elif head.status < HTTPStatus.BAD_REQUEST:
            self.prices.learn(purchase.call, Quote(price, ended.asset, ended.payee))
        self._tell_all(purchase, verdict)
        if fails:
            raise RefundMissing(f"{purchase.row.origin}: {verdict.missing}", head.response)
        return ended.refund

    def collect(self, purchase: Purchase, head: Head) -> None:
        """Books a refund that was due and has come; one that is wrong is not asked for again."""
        verdict = weigh(purchase, head)
        self.places.end(purchase, end)
        self._tell_all(purchase, verdict)

    def _tell_all(self, purchase: Purchase, verdict: Verdict) -> None:
        if verdict.dispute is not None:
            self._tell(EventKind.RECEIPT_DISPUTED, purchase, verdict.dispute)
        missing = verdict.missing or verdict.kept
        if missing is not None:
            self._tell_missing(purchase, missing)

    def _tell_missing(self, purchase: Purchase, what: str) -> None:
        """Tells once of a payment that its refund is missing, however often it is sent and answered so."""
        if not purchase.is_missed:
            purchase.is_missed = True
            self._tell(EventKind.REFUND_MISSING, purchase, what)

    def _tell(self, kind: EventKind, purchase: Purchase, what: str) -> None:
        logger.error("call %d to %s: %s", purchase.row.id, purchase.row.origin, what)
        period = purchase.package["signed_message"]["period"]
        row = purchase.row
        purchase.client.events.publish(Event(kind, purchase.aa_address, period, row.asset, row.amount))


def _begin_all_in_child() -> None:
    for payer in tuple(_payers):
        payer.begin_in_child()


_payers: WeakSet[Payer] = WeakSet()
os.register_at_fork(after_in_child=_begin_all_in_child)
