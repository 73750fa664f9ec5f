"""What a program may spend on calls: limits by call, hour and day, and whom it may pay. Pure.

A limit is never passed: what is spent is what was reserved within the last hour or day, less what is proven to have
come back. The sums are the caller's, who asks for them and books the call in one transaction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from paypercall.arguments import check_asset, check_payee
from paypercall.bought_call import Spending, Spent
from paypercall.errors import PaypercallError
from paypercall.obyte.amounts import BASE
from paypercall.paying.offer import Offer
from paypercall.paywall.signature import is_async
from paypercall.trigger_data import MAX_AGENT_AMOUNT

HOUR = 3600
DAY = 24 * HOUR

_PORTS = {"https": 443, "http": 80}
_OWN_MACHINE = ("localhost", "127.0.0.1", "::1")

Approve = Callable[[Offer, int], bool]
"""Whether a price may be paid that is above the last one for the same resource: `True` if so, all else is a no.

Gets the offer, and that price: 0 if the last one was another payee's, or in another asset.
"""


class PaymentDeclined(PaypercallError):
    """This side does not pay: the owner's limits or lists do not allow it. Nothing was signed; `code` says why."""

    code = "declined"


class WrongBudget(PaypercallError, ValueError):
    """The budget makes no sense, or a number besides it: `code` is then `wrong_max_price` or `wrong_patience`."""

    code = "wrong_budget"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be spent; None does not limit.

    Attributes:
        per_call: In bytes or units of the asset.
        per_hour: Within any 3,600 seconds.
        per_day: Within any 24 hours.
    """

    per_call: int | None = None
    per_hour: int | None = None
    per_day: int | None = None

    def __post_init__(self) -> None:
        for limit in (self.per_call, self.per_hour, self.per_day):
            if limit is not None and (type(limit) is not int or not 0 <= limit <= MAX_AGENT_AMOUNT):
                raise WrongBudget(f"a limit must be an integer from 0 to {MAX_AGENT_AMOUNT}, or None")


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in one asset.

    Args:
        per_call: The most that one call may cost, in bytes or units of the asset.
        per_hour: The most within any 3,600 seconds.
        per_day: The most within any 24 hours.
        asset: `base` or an asset's id.
        origins: The origins that may be paid, such as `https://api.example.com`; None for all over https, and for this
            machine where no proxy is asked for it.
        payees: The addresses that may be paid besides that of the client; each gets a channel of its own.
        by_origin: Further limits for some origins.
        by_payee: Further limits for some payees.
        approve: Asked when a price is above the last one for the same resource; not async. Without it, the limits
            decide.

    Raises:
        WrongBudget: When something of it makes no sense.
    """

    per_call: int
    per_hour: int
    per_day: int
    asset: str = BASE
    origins: Collection[str] | None = None
    payees: Collection[str] = ()
    by_origin: Mapping[str, Limits] = field(default_factory=dict)
    by_payee: Mapping[str, Limits] = field(default_factory=dict)
    approve: Approve | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if None in (self.per_call, self.per_hour, self.per_day) or isinstance(self.origins, str):
            raise WrongBudget("a budget has a limit per call, per hour and per day, and a list of origins")
        if not all(
            isinstance(limits, Limits) for limits in (*self.by_origin.values(), *self.by_payee.values())
        ):
            raise WrongBudget("further limits are written as Limits(…)")
        # A coroutine is true, whatever it would come to.
        if self.approve is not None and (not callable(self.approve) or is_async(self.approve)):
            raise WrongBudget("approve must be a function, and not an async one")
        _ = self.limits
        check_asset(self.asset)
        for payee in (*self.payees, *self.by_payee):
            check_payee(payee)
        if self.origins is not None:
            object.__setattr__(self, "origins", frozenset(map(_listed_origin, self.origins)))
        by_origin = {_listed_origin(origin): limits for origin, limits in self.by_origin.items()}
        object.__setattr__(self, "by_origin", by_origin)

    @property
    def limits(self) -> Limits:
        """The limits over all."""
        return Limits(self.per_call, self.per_hour, self.per_day)


