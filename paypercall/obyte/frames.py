"""The frames of the hub's websocket protocol: `["request" | "response" | "justsaying", body]` as JSON.

Pure, and of a hub's frames nothing is believed: whatever is no message counts as none. What a body means is
not known here.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from paypercall.obyte.errors import HubError

MAX_REFUSAL_CHARACTERS = 500  # hubs quote whole units in some refusals


def websocket_url(url: str) -> str:
    """Returns a hub's address with its scheme; without one, `wss://` is meant.

    Raises:
        HubError: It is no websocket address.
    """
    complete = url if "://" in url else f"wss://{url}"
    parts = urlsplit(complete)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise HubError(f"{url!r} is no websocket address")
    return complete


def is_on_this_machine(url: str) -> bool:
    """Whether an address of a hub, with its scheme, is one of the loopback interface."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def print_frame(kind: str, body: dict[str, Any]) -> str:
    """Returns a message as it travels."""
    return json.dumps([kind, body], separators=(",", ":"))


def parse_frame(frame: str | bytes) -> tuple[str, dict[str, Any]]:
    """Returns the kind and the body of a message; an empty kind if the frame holds none."""
    try:
        message = json.loads(frame, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return "", {}
    match message:
        case [str(kind), dict(body)]:
            return kind, body
    return "", {}


def refusal_text(error: Any) -> str:
    """Returns what a hub gives as its reason, as a text of bounded length."""
    text = error if isinstance(error, str) else json.dumps(error)
    return text[:MAX_REFUSAL_CHARACTERS]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
