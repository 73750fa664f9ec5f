"""`manage.py migrate` brings books that older versions made to the same tables as our own migrations do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paypercall.store import Store
from tests.store.old_books import (
    add_a_row_to_each,
    engine_for,
    make_old_books,
    migrated,
    renamed,
    rows_of,
    schema_of,
)

ROOT = Path(__file__).parents[2]

SETTINGS = """
from pathlib import Path

SECRET_KEY = "of a test"
INSTALLED_APPS = ["paypercall.django"]
MIDDLEWARE = ["paypercall.django.middleware.PaymentMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).with_name("project.sqlite")}}
"""


@pytest.mark.parametrize("revision", ["0003", "0009"])
def test_books_of_an_older_version_keep_their_rows_and_get_the_tables_of_new_ones(
    tmp_path: Path, revision: str
) -> None:
    url = f"sqlite:///{tmp_path / 'project.sqlite'}"
    old_tables = make_old_books(url, revision).sorted_tables
    add_a_row_to_each(url, old_tables)
    before = rows_of(url, old_tables)
    migrate(tmp_path)
    assert rows_of(url, map(renamed, old_tables)) == migrated(old_tables, before)
    new = Store(f"sqlite:///{tmp_path / 'new.sqlite'}")
    new.migrate()
    new.close()
    tables = schema_of(url)
    del tables["django_migrations"]
    assert tables == schema_of(new.url)


def test_a_project_that_has_a_table_called_payments_keeps_it_as_it_is(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'project.sqlite'}"
    with engine_for(url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE payments (note TEXT)")
        connection.exec_driver_sql("INSERT INTO payments VALUES ('a host''s')")
    before = schema_of(url)["payments"]
    migrate(tmp_path)
    assert schema_of(url)["payments"] == before
    with engine_for(url).connect() as connection:
        assert connection.exec_driver_sql("SELECT note FROM payments").all() == [("a host's",)]


def migrate(project: Path) -> None:
    (project / "settings.py").write_text(SETTINGS)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{project}:{ROOT}",
        "DJANGO_SETTINGS_MODULE": "settings",
    }
    command = [sys.executable, "-m", "django", "migrate"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
