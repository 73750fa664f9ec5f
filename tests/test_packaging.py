"""What an installed paypercall is: its version, its files, its command, and what it imports."""

from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import entry_points, requires, version
from pathlib import Path

import pytest

import paypercall

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "paypercall"
FRAMEWORKS = {"flask", "werkzeug", "django", "starlette", "httpx", "rich"}
DEPENDENCIES = {
    *("alembic", "coincurve", "dotenv", "mnemonic", "msgpack", "requests", "sqlalchemy", "websockets"),
}


def packages_imported_by(statement: str) -> set[str]:
    """Returns the top-level packages that a fresh process holds after a statement."""
    code = f"{statement}; import sys; print(*(name.partition('.')[0] for name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.split())


def test_importing_paypercall_imports_no_dependency_and_no_framework() -> None:
    imported = packages_imported_by("import paypercall")
    assert "paypercall" in imported
    assert not imported & (DEPENDENCIES | FRAMEWORKS | {"asyncio", "sqlite3", "socket", "ssl"})


def test_using_the_public_names_imports_no_framework() -> None:
    imported = packages_imported_by("from paypercall import *")
    assert {"sqlalchemy", "coincurve"} <= imported
    assert not imported & (FRAMEWORKS | {"requests"})


def test_taking_payments_for_requests_imports_no_framework() -> None:
    imported = packages_imported_by(
        "import paypercall.paywall, paypercall.methods, paypercall.payment_server"
    )
    assert "msgpack" in imported
    assert not imported & FRAMEWORKS


def test_reading_the_conf_opens_no_way_to_a_database_or_a_network() -> None:
    imported = packages_imported_by("import paypercall.conf")
    assert not imported & (FRAMEWORKS | {"sqlalchemy", "alembic", "websockets", "requests"})


@pytest.mark.parametrize("name", paypercall.__all__)
def test_each_public_name_can_be_used_and_is_listed(name: str) -> None:
    assert getattr(paypercall, name) is not None
    assert name in dir(paypercall)


def test_a_name_that_paypercall_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'paypercall' has no attribute 'Merchant'"):
        paypercall.Merchant  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_written_in_one_place() -> None:
    assert version("paypercall") == paypercall.__version__


def test_the_command_is_installed() -> None:
    (command,) = entry_points(group="console_scripts", name="paypercall")
    assert command.value == "paypercall.cli:main"


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_other_file_is_packaged_too() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["*"].split()
    others = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"}]
    assert (PACKAGE / "py.typed") in others
    assert [path for path in others if not any(path.match(pattern) for pattern in patterns)] == []


def test_hosts_install_no_framework_unless_they_ask_for_it() -> None:
    plain = {requirement for requirement in requires("paypercall") or [] if "extra ==" not in requirement}
    assert len(plain) == len(DEPENDENCIES)
    assert not any(requirement.lower().startswith(tuple(FRAMEWORKS)) for requirement in plain)
