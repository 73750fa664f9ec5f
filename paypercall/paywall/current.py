"""The payment for the request that is being answered, as a view asks for it: the same in every framework."""

from __future__ import annotations

from contextvars import ContextVar
from enum import Enum

from paypercall.errors import PaypercallError
from paypercall.paywall.running import Running


class WrongUse(PaypercallError, RuntimeError):
    """The program uses payable views in a way that cannot work, or that would charge nobody; it has to be mended."""

    code = "wrong_use"


class Unpaid(Enum):
    """Why there is no payment."""

    FREE = "free"
    """A payable view answers a request that costs nothing."""

    OUTSIDE = "outside"
    """No payable view is answering a request."""


CURRENT: ContextVar[Running | Unpaid] = ContextVar("paypercall_current", default=Unpaid.OUTSIDE)
"""The paid request that the running view answers."""


class CurrentPayment:
    """What a view may ask of the payment for the request that it answers; the `Payment` of every adapter is one.

    Raises:
        WrongUse: By all of it, outside of a payable view.
    """

    @property
    def amount(self) -> int:
        """What was paid for this request, in bytes or units of the asset; 0 if it is free."""
        running = self._running()
        return 0 if running is None else running.amount

    @property
    def asset(self) -> str | None:
        """The asset that was paid in; None if this request is free."""
        running = self._running()
        return None if running is None else running.asset

    @property
    def aa_address(self) -> str | None:
        """The channel, where there is one."""
        running = self._running()
        return None if running is None else running.aa_address

    @property
    def payment_id(self) -> str | None:
        """Identifies the payment, also in the receipt; None if this request is free."""
        running = self._running()
        return None if running is None else running.payment_id

    def refund(self, amount: int | None = None) -> None:
        """Gives back the whole price of this request, or a part of it; nothing happens if it is free.

        Args:
            amount: In bytes or units of the asset.

        Raises:
            Refusal: With `wrong_amount`.
            WrongUse: Outside of a payable view.
        """
        running = self._running()
        if running is not None:
            running.refund(amount)

    def _running(self) -> Running | None:
        current = self._current()
        if current is Unpaid.OUTSIDE:
            raise WrongUse("there is a payment inside of a payable view only, while it answers a request")
        return None if current is Unpaid.FREE else current

    def _current(self) -> Running | Unpaid:
        """What the framework's request says, where that outlives the view; by default the context."""
        return CURRENT.get()
