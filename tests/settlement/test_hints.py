"""What a hub shows without being asked: a hint that may be anything, and is worth a question if it is dear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paypercall.contract import BOUNCE_FEE
from paypercall.devnet import Devnet
from paypercall.obyte.errors import HubRefused
from paypercall.settlement.watcher import Watcher
from tests.settlement.merchant_books import MerchantBooks, WatchedHub, merchant_books
from tests.two_sides import ASSET, CUSTOMER, PAYEE

UNIT = "oj8yEksX9Ubq7lLc+p6F2uyHUuynugeVq4+ikT67X6E="
OTHER_UNIT = "HkqZDATlriWGUIGv/IjJUKmrYFNBOidfLdul9lHPfpg="

NUMBERS = st.integers() | st.floats() | st.just(10**400)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.sampled_from([PAYEE.address, "payment", "base", UNIT]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["app", "payload", "outputs", "asset"]), inner, max_size=3)
    ),
    max_leaves=10,
)
OUTPUTS = st.lists(
    st.fixed_dictionaries({"address": st.just(PAYEE.address) | JSON, "amount": NUMBERS | JSON}) | JSON,
    max_size=4,
)
PAYLOADS = st.fixed_dictionaries({"outputs": OUTPUTS | JSON}, optional={"asset": JSON})
MESSAGES = st.fixed_dictionaries({"app": st.just("payment") | JSON, "payload": PAYLOADS | JSON})
UNITS = st.fixed_dictionaries(
    {"unit": st.just(UNIT) | JSON, "messages": st.lists(MESSAGES | JSON, max_size=3) | JSON}
)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


@pytest.fixture
def hub(net: Devnet) -> WatchedHub:
    return WatchedHub(net)


@pytest.fixture
def agent(books: MerchantBooks) -> str:
    return books.open(CUSTOMER).aa_address


@pytest.fixture
def watcher(net: Devnet, books: MerchantBooks, hub: WatchedHub, agent: str) -> Iterator[Watcher]:
    """One that follows an agent."""
    with books.watcher(net, hub) as watcher:
        watcher.refresh()
        yield watcher


def paying(*amounts: Any, to: str, unit: Any = UNIT, **payload: Any) -> dict[str, Any]:
    """A unit that pays an address, as a hub shows it."""
    outputs = [{"address": to, "amount": amount} for amount in amounts]
    return {"unit": unit, "messages": [{"app": "payment", "payload": {"outputs": outputs, **payload}}]}


@given(shown=JSON | UNITS)
@example(shown=paying(10**400, 1.5, to=PAYEE.address))
def test_a_hint_may_be_anything(shown: Any) -> None:
    """Pure: nothing of the watcher's surroundings is touched by a hint."""
    watcher = Watcher(*[None] * 2, PAYEE.address, *[None] * 2, lambda: 0)  # type: ignore[arg-type,list-item]
    watcher.show(shown)


@pytest.mark.parametrize("amounts", [[BOUNCE_FEE], [BOUNCE_FEE - 1, 1]])
def test_a_unit_that_pays_an_agent_its_fee_is_asked_for_by_name_once(
    watcher: Watcher, hub: WatchedHub, agent: str, amounts: list[int]
) -> None:
    watcher.show(paying(*amounts, to=agent))
    watcher.refresh()
    watcher.refresh()
    assert hub.asked_by_name == [[UNIT]]


def test_the_same_unit_is_asked_for_once_however_often_it_is_shown(
    watcher: Watcher, hub: WatchedHub, agent: str
) -> None:
    for _ in range(3):
        watcher.show(paying(BOUNCE_FEE, to=agent))
    watcher.refresh()
    assert hub.asked_by_name == [[UNIT]]


def test_what_costs_next_to_nothing_or_concerns_nobody_is_not_asked_for(
    watcher: Watcher, hub: WatchedHub, agent: str
) -> None:
    watcher.show(paying(BOUNCE_FEE - 1, to=agent))
    watcher.show(paying(BOUNCE_FEE, to=CUSTOMER.address))
    watcher.show(paying(BOUNCE_FEE, to=agent, asset=ASSET))
    watcher.show(paying(BOUNCE_FEE, to=agent, unit="no hash"))
    watcher.show(None)
    watcher.refresh()
    assert hub.asked_by_name == []


def test_of_more_hints_than_are_kept_the_newest_stay(
    watcher: Watcher, hub: WatchedHub, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.settlement.watcher.MAX_SHOWN", 1)
    for unit in (UNIT, OTHER_UNIT):
        watcher.show(paying(BOUNCE_FEE, to=agent, unit=unit))
    watcher.refresh()
    assert hub.asked_by_name == [[OTHER_UNIT]]


def test_a_hint_outlasts_a_question_that_failed(watcher: Watcher, hub: WatchedHub, agent: str) -> None:
    """Nothing else may tell of a unit to an agent whose history is too large."""
    hub.refusal = "we are catching up"
    watcher.show(paying(BOUNCE_FEE, to=agent))
    with pytest.raises(HubRefused):
        watcher.refresh()
    hub.refusal = None
    watcher.refresh()
    watcher.refresh()
    assert hub.asked_by_name == [[UNIT], [UNIT]]
