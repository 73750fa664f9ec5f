"""The README and the other documents say what is so: their code, their links, the names in them."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import paypercall
from paypercall import Client, Payment, Server, wire
from paypercall.conf import Conf
from paypercall.flask import Payment as FlaskPayment
from tests.documentation import (
    ARCHITECTURE,
    DOCUMENTS,
    PACKAGE,
    PAYWALL,
    README,
    ROOT,
    calls_and_attributes,
    code_words,
    find_object,
    fits,
    python_blocks,
    relative_links,
    table_with,
    unknown_names,
)

PROGRAMS = python_blocks(README)
PAYWALL_PROGRAMS = python_blocks(PAYWALL)
DOTTED = re.compile(r"\w+(?:\.(?!py$)\w+)+")
VARIABLES = {"client": Client, "server": Server, "payment": FlaskPayment, "refund": Payment}


def settings_in_the_readme() -> list[str]:
    return [name.strip(" `") for cell in table_with("setting", README) for name in cell.split(",")]


def test_the_readme_has_a_program_for_each_side() -> None:
    assert ["Payment(app" in program for program in PROGRAMS] == [True, False]
    assert ["Client(" in program for program in PROGRAMS] == [False, True]


@pytest.mark.parametrize("program", [*PROGRAMS, *PAYWALL_PROGRAMS])
def test_the_programs_in_the_documents_are_whole(program: str) -> None:
    compile(program, "program.py", "exec")
    assert unknown_names(program) == set()


@pytest.mark.parametrize("program", [*PROGRAMS, *PAYWALL_PROGRAMS])
def test_what_the_programs_in_the_documents_use_exists(program: str) -> None:
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom) and node.module == "paypercall":
            assert {alias.name for alias in node.names} <= set(paypercall.__all__)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in paypercall.__all__
        ):
            assert fits(getattr(paypercall, node.func.id), node, is_method=False), ast.unparse(node)
    for owner, name, call in calls_and_attributes(program, VARIABLES):
        assert hasattr(owner, name), f"{owner.__name__}.{name}"
        assert call is None or fits(getattr(owner, name), call, is_method=True), ast.unparse(call)


def test_the_document_on_payable_resources_names_every_header() -> None:
    headers = {
        value for value in vars(wire).values() if isinstance(value, str) and value.startswith("Payment-")
    }
    cells = " ".join(table_with("header", PAYWALL))
    assert len(headers) > 10 and [name for name in headers if f"`{name}`" not in cells] == []


def test_the_document_on_payable_resources_names_every_argument_of_the_flask_adapter() -> None:
    names = [cell.strip("`") for cell in table_with("argument of `Payment`", PAYWALL)]
    assert names == list(inspect.signature(FlaskPayment).parameters)


@pytest.mark.parametrize("name", settings_in_the_readme())
def test_every_setting_in_the_readme_exists(name: str) -> None:
    assert name in Conf.__dataclass_fields__


@pytest.mark.parametrize("name", [*Conf.__dataclass_fields__])
def test_every_setting_stands_in_the_example_conf(name: str) -> None:
    tree = ast.parse((ROOT / "conf.example.py").read_text())
    assigned = [ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)]
    assert assigned.count(name) == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    assert [link for link in relative_links(document) if not (document.parent / link).exists()] == []


def test_the_architecture_names_every_module_and_package_at_the_top() -> None:
    text = ARCHITECTURE.read_text()
    modules = [path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")]
    packages = [f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")]
    assert len(modules) > 10 and len(packages) > 5
    assert [name for name in (*modules, *packages) if name not in text] == []


def test_the_architecture_names_only_files_that_exist() -> None:
    words = set(re.findall(r"(?<![\w/.])[\w/]+(?:\.py\b|/(?=\W))", ARCHITECTURE.read_text()))
    assert {"channel.py", "settlement/upkeep.py", "store/"} <= words
    assert {
        word for word in words if not any((folder / word).exists() for folder in (ROOT, PACKAGE))
    } == set()


@pytest.mark.parametrize(
    "word", sorted({word for word in code_words(ARCHITECTURE) if DOTTED.fullmatch(word)})
)
def test_the_architecture_names_only_code_that_exists(word: str) -> None:
    assert find_object(word) is not None
