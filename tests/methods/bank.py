"""A payment method of a host that moves money in a bank of its own, which can be out of reach, and crash us."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from paypercall.errors import PaypercallError
from paypercall.methods import Order, PaymentMethod
from paypercall.paid_call import PaidCall, PaymentRefused

HEADER = "Cheque"


class BankUnreachable(PaypercallError):
    """What became of a cheque is unknown."""

    code = "bank"


class Cheques(PaymentMethod):
    """Cheques `number:amount`, each of which the bank pays once; asked again it says that it has.

    Attributes:
        paid: What the bank has paid, by the cheque's number.
        uncovered: Cheques that it does not pay.
        asked: How often it was asked.
        before: Called before a cheque is paid.
        after: Called after a cheque was paid.
    """

    name: ClassVar[str] = "cheque"
    payment_headers: ClassVar[tuple[str, ...]] = (HEADER,)

    def __init__(self) -> None:
        self.paid: dict[str, int] = {}
        self.uncovered: set[str] = set()
        self.asked = 0
        self.before: Callable[[], None] = _nothing
        self.after: Callable[[], None] = _nothing

    def get_402_headers(self, price: int, asset: str) -> Mapping[str, str]:
        """Says nothing but that cheques are taken."""
        return {"Cheques": "taken"}

    def redeem_payment(self, payment: Mapping[str, Any], order: Order) -> PaidCall:
        """Has the bank pay a cheque."""
        number, _, amount = payment[HEADER].partition(":")
        return order.collect(number, int(amount), lambda _: self._cash(number, int(amount)), bank="ours")

    def _cash(self, number: str, amount: int) -> None:
        self.asked += 1
        self.before()
        if number in self.uncovered:
            raise PaymentRefused("the cheque is not covered", code="uncovered")
        self.paid.setdefault(number, amount)
        self.after()


class GenerousCheques(Cheques):
    """The same, but it could give money back."""

    can_refund: ClassVar[bool] = True


def _nothing() -> None:
    pass
