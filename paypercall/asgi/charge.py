"""A price of a view of Starlette or FastAPI, for which FastAPI takes the payment as it solves a dependency.

Imports no FastAPI. It has no `from __future__ import annotations`: FastAPI before 0.124 cannot evaluate the text of
annotations of an object's `__call__`.
"""

from collections.abc import AsyncIterator

from starlette.requests import Request

from paypercall.asgi.exchange import SCOPE_KEY, Exchange
from paypercall.paywall import PriceTag, Running, WrongUse


class Charge:
    """A dependency of FastAPI that takes a payment.

    Args:
        payment: The `Payment` that takes it.
        tag: What is to be paid.
    """

    def __init__(self, payment: object, tag: PriceTag) -> None:
        self.payment = payment
        self.tag = tag

    def exchange_of(self, request: Request) -> Exchange:
        """The exchange of a request in which the payment is taken.

        Raises:
            WrongUse: When the middleware of this `Payment` has not seen the request.
        """
        exchange = request.scope.get(SCOPE_KEY, {}).get(self.payment)
        if exchange is None:
            raise WrongUse(
                "the middleware of this Payment has not seen this request: use Payment(app, …), or wrap the application"
                " in PaymentMiddleware"
            )
        assert isinstance(exchange, Exchange)
        return exchange

    async def __call__(self, request: Request) -> AsyncIterator[Running | None]:
        """Takes the payment for a request, and refunds it if the view fails."""
        exchange = self.exchange_of(request)
        running = await exchange.charge(self.tag, request.path_params)
        try:
            yield running
        except Exception as error:
            exchange.refund_failure(error)
            raise
