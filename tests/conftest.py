"""What all tests share: how hypothesis searches, short pauses, and that what was measured is printed at the end.

Examples are few, since the suite has to fit in minutes, and take as long as they need on a busy machine.
In CI they are the same every time, so that a red run is always about the change at hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from paypercall.obyte.hub import Hub
from tests.parties import close_connections_left_behind

settings.register_profile(
    "bounded", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("bounded"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "bounded")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the properties that tests have recorded."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")


@pytest.fixture(scope="module", autouse=True)
def no_connections_left_behind() -> Iterator[None]:
    """After the networks of a module are gone, nobody tries to connect to them."""
    yield
    close_connections_left_behind()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens every pause and every patience, none of which changes what happens."""
    for name, seconds in {
        "obyte.hub.HEARTBEAT_SECONDS": 0.3,
        "obyte.hub.SILENCE_SECONDS": 1.0,
        "obyte.hub.FIRST_RETRY_SECONDS": 0.05,
        "obyte.hub.LAST_RETRY_SECONDS": 0.2,
        "obyte.hubs.PATIENCE_SECONDS": 1.0,
        "obyte.light.HISTORY_SECONDS": 1.5,
        "obyte.light.POST_SECONDS": 1.5,
        "settlement.node.LONGEST_PAUSE": 0.3,
        "settlement.node.REFRESH_SECONDS": 2,
        "settlement.outbox.LONGEST_PAUSE": 1,
    }.items():
        monkeypatch.setattr(f"paypercall.{name}", seconds)
    monkeypatch.setattr(Hub.request, "__defaults__", (None, 1.5))
