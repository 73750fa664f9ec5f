"""A request that is being answered for a payment, as its view sees it."""

from __future__ import annotations

from threading import Lock

from paypercall.errors import PaypercallError, Refusal, RefusalCode
from paypercall.methods.base import PaymentMethod
from paypercall.paid_call import PaidCall


class TooLate(PaypercallError):
    """The answer has begun, and with it has gone what goes back."""

    code = "too_late"


class Running:
    """A paid request between `Paywall.begin` and `Paywall.finish`.

    Attributes:
        call: The payment.
        method: How it was paid.
        price: What the request costs, in units of the payment's asset.
        was_paid_in_body: Whether the package came in the body or the query, as in pay-per-call-API.
        refund_asked: What the view gives back.
    """

    __slots__ = ("__weakref__", "_end", "call", "method", "price", "refund_asked", "was_paid_in_body")

    def __init__(self, call: PaidCall, method: PaymentMethod, price: int, *, was_paid_in_body: bool) -> None:
        self.call = call
        self.method = method
        self.price = price
        self.was_paid_in_body = was_paid_in_body
        self.refund_asked = 0
        self._end = Lock()  # taken once, and never given back

    @property
    def amount(self) -> int:
        """What was paid, in bytes or units of the asset."""
        return self.call.amount

    @property
    def asset(self) -> str:
        """The asset."""
        return self.call.asset

    @property
    def aa_address(self) -> str | None:
        """The channel, where there is one."""
        return self.call.aa_address

    @property
    def payment_id(self) -> str:
        """Identifies the payment; also in the receipt."""
        return self.call.id

    def end(self) -> bool:
        """Ends it; tells whether it had not ended before."""
        return self._end.acquire(blocking=False)

    def refund(self, amount: int | None = None) -> None:
        """Gives back the whole price, or a part of it; asked again, the larger of the two counts.

        What was paid for a request that costs nothing goes back in any case, and nothing happens here.

        A payment whose method cannot give back stays good for another request instead, as a whole.

        Args:
            amount: In bytes or units of the asset.

        Raises:
            Refusal: With `wrong_amount`; also for a part, if the method cannot give back.
            TooLate: When the answer has begun, as a stream does with its first part.
        """
        if self._end.locked():
            raise TooLate("the answer has begun, and with it has gone what goes back")
        if not self.price:
            return
        amount = self.price if amount is None else amount
        if type(amount) is not int or not 0 <= amount <= self.price:
            raise Refusal(
                RefusalCode.WRONG_AMOUNT, f"a refund must be an integer from 0 to {self.price}, the price"
            )
        if not self.method.can_refund and 0 < amount < self.price:
            raise Refusal(
                RefusalCode.WRONG_AMOUNT, f"payments by {self.method.name} can be refunded as a whole only"
            )
        self.refund_asked = max(self.refund_asked, amount)
