"""A request as the paywall sees it, and the payments that it finds in one. Pure; knows no framework."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from paypercall.paid_call import SAME_REQUEST
from paypercall.wire import FIELD, OF_ONE_ATTEMPT

MAX_PAID_BODY = 16 * 1024 * 1024
"""Bytes of a paid request's body: what is paid for is held in memory, to be told from other requests."""

MAX_BODY_WITH_PACKAGE = 64 * 1024
"""Bytes of a body that a package may be in: to take JSON or a form apart needs many times their size, paid or not."""

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_JSON = "application/json"


class Headers(Protocol):
    """The headers of a request; names are compared without their case."""

    def items(self) -> Iterable[tuple[str, str]]:
        """Names and values."""

    def get(self, name: str, /) -> str | None:
        """The value of a header."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the paywall sees it.

    Attributes:
        method: In capitals.
        path: With where the application is mounted. Nothing may depend on what a proxy makes of the address, so that
            it is without the root path of the server, where that can be told from a mount.
        query: The query string, as it came.
        headers: The headers.
        body: The whole body; empty where `Paywall.needs_body` says that it is not needed.
        form_packages: What a form, urlencoded or multipart, has under `payment_package`, if it `may_hold_package`.
        root_path: Of the server, in front of the path.
    """

    method: str
    path: str
    query: str = field(repr=False)
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    form_packages: tuple[str, ...] = field(default=(), repr=False)
    root_path: str = ""

    @property
    def has_form(self) -> bool:
        """Whether the body is a form."""
        return self._content_type in _FORMS

    @property
    def has_json(self) -> bool:
        """Whether the body is JSON."""
        return self._content_type == _JSON or self._content_type.endswith("+json")

    @property
    def may_hold_package(self) -> bool:
        """Whether a payment may be in the body: in a form or JSON that is short or, before it is read, says so."""
        return (self.has_form or self.has_json) and self._length <= MAX_BODY_WITH_PACKAGE

    @property
    def _length(self) -> float:
        """Bytes of the body: endless if it is still to be read, and does not tell."""
        told = self.headers.get("Content-Length") or ""
        if self.body or not (told.isascii() and told.isdigit() and len(told) < 20):
            return len(self.body) or math.inf
        return int(told)

    @property
    def _content_type(self) -> str:
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def has_payment_in_query(self) -> bool:
        """Whether the query carries a payment."""
        return any(name == FIELD for name, _ in self._query())

    def digest(self) -> str:
        """What tells this request from others: method, path, query without a payment, and body; 32 hex digits.

        The answer that is given again is the one that was made for the headers then, `Accept` and `Range` included.
        """
        query = [part for pair in self._query() if pair[0] != FIELD for part in pair]
        return _digest([self.method, self.path, *query], b"body:" + self.body)[:SAME_REQUEST]

    def digest_with_headers(self) -> str:
        """`digest`, and as many digits of what the price may depend on besides and a retry may change: headers, root
        path."""
        headers = sorted(
            f"{name}:{value}"
            for name, value in ((name.lower(), value) for name, value in self.headers.items())
            if name not in OF_ONE_ATTEMPT
        )
        return self.digest() + _digest([self.root_path, *headers])[SAME_REQUEST:]

    def packages(self) -> list[Any]:
        """The payment packages outside of the headers: in the form, the JSON body or the query."""
        packages: list[Any] = [value for name, value in self._query() if name == FIELD]
        packages.extend(self.form_packages)
        if self.body and self.has_json and self.may_hold_package:
            packages.extend(packages_in_json(self.body))
        return packages

    def _query(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True, errors="surrogateescape") if self.query else []


def packages_in_json(body: bytes) -> list[Any]:
    """What a JSON object has under `payment_package`, all of it if the name comes several times."""
    found: list[Any] = []
    if FIELD.encode() not in body:
        return found

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found[:] = [value for name, value in pairs if name == FIELD]  # of the outermost object in the end
        return dict(pairs)

    try:
        content = json.loads(body, object_pairs_hook=note)
    except (ValueError, RecursionError):
        return []  # the view's business
    return found if isinstance(content, dict) else []


def _digest(texts: Iterable[str], rest: bytes = b"") -> str:
    parts = [b"%d:%b" % (len(text), text) for text in map(_encoded, texts)]
    return hashlib.sha256(b"".join(parts) + rest).hexdigest()


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no HTTP server makes such a text, but another transport may
        return text.encode("utf-8", "surrogatepass")
