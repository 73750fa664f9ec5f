"""Other names in recorded JSON: what stands for a recorded unit, asset or agent on a local network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """The same JSON with every text that has another name, keys included, under that name."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [renamed(element, names) for element in value]
    if isinstance(value, dict):
        return {names.get(key, key): renamed(element, names) for key, element in value.items()}
    return value
