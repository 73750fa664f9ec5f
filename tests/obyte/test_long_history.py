"""A history that is too large for one answer is read in parts: nothing within reach is missed, and never silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paypercall.devnet import Devnet
from paypercall.obyte.errors import HubError
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key
from paypercall.obyte.light import LightClient
from paypercall.obyte.long_history import MAX_QUESTIONS, read_in_parts
from paypercall.obyte.proof import History, HistoryUnit
from tests.obyte.test_light import ScriptedHub, client

LIMIT = 6
"""Units in an answer, and names of known ones in a question, where the real hub has 2,000."""

NEWEST = 40


def history_of(units: dict[str, int]) -> History:
    entries = [
        HistoryUnit({"unit": name, "authors": []}, name, True, False, index, True, False)
        for name, index in sorted(units.items())
    ]
    return History(tuple(entries), (), NEWEST)


def hub_with(units: dict[str, int]) -> Callable[[int, Any], History]:
    """Answers as ocore does: those that are known are left out before the others are counted."""

    def ask(index: int, known: Any) -> History:
        named = set(list(known)[-LIMIT:])
        found = {name: at for name, at in units.items() if at >= index and name not in named}
        return history_of(found) if len(found) <= LIMIT else History((), (), None, frozenset({"A"}))

    return ask


def read(indices: list[int], since: int = 0) -> tuple[set[str], History]:
    units = {f"u{number}": index for number, index in enumerate(indices)}
    history = read_in_parts(hub_with(units), "A", since, NEWEST)
    return {name for name, index in units.items() if index >= since}, history


@given(st.lists(st.integers(0, NEWEST), max_size=3 * LIMIT), st.integers(0, NEWEST))
@example([NEWEST] * (2 * LIMIT), 0)
@example([0] * LIMIT + [NEWEST] * LIMIT, 0)
def test_what_is_not_told_to_be_too_large_is_whole_and_what_is_has_no_gap(
    indices: list[int], since: int
) -> None:
    wanted, history = read(indices, since)
    given_ = {entry.hash for entry in history.units}
    if not history.too_large:
        assert given_ == wanted
        return
    lowest = min((entry.main_chain_index or 0 for entry in history.units), default=NEWEST + 1)
    assert given_ >= {name for name in wanted if indices[int(name[1:])] > lowest}
    assert given_ <= wanted


@given(
    st.lists(st.integers(0, NEWEST), min_size=LIMIT + 1, max_size=2 * LIMIT, unique=True), st.integers(0, 3)
)
def test_twice_as_much_as_one_answer_takes_is_read_whole(indices: list[int], since: int) -> None:
    wanted, history = read(indices, since)
    assert not history.too_large
    assert {entry.hash for entry in history.units} == wanted


def test_more_than_that_is_told_with_the_newest_units() -> None:
    _, history = read(list(range(NEWEST)))
    assert history.too_large == {"A"}
    assert [entry.main_chain_index for entry in history.units] != []
    assert sorted(entry.main_chain_index or 0 for entry in history.units) == list(
        range(NEWEST - 2 * LIMIT, NEWEST)
    )


def test_one_index_with_more_than_one_answer_takes_is_told_with_nothing() -> None:
    _, history = read([NEWEST] * (LIMIT + 1))
    assert (history.too_large, history.units) == ({"A"}, ())


def test_a_hub_that_claims_an_endless_main_chain_is_not_asked_for_ever() -> None:
    asked: list[int] = []

    def ask(index: int, known: Any) -> History:
        asked.append(index)
        return history_of({f"u{index}": index}) if len(asked) % 2 else History((), (), None, frozenset({"A"}))

    assert read_in_parts(ask, "A", 0, 2**1000).too_large == {"A"}
    assert len(asked) == MAX_QUESTIONS


@pytest.mark.parametrize("answer", [None, -1, "5", True, {}])
def test_an_end_of_the_main_chain_that_is_no_index_is_refused(answer: Any) -> None:
    with pytest.raises(HubError, match="no index"):
        client(ScriptedHub(answer)).long_history("A")


# --- against the local network ---


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Devnet, LightClient]]:
    monkeypatch.setattr("paypercall.devnet.history.MAX_ITEMS", LIMIT)
    monkeypatch.setattr("paypercall.obyte.histories.HISTORY_LIMIT", LIMIT)
    monkeypatch.setattr("paypercall.obyte.light.HISTORY_LIMIT", LIMIT)
    with Devnet(speed=20) as net, closing(LightClient(Hub(net.url, net.network), net.network)) as light:
        net.hold()
        yield net, light


def test_the_local_hub_gives_twice_its_limit_in_parts_and_proves_it(
    light: tuple[Devnet, LightClient],
) -> None:
    net, client = light
    address = Key(b"\7" * 32).address
    units = set()
    for _ in range(2 * LIMIT):
        units.add(net.fund(address, 1_000))
        net.settle()
    assert client.history([address]).too_large == {address}
    history = client.long_history(address)
    assert not history.too_large
    assert {entry.hash for entry in history.units if entry.is_stable} == units
    net.fund(address, 1_000)
    newest = client.long_history(address)
    assert newest.too_large == {address}
    assert len(newest.units) == 2 * LIMIT
