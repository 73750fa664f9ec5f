"""What the demonstration expects of every step, and how it fails when that does not come true."""

from __future__ import annotations

import time
from collections.abc import Callable

from paypercall.errors import PaypercallError

WAITING_SECONDS = 60.0
"""How long the ledger may take to bring something; on an idle machine it takes a second or two."""


class DemoFailed(PaypercallError):
    """A step of the demonstration did not show what it should."""

    code = "demo_failed"


def require(is_true: bool, what: str) -> None:
    """Fails the demonstration unless something is true.

    Raises:
        DemoFailed: Naming what was expected.
    """
    if not is_true:
        raise DemoFailed(f"expected: {what}")


def wait_until(is_true: Callable[[], bool], what: str, seconds: float = WAITING_SECONDS) -> None:
    """Waits for something that the ledger brings.

    Raises:
        DemoFailed: When it does not come in time.
    """
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            raise DemoFailed(f"expected within {seconds:.0f} seconds: {what}")
        time.sleep(0.05)
