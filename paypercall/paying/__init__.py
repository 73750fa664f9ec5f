"""Paying for HTTP calls within a budget: what the clients of all HTTP libraries have in common. Imports none.

An adapter makes a `Call` of its request, and does what `exchange` wants done.
"""

from __future__ import annotations

from paypercall.paying.budget import Budget, Limits, PaymentDeclined, WrongBudget
from paypercall.paying.offer import Offer, WrongOffer
from paypercall.paying.rejections import NotYetAccepted, PaymentRejected, PeriodOver, RefundMissing

__all__ = [
    "Budget",
    "Limits",
    "NotYetAccepted",
    "Offer",
    "PaymentDeclined",
    "PaymentRejected",
    "PeriodOver",
    "RefundMissing",
    "WrongBudget",
    "WrongOffer",
]
