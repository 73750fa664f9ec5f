"""What a real network accepted is accepted by the local one, and what it refused is refused in the same words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.devnet.graph import Sequence, Vertex
from tests.devnet.raw_client import RawClient
from tests.devnet.shapes import paths
from tests.replay.transplant import Transplant

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "traces" / "units.json").read_text(encoding="utf-8")
)
BY_NAME: dict[str, Any] = {unit["name"]: unit for unit in RECORDED["units"]}
POSTED = [name for name, unit in BY_NAME.items() if "compose" in unit]
ANSWERS = [name for name in BY_NAME if name.startswith("agent_response")]
OF_THE_NETWORK = ["genesis", "witness_early", "witness_late", "unit_with_skiplist"]


@pytest.fixture(scope="module")
def transplant() -> Transplant:
    """A local network with all recorded units of wallets on it, in their order."""
    network = Transplant()
    for name in ("as1", "as2"):
        network.names[RECORDED["assets"][name]] = network.local.faucet.issue_asset(1_000_000)
        network.local.node.settle()
    for name in POSTED:
        network.post(BY_NAME[name])
    network.local.node.settle()
    return network


def vertex_of(transplant: Transplant, name: str) -> Vertex:
    return transplant.local.ledger.graph.vertices[transplant.names[BY_NAME[name]["unit"]]]


def test_every_recorded_unit_has_its_place_here() -> None:
    assert sorted(POSTED + ANSWERS + OF_THE_NETWORK) == sorted(BY_NAME)
    assert (len(POSTED), len(ANSWERS)) == (35, 5)


@pytest.mark.parametrize("name", POSTED)
def test_a_unit_that_was_accepted_is_accepted_and_pays_the_same_for_its_size(
    transplant: Transplant, name: str
) -> None:
    vertex, recorded = vertex_of(transplant, name), BY_NAME[name]
    assert vertex.sequence is Sequence.GOOD
    assert vertex.is_stable
    assert vertex.unit["headers_commission"] == recorded["headers_commission"]
    assert vertex.unit["payload_commission"] == recorded["payload_commission"]
    assert paths(vertex.unit) == paths(recorded["joint"]["unit"])


@pytest.mark.parametrize("name", ANSWERS)
def test_the_agents_answered_as_the_real_ones_did(transplant: Transplant, name: str) -> None:
    recorded = BY_NAME[name]["joint"]["unit"]
    answer = transplant.local.ledger.agents.answers[ANSWERS.index(name)]
    assert answer.response is not None
    unit = answer.response.unit
    assert answer.agent == transplant.named(recorded["authors"][0]["address"])
    assert unit["headers_commission"] == recorded["headers_commission"]
    assert unit["payload_commission"] == recorded["payload_commission"]
    assert data_in(unit) == transplant.named(data_in(recorded))
    assert paths(unit) == paths(recorded)


def data_in(unit: dict[str, Any]) -> list[Any]:
    return [message["payload"] for message in unit["messages"] if message["app"] == "data"]


@pytest.mark.parametrize("name", OF_THE_NETWORK)
def test_the_networks_own_units_are_of_the_same_form(transplant: Transplant, name: str) -> None:
    chain = transplant.local.ledger.graph.main_chain
    vertex = chain[0] if name == "genesis" else chain[-1]
    assert paths(vertex.unit) == paths(BY_NAME[name]["joint"]["unit"])


# --- posts that were refused ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[RawClient]:
    with Devnet(speed=1000) as net, RawClient(net) as client:
        net.hold()
        yield client


NEED_THEIR_LEDGER = 53
"""Refused posts that are judged by what is around them on the ledger; they are made again in the validation's tests."""


def words(text: str) -> str:
    """A refusal without what the real core's serializer says of the value that it could not take."""
    return re.sub(r"(failed to calc \w+ hash: Error: ).*", r"\1", text)


def test_each_post_that_was_refused_is_refused_to_the_letter_or_for_want_of_its_ledger(
    client: RawClient,
) -> None:
    """To the letter: the very posts, so with the same hashes and numbers in the answer."""
    without_ledger = []
    for post in RECORDED["rejected_posts"]:
        answer = client.request("post_joint", deepcopy(post["post"]))
        assert answer.keys() == {"error"}, post["name"]
        if answer["error"] == "unknown parents" != post["response"]["error"]:
            without_ledger.append(post["name"])
            continue
        assert words(answer["error"]) == words(post["response"]["error"]), post["name"]
    assert len(RECORDED["rejected_posts"]) - len(without_ledger) == 98 - NEED_THEIR_LEDGER


def test_the_posts_that_were_accepted_although_they_look_wrong_lack_nothing_but_their_ledger(
    client: RawClient,
) -> None:
    assert [post["name"] for post in RECORDED["accepted_oddities"]] == ["equal_outputs", "empty_text"]
    for post in RECORDED["accepted_oddities"]:
        assert client.request("post_joint", deepcopy(post["post"])) == {"error": "unknown parents"}
