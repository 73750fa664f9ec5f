"""Which payment a request carries, and by which method it is made. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from paypercall import wire
from paypercall.methods.base import PaymentMethod
from paypercall.paid_call import PaymentRefused
from paypercall.paywall.current import WrongUse
from paypercall.paywall.request import Request


@dataclass(frozen=True, slots=True)
class FoundPayment:
    """A payment as a request carries it.

    Attributes:
        method: Whose it is.
        payment: What the method is to redeem, by the names of its headers.
        is_in_body: Whether it came in the body or the query, and not in a header.
    """

    method: PaymentMethod
    payment: Mapping[str, Any] = field(repr=False)
    is_in_body: bool


def require_distinct(methods: Sequence[PaymentMethod]) -> None:
    """Refuses methods that every payment would seem to be made by several times.

    Raises:
        WrongUse: When two have a name or a header in common.
    """
    for names in (
        [method.name for method in methods],
        [name.lower() for method in methods for name in method.payment_headers],
    ):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise WrongUse(f"two payment methods must not share a name or a header, as they do: {twice[0]}")


def find_payment(methods: Sequence[PaymentMethod], request: Request) -> FoundPayment | None:
    """The payment in a request, or None if there is none.

    Raises:
        PaymentRefused: With `several_payments`.
    """
    found: list[FoundPayment] = []
    packages = request.packages()
    for method in methods:
        headers = {}
        for name in method.payment_headers:
            value = request.headers.get(name)
            if value is not None:
                headers[name] = value
        if headers:
            found.append(FoundPayment(method, headers, is_in_body=False))
        if wire.PACKAGE in headers and wire.TOKEN in headers:
            raise _several_payments()
        if packages and wire.PACKAGE in method.payment_headers:
            found.extend(
                FoundPayment(method, {wire.PACKAGE: package}, is_in_body=True) for package in packages
            )
    if len(found) > 1:
        raise _several_payments()
    return found[0] if found else None


def _several_payments() -> PaymentRefused:
    return PaymentRefused("send one payment with a request, in one place", code="several_payments")
