"""Reading page by page what an agent has answered: nothing is skipped, and no hub can hold its reader for ever."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.obyte.errors import HubError, HubRefused
from paypercall.obyte.hub_answers import RESPONSES_IN_PAGE
from tests.obyte.test_light import ScriptedHub, client


def hash_of(number: int) -> str:
    return b64encode(number.to_bytes(32, "big")).decode()


def row(number: int, index: int, *, bounced: int = 0) -> dict[str, Any]:
    """An agent's answer to the unit of a number, which it sent in the unit of the next one."""
    return {
        "mci": index,
        "bounced": bounced,
        "trigger_unit": hash_of(number),
        "response_unit": hash_of(number + 1),
    }


class AgentHub(ScriptedHub):
    """A hub that knows the answers of one agent, and counts how often it is asked."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__()
        self.rows = rows

    def answer_to(self, command: str, params: Any) -> Any:
        assert command == "light/get_aa_responses"
        assert params["aa"] == "AGENT"
        highest = params.get("max_mci", self.rows[-1]["mci"] if self.rows else 0)
        found = [row for row in self.rows if params["min_mci"] <= row["mci"] <= highest]
        return (found if params["order"] == "ASC" else found[::-1])[:RESPONSES_IN_PAGE]


def units_of(rows: list[dict[str, Any]]) -> list[str]:
    return [
        unit
        for found in rows
        if not found["bounced"]
        for unit in (found["trigger_unit"], found["response_unit"])
    ]


def test_what_an_agent_answered_is_told_with_its_answers_but_for_what_bounced() -> None:
    hub = AgentHub([row(10, 1), row(20, 2, bounced=1), row(30, 2)])
    assert list(client(hub).agent_answers("AGENT").units) == [hash_of(number) for number in (10, 11, 30, 31)]
    assert [params["min_mci"] for _, params in hub.asked] == [1]


@pytest.mark.parametrize(("since", "asked"), [(None, 1), (0, 1), (1, 1), (7, 7)])
def test_the_answers_are_asked_for_from_an_index_on(since: int | None, asked: int) -> None:
    hub = AgentHub([])
    assert list(client(hub).agent_answers("AGENT", since).units) == []
    assert [params["min_mci"] for _, params in hub.asked] == [asked]


@given(st.lists(st.integers(1, 2 * RESPONSES_IN_PAGE - 1), max_size=8), st.integers(1, 5))
def test_all_answers_are_read_where_two_pages_overlap_in_each_index(counts: list[int], step: int) -> None:
    """However the pages fall, a page that begins in the middle of an index repeats its first answers."""
    indices = [1 + step * place for place, count in enumerate(counts) for _ in range(count)]
    rows = [row(2 * number, index) for number, index in enumerate(indices)]
    answers = client(AgentHub(rows)).agent_answers("AGENT")
    assert list(answers.units) == units_of(rows)
    assert answers.crowded_index is None


def test_an_index_that_fills_a_page_is_read_from_its_end_too() -> None:
    rows = [row(2 * number, 5) for number in range(RESPONSES_IN_PAGE + 1)] + [row(1_000, 6)]
    hub = AgentHub(rows)
    assert list(client(hub).agent_answers("AGENT").units) == units_of(rows)
    assert [(params["min_mci"], params.get("max_mci"), params["order"]) for _, params in hub.asked] == [
        (1, None, "ASC"),
        (5, 5, "DESC"),
        (6, None, "ASC"),
    ]


@pytest.mark.parametrize("count", [2 * RESPONSES_IN_PAGE, 2 * RESPONSES_IN_PAGE + 1])
def test_an_index_with_more_than_two_pages_is_told_with_what_came_after_it(count: int) -> None:
    """Of 200 answers nobody can tell that they were all, since the two pages have none in common."""
    crowd = [row(2 * number, 5) for number in range(count)]
    after = [row(1_000, 6), row(1_100, 7, bounced=1)]
    answers = client(AgentHub(crowd + after)).agent_answers("AGENT")
    end = crowd[-RESPONSES_IN_PAGE:]
    assert list(answers.units) == units_of(crowd[:RESPONSES_IN_PAGE] + end + after)
    assert answers.crowded_index == 5
    assert list(answers.later_answers) == [found["response_unit"] for found in [*end, after[0]]]


def test_the_first_of_several_crowded_indices_is_told_with_what_came_after_the_last() -> None:
    crowds = [row(2 * number, 5 + number // 300, bounced=1) for number in range(600)]
    answers = client(AgentHub([row(2_000, 4), *crowds, row(3_000, 7)])).agent_answers("AGENT")
    assert answers.crowded_index == 5
    assert answers.later_answers == (hash_of(3_001),)


@pytest.mark.parametrize("index", [4, 6])
def test_a_page_of_another_index_than_asked_for_is_refused(index: int) -> None:
    page = [row(2 * number, 5) for number in range(RESPONSES_IN_PAGE)]
    with pytest.raises(HubError, match="out of order"):
        client(ScriptedHub(page, [row(1_000, index)])).agent_answers("AGENT")


def test_a_hub_that_gives_the_same_page_again_is_refused() -> None:
    page = [row(2 * number, 1 + number) for number in range(RESPONSES_IN_PAGE)]
    with pytest.raises(HubError, match="out of order"):
        client(ScriptedHub(page, page)).agent_answers("AGENT")


def test_a_hub_that_always_has_more_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paypercall.obyte.agent_answers.MAX_PAGES", 50)

    def one_more(command: str, params: Any) -> Any:
        return [row(1, params["min_mci"]), *[row(3, params["min_mci"] + 1)] * (RESPONSES_IN_PAGE - 1)]

    with pytest.raises(HubError, match="no end"):
        client(ScriptedHub(*[one_more] * 51)).agent_answers("AGENT")


@pytest.mark.parametrize(
    "page",
    [
        None,
        {},
        "rows",
        [None],
        [[]],
        [{}],
        [{"mci": 0, "bounced": 0}],
        [{"mci": -1, "bounced": 0}],
        [{"mci": "5", "bounced": 0}],
        [{"mci": True, "bounced": 0}],
        [{"mci": 5.5, "bounced": 0}],
        [{"mci": 5, "bounced": None}],
        [{"mci": 5, "bounced": 2}],
        [{"mci": 5, "bounced": []}],
        [{"mci": 6, "bounced": 0}, {"mci": 5, "bounced": 0}],
        [{"mci": 2, "bounced": 0}],
    ],
)
def test_a_page_that_is_malformed_or_out_of_order_is_refused(page: Any) -> None:
    with pytest.raises(HubError, match="malformed or out of order"):
        client(ScriptedHub(page)).agent_answers("AGENT", 3)


def test_more_than_a_page_at_once_is_refused() -> None:
    with pytest.raises(HubError, match="longer than a page"):
        client(ScriptedHub([row(1, 5)] * (RESPONSES_IN_PAGE + 1))).agent_answers("AGENT")


@pytest.mark.parametrize("unit", [None, 5, "short", [], {}, hash_of(1)[:-1]])
def test_what_is_no_unit_is_not_asked_for_by_name(unit: Any) -> None:
    page = [{**row(1, 1), "trigger_unit": unit}, {"mci": 2, "bounced": 0}]
    assert list(client(ScriptedHub(page)).agent_answers("AGENT").units) == [hash_of(2)]


def test_a_refusal_is_told() -> None:
    with pytest.raises(HubRefused, match="aa address not valid"):
        client(ScriptedHub(HubRefused("aa address not valid"))).agent_answers("AGENT")
