"""The golden cases of the real Obyte core, unchanged (see NOTES.md), and plain ways to use them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from paypercall.errors import PaypercallError

Case = dict[str, Any]


@cache
def load_cases(file_name: str, kind: str | None = None) -> tuple[Case, ...]:
    """Returns the cases of a vector file such as `chash.json`, of one kind if asked; do not change them."""
    text = (Path(__file__).parent / file_name).read_text(encoding="ascii")
    return tuple(case for case in json.loads(text)["cases"] if kind is None or case.get("kind") == kind)


def has_tag(case: Case, tag: str) -> bool:
    """Tells whether a case belongs to the class that the tag names."""
    return tag in case.get("tags", ())


def spellings(case: Case, name: str) -> list[Any]:
    """Returns a case's input as it stands, and as its raw JSON text reads if that is given, too."""
    return [case[name], json.loads(case["json"])] if "json" in case else [case[name]]


def outcome(function: Callable[..., Any], *arguments: Any, **options: Any) -> dict[str, Any]:
    """Returns `{"ok": result}`, or `{"error": True}` where one of our own errors refuses."""
    try:
        return {"ok": function(*arguments, **options)}
    except PaypercallError:
        return {"error": True}


def expected(result: dict[str, Any]) -> dict[str, Any]:
    """Returns a case's result without the real core's words about an error."""
    return {"error": True} if "error" in result else {"ok": result["ok"]}


def failing(cases: tuple[Case, ...], passes: Callable[[Case], bool]) -> list[str]:
    """Returns the number and name of each case that does not pass; there must be cases."""
    assert cases, "no case was looked at"
    return [f"{number}: {case['name']}" for number, case in enumerate(cases) if not passes(case)]
