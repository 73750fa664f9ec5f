"""Payments that wait for hub or third party while they are collected, few at a time. Holds no money rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paypercall.methods.base import Order
from paypercall.paid_call import PaidCall
from paypercall.waiting import Waiting

MAX_WAITING = 8
"""Payments that wait at a time in a process, of each method; an ASGI host has 32 threads for all that it does."""


class WaitingPayments(Waiting):
    """Lets the payments of a method wait.

    Args:
        whom: Whom they wait for.
    """

    def __init__(self, whom: str) -> None:
        super().__init__(whom, MAX_WAITING)

    def collect(
        self,
        order: Order,
        payment: str,
        amount: int,
        collect: Callable[[PaidCall], None],
        **details: Any,
    ) -> PaidCall:
        """`Order.collect`, where collecting takes a turn. What was kept before stays, and what is new is not kept.

        Raises:
            Refusal: As `turn`.
            PaypercallError: As `Order.collect`.
        """
        if order.is_new(payment):
            with self.turn():
                return order.collect(payment, amount, collect, **details)

        def collect_in_turn(held: PaidCall) -> None:
            with self.turn():
                collect(held)

        return order.collect(payment, amount, collect_in_turn, **details)
