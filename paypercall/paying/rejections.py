"""What a call raises that was paid, and that the merchant does not answer as it should. Pure."""

from __future__ import annotations

from typing import Any

from paypercall.errors import PaypercallError
from paypercall.paying.call import Head
from paypercall.paying.outcomes import outlook_of, retry_after, was_taken
from paypercall.paying.purchase import Purchase
from paypercall.paying.refusals import Outlook


class AnsweredWrongly(PaypercallError):
    """An answer that is no answer to what was paid.

    Attributes:
        response: The HTTP library's answer.
    """

    def __init__(self, message: str, response: Any = None) -> None:
        super().__init__(message)
        self.response = response


class PaymentRejected(AnsweredWrongly):
    """The merchant was paid and still asks for payment; nothing more is paid in this call."""

    code = "rejected"


class NotYetAccepted(PaymentRejected):
    """The merchant does not take the payment yet: call again later, and the same payment goes along."""

    code = "not_yet_accepted"


class PeriodOver(AnsweredWrongly):
    """The merchant settles the channel, and has not taken the payment: call again later. What was signed counts on."""

    code = "period_over"


class RefundMissing(AnsweredWrongly):
    """What a merchant had to give back did not come, or was none; the answer is in `response`."""

    code = "refund_missing"


def claimed(purchase: Purchase, head: Head) -> PaypercallError:
    """Of a payment that the merchant has by what the ledger shows, and says it has not taken."""
    row = purchase.row
    return PaymentRejected(
        f"{row.origin} has claimed the payment of {row.amount} on the ledger, and says that it was not taken",
        head.response,
    )


def rejection(purchase: Purchase, head: Head) -> PaypercallError:
    """Of a payment that the merchant has not taken, as it says."""
    expected, row = outlook_of(head), purchase.row
    if expected is Outlook.OTHER_PERIOD:
        return PeriodOver(f"{row.origin} settles the channel; call again later", head.response)
    if expected is Outlook.NOT_YET or (retry_after(head) is not None and not was_taken(head)):
        return NotYetAccepted(
            f"{row.origin} does not take the payment of {row.amount} yet; call again later, the same one goes along",
            head.response,
        )
    return PaymentRejected(f"{row.origin} was paid {row.amount} and asks for payment again", head.response)
