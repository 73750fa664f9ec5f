"""Whether a call may be paid by the budgets of a payer: whom it pays, what it costs alone, and what the owner says.

The sums of what was spent are asked for elsewhere, with the reservation: `places.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from paypercall.bought_call import BoughtCall, BoughtCallState, Spending
from paypercall.paying.budget import (
    Budget,
    PaymentDeclined,
    Wish,
    WrongBudget,
    may_pay_at,
    require_allowed,
    require_within,
)
from paypercall.paying.call import Call
from paypercall.paying.offer import Offer, Quote
from paypercall.paying.places import Places
from paypercall.paying.prices import Prices
from paypercall.paying.purchase import Purchase, price_of_last


class Allowance:
    """What one payer may pay.

    Args:
        budgets: What may be spent, one for each asset.
        own_payee: Who may be paid without being on a list.
        own_asset: In which a call's own limit is.
        places: Where the last prices are found.
        prices: Where those are that were only shown.

    Raises:
        WrongBudget: When there are two budgets in an asset.
    """

    def __init__(
        self, budgets: Iterable[Budget], own_payee: str, own_asset: str, places: Places, prices: Prices
    ) -> None:
        self._budgets: dict[str, Budget] = {}
        for budget in budgets:
            if budget.asset in self._budgets:
                raise WrongBudget("each asset has one budget")
            self._budgets[budget.asset] = budget
        self._own_payee = own_payee
        self._own_asset = own_asset
        self._places = places
        self._prices = prices

    def budget_in(self, asset: str) -> Budget:
        """The budget in an asset that may be paid in."""
        return self._budgets[asset]

    def may_pay_at(self, call: Call) -> bool:
        """Whether anything may be paid where a call goes."""
        return any(
            may_pay_at(budget, call.origin, is_proxied=call.is_proxied) for budget in self._budgets.values()
        )

    def require(self, call: Call, quote: Quote, offer: Offer | None) -> Budget:
        """Checks a payment that is to be made for a call, and asks the owner where that is wanted; gives its budget.

        Args:
            call: What is called.
            quote: What it costs.
            offer: The terms that the merchant has just told, if it has.

        Raises:
            PaymentDeclined: When it is not allowed.
        """
        budget = self._require_price(call, quote)
        self._require_approval(budget, call, quote, offer)
        return budget

    def may_pay_besides(self, purchase: Purchase, offer: Offer) -> bool:
        """Whether a call may cost a price and what was signed for it before, which the merchant may have."""
        row, quote = purchase.row, offer.quote
        besides = row.amount if row.asset == quote.asset else 0
        return _passes(self._require_price, purchase.call, replace(quote, price=quote.price + besides))

    def may_take(self, call: Call, row: BoughtCall) -> bool:
        """Whether a call may take a row that another session may have made: it may cost that, or is owed it."""
        quote = Quote(row.amount, row.asset, row.payee)
        is_open = row.state is BoughtCallState.PENDING
        return _passes(self._require_price if is_open else self._require_allowed, call, quote)

    def _require_price(self, call: Call, quote: Quote) -> Budget:
        """Checks that a call alone may cost so much, whatever was spent already."""
        budget = self._require_allowed(call, quote)
        self._require_max_price(call, quote)
        # The sums are asked for with the reservation.
        require_within(budget, Wish(quote.price, call.origin, quote.payee), Spending())
        return budget

    def _require_allowed(self, call: Call, quote: Quote) -> Budget:
        budget = self._budgets.get(quote.asset)
        if budget is None:
            raise PaymentDeclined(f"there is no budget in {quote.asset}", code="asset_not_allowed")
        require_allowed(budget, call.origin, quote.payee, self._own_payee, is_proxied=call.is_proxied)
        return budget

    def _require_max_price(self, call: Call, quote: Quote) -> None:
        if call.max_price is None:
            return
        asset = self._own_asset
        if quote.asset != asset or quote.price > call.max_price:
            raise PaymentDeclined(
                f"the price is {quote.price} of {quote.asset}, this call may cost {call.max_price} of {asset}",
                code="above_max_price",
            )

    def _require_approval(self, budget: Budget, call: Call, quote: Quote, offer: Offer | None) -> None:
        """Asks the owner about a price that has risen, or is another payee's or asset's, once it is told."""
        if budget.approve is None:
            return
        before = [each for each in (self._paid(call), self._prices.shown(call)) if each is not None]
        if not before:
            return
        # A program that only asks for a price agrees to none: it cannot raise what the owner was asked about.
        last = min(_alike(each, quote) for each in before)
        if quote.price > last and (offer is None or budget.approve(offer, last) is not True):
            raise PaymentDeclined(
                f"the price was {last}, and {quote.price} is not approved", code="not_approved"
            )

    def _paid(self, call: Call) -> Quote | None:
        """What the last call to a resource cost; None if none was paid for."""
        last = self._places.last_made(call)
        if last is None:
            return None
        return Quote(price_of_last(last, self._places.last_paid(call)), last.asset, last.payee)


def _alike(last: Quote, quote: Quote) -> int:
    """The price before, or 0 where that is in another asset or for another payee."""
    return last.price if (last.asset, last.payee) == (quote.asset, quote.payee) else 0


def _passes(require: Callable[[Call, Quote], object], call: Call, quote: Quote) -> bool:
    try:
        require(call, quote)
    except PaymentDeclined:
        return False
    return True
