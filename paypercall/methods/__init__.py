"""Payment methods: ways in which a request can be paid for. Each is a `PaymentMethod`; a host can write its own."""

from __future__ import annotations

from paypercall.methods.base import Order, PaymentMethod
from paypercall.methods.channel import Channel
from paypercall.methods.on_chain import OnChain

__all__ = ["Channel", "OnChain", "Order", "PaymentMethod"]
