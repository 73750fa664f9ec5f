"""A call as the payer sees it, and what became of sending it. Pure; knows no HTTP library."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from paypercall import wire
from paypercall.paying.body import Kept, Traits
from paypercall.paying.budget import origin_of
from paypercall.paying.offer import ReadHeaders
from paypercall.paying.rest import Rest

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

_FREE_METHODS = ("HEAD", "OPTIONS")

_OF_THE_LIBRARY = frozenset(
    {"accept-encoding", "connection", "content-length", "keep-alive", "transfer-encoding", "user-agent"}
)
"""Headers that tell how a request is sent: another release of the HTTP library may send others for the same one."""


class SentHeaders(ReadHeaders, Protocol):
    """The headers of a request; names are compared without their case."""

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and values."""


class SentRequest(Protocol):
    """A request as an HTTP library has it."""

    @property
    def method(self) -> Any:
        """Its method, a string."""

    @property
    def url(self) -> Any:
        """The whole address; as a string, it is one."""

    @property
    def headers(self) -> Any:
        """Its headers, `SentHeaders`."""


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

    Whoever sends a request is not known here. What is as it was sent before, was sent by the program, as a call of its
    own; only a redirection leads to a copy of a request that is all the same. What differs may be of a hook that renews
    a token. After an answer to which nothing was offered, no hook is waited for.

    Args:
        origin: Where the first goes; None if that is still to be sent.
        may_pay: Whether any of them may be paid.
    """

    def __init__(self, origin: str | None, *, may_pay: bool = True) -> None:
        self._origin = origin
        self._sent: list[tuple[SentRequest, str]] = []
        self._may_pay = may_pay
        self._is_over = False
        self._is_followed = False
        self._is_elsewhere = False
        self._has_offered = False
        self._left: _Left | None = None
        self._is_led_on = False
        self._may_make_new = True
        self._source: object = None
        self._kept: Kept | None = None

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
        known, told = shared.get(_CHAIN), _told(request, origin)
        if isinstance(known, cls) and known._leads_to(request, told, origin):
            chain = known
        else:
            chain = shared[_CHAIN] = cls(origin, may_pay=may_pay)
            if isinstance(known, cls):
                chain._goes_on_after(known)
        chain._begins(request, told, origin)
        return chain

    @classmethod
    def forbid(cls, shared: MutableMapping[str, Any]) -> None:
        """Has a request that is still to be sent, and its redirections, pay nothing."""
        shared[_CHAIN] = cls(None, may_pay=False)

    def _leads_to(self, request: SentRequest, told: str, origin: str) -> bool:
        """Whether a request follows from those before."""
        if self._is_over:
            return False
        # What has left the first one's origin is no first request there, whoever sends it again.
        if origin != self._origin:
            return True
        return not any(
            as_told == told and (sent is request or not self._is_followed) for sent, as_told in self._sent
        )

    def _goes_on_after(self, known: Chain) -> None:
        """Offers first what was left by a call before, wherever in the origin; keeps what is kept of the same body."""
        self._left, self._is_led_on = known._left, known._left is not None
        self._source, self._kept = known._source, known._kept

    def _begins(self, request: SentRequest, told: str, origin: str) -> None:
        self._origin = self._origin or origin
        self._sent.append((request, told))
        self._is_elsewhere = origin != self._origin
        self._is_followed = self._has_offered = False

    def ends(self, status: int | None) -> None:
        """Notes what a request was answered in the end: None if the program gets no answer."""
        self._is_followed = status in FOLLOWED
        if self._is_followed:
            return
        if not self._is_elsewhere and (status is None or not self._has_offered):
            self._is_over = True
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def strip(self, headers: MutableMapping[str, str], origin: str) -> None:
        """Takes the program's own payments out of a request that leaves the first one's origin."""
        if origin != self._origin:
            for name in [name for name in headers if name.lower().startswith(wire.PREFIX)]:
                del headers[name]

    def may_pay(self, origin: str, resource: str) -> bool:
        """Whether a request of the chain may be paid."""
        is_elsewhere = self._left is not None and self._left.resource != resource
        return self._may_pay and origin == self._origin and (self._is_led_on or not is_elsewhere)

    @property
    def may_make_new(self) -> bool:
        """Whether a payment may be made for the next request: not besides one that was left on the way."""
        return self._may_make_new

    def left_at(self, resource: str) -> str | None:
        """The request, by its digest, whose payment may be used for the next one of a resource; None for none."""
        return None if self._left is None or self._left.resource != resource else self._left.request

    @property
    def left_asker(self) -> str | None:
        """Who asked with that payment."""
        return None if self._left is None else self._left.asker

    def leaves(self, request: str, resource: str, asker: str) -> None:
        """Notes that a payment was sent whose outcome is unknown yet, and who asked."""
        self._left = _Left(request, resource, asker)
        self._has_offered = True

    def makes_no_other(self) -> None:
        """Notes that the payment was left for what follows, and that no other one is to be made for that."""
        self._may_make_new = False

    def leads_on(self) -> None:
        """Notes the same of one that a redirection has left: what follows may be elsewhere at the origin."""
        self._is_led_on = True
        self.makes_no_other()

    def keep(self, source: object, begin: Callable[[], Kept], *, is_once: bool = True) -> Kept | None:
        """What is kept of a body that can be read once only, for the redirections that carry it on.

        Args:
            source: The library's own body.
            begin: Begins to keep it.
            is_once: Whether it can be read once only; if not, it is read again for a call that begins anew.

        Returns:
            None if it was read for a call that is over: it is lost, and nothing must be paid for a call without it.
        """
        if source is not self._source or (self._kept is None and not is_once):
            self._source, self._kept = source, begin()
        return self._kept

    def has_paid(self) -> None:
        """Notes that a payment was taken, or may have been: no other is made."""
        self._left = None
        self._may_pay = False

    def settles(self, *, all_came_back: bool) -> None:
        """Notes that a payment was taken; if all of it came back, another one may be made."""
        if not all_came_back:
            self.has_paid()
        self._left = None
        self._is_led_on, self._may_make_new = False, True
        self._has_offered = False


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one origin.

    Attributes:
        request: What it is recognised by when it is made again after a crash: method, address, body, and the headers,
            since any of them may tell who asks, and for what.
        asker: The digest of the headers alone.
        resource: What has one price: method and address without the query.
        method: The method, in capitals.
        origin: Where it goes.
        path: Where it goes there, decoded, as a merchant lists it.
        chain: The redirections that it belongs to.
        may_pay: Whether it may cost anything.
        max_price: The most that it may cost, or None.
        is_large: Whether its body should not be sent only to learn the price.
        is_proxied: Whether a proxy is asked for it.
    """

    request: str
    asker: str
    resource: str
    method: str
    origin: str
    path: str
    chain: Chain
    may_pay: bool
    max_price: int | None
    is_large: bool
    is_proxied: bool = False

    @classmethod
    def of(
        cls,
        method: str,
        url: str,
        headers: SentHeaders,
        body: Traits,
        chain: Chain,
        max_price: int | None,
        *,
        is_proxied: bool,
    ) -> Call:
        """Describes a request.

        Args:
            method: The method.
            url: The whole http address.
            headers: Its headers.
            body: What is known of its body.
            chain: The redirections that it belongs to.
            max_price: In bytes or units of the asset.
            is_proxied: Whether a proxy is asked for it.
        """
        method, origin, parts = method.upper(), origin_of(url), urlsplit(url)
        assert origin is not None, "what is no http address is not paid for"
        resource = _digest(method, origin, parts.path)
        known = secrets.token_bytes(32) if body.digest is None else body.digest
        asker = tuple(_telling(headers, origin))
        return cls(
            request=_digest(method, origin, parts.path, parts.query, known.hex(), *asker),
            asker=_digest(*asker),
            resource=resource,
            method=method,
            origin=origin,
            path=unquote(parts.path),
            chain=chain,
            may_pay=(
                chain.may_pay(origin, resource)
                and method not in _FREE_METHODS
                # Who pays by itself, in whatever way: a second payment would be refused, or lost.
                and not any(name.lower().startswith(wire.PREFIX) for name, _ in headers.items())
            ),
            max_price=max_price,
            is_large=body.is_large,
            is_proxied=is_proxied,
        )


