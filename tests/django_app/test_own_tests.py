"""A host's project and its own tests, which must not share the keys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

SETTINGS = """
import os
from pathlib import Path

HERE = Path(__file__).parent
SECRET_KEY = "of a test"
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["paypercall.django"]
MIDDLEWARE = ["paypercall.django.middleware.PaymentMiddleware"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": HERE / "project.sqlite",
        "TEST": {"NAME": HERE / "test.sqlite"},
    }
}
PAYPERCALL = {"data_dir": HERE / os.environ["KEYS"], "network": "testnet", "hub": "ws://127.0.0.1:1"}
"""

URLS = """
from django.http import HttpResponse
from django.urls import path
from paypercall.django import payment

urlpatterns = [path("answer", payment.required(100)(lambda request: HttpResponse("42")))]
"""

TESTS = """
from django.test import TransactionTestCase

class AnswerTest(TransactionTestCase):
    def test_the_answer_costs_100_bytes(self):
        assert self.client.get("/answer").headers["Payment-Price"] == "100"
"""

OPEN = "from paypercall.django import payment; payment.project; payment.close()"


def django(folder: Path, keys: str, *arguments: str) -> tuple[int, str]:
    """Runs a command of `manage.py` with a `data_dir`; gives its status, and all that it says."""
    command = subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": f"{folder}:{ROOT}",
            "DJANGO_SETTINGS_MODULE": "settings",
            "KEYS": keys,
        },
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return command.returncode, command.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that has run, with the keys in `keys`."""
    for name, text in (("settings.py", SETTINGS), ("urls.py", URLS), ("tests.py", TESTS)):
        (tmp_path / name).write_text(text)
    assert django(tmp_path, "keys", "migrate")[0] == 0
    assert django(tmp_path, "keys", "shell", "-c", OPEN)[0] == 0
    return tmp_path


def test_tests_with_the_projects_keys_are_refused_and_leave_its_books_in_use(project: Path) -> None:
    before = (project / "keys" / "node.json").read_text()
    status, output = django(project, "keys", "test")
    assert status != 0
    assert "(shared_data_dir)" in output
    assert "give PAYPERCALL another one in the settings of the tests" in output
    assert (project / "keys" / "node.json").read_text() == before
    status, output = django(project, "keys", "shell", "-c", OPEN)
    assert (status, "restore mode" in output) == (0, False)


def test_tests_with_keys_of_their_own_run_again_and_again_and_the_project_never_uses_those(
    project: Path,
) -> None:
    for _ in range(2):
        status, output = django(project, "test-keys", "test")
        assert status == 0, output
        assert "no connection" not in output  # to the hub: new books have nothing to be watched for
    status, output = django(project, "test-keys", "shell", "-c", OPEN)
    assert status != 0
    assert "(shared_data_dir)" in output
