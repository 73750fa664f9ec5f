"""The golden cases of the real Obyte core, unchanged (see NOTES.md), and a plain way to load them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def load_cases(file_name: str, kind: str | None = None) -> tuple[dict[str, Any], ...]:
    """Returns the cases of a vector file such as `chash.json`, of one kind if asked; do not change them."""
    text = (Path(__file__).parent / file_name).read_text(encoding="ascii")
    return tuple(case for case in json.loads(text)["cases"] if kind is None or case.get("kind") == kind)


def describe(case: dict[str, Any], index: int) -> str:
    """Returns what names a case in a failure."""
    return f"case {index} ({case['name']!r}, tags {case.get('tags', [])})"
