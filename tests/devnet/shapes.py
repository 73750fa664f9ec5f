"""The shape of JSON: which fields there are and of what kind, whatever they say."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from paypercall.obyte.address import is_valid_address, is_valid_base64

RECORDINGS = Path(__file__).parents[1] / "recordings"


def paths(value: Any, path: str = "") -> set[str]:
    """All paths in a JSON value with the kind of what is there; addresses and hashes as keys count as one."""
    if isinstance(value, dict):
        found = {f"{path}: object"}
        for key, element in value.items():
            name = "<address>" if is_valid_address(key) else "<asset>" if is_valid_base64(key, 44) else key
            found |= paths(element, f"{path}.{name}")
        return found
    if isinstance(value, list):
        return {f"{path}: array"}.union(*(paths(element, f"{path}[]") for element in value))
    if value is None:
        return {f"{path}: null"}
    if isinstance(value, bool):
        return {f"{path}: boolean"}
    return {f"{path}: {'number' if isinstance(value, (int, float)) else 'string'}"}


@cache
def recorded_messages() -> tuple[tuple[str, list[Any]], ...]:
    """All recorded messages with their direction."""
    messages = []
    for name in ("client", "client-asset", "server", "extra"):
        for line in (RECORDINGS / f"traffic-{name}.jsonl").read_text().splitlines():
            record = json.loads(line)
            if "msg" in record:
                messages.append((record["dir"], record["msg"]))
    return tuple(messages)


@cache
def recorded_responses() -> dict[str, set[str]]:
    """What paths the real hub's responses had, by command."""
    shapes: defaultdict[str, set[str]] = defaultdict(set)
    for direction, (kind, content) in recorded_messages():
        if direction == "hub->client" and kind == "response":
            shapes[content["command"]] |= paths(content)
    return dict(shapes)


@cache
def recorded_minimum() -> dict[str, set[str]]:
    """What paths all of the real hub's responses had, apart from empty ones, errors and what units say."""
    shapes: dict[str, set[str]] = {}
    for direction, (kind, content) in recorded_messages():
        if direction == "hub->client" and kind == "response" and _tells_something(content):
            found = {path for path in paths(content) if ".payload." not in path and ".payload:" not in path}
            shapes[content["command"]] = shapes.get(content["command"], found) & found
    return shapes


def _tells_something(content: dict[str, Any]) -> bool:
    response = content.get("response", True)
    return response not in (None, {}) and not (isinstance(response, dict) and "error" in response)


@cache
def recorded_sayings() -> dict[str, set[str]]:
    """What paths the real hub's justsayings had, by subject."""
    shapes: defaultdict[str, set[str]] = defaultdict(set)
    for direction, (kind, content) in recorded_messages():
        if direction == "hub->client" and kind == "justsaying":
            shapes[content["subject"]] |= paths(content)
    return dict(shapes)
