"""A request as its bytes go over the line, for what no client library would send."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

PATIENCE_SECONDS = 20.0
WEB_SOCKET = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


def status_of(address: str, target: str, *headers: str, method: str = "GET") -> int:
    """The status of the answer to a request for a target, which goes into the first line as it is."""
    parts = urlsplit(address)
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers, "", ""]
    with socket.create_connection((parts.hostname, parts.port), PATIENCE_SECONDS) as line:
        line.sendall("\r\n".join(lines).encode())
        return int(line.recv(4096).split(maxsplit=2)[1])
