"""Answers that the paywall gives itself: 402 and what else goes wrong with a payment, as `application/problem+json`.

Pure. The codes are stable.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from paypercall import wire
from paypercall.errors import PaypercallError, RefusalCode
from paypercall.paid_call import PackagePublished, PaymentInProgress, PaymentPending, PaymentUsed
from paypercall.paywall.request import MAX_PAID_BODY

Pairs = tuple[tuple[str, str], ...]

PROBLEM = "application/problem+json"

_MALFORMED = {
    RefusalCode.NOT_JSON.value,
    RefusalCode.TOO_LARGE.value,
    RefusalCode.WRONG_SHAPE.value,
    RefusalCode.WRONG_AMOUNT.value,
    RefusalCode.WRONG_SIGNATURE.value,
    RefusalCode.WRONG_SIGNER.value,
    RefusalCode.WRONG_PARAMETERS.value,
    "several_payments",
}
_CONFLICTS = {
    RefusalCode.CONFLICTING_PACKAGE.value,
    PackagePublished.code,
    PaymentUsed.code,
    PaymentInProgress.code,
    PaymentPending.code,
}
_NOT_NOW = {
    RefusalCode.LEDGER_UNREACHABLE.value,
    RefusalCode.BELOW_RESERVE.value,
    RefusalCode.DEPOSIT_TOO_YOUNG.value,
    RefusalCode.EVENTS_MISSING.value,
    RefusalCode.TOO_MANY_WAITING.value,
}
"""What passes by itself: a 402 would have the payer pay again."""

_NOT_YET = {
    RefusalCode.ABOVE_DEPOSIT.value,
    RefusalCode.ABOVE_UNCONFIRMED_LIMITS.value,
    RefusalCode.ABOVE_UNSETTLED_LIMITS.value,
    RefusalCode.UNKNOWN_CHANNEL.value,
}
"""The ledger helps, soon: the same payment is to be sent again."""

_NOT_YET_SECONDS = 2
_NOT_NOW_SECONDS = 10
_RETRY_SECONDS = {
    PaymentInProgress.code: 1,
    PaymentPending.code: _NOT_NOW_SECONDS,
    RefusalCode.TOO_MANY_WAITING.value: _NOT_YET_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that needs no view.

    Attributes:
        status: The HTTP status.
        headers: Its headers.
        body: The body.
        is_given_again: Whether a view gave it before, so that the host's hooks have seen it, and must not change it.
    """

    status: int
    headers: Pairs = field(repr=False)
    body: bytes = field(repr=False)
    is_given_again: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of a view's answer.

    Attributes:
        headers: To be added to it, in place of those of the same names.
        body: In place of the view's, or None to leave that.
        instead: To be sent in place of all of it, since its payment is not this run's any more; None to send it.
    """

    headers: Pairs = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    instead: Answer | None = None


def value_of(name: str, headers: Iterable[tuple[str, str]]) -> str | None:
    """The value of a header, or None if it is not there.

    Args:
        name: In small letters.
        headers: In which it may be.
    """
    return next((value for each, value in headers if each.lower() == name), None)


def problem(
    status: int, code: str, detail: str, headers: Iterable[tuple[str, str]] = (), **members: Any
) -> Answer:
    """An answer in `application/problem+json` that no cache keeps."""
    content = {
        "type": f"urn:paypercall:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **members,
    }
    return Answer(
        status,
        (("Content-Type", PROBLEM), ("Cache-Control", "no-store"), (wire.CODE, code), *headers),
        json.dumps(content).encode(),
    )


def refused(error: PaypercallError, terms: dict[str, str]) -> Answer:
    """The answer to a payment that was not accepted; where another payment may help, it says how to pay.

    Args:
        error: Why it was not.
        terms: How to pay; empty where nothing has to be paid.
    """
    status = _status_of(error.code)
    if status == HTTPStatus.PAYMENT_REQUIRED:
        status = status if terms else HTTPStatus.CONFLICT
        later = {"Retry-After": str(_NOT_YET_SECONDS)} if error.code in _NOT_YET else {}
        return problem(status, error.code, str(error), (terms | later).items())
    if error.code in _RETRY_SECONDS:
        return problem(status, error.code, str(error), [("Retry-After", str(_RETRY_SECONDS[error.code]))])
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return unavailable(error.code, str(error))
    return problem(status, error.code, str(error))


def body_too_large() -> Answer:
    """The answer to a request whose body is larger than what can be paid for."""
    return problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"the body of a request that is paid for may have {MAX_PAID_BODY} bytes; nothing was charged",
    )


def unavailable(code: str, detail: str) -> Answer:
    """The answer when payments cannot be taken for now; the same payment is to be sent again."""
    headers = [("Retry-After", str(_NOT_NOW_SECONDS))]
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail, headers)


def _status_of(code: str) -> HTTPStatus:
    if code in _MALFORMED:
        return HTTPStatus.BAD_REQUEST
    if code in _CONFLICTS:
        return HTTPStatus.CONFLICT
    if code in _NOT_NOW:
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.PAYMENT_REQUIRED
