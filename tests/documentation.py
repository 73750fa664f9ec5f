"""What the documents say, taken apart for the tests: code, links, names."""

from __future__ import annotations

import ast
import builtins
import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "paypercall"
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAYWALL = ROOT / "docs" / "paywall.md"
DOCUMENTS = sorted([README, *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

_FENCE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


def python_blocks(document: Path) -> list[str]:
    """The Python programs in a document."""
    return _FENCE.findall(document.read_text())


def program_with(text: str, document: Path) -> str:
    """The first Python program in a document that has a text in it."""
    return next(program for program in python_blocks(document) if text in program)


def relative_links(document: Path) -> list[str]:
    """The links in a document that lead to files of the project, without their anchors."""
    links = (link.partition("#")[0] for link in _LINK.findall(document.read_text()))
    return [link for link in links if link and "://" not in link]


def code_words(document: Path) -> list[str]:
    """What stands in backticks within the text of a document."""
    return _CODE.findall(document.read_text())


def table_with(heading: str, document: Path) -> list[str]:
    """The first cell of each row of the table in a document whose head begins with a heading."""
    lines = document.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    cells = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells.append(line.split("|")[1].strip())
    return cells


def unknown_names(program: str) -> set[str]:
    """The names that a program uses, but neither defines nor imports."""
    used, known = set(), {*vars(builtins), "__name__"}
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else known).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.alias):
            known.add(node.asname or node.name)
    return used - known


def find_object(dotted: str) -> object:
    """Finds what a dotted name means: a public name, or a module below `paypercall` and something in it.

    Raises:
        AttributeError: There is no such thing.
    """
    found: object = import_module("paypercall")
    for part in dotted.split("."):
        if isinstance(found, ModuleType) and not hasattr(found, part):
            with suppress(ModuleNotFoundError):
                found = import_module(f"{found.__name__}.{part}")
                continue
        found = getattr(found, part)
    return found
