"""Prices by method and path, for applications that know nothing of payments. Pure.

A rule that no request fits would leave its path free, so that it is refused when it is written down.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.convertors import Convertor
from starlette.routing import compile_path

from paypercall.paywall import Answer, PriceTag, WrongUse
from paypercall.paywall.answer import problem
from paypercall.paywall.endpoint import Resource
from paypercall.paywall.price import PriceFunction
from paypercall.wire import ANY_METHOD

METHODS = frozenset({ANY_METHOD, "GET", "POST", "PUT", "PATCH", "DELETE"})
"""What a rule may begin with. `HEAD` and `OPTIONS` are never charged; what is not here has the price of all methods."""

_NEVER_IN_A_PATH = re.compile(r"[\s?#%\x00-\x1f\x7f-\x9f]")
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class _Row:
    resource: Resource
    pattern: re.Pattern[str]
    converters: Mapping[str, Convertor[Any]]


class PriceTable:
    """What paths cost; the first rule that fits counts.

    Args:
        prices: By path (`/items/{id}`), or method and path (`POST /items`).

    Raises:
        WrongPrice: When a price makes no sense.
        WrongUse: When a rule makes no sense.
    """

    def __init__(self, prices: Mapping[str, int | PriceFunction | PriceTag | None]) -> None:
        self._rows = [_row(rule, price) for rule, price in prices.items()]

    @property
    def resources(self) -> list[Resource]:
        """The price list."""
        return [row.resource for row in self._rows]

    def find(self, method: str, path: str) -> tuple[PriceTag, dict[str, Any]] | None:
        """What a request costs, and the parameters in its path; None for what is not in the table."""
        asked = "GET" if method == "HEAD" else method  # what answers a GET answers a HEAD
        for row in self._rows:
            match = row.pattern.match(path)
            if match is not None and row.resource.method in (ANY_METHOD, asked):
                texts = match.groupdict().items()
                return row.resource.tag, {name: row.converters[name].convert(text) for name, text in texts}
        return None

    def refusal(self, method: str, path: str) -> Answer | None:
        """The answer to a path that an application may take for one with a price, as one that serves files does."""
        if not self._rows:
            return None
        if not path.startswith("/") or _CONTROL_CHARACTERS.search(path):
            return problem(HTTPStatus.BAD_REQUEST, "wrong_path", "no path here is written like this")
        if self.find(method, path) is not None:
            return None
        plain = "/" + posixpath.normpath(path).strip("/")
        for other in (plain, plain + "/"):
            if self._has_price(method, other):
                return problem(HTTPStatus.NOT_FOUND, "other_spelling", f"this is at {other}")
        return None

    def lets_socket_pass(self, path: str) -> bool:
        """Whether a web socket, which cannot pay, may be opened: nothing at its path costs anything."""
        return self.refusal("GET", path) is None and not self._has_price("GET", path)

    def _has_price(self, method: str, path: str) -> bool:
        found = self.find(method, path)
        return found is not None and not found[0].is_free


def _row(rule: object, price: int | PriceFunction | PriceTag | None) -> _Row:
    if not isinstance(rule, str):
        raise WrongUse(f"a rule of the table of prices must be a text such as 'POST /items', not {rule!r}")
    method, blank, path = rule.partition(" ") if not rule.startswith("/") else (ANY_METHOD, " ", rule)
    if not blank or method.upper() not in METHODS:
        raise WrongUse(
            f"{rule!r} in the table of prices must be a path that begins with /, or one of"
            f" {', '.join(sorted(METHODS))}, one blank, and such a path"
        )
    if not path.startswith("/") or _NEVER_IN_A_PATH.search(path):
        raise WrongUse(f"{path!r} is no path of a request: it must begin with /, without blanks, ?, # and %")
    try:
        pattern, _, converters = compile_path(path)
    except (AssertionError, ValueError) as error:
        raise WrongUse(f"{rule!r} in the table of prices: {error}") from error
    tag = price if isinstance(price, PriceTag) else PriceTag(price)
    return _Row(Resource(method.upper(), path, tag), pattern, converters)
