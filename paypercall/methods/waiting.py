"""Lets few payments at a time wait for somebody else: more would take all threads of a host. Holds no money rule."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any

from paypercall.errors import Refusal, RefusalCode
from paypercall.methods.base import Order
from paypercall.paid_call import PaidCall

MAX_WAITING = 8
"""Payments that wait at a time in a process, of each method; an ASGI host has 32 threads for all that it does."""


class Waiting:
    """Lets payments wait for somebody, few at a time, and after a fork, too.

    Args:
        whom: Whom they wait for.
    """

    def __init__(self, whom: str) -> None:
        self._whom = whom
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._process = os.getpid()
        self._free = BoundedSemaphore(MAX_WAITING)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Lets one wait.

        Raises:
            Refusal: With `too_many_waiting`, at once.
        """
        if self._process != os.getpid():  # a forked worker has none of the threads that its parent let wait
            self._start_afresh()
        free = self._free
        if not free.acquire(blocking=False):
            raise Refusal(
                RefusalCode.TOO_MANY_WAITING,
                f"too many payments wait for {self._whom}; send the same one again soon",
            )
        try:
            yield
        finally:
            free.release()

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
