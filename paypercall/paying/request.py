"""A request as an HTTP library has it, and by what one is told from another. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Protocol
from urllib.parse import urlsplit

from paypercall import wire
from paypercall.paying.budget import origin_of
from paypercall.paying.offer import ReadHeaders

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


def told(request: SentRequest, origin: str) -> str:
    """The digest of what a request tells, but for its body."""
    return digest_of(str(request.method), str(request.url), *telling(request.headers, origin))


def telling(headers: SentHeaders, origin: str) -> list[str]:
    """The headers by which an answer may differ: a merchant's answer to one customer is none to another."""
    scheme = urlsplit(origin).scheme
    named = ((name.lower(), value) for name, value in headers.items())
    return sorted(
        f"{name}:{value}"
        for name, value in named
        if name not in wire.OF_ONE_ATTEMPT
        and name not in _OF_THE_LIBRARY
        and not (name == "host" and origin_of(f"{scheme}://{value}") == origin)
    )


def digest_of(*parts: str) -> str:
    """One digest of several texts, each with its length."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(b"%d:" % len(encoded) + encoded)
    return digest.hexdigest()
