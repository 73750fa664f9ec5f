"""The base of all payment methods: what a 402 says of one, which headers carry a payment, how it is redeemed.

A method collects and identifies payments. That each buys one answer only is not its business: `Order.take` sees to it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from paypercall.call_book import CallBook
from paypercall.errors import RefusalCode
from paypercall.paid_call import Attempt, PaidCall, PaymentRefused


@dataclass(frozen=True, slots=True)
class Order:
    """A request that is to be paid for.

    Attributes:
        attempt: Which request, and who is at it.
        calls: Where the payments for requests are booked.
        method: The payment method's name.
    """

    attempt: Attempt
    calls: CallBook
    method: str

    @property
    def price(self) -> int:
        """What the request costs, in bytes or units of the asset."""
        return self.attempt.price

    @property
    def asset(self) -> str:
        """What it costs it in."""
        return self.attempt.asset

    def require_exact(self, amount: int) -> None:
        """Refuses an amount that is not the price, for methods that cannot give anything back.

        Raises:
            PaymentRefused: With `underpaid` or `overpaid`.
        """
        if amount != self.price:
            code = RefusalCode.UNDERPAID.value if amount < self.price else "overpaid"
            raise PaymentRefused(
                f"the payment is {amount}, the price {self.price}: pay exactly that", code=code
            )

    def take(self, payment: str, amount: int, **details: Any) -> PaidCall:
        """Books a payment that the method has collected, for this request. Safe to repeat.

        Args:
            payment: What identifies it within the method, at most 64 characters: the same for the same payment.
            amount: In bytes or units of the asset.
            **details: What the receipt tells besides.

        Raises:
            CallConflict: When it was used for another request, or is in use.
        """
        return self.calls.take(
            self.attempt, method=self.method, payment=payment, amount=amount, details=details
        )


class PaymentMethod(ABC):
    """A way to pay.

    Attributes:
        name: Its name, at most 20 characters; it is kept with every payment.
        payment_headers: The headers that carry a payment; the first one that is there tells that it is this method's.
        can_refund: Whether it can give money back. If not, what it redeems must be the price exactly.
    """

    name: ClassVar[str]
    payment_headers: ClassVar[tuple[str, ...]]
    can_refund: ClassVar[bool] = False

    @abstractmethod
    def get_402_headers(self, price: int, asset: str) -> Mapping[str, str]:
        """The headers of a 402 that say how to pay by this method; none at all if it cannot be used for this price."""

    @abstractmethod
    def redeem_payment(self, payment: Mapping[str, Any], order: Order) -> PaidCall:
        """Collects a payment, and books it with `order.take`.

        Called again for the same payment after a crash or a retry, it must do no harm, and take it by the same name.

        Args:
            payment: The headers of `payment_headers` that the request has, by those names.
            order: What is to be paid for.

        Raises:
            PaypercallError: When the payment is not accepted; its `code` and text reach the payer.
        """

    def give_back(self, call: PaidCall) -> Mapping[str, str]:
        """Gives `call.refund` back, once however often it is called, and returns the headers that carry it.

        Raises:
            PaypercallError: When it cannot be done now; it is asked for again with the same payment.
        """
        raise NotImplementedError(f"{self.name} gives nothing back")
