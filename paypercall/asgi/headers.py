"""Headers as ASGI has them: pairs of bytes, in the order in which they came. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from http import HTTPStatus

from starlette.types import Message, Scope

from paypercall.paywall.caching import cache_headers

_WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class Headers:
    """The request's headers; one that comes several times has all its values, which no payment has."""

    def __init__(self, scope: Scope) -> None:
        self._values: dict[str, str] = {}
        for name, value in scope["headers"]:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self._values[key] = f"{self._values[key]}, {text}" if key in self._values else text

    def get(self, name: str) -> str | None:
        """The value of a header."""
        return self._values.get(name.lower())

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values."""
        return self._values.items()


def length_of(start: Message) -> int | None:
    """The length of an answer's body, or None if it tells none."""
    if start["status"] in _WITHOUT_BODY:
        return 0
    return next((int(value) for name, value in start["headers"] if name.lower() == b"content-length"), None)


def with_listed_headers(start: Message) -> Message:
    """The start of an answer whose headers can be read more than once."""
    return {**start, "headers": list(start.get("headers", ()))}


def kept_from_shared_caches(start: Message) -> Message:
    """The start of an answer for which others have to pay."""
    return replacing(start, cache_headers(tuple(decoded(start)), has_refund=False))


def replacing(
    start: Message, headers: Iterable[tuple[str, str]], gone: AbstractSet[bytes] = frozenset()
) -> Message:
    """The start of an answer with these headers in place of its own of the same names, and without some others."""
    added = encoded(headers)
    replaced = gone | {name for name, _ in added}
    others = [pair for pair in start["headers"] if pair[0].lower() not in replaced]
    return {**start, "headers": others + added}


def decoded(message: Message) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
