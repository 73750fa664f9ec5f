"""What the hub reports of agents, against the reports of a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paypercall.devnet.agents import updated_variables

TRACES = json.loads((Path(__file__).parents[1] / "traces" / "agent_traces.json").read_text())["traces"]


def _changes(trace: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    before: dict[str, Any] = {}
    for step in trace["steps"]:
        if step.get("updated_state_vars") is not None:
            yield before, step["state"], step["updated_state_vars"]
        before = step["state"]


@pytest.mark.parametrize("trace", [pytest.param(trace, id=trace["name"]) for trace in TRACES])
def test_changes_of_the_state_are_reported_as_by_a_real_hub(trace: dict[str, Any]) -> None:
    for before, after, reported in _changes(trace):
        assert updated_variables(before, after) == reported


def test_the_traces_have_changes_to_compare_with() -> None:
    assert sum(len(list(_changes(trace))) for trace in TRACES) > 300
