"""Calls ASGI and WSGI applications directly, with no server and no socket, as one request after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

PATH = "/temperature"

Call = Callable[[Mapping[str, str]], "Answer"]
"""Calls an application with headers."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an application answered.

    Attributes:
        status: The HTTP status.
        headers: By their names in small letters.
        body: The body.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def asgi_call(app: Any, loop: asyncio.AbstractEventLoop) -> Call:
    """Calls an ASGI application on a loop."""

    def call(headers: Mapping[str, str]) -> Answer:
        return loop.run_until_complete(_asgi_answer(app, headers))

    return call


async def _asgi_answer(app: Any, headers: Mapping[str, str]) -> Answer:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    return Answer(
        sent[0]["status"],
        {name.decode(): value.decode() for name, value in sent[0]["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


def wsgi_call(app: Any, path: str) -> Call:
    """Calls a WSGI application at a path."""

    def call(headers: Mapping[str, str]) -> Answer:
        started: list[Any] = []
        environment = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(),
            "wsgi.errors": BytesIO(),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
        }
        parts = app(environment, lambda status, headers: started.extend((status, headers)))
        body = b"".join(parts)
        parts.close()
        status, pairs = started
        return Answer(int(status.split()[0]), {name.lower(): value for name, value in pairs}, body)

    return call
