"""What all tests share: how hypothesis searches, and that what a test has measured is printed at the end.

Examples are few, since the suite has to fit in minutes, and take as long as they need on a busy machine.
In CI they are the same every time, so that a red run is always about the change at hand.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

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
