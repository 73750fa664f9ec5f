"""What a payment is good for after a merchant has refused it by name, and so has not taken it. Pure.

Who offers the same payment for ever, though only another one would be taken, never gets served. Who makes another one
each time, though what hinders the first hinders that too, signs away the whole budget for nothing.
"""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus

from paypercall.errors import RefusalCode
from paypercall.paid_call import (
    PackagePublished,
    PaymentInProgress,
    PaymentPending,
    PaymentUsed,
    PriceUnknown,
    RunLost,
)

REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.CONFLICT)
"""What a paywall says to a payment that it does not take, and a proxy to a request that it does not pass on."""

DOUBT_SECONDS = 60
"""How old a payment is whose refusal is held against it alone: so often at most another one is tried."""


class Outlook(Enum):
    """What is to be expected of a payment that was refused."""

    NOT_YET = "taken soon, since the ledger or the merchant only needs time"
    OTHER_PERIOD = "taken soon or never: the ledger tells"
    STILL_GOOD = "as good as any other: what hinders it is the channel, the price or the merchant"
    DOUBTFUL = "refused for what it is itself, or for an unknown reason: perhaps no other is better"
    IN_USE = "taken for this request, whose answer is not there yet"
    LOST = "never taken any more, while another one may be"


OUTLOOKS: dict[str, Outlook] = {
    **dict.fromkeys(
        (
            RefusalCode.ABOVE_DEPOSIT.value,
            RefusalCode.ABOVE_UNCONFIRMED_LIMITS.value,
            RefusalCode.ABOVE_UNSETTLED_LIMITS.value,
            RefusalCode.BELOW_RESERVE.value,
            RefusalCode.DEPOSIT_TOO_YOUNG.value,
            RefusalCode.EVENTS_MISSING.value,
            RefusalCode.LEDGER_UNREACHABLE.value,
            RefusalCode.TOO_MANY_WAITING.value,
            RefusalCode.UNKNOWN_CHANNEL.value,
        ),
        Outlook.NOT_YET,
    ),
    **dict.fromkeys(
        (RefusalCode.CHANNEL_CLOSING.value, RefusalCode.WRONG_PERIOD.value), Outlook.OTHER_PERIOD
    ),
    **dict.fromkeys(
        (
            RefusalCode.CHANNEL_RESTORED.value,
            RefusalCode.DEPOSIT_DOUBLE_SPENT.value,
            RefusalCode.UNDERPAID.value,
            RefusalCode.UNECONOMIC.value,
            RefusalCode.WRONG_AGENT_VERSION.value,
            RefusalCode.WRONG_ASSET.value,
            RefusalCode.WRONG_TIMEOUT.value,
            PriceUnknown.code,
            "overpaid",
            "payment_required",  # it was lost on the way, as in a proxy that drops its header
            "several_payments",
        ),
        Outlook.STILL_GOOD,
    ),
    **dict.fromkeys(
        (
            RefusalCode.NOT_JSON.value,
            RefusalCode.TOO_LARGE.value,
            RefusalCode.WRONG_AMOUNT.value,
            RefusalCode.WRONG_PARAMETERS.value,
            RefusalCode.WRONG_SHAPE.value,
            RefusalCode.WRONG_SIGNATURE.value,
            RefusalCode.WRONG_SIGNER.value,
            RefusalCode.WRONG_VERSION.value,
        ),
        Outlook.DOUBTFUL,
    ),
    **dict.fromkeys((PaymentInProgress.code, PaymentPending.code, RunLost.code), Outlook.IN_USE),
    **dict.fromkeys(
        (
            RefusalCode.CONFLICTING_PACKAGE.value,
            RefusalCode.DUPLICATE.value,
            RefusalCode.NO_CREDIT.value,  # each further one adds some
            PackagePublished.code,
            PaymentUsed.code,
            "answer_not_kept",
            "refunded",
        ),
        Outlook.LOST,
    ),
}
"""By the code of the refusal."""


def outlook(status: int, code: str | None) -> Outlook | None:
    """What is to be expected of a payment after an answer without a receipt; None if that does not speak of it.

    Args:
        status: Of the answer.
        code: What it gives as the reason, or None.
    """
    if code is None or status < HTTPStatus.BAD_REQUEST:
        return None
    return OUTLOOKS.get(code, Outlook.DOUBTFUL if status in REFUSALS else None)


def is_lost(expected: Outlook, age: int) -> bool:
    """Whether a refused payment is not to be offered again.

    Args:
        expected: What is to be expected of it.
        age: Seconds since it was made.
    """
    # A negative age is that of a clock that was put back.
    is_old = not 0 <= age < DOUBT_SECONDS
    return expected is Outlook.LOST or (expected is Outlook.DOUBTFUL and is_old)
