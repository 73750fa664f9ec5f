"""A request and what follows from it, as redirections do: one payment at most for all of them. Pure.

Whoever sends a request, the program, a redirection or a hook, is not told to what is mounted below; it is concluded
here from what is sent, and from the answer before.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any

from paypercall import wire
from paypercall.paying.body import KeptBody
from paypercall.paying.request import SentRequest, told

_CHAIN = "paypercall"
FOLLOWED = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
)
"""Answers that may lead to a request that follows from the one before."""


class _Payment(Enum):
    """What has become of the one payment of a chain, and so what may be paid for the next request."""

    OPEN = "none is made, or all of it came back: what a call before has left is offered, else one is made"
    SENT = "it may have been taken: it goes along to the same resource; another one if it is gone"
    LEFT = "it was not taken, and may be yet: it goes along to the same resource, and no other one"
    LED_ON = "a redirection has left it: it goes along to wherever in the origin that leads, and no other one"
    DONE = "it was taken, or is lost, or none may be made: nothing is paid any more"


class _Next(Enum):
    """What may follow from the last answer; all else is a call of its own."""

    NOTHING = "no request"
    CHANGED = "one that differs from those before, as of a hook that renews a token"
    LED = "a copy of one before, too, as of a redirection to itself"


@dataclass(frozen=True, slots=True)
class _Left:
    """A request whose payment was sent, and not taken as yet: its digest, that of its resource, and who asked."""

    request: str
    resource: str
    asker: str


class Chain:
    """A request and what follows from it: one of them may be paid, and none that leaves the first one's origin.

    It is followed by redirections, and by itself with what the answer asks for, such as a digest. Where the merchant
    has not taken the payment of the one, it goes along with the next: to the same resource or, after a redirection, to
    where that leads, if it costs the same there; no other one is made there then.

    Args:
        origin: Where the first goes; None if that is still to be sent.
        may_pay: Whether any of them may be paid.

    Attributes:
        body: What is kept of their body.
    """

    def __init__(self, origin: str | None, *, may_pay: bool = True) -> None:
        self.body = KeptBody()
        self._origin = origin
        self._payment = _Payment.OPEN if may_pay else _Payment.DONE
        self._left: _Left | None = None
        self._next = _Next.LED if origin is None else _Next.NOTHING
        self._sent: list[tuple[SentRequest, str]] = []
        self._is_elsewhere = False

    @classmethod
    def of(
        cls, shared: MutableMapping[str, Any], request: SentRequest, origin: str, *, may_pay: bool = True
    ) -> Chain:
        """The chain of a request: a new one, unless it follows from another.

        Args:
            shared: What the library hands on from a request to what follows from it.
            request: The library's own.
            origin: Where it goes.
            may_pay: Whether a new one may be paid.
        """
        known, now = shared.get(_CHAIN), told(request, origin)
        if isinstance(known, cls) and known._leads_to(request, now, origin):
            chain = known
        else:
            chain = shared[_CHAIN] = cls(origin, may_pay=may_pay)
            if isinstance(known, cls):
                # What a call before has left is offered first, wherever in the origin.
                chain._left, chain.body = known._left, known.body
        chain._begins(request, now, origin)
        return chain

    @classmethod
    def forbid(cls, shared: MutableMapping[str, Any]) -> None:
        """Has a request that is still to be sent, and its redirections, pay nothing."""
        shared[_CHAIN] = cls(None, may_pay=False)

    def _leads_to(self, request: SentRequest, now: str, origin: str) -> bool:
        """Whether a request follows from those before."""
        if self._next is _Next.NOTHING:
            return False
        # What has left the first one's origin is no first request there, whoever sends it again.
        if origin != self._origin:
            return True
        # What is as it was sent before is the program's; only a redirection leads to a copy of that.
        is_led = self._next is _Next.LED
        return not any(before == now and (sent is request or not is_led) for sent, before in self._sent)

    def _begins(self, request: SentRequest, now: str, origin: str) -> None:
        self._origin = self._origin or origin
        self._is_elsewhere = origin != self._origin
        self._sent.append((request, now))
        self._next = _Next.NOTHING

    def ends(self, status: int | None) -> None:
        """Notes what a request was answered in the end: None if the program gets no answer."""
        if status in FOLLOWED:
            self._next = _Next.LED
            return
        self.body.forget()
        if self._is_elsewhere:
            self._next = _Next.CHANGED
        elif status is None:
            self._next = _Next.NOTHING

    def strip(self, headers: MutableMapping[str, str], origin: str) -> None:
        """Takes the program's own payments out of a request that leaves the first one's origin."""
        if origin != self._origin:
            for name in [name for name in headers if name.lower().startswith(wire.PREFIX)]:
                del headers[name]

    def may_pay(self, origin: str, resource: str) -> bool:
        """Whether a request of the chain may be paid."""
        if origin != self._origin or self._payment is _Payment.DONE:
            return False
        is_bound = self._payment in (_Payment.SENT, _Payment.LEFT)
        return not is_bound or self._is_left_at(resource)

    @property
    def may_make_new(self) -> bool:
        """Whether a payment may be made for the next request: not besides one that was left on the way."""
        return self._payment in (_Payment.OPEN, _Payment.SENT)

    def left_at(self, resource: str) -> str | None:
        """The request, by its digest, whose payment may be used for the next one of a resource; None for none."""
        return self._left.request if self._left is not None and self._is_left_at(resource) else None

    @property
    def left_asker(self) -> str | None:
        """Who asked with that payment."""
        return None if self._left is None else self._left.asker

    def _is_left_at(self, resource: str) -> bool:
        return self._left is not None and self._left.resource == resource

    def leaves(self, request: str, resource: str, asker: str) -> None:
        """Notes that a payment was sent whose outcome is unknown yet, and who asked."""
        self._left = _Left(request, resource, asker)
        if self._payment is _Payment.OPEN:
            self._payment = _Payment.SENT
        # Whatever is answered, a hook may send the request again with what is asked for.
        self._next = _Next.CHANGED

    def makes_no_other(self) -> None:
        """Notes that the payment was left for what follows, and that no other one is to be made for that."""
        if self._payment is not _Payment.LED_ON:
            self._payment = _Payment.LEFT

    def leads_on(self) -> None:
        """Notes the same of one that a redirection has left: what follows may be elsewhere at the origin."""
        self._payment = _Payment.LED_ON

    def has_paid(self) -> None:
        """Notes that a payment was taken, or may have been: no other is made."""
        self._left = None
        self._payment = _Payment.DONE

    def settles(self, *, all_came_back: bool) -> None:
        """Notes that a payment was taken; if all of it came back, another one may be made."""
        self._left = None
        self._payment = _Payment.OPEN if all_came_back else _Payment.DONE
        self._next = _Next.NOTHING
