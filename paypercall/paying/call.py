"""A call as the payer sees it, and what became of sending it. Pure; knows no HTTP library."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from paypercall import wire
from paypercall.paying.body import Traits
from paypercall.paying.budget import origin_of
from paypercall.paying.chain import Chain
from paypercall.paying.offer import ReadHeaders
from paypercall.paying.request import SentHeaders, digest_of, telling
from paypercall.paying.rest import Rest

_FREE_METHODS = ("HEAD", "OPTIONS")


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
        resource = digest_of(method, origin, parts.path)
        known = secrets.token_bytes(32) if body.digest is None else body.digest
        asker = tuple(telling(headers, origin))
        return cls(
            request=digest_of(method, origin, parts.path, parts.query, known.hex(), *asker),
            asker=digest_of(*asker),
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
        is_refunded: Whether it is known to have brought a refund that is right.
        forgery: What is wrong with what came as a refund, where nothing else in it speaks of the payment; or None.
    """

    status: int
    headers: ReadHeaders = field(repr=False)
    response: Any = field(repr=False)
    rest: Rest | None = field(default=None, repr=False)
    is_refunded: bool = False
    forgery: str | None = None


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
