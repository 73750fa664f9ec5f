"""The price list at a merchant's channel endpoint: to ask for it has no effect, and needs no body. Pure.

It may come from an enemy. What is not understood of it is left out: the price is then asked for by the call itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from paypercall.arguments import check_asset
from paypercall.contract import BASE_AGENTS
from paypercall.errors import Refusal
from paypercall.obyte.address import is_valid_address
from paypercall.paying.offer import Quote
from paypercall.trigger_data import MAX_AGENT_AMOUNT
from paypercall.wire import ANY_METHOD

MAX_LIST = 256 * 1024
"""Bytes of a price list; a longer one is not read."""

_MOST_LINES = 1000
_VARIES = "varies"


@dataclass(frozen=True, slots=True)
class _Line:
    method: str
    segments: tuple[str, ...]
    quote: Quote | None

    def fits(self, method: str, segments: tuple[str, ...]) -> bool:
        return (
            self.method in (ANY_METHOD, method)
            and len(self.segments) == len(segments)
            and all(mine in ("*", other) for mine, other in zip(self.segments, segments, strict=True))
        )


@dataclass(frozen=True, slots=True)
class PriceList:
    """What a merchant's resources cost; a line without a quote is of one where that depends on the request."""

    lines: tuple[_Line, ...] = ()

    def quote(self, method: str, path: str) -> Quote | None:
        """What a resource costs, or None if that is not told or has several answers."""
        quotes = self._quotes(method, path)
        return quotes.pop() if len(quotes) == 1 else None

    def varies(self, method: str, path: str) -> bool:
        """Whether what a resource costs depends on the request."""
        quotes = self._quotes(method, path)
        return len(quotes) > 1 or None in quotes

    def _quotes(self, method: str, path: str) -> set[Quote | None]:
        segments = tuple(path.split("/"))
        return {line.quote for line in self.lines if line.fits(method, segments)}


def read_price_list(text: bytes | None, network: str, timeout: int) -> PriceList:
    """Reads a price list, of which only what can be paid from here is kept.

    Args:
        text: As it came, or None for none.
        network: The network's unit version.
        timeout: That of channels made here, in seconds.
    """
    if text is None or len(text) > MAX_LIST:
        return PriceList()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return PriceList()
    if not isinstance(content, dict) or content.get("network") != network:
        return PriceList()
    payee, versions, resources = (content.get(name) for name in ("address", "agent_versions", "resources"))
    if not _takes_timeout(content, timeout):
        return PriceList()
    if not is_valid_address(payee) or not isinstance(versions, list) or not isinstance(resources, list):
        return PriceList()
    if not any(isinstance(version, str) and version in BASE_AGENTS for version in versions):
        return PriceList()
    lines = (_line(resource, str(payee)) for resource in resources[:_MOST_LINES])
    return PriceList(tuple(line for line in lines if line is not None))


def _takes_timeout(content: dict[str, Any], timeout: int) -> bool:
    shortest, longest = content.get("min_timeout"), content.get("max_timeout")
    return type(shortest) is int and type(longest) is int and shortest <= timeout <= longest


def _line(resource: Any, payee: str) -> _Line | None:
    if not isinstance(resource, dict):
        return None
    method, path, price, asset = (resource.get(name) for name in ("method", "path", "price", "asset"))
    if not isinstance(method, str) or not isinstance(path, str):
        return None
    segments = tuple(map(_segment, path.split("/")))
    if price == _VARIES:
        return _Line(method, segments, None)
    if type(price) is not int or not 0 < price <= MAX_AGENT_AMOUNT:
        return None
    try:
        check_asset(asset)
    except Refusal:
        return None
    return _Line(method, segments, Quote(price, str(asset), payee))


def _segment(text: str) -> str:
    """A part of a path, or `*` for one that a rule leaves open."""
    return "*" if text[:1] + text[-1:] in ("<>", "{}") else text
