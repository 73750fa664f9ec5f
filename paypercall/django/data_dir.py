"""A `data_dir` belongs to the running project or to its tests, never to both.

Tests have books of their own. Those would put the project's out of use: they come with the same keys, and look as if
the project's were lost.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core import mail

from paypercall.errors import PaypercallError
from paypercall.settlement.memory import MARKER_FILE

_NOTE = "of_tests.txt"


class SharedDataDir(PaypercallError):
    """The `data_dir` is used by the running project and by its tests."""

    code = "shared_data_dir"


def require_own(folder: Path) -> None:
    """Notes a new `data_dir` of tests, and refuses one that belongs to the other side, before anything is in it.

    Raises:
        SharedDataDir: When it does.
    """
    note = folder / _NOTE
    if not _is_test():
        if note.exists():
            raise SharedDataDir(
                f"data_dir {folder} is used by tests: give them one of their own, and delete {note} if the wallet"
                " there is the project's"
            )
        return
    if note.exists():
        return
    if (folder / MARKER_FILE).exists():
        raise SharedDataDir(
            f"data_dir {folder} is the running project's, whose books tests would put out of use: give PAYPERCALL"
            " another one in the settings of the tests"
        )
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text("Tests of the project use this folder. The running project must not.\n")


def _is_test() -> bool:
    """Whether `setup_test_environment` was called, as every test runner does; each of the two may also be a host's."""
    return hasattr(mail, "outbox") and "testserver" in settings.ALLOWED_HOSTS
