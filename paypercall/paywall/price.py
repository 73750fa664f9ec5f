"""What a resource costs: a number, or a function of the request. Pure.

A price that makes no sense is found when the decorator is applied or, where a function gives it, when it is asked for:
before anything is charged.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from paypercall.arguments import check_asset
from paypercall.errors import PaypercallError
from paypercall.obyte.amounts import BASE
from paypercall.paywall.signature import takes_one
from paypercall.trigger_data import MAX_AGENT_AMOUNT

PriceFunction = Callable[..., "int | Awaitable[int | None] | None"]
"""Gets the framework's request and the view's arguments."""


class WrongPrice(PaypercallError, TypeError):
    """The price is neither a number, nor None, nor a function that gives one; the host has to mend it."""

    code = "wrong_price"


@dataclass(frozen=True, slots=True)
class Price:
    """What one request costs.

    Attributes:
        amount: In bytes or units of the asset; 0 only where a request is paid for that costs nothing.
        asset: `base` or an asset's id.
    """

    amount: int
    asset: str = BASE


class PriceTag:
    """What a resource costs.

    Args:
        price: A number of bytes or units of the asset, 0 or None for free, or a function that gives it.
        asset: `base` or an asset's id.

    Raises:
        WrongPrice: When the price is something else, such as a class, or a function that takes no request.
        Refusal: With `wrong_asset`.
    """

    def __init__(self, price: int | PriceFunction | None, asset: str = BASE) -> None:
        check_asset(asset)
        if inspect.isclass(price) or (callable(price) and not takes_one(price)):
            raise WrongPrice(
                f"{price!r} is no price: write `required(price)`, and as the price an integer, None, or a"
                " function that gets the request"
            )
        self.asset = asset
        self._function = price if callable(price) else None
        self._fixed = None if callable(price) else self.checked(price)

    @property
    def is_fixed(self) -> bool:
        """Whether no function has to be asked."""
        return self._function is None

    @property
    def is_free(self) -> bool:
        """Whether it is free for everybody."""
        return self.is_fixed and self._fixed is None

    @property
    def fixed(self) -> Price | None:
        """The price that is the same for all requests, or None."""
        return self._fixed

    def ask(self, request: object, *args: Any, **kwargs: Any) -> Price | Awaitable[int | None] | None:
        """The price of a request; None is free. What an async function gives is to be awaited and `checked`.

        Args:
            request: The framework's.
            *args: The view's.
            **kwargs: The view's.

        Raises:
            WrongPrice: When the function gives no price.
        """
        if self._function is None:
            return self._fixed
        amount = self._function(request, *args, **kwargs)
        return amount if isinstance(amount, Awaitable) else self.checked(amount)

    def ask_now(
        self,
        run: Callable[[Callable[[], Any]], Callable[[], Any]],
        request: object,
        *args: Any,
        **kwargs: Any,
    ) -> Price | None:
        """The price of a request, where nothing can be awaited; see `ask`.

        Args:
            run: Makes a function that blocks of an async one.
            request: The framework's.
            *args: The view's.
            **kwargs: The view's.

        Raises:
            WrongPrice: When the function gives no price.
        """
        asked = self.ask(request, *args, **kwargs)
        if not isinstance(asked, Awaitable):
            return asked

        async def wait() -> object:
            return await asked

        return self.checked(run(wait)())

    def checked(self, amount: object) -> Price | None:
        """A price of an amount; None is free.

        Raises:
            WrongPrice: When the amount is none.
        """
        if amount is None or (type(amount) is int and amount == 0):
            return None
        if type(amount) is not int or not 0 < amount <= MAX_AGENT_AMOUNT:
            raise WrongPrice(
                f"a price must be an integer from 0 to {MAX_AGENT_AMOUNT}, None, or a function that returns one,"
                f" not {type(amount).__name__}"
            )
        return Price(amount, self.asset)
