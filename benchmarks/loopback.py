"""Keeps a process from talking to anything but itself and its own machine, whatever library tries to."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

_EVENTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}


def allow_loopback_alone() -> None:
    """Has every other connection, and every look-up of a name, fail from now on."""
    sys.addaudithook(_check)


def _check(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        _require_loopback(arguments[0])
    elif event in _EVENTS and isinstance(arguments[1], tuple):
        _require_loopback(arguments[1][0])


def _require_loopback(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost") or (_is_address(name) and ipaddress.ip_address(name).is_loopback):
        return
    raise RuntimeError(f"a benchmark tried to talk to {name}")


def _is_address(name: str | None) -> bool:
    try:
        ipaddress.ip_address(name or "")
    except ValueError:
        return False
    return True
