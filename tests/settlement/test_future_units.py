"""A hub that says a unit comes from the future: because it told us a wrong time, or only to keep the unit for later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.keys import Key
from paypercall.results import ChannelTimeout
from paypercall.server import Server
from tests.devnet.raw_client import RawClient
from tests.hub_proxy import Arrival, Back, Frame, HubProxy, in_response
from tests.parties import wait_until
from tests.settlement.faults import PARENTS, POST, units_of
from tests.settlement.test_never_blind import merchant_through

PAYEE = Key(b"\x07" * 32).address
DAY_SECONDS = 24 * 3600

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def proxy(net: Devnet) -> Iterator[HubProxy]:
    with HubProxy(net.url) as proxy:
        yield proxy


@pytest.fixture
def merchant(net: Devnet, proxy: HubProxy, tmp_path: Path) -> Iterator[Server]:
    with merchant_through(net, tmp_path, proxy.url) as merchant:
        merchant.start_node()
        yield merchant


def a_day_ahead(parents: Any) -> Any:
    return {**parents, "timestamp": parents["timestamp"] + DAY_SECONDS}


def test_what_was_composed_with_a_time_in_the_future_is_composed_anew_and_paid_once(
    net: Devnet, proxy: HubProxy, merchant: Server
) -> None:
    with proxy.fault(in_response(PARENTS, a_day_ahead)):
        with pytest.raises(ChannelTimeout):
            merchant.funds.send(5_000, PAYEE, timeout=4)
        refused = {params["unit"]["unit"] for params in proxy.requests(POST)}
    assert len(refused) > 1
    assert net.balance(PAYEE) == 0
    wait_until(lambda: net.balance(PAYEE) > 0, "the unit is composed with the right time")
    net.settle()
    for unit in proxy.requests(POST):
        with RawClient(net) as line:  # what was refused before may come back, and pays nobody
            line.request(POST, unit)
    net.settle()
    assert net.balance(PAYEE) == 5_000
    [paid] = units_of(net, merchant)
    assert paid["unit"] not in refused
    assert abs(paid["timestamp"] - net.now()) < 3_600


def test_a_unit_that_the_hub_calls_too_early_and_posts_later_is_paid_once(
    net: Devnet, proxy: HubProxy, merchant: Server
) -> None:
    net.fund(merchant.address, 1_000_000)  # a second coin, which a careless replacement could spend
    net.settle()
    kept: list[dict[str, Any]] = []

    def keep(frame: Frame) -> Sequence[Arrival] | None:
        if frame.name != POST or frame.is_from_hub or kept:
            return None
        kept.append(frame.body["params"])
        net.advance(10)  # within the same second the same unit would be made again
        return [Back(frame.answer({"error": "timestamp is too far into the future"}))]

    with proxy.fault(keep):
        merchant.funds.send(5_000, PAYEE)
    [replacement] = units_of(net, merchant)
    with RawClient(net) as line:
        line.request(POST, kept[0])
    net.settle()
    assert net.balance(PAYEE) == 5_000
    assert kept[0]["unit"]["unit"] != replacement["unit"]
    merchant.funds.send(5_000, PAYEE)
    net.settle()
    assert net.balance(PAYEE) == 10_000
