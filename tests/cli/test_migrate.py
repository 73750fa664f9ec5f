"""`paypercall migrate`."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from paypercall.cli import main


def test_the_tables_are_made_in_the_database_that_the_conf_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYPERCALL_DATABASE_URL", "sqlite:///books.sqlite")
    assert main(["migrate"]) == 0
    assert "up to date" in capsys.readouterr().out
    connection = sqlite3.connect(tmp_path / "books.sqlite")
    try:
        names = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
    finally:
        connection.close()
    assert {"paypercall_channels", "paypercall_payments", "paypercall_version"} <= names
    assert all(name.startswith("paypercall_") for name in names)


def test_a_database_that_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAYPERCALL_DATABASE_URL", "sqlite:///no/such/folder/books.sqlite")
    assert main(["migrate"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
