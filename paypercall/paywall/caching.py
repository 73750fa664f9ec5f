"""What caches may do with an answer that was paid for: a shared one may not give it to who pays nothing. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from paypercall.paywall.answer import Pairs

_NAME = "cache-control"
_DIRECTIVE = re.compile(r'([^\s,="]+)(?:\s*=\s*(?:"[^"]*"|[^\s,]*))?')
_WHO_MAY_STORE = frozenset({"private", "public", "s-maxage"})
_OF_SHARED_CACHES = {"surrogate-control": "no-store", "x-accel-expires": "0"}
"""The headers that are for one kind of shared cache, and overrule the common one there."""

_OF_SOME_CACHE = "cdn-cache-control"
"""So the names of more of them end."""


def cache_headers(headers: Iterable[tuple[str, str]], *, has_refund: bool) -> Pairs:
    """What takes the place of what a view says to caches, by the same names.

    Args:
        headers: The view's.
        has_refund: Whether money goes back with the answer, which nobody at all may store.
    """
    said = []
    for_shared_caches = []
    for name, value in headers:
        small = name.lower()
        if small == _NAME:
            said.append(value)
        elif small in _OF_SHARED_CACHES or small.endswith(_OF_SOME_CACHE):
            for_shared_caches.append((name, _OF_SHARED_CACHES.get(small, "no-store")))
    return ("Cache-Control", _control(said, has_refund)), *for_shared_caches


def _control(said: Sequence[str], has_refund: bool) -> str:
    if has_refund or not said or said == ["no-store"]:
        return "no-store"
    directives = {match[1].lower(): match[0] for match in _DIRECTIVE.finditer(",".join(said))}
    if not directives or "no-store" in directives:
        return "no-store"
    # A payment is no `Authorization`: what says nothing of who may store it is stored by all.
    return ", ".join(["private", *(text for name, text in directives.items() if name not in _WHO_MAY_STORE)])