@dataclass(frozen=True, slots=True)
class Head:
    """An answer, of which only the head matters here.

    Attributes:
        status: The HTTP status.
        headers: The headers.
        response: The library's own, handed through.
        rest: Its body, where that is still to come; None where it is there as a whole.
    """

    status: int
    headers: ReadHeaders = field(repr=False)
    response: Any = field(repr=False)
    rest: Rest | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer, or not a whole one: whether the request has arrived is unknown.

    Attributes:
        error: The library's own, without the payment in it.
        may_have_left: Whether anything of the request may have been sent: not without a connection.
    """

    error: Exception
    may_have_left: bool = True


def join_cookies(header: str | None, more: str) -> str:
    """A `Cookie` header with the cookies of another one, which count where both name one."""
    added = more.split("; ")
    names = {pair.partition("=")[0] for pair in added}
    kept = [] if header is None else header.split("; ")
    return "; ".join([*(pair for pair in kept if pair.partition("=")[0] not in names), *added])


def _told(request: SentRequest, origin: str) -> str:
    """The digest of what a request tells, but for its body."""
    return _digest(str(request.method), str(request.url), *_telling(request.headers, origin))


def _telling(headers: SentHeaders, origin: str) -> list[str]:
    """The headers by which an answer may differ: a merchant's answer to one customer is none to another."""
    scheme = urlsplit(origin).scheme
    told = ((name.lower(), value) for name, value in headers.items())
    return sorted(
        f"{name}:{value}"
        for name, value in told
        if name not in wire.OF_ONE_ATTEMPT
        and name not in _OF_THE_LIBRARY
        and not (name == "host" and origin_of(f"{scheme}://{value}") == origin)
    )


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(b"%d:" % len(encoded) + encoded)
    return digest.hexdigest()
