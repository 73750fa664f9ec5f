"""The base of all payment methods: what a 402 says of one, which headers carry a payment, how it is redeemed.

A method collects and identifies payments. That each buys one answer only is not its business: the `Order` sees to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from paypercall.call_book import CallBook
from paypercall.paid_call import Attempt, PaidCall, PaymentRefused, PriceUnknown

MAX_NAME = 20
"""Characters of a method's name, as the books keep it."""

MAX_PAYMENT = 64
"""Characters of what identifies a payment, as the books keep it."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request that is to be paid for.

    Where nobody can tell its price, it only finds again what a payment has bought before: nothing is collected then,
    and for a new payment `PriceUnknown` is raised.

    Attributes:
        attempt: Which request, and who is at it.
        calls: Where the payments for requests are booked.
        method: The payment method's name.
        can_refund: Whether the method can give money back.
    """

    attempt: Attempt
    calls: CallBook
    method: str
    can_refund: bool

    @property
    def price(self) -> int:
        """What the request costs, in bytes or units of the asset.

        Raises:
            PriceUnknown: When nobody can tell.
        """
        if self.attempt.price is None:
            raise PriceUnknown("nobody can tell what this request costs")
        return self.attempt.price

    @property
    def asset(self) -> str:
        """What it costs it in."""
        return self.attempt.asset

    def is_new(self, payment: str) -> bool:
        """Whether a payment was not kept or taken before. What depends on time or price is asked of a new one only.

        Args:
            payment: As for `take`.
        """
        return not self.calls.is_known(self.method, payment)

    def collect(
        self,
        payment: str,
        amount: int,
        collect: Callable[[PaidCall], None],
        *,
        asset: str | None = None,
        **details: Any,
    ) -> PaidCall:
        """Keeps a payment for this request, collects it, and takes it: the way for money that moves only once.

        Its price is agreed and in the books before the money moves. So a retry after a crash, or after an unknown
        outcome, is answered, whatever it costs by then. It is not collected again once it has bought an answer.

        Args:
            payment: As for `take`.
            amount: As for `take`.
            collect: Moves the money, or finds that it has moved already; gets the payment as it is in the books. It
                raises `PaymentRefused` when the money has not moved and will not, so that nothing is kept; any other
                `PaypercallError` leaves that open, and the same payment is to be sent again.
            asset: As for `take`.
            **details: As for `take`; those of the first attempt are kept.

        Raises:
            PaymentRefused: When it could not be collected, or, where nothing can be given back, is not the price.
            CallConflict: As for `take`.
            PaypercallError: Whatever `collect` raises.
        """
        if self.attempt.price is None:
            return self.take(payment, amount, asset=asset, **details)
        held = self.calls.hold(self.attempt, **self._booking(payment, amount, asset, details))
        if not held.is_over:
            try:
                collect(held)
            except PaymentRefused:
                self.calls.drop_uncollected(held)
                raise
        return self.calls.take_held(self.attempt, held, can_refund=self.can_refund)

    def drop_unless_retried(self, held: PaidCall) -> bool:
        """Drops what `collect` was given, for a refusal of one attempt that need not hold for another one.

        Returns:
            Whether it did: then the refusal is the last word. Otherwise another attempt may have moved the money.
        """
        return self.calls.drop_unless_retried(held)

    def take(self, payment: str, amount: int, *, asset: str | None = None, **details: Any) -> PaidCall:
        """Books a payment that the method has collected, for this request. Safe to repeat.

        Args:
            payment: What identifies it within the method, at most 64 characters: the same for the same payment.
            amount: In bytes or units of the asset.
            asset: What was paid in, where it may be another than the price's, which is refused here: a payment that has
                bought an answer before gets it again in whatever asset the price is by now.
            **details: What the receipt tells besides.

        Raises:
            PaymentRefused: When the method cannot give back, and the payment is not the price.
            CallConflict: When it was used for another request, or is in use.
        """
        return self.calls.take(self.attempt, **self._booking(payment, amount, asset, details))

    def _booking(
        self, payment: str, amount: int, asset: str | None, details: Mapping[str, Any]
    ) -> dict[str, Any]:
        if not 0 < len(payment) <= MAX_PAYMENT:
            raise ValueError(f"what identifies a payment must have 1 to {MAX_PAYMENT} characters")
        return {
            "method": self.method,
            "payment": payment,
            "amount": amount,
            "asset": asset,
            "details": details,
            "can_refund": self.can_refund,
        }


class PaymentMethod(ABC):
    """A way to pay.

    Attributes:
        name: Its name, at most 20 characters; it is kept with every payment.
        payment_headers: The headers that carry a payment; the first one that is there tells that it is this method's.
        can_refund: Whether it can give money back. If not, a payment must be the price exactly, and one whose answer
            failed stays good for another request.

    Raises:
        TypeError: When a class has no such name, or no headers.
    """

    name: ClassVar[str]
    payment_headers: ClassVar[tuple[str, ...]]
    can_refund: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        name, headers = getattr(cls, "name", None), getattr(cls, "payment_headers", None)
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            raise TypeError(f"{cls.__name__}.name must be a text of 1 to {MAX_NAME} characters")
        if not isinstance(headers, tuple) or not headers:
            raise TypeError(
                f"{cls.__name__}.payment_headers must be a tuple of the headers that carry a payment"
            )

    @abstractmethod
    def get_402_headers(self, price: int, asset: str) -> Mapping[str, str]:
        """The headers of a 402 that say how to pay by this method; none at all if it cannot be used for this price."""

    @abstractmethod
    def redeem_payment(self, payment: Mapping[str, Any], order: Order) -> PaidCall:
        """Collects a payment and books it, with `order.collect` or, where collecting changes nothing, `order.take`.

        Called again for the same payment after a crash or a retry, it must do no harm, and take it by the same name.

        Args:
            payment: The headers of `payment_headers` that the request has, by those names.
            order: What is to be paid for.

        Raises:
            PaypercallError: When the payment is not accepted; its `code` and text reach the payer.
        """

    def give_back(self, call: PaidCall) -> Mapping[str, str]:
        """Gives `call.refund` back, once however often it is called, and returns the headers that carry it.

        Where that has grown since, as when a stream breaks off after a part went back, what is missing is given back.

        Raises:
            PaypercallError: When it cannot be done now; it is asked for again with the same payment.
        """
        raise NotImplementedError(f"{self.name} gives nothing back")
