"""Reads, page by page, what an agent has answered, which is the hub's word: have the units proven before they count.

A page has 100 answers at most and begins or ends at a main chain index (ocore `light/get_aa_responses`). So the first
100 of an index can be read, and the last 100. What is between is out of reach, and must never be taken for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paypercall.obyte.errors import HubError
from paypercall.obyte.hub import Hub
from paypercall.obyte.hub_answers import RESPONSES_IN_PAGE, read_agent_responses
from paypercall.obyte.shape import is_hash

MAX_PAGES = 10_000  # of one agent: a hub that always has more must not hold its asker for ever


@dataclass(frozen=True, slots=True)
class AgentAnswers:
    """What an agent has answered, but for what bounced.

    Attributes:
        units: The units that it has answered, and the units of its answers.
        crowded_index: The first index of which some answers may be missing, or None if all are here.
        later_answers: The units of its answers that came after all that may be missing.
    """

    units: tuple[str, ...]
    crowded_index: int | None
    later_answers: tuple[str, ...]


def read_agent_answers(hub: Hub, agent: str, min_main_chain_index: int) -> AgentAnswers:
    """Reads all that an agent has answered from an index on.

    Raises:
        HubError: The hub did not answer, refused, answered something else, or comes to no end.
    """
    units: dict[str, None] = {}
    later: dict[str, None] = {}
    crowded: int | None = None
    since = max(min_main_chain_index, 1)
    for _ in range(MAX_PAGES):
        page = _ask(hub, agent, {"min_mci": since, "order": "ASC"}, since)
        units |= _units(page, "trigger_unit", "response_unit")
        later |= _units(page, "response_unit")
        if len(page) < RESPONSES_IN_PAGE:
            return AgentAnswers(tuple(units), crowded, tuple(later))
        last = page[-1]["mci"]
        if page[0]["mci"] < last:
            since = last  # its first answers come again
            continue
        # The index fills the page, so the rest of it is read from its end.
        rest = _ask(hub, agent, {"min_mci": last, "max_mci": last, "order": "DESC"}, last, last)[::-1]
        if _triggers(page).isdisjoint(_triggers(rest)):
            crowded, later = crowded or last, {}
        units |= _units(rest, "trigger_unit", "response_unit")
        later |= _units(rest, "response_unit")
        since = last + 1
    raise HubError(f"the hub's answers about the responses of {agent} come to no end")


def _ask(
    hub: Hub, agent: str, params: dict[str, Any], lowest: int, highest: int | None = None
) -> list[dict[str, Any]]:
    answer = hub.request("light/get_aa_responses", {"aa": agent, **params})
    return read_agent_responses(answer, lowest, highest)


def _units(page: Iterable[dict[str, Any]], *fields: str) -> dict[str, None]:
    answered = (row for row in page if not row["bounced"])
    return dict.fromkeys(unit for row in answered for unit in map(row.get, fields) if is_hash(unit))


def _triggers(page: Iterable[dict[str, Any]]) -> set[str]:
    """The units that were answered or bounced: an agent answers a unit once."""
    return {unit for unit in (row.get("trigger_unit") for row in page) if is_hash(unit)}
