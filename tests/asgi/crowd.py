"""Many requests at once, each on a connection of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask_all(url: str, requests: Sequence[dict[str, str]]) -> list[Answer]:
    """Asks for one address with different headers, all at once: nothing is sent before all are connected."""
    return asyncio.run(asyncio.wait_for(_ask_all(url, requests), PATIENCE_SECONDS))


async def _ask_all(url: str, requests: Sequence[dict[str, str]]) -> list[Answer]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    lines = await asyncio.gather(
        *(asyncio.open_connection(parts.hostname, parts.port, limit=2**16) for _ in requests)
    )
    return await asyncio.gather(
        *(_ask(*line, parts.path, headers) for line, headers in zip(lines, requests, strict=True))
    )


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, headers: dict[str, str]
) -> Answer:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    status, *pairs = head.decode("latin-1").split("\r\n")
    return Answer(
        int(status.split()[1]),
        {name.lower(): value for name, _, value in (pair.partition(": ") for pair in pairs)},
        body,
    )
