"""What the outcome of sending a payment says of it: was it taken, refused for what, is it to come again? Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import TypeGuard

from paypercall import wire
from paypercall.paying.call import Head, Lost
from paypercall.paying.refusals import Outlook, outlook

_LATER = (HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE)


def was_taken(head: Head) -> bool:
    """Whether the merchant took the payment: it says so, or has served, which who leads elsewhere has not."""
    has_served = head.status < HTTPStatus.MULTIPLE_CHOICES
    return has_served or head.is_refunded or head.headers.get(wire.RECEIPT) is not None


def outlook_of(outcome: Head | Lost) -> Outlook | None:
    """What is to be expected of a payment that was refused by name; None if it was not."""
    if isinstance(outcome, Lost) or was_taken(outcome):
        return None
    return outlook(outcome.status, outcome.headers.get(wire.CODE))


def is_of_another_period(outcome: Head | Lost) -> TypeGuard[Head]:
    """Whether the payment was refused since the channel is being settled, or was meanwhile."""
    return outlook_of(outcome) is Outlook.OTHER_PERIOD


def retry_after(outcome: Head | Lost) -> str | None:
    """When to come again, where somebody says so: nothing is lost then."""
    if isinstance(outcome, Lost) or outcome.status not in _LATER:
        return None
    return outcome.headers.get("Retry-After")
