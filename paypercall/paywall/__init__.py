"""Payable resources: what every framework's adapter has in common. Imports no framework.

An adapter makes a `Request` of what it got, asks `Paywall.begin` what to do, and hands what its view answered to
`Paywall.finish`.
"""

from __future__ import annotations

from paypercall.paywall.answer import Answer, Ending
from paypercall.paywall.current import CurrentPayment, WrongUse
from paypercall.paywall.endpoint import Endpoint, Resource
from paypercall.paywall.gate import Paywall
from paypercall.paywall.price import Price, PriceTag, WrongPrice
from paypercall.paywall.request import Request
from paypercall.paywall.running import Running
from paypercall.paywall.stream import AsyncWatchedParts, WatchedParts

__all__ = [
    "Answer",
    "AsyncWatchedParts",
    "CurrentPayment",
    "Ending",
    "Endpoint",
    "Paywall",
    "Price",
    "PriceTag",
    "Request",
    "Resource",
    "Running",
    "WatchedParts",
    "WrongPrice",
    "WrongUse",
]
