"""What all tests share: how hypothesis searches.

Examples are few, since the suite has to fit in minutes, and take as long as they need on a busy machine.
In CI they are the same every time, so that a red run is always about the change at hand.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "bounded", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("ci", settings.get_profile("bounded"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "bounded")
