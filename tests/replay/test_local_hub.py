"""Our local hub in the place of the real one: asked what that was asked, it answers the same, field for field.

Not only the fields and types are compared, but also the lengths of all lists, every place in the main chain, what is
proven and what is not, and whatever the clients can name: units, agents, accounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.proof import verify_history
from tests.devnet.shapes import paths
from tests.replay.local_session import Exchange, LocalSession
from tests.replay.recording import HISTORY, POST, recording

NAMES = ("client", "server", "client-asset", "extra")

EARLIER_LIFE = "the wallet had done much before, which the local one has not"
NO_CODE = "the code of the agents is no unit of the local network"
DIFFERENT = {
    ("client-asset", 16): EARLIER_LIFE,
    ("extra", 16): NO_CODE,
    ("extra", 18): NO_CODE,
}
"""The recorded requests, by session and line, to which the local hub answers in another shape."""

SAME_SHAPE_ONLY = {
    ("client-asset", 19): "the asset was defined at another time",
    ("extra", 24): NO_CODE,  # so nobody can pay that agent
    ("extra", 32): "the real network has voted about a parameter",
}
"""Those to which it answers in the same shape and with something else in it."""

NUMBERS_TO_COMPARE = {
    "bounced",
    "closed",
    "closing",
    "count_primary_aa_triggers",
    "event_id",
    "last_stable_mc_ball_mci",
    "main_chain_index",
    "mci",
    "open",
    "period",
}
SORTED = {"outputs", "parent_units"}  # by hash or address, which are others here
INDEXES = {"last_stable_mc_ball_mci", "main_chain_index", "mci"}
XPATH = ".body.response.error.xpath: string"  # a place in the agent's code


class Played:
    """A session and all that came of it."""

    def __init__(self, session: LocalSession) -> None:
        self.session = session
        self.exchanges = list(session.play())

    def compared(self, *exceptions: dict[tuple[str, int], str]) -> Iterator[Exchange]:
        """The exchanges that are no exceptions."""
        for exchange in self.exchanges:
            if exchange.request is not None:
                place = (self.session.recording.name, exchange.request.number)
                if not any(place in known for known in exceptions):
                    yield exchange

    def outline(self, value: Any, name: str = "", offset: int = 0) -> Any:
        """A JSON value without what must differ: hashes of other units, signatures, times, fees."""
        names = self.session.names.values()
        if name == "inputs":
            return len(value)  # which coins are spent is the wallet's affair
        if isinstance(value, dict):
            return {key: self.outline(element, key, offset) for key, element in value.items()}
        if isinstance(value, list):
            elements = [self.outline(element, name, offset) for element in value]
            return sorted(elements, key=repr) if name in SORTED else elements
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            is_compared = name in NUMBERS_TO_COMPARE or name in names
            is_shifted = name in INDEXES and value >= offset
            return value - offset * is_shifted if is_compared else "number"
        return value if value in names else "text"


@pytest.fixture(scope="module", params=NAMES)
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    with Devnet(speed=1000) as net:
        net.hold()
        session = LocalSession(recording(request.param), net)
        if request.param == "extra":  # it came after the client
            before = LocalSession(recording("client"), net)
            before.begin()
            list(before.play())
            session = LocalSession(recording("extra"), net, names=before.names)
        else:
            session.begin()
        yield Played(session)


def test_each_answer_has_the_fields_and_types_of_the_real_ones(played: Played) -> None:
    for exchange in played.compared(DIFFERENT):
        assert paths(exchange.local) == paths(exchange.real), exchange.request


def test_each_answer_tells_the_same_of_what_has_a_name(played: Played) -> None:
    offset = played.session.offset
    for exchange in played.compared(DIFFERENT, SAME_SHAPE_ONLY):
        local, real = without_genesis(exchange.local), without_genesis(exchange.real)
        assert played.outline(local) == played.outline(real, offset=offset), exchange.request


def without_genesis(answer: Any) -> Any:
    """An answer without what the first unit pays, which every network decides by itself."""
    if isinstance(answer, dict):
        unit = answer.get("unit")
        if isinstance(unit, dict) and "parent_units" not in unit and "messages" in unit:
            return {**answer, "unit": {**unit, "messages": len(unit["messages"])}}
        return {key: without_genesis(element) for key, element in answer.items()}
    return [without_genesis(element) for element in answer] if isinstance(answer, list) else answer


def test_the_exceptions_are_still_there(played: Played) -> None:
    name, offset = played.session.recording.name, played.session.offset
    by_line = {e.request.number: e for e in played.exchanges if e.request is not None}
    for (session, number), _ in DIFFERENT.items():
        if session == name:
            assert paths(by_line[number].local) != paths(by_line[number].real)
    for (session, number), _ in SAME_SHAPE_ONLY.items():
        if session == name:
            local = without_genesis(by_line[number].local)
            real = without_genesis(by_line[number].real)
            assert played.outline(local) != played.outline(real, offset=offset)


def test_every_post_and_every_mistake_is_answered_in_the_same_words(played: Played) -> None:
    answered = 0
    for exchange in played.compared():
        real = exchange.real.get("response")
        assert exchange.request is not None
        if exchange.request.name == POST or (isinstance(real, dict) and "error" in real):
            assert exchange.local["response"] == real
            answered += 1
    assert (
        answered >= {"client": 5, "client-asset": 5, "server": 2, "extra": 2}[played.session.recording.name]
    )


def test_the_hub_says_the_same_by_itself_and_in_the_same_order(played: Played) -> None:
    real = [push for exchange in played.exchanges for push in exchange.real_pushes]
    local = [push for exchange in played.exchanges for push in exchange.local_pushes]
    assert [name_of(push) for push in local] == [name_of(push) for push in real]
    for ours, theirs in zip(local, real, strict=True):
        assert paths(ours) == paths(theirs) - {XPATH}, name_of(theirs)


def name_of(push: dict[str, Any]) -> str:
    return str(push.get("subject", push.get("command")))


def test_every_local_history_is_believed(played: Played) -> None:
    histories = [
        verify_history(exchange.local["response"], played.session.net.network)
        for exchange in played.compared()
        if exchange.request is not None
        and exchange.request.name == HISTORY
        and "error" not in exchange.local["response"]
    ]
    assert any(entry.is_stable for history in histories for entry in history.units)
