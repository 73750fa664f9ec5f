"""The README and the other documents say what is so: their code, their links, the names in them."""

from __future__ import annotations

import ast
import configparser
import inspect
import re
from pathlib import Path

import pytest

from paypercall import wire
from paypercall.asgi import Payment as AsgiPayment
from paypercall.conf import Conf
from paypercall.django.project import _OWN as NOT_IN_CONF
from paypercall.flask import Payment as FlaskPayment
from tests.documentation import (
    ARCHITECTURE,
    DOCUMENTS,
    PACKAGE,
    PAYWALL,
    README,
    ROOT,
    code_words,
    find_object,
    python_blocks,
    relative_links,
    table_with,
    unknown_names,
)

PROGRAMS = python_blocks(README)
PAYWALL_PROGRAMS = python_blocks(PAYWALL)
OF_EVERY_PROJECT = {"BASE_DIR", "DATABASES"}
"""What stands in the settings.py that Django makes."""

DOTTED = re.compile(r"\w+(?:\.(?!py$)\w+)+")


def settings_in_the_readme() -> list[str]:
    return [name.strip(" `") for cell in table_with("setting", README) for name in cell.split(",")]


def test_the_readme_has_a_program_for_each_framework_and_one_for_the_customer() -> None:
    assert [
        [text in program for text in ("paypercall.flask", "paypercall.asgi", "paypercall.django", "Client(")]
        for program in PROGRAMS
    ] == [
        [True, False, False, False],
        [False, True, False, False],
        [False, False, True, False],  # settings.py
        [False, False, True, False],  # urls.py
        [False, False, False, True],
    ]


def test_the_readme_names_every_extra() -> None:
    extras = configparser.ConfigParser()
    extras.read(ROOT / "setup.cfg")
    names = set(extras["options.extras_require"]) - {"bench", "demo", "test"}
    assert len(names) > 4 and names <= set(code_words(README))


@pytest.mark.parametrize("program", [*PROGRAMS, *PAYWALL_PROGRAMS])
def test_the_programs_in_the_documents_are_whole(program: str) -> None:
    compile(program, "program.py", "exec")
    is_end_of_settings = "INSTALLED_APPS +=" in program
    assert unknown_names(program) <= (OF_EVERY_PROJECT if is_end_of_settings else set())


def test_the_document_on_payable_resources_names_every_header() -> None:
    headers = {
        value for value in vars(wire).values() if isinstance(value, str) and value.startswith("Payment-")
    }
    cells = " ".join(table_with("header", PAYWALL))
    assert len(headers) > 10 and [name for name in headers if f"`{name}`" not in cells] == []


def test_the_document_on_payable_resources_names_every_argument_of_the_adapters_for_flask_and_asgi() -> None:
    names = [cell.strip("`") for cell in table_with("argument of `Payment`", PAYWALL)]
    assert names == list(inspect.signature(FlaskPayment).parameters)
    assert {*names, "prices"} == set(inspect.signature(AsgiPayment).parameters)


def test_the_document_on_payable_resources_names_all_that_django_takes_besides_the_settings() -> None:
    cells = table_with("name in `PAYPERCALL`", PAYWALL)
    assert {name.strip(" `") for cell in cells for name in cell.split(",")} == {"database_url", *NOT_IN_CONF}


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