def check_max_price(max_price: object) -> None:
    """Checks what a single call may cost, before anything is sent for it.

    Raises:
        WrongBudget: With `wrong_max_price`.
    """
    if max_price is not None and (type(max_price) is not int or max_price < 0):
        raise WrongBudget("max_price must be an integer from 0 on, or None", code="wrong_max_price")


def check_patience(patience: object) -> None:
    """Checks how long a call may wait.

    Raises:
        WrongBudget: With `wrong_patience`.
    """
    if type(patience) not in (int, float) or not 0 <= patience < math.inf:  # type: ignore[operator]
        raise WrongBudget("patience must be a number of seconds from 0 on", code="wrong_patience")


@dataclass(frozen=True, slots=True)
class Wish:
    """A payment that is to be made.

    Attributes:
        amount: In bytes or units of the budget's asset.
        origin: Whom it is sent to.
        payee: Who is paid.
    """

    amount: int
    origin: str
    payee: str


def limited(budget: Budget, wish: Wish) -> tuple[str | None, str | None]:
    """The origin and the payee of a payment; each is None without limits of its own, as its sum is not needed then."""
    origin = wish.origin if wish.origin in budget.by_origin else None
    return origin, wish.payee if wish.payee in budget.by_payee else None


def require_within(budget: Budget, wish: Wish, spending: Spending) -> None:
    """Checks a payment against all limits.

    Raises:
        PaymentDeclined: With `above_per_call`, `above_per_hour` or `above_per_day`.
    """
    nothing = Limits()
    for limits, spent, where in (
        (budget.limits, spending.total, ""),
        (budget.by_origin.get(wish.origin, nothing), spending.origin, f" for {wish.origin}"),
        (budget.by_payee.get(wish.payee, nothing), spending.payee, f" for {wish.payee}"),
    ):
        _require_below(limits, wish.amount, spent, where)


def _require_below(limits: Limits, amount: int, spent: Spent, where: str) -> None:
    for name, limit, before in (
        ("per_call", limits.per_call, 0),
        ("per_hour", limits.per_hour, spent.hour),
        ("per_day", limits.per_day, spent.day),
    ):
        if limit is not None and before + amount > limit:
            raise PaymentDeclined(
                f"the price is {amount}, and {max(0, limit - before)} of {limit} {name}{where} are left",
                code=f"above_{name}",
            )


def may_pay_at(budget: Budget, origin: str, *, is_proxied: bool) -> bool:
    """Whether an origin may be paid: it is listed or, without a list, the line to it is closed to others.

    Args:
        budget: The budget.
        origin: The origin.
        is_proxied: Whether a proxy is asked for it, which over plain http reads all that is sent.
    """
    if budget.origins is not None:
        return origin in budget.origins
    return origin.startswith("https://") or (_is_own_machine(origin) and not is_proxied)


def _is_own_machine(origin: str) -> bool:
    return urlsplit(origin).hostname in _OWN_MACHINE


def require_allowed(budget: Budget, origin: str, payee: str, own_payee: str, *, is_proxied: bool) -> None:
    """Checks whom a payment goes to.

    Raises:
        PaymentDeclined: With `origin_not_allowed` or `payee_not_allowed`.
    """
    if not may_pay_at(budget, origin, is_proxied=is_proxied):
        reason = "the budget's origins can allow it"
        if budget.origins is None and _is_own_machine(origin):
            reason = (
                "a proxy is asked for it, which could use the payment: set NO_PROXY=127.0.0.1,localhost in the"
                " environment or, if you trust the proxy, list the origin among the budget's origins"
            )
        raise PaymentDeclined(f"{origin} may not be paid; {reason}", code="origin_not_allowed")
    if payee != own_payee and payee not in budget.payees:
        raise PaymentDeclined(
            f"{payee} may not be paid; the budget's payees can allow it", code="payee_not_allowed"
        )


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an address, in one spelling; None if it is no http address."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        return None
    if scheme not in _PORTS or not host:
        return None
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port in (None, _PORTS[scheme]) else f"{scheme}://{host}:{port}"


def _listed_origin(text: str) -> str:
    origin = origin_of(text)
    if origin is None or not origin.isascii() or urlsplit(text).path not in ("", "/"):
        raise WrongBudget("an origin is written as https://host or https://host:port, in ASCII (xn--…)")
    return origin
