"""No hub can make a node believe other order providers; that others may have been elected is told to its owner."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.errors import ProofError
from paypercall.obyte.hub import Hub
from paypercall.settlement.elections import DAY_SECONDS
from tests.hub_proxy import Fault, HubProxy, in_response, instead_of_requests
from tests.obyte.small_ledger import key_named
from tests.settlement.faults import HISTORY
from tests.settlement.merchant_books import MerchantBooks, merchant_books
from tests.two_sides import PAYEE

STRANGER = key_named("stranger").address


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


@pytest.fixture
def line(net: Devnet) -> Iterator[HubProxy]:
    with HubProxy(net.url) as line:
        yield line


def answered_for(net: Devnet) -> Fault:
    """The hub proves each history by its own order providers, whomever it was asked about."""
    providers = list(net.network.order_providers)
    return instead_of_requests(
        HISTORY, lambda frame: [frame.with_body(params={**frame.body["params"], "witnesses": providers})]
    )


def naming(address: str) -> Fault:
    """The hub names another order provider."""
    return in_response("get_witnesses", lambda answer: [address])


def test_a_ledger_that_a_hub_has_made_up_with_its_own_order_providers_is_not_believed(
    net: Devnet, books: MerchantBooks
) -> None:
    first = {"joint": {"unit": {"unit": net.network.genesis_unit}}}
    with (
        Devnet(speed=20) as made_up,
        HubProxy(made_up.url) as line,
        line.fault(answered_for(made_up)),
        line.fault(in_response("get_joint", lambda answer: first)),
    ):
        made_up.fund(PAYEE.address, 1_000_000)
        made_up.settle()
        with books.watcher(net, Hub(line.url, net.network)) as watcher:
            for _ in range(3):
                with pytest.raises(ProofError):
                    watcher.refresh()
        asked = line.requests(HISTORY)
    assert [params["witnesses"] for params in asked] == [list(net.network.order_providers)] * len(asked)
    with books.store.reading() as rows:
        assert rows.coins.all() == []
    net.fund(PAYEE.address, 10_000)
    net.settle()
    with books.watcher(net) as watcher:
        watcher.refresh()
    with books.store.reading() as rows:
        assert [coin.amount for final in rows.coins.all() for coin in final.coins] == [10_000]


def test_a_hub_is_asked_for_the_order_providers_when_it_comes_in_use_and_then_once_a_day(
    net: Devnet, line: HubProxy, books: MerchantBooks, caplog: pytest.LogCaptureFixture
) -> None:
    with books.watcher(net, Hub(line.url, net.network)) as watcher:
        watcher.refresh()
        books.time += DAY_SECONDS - 1
        watcher.refresh()
        assert len(line.requests("get_witnesses")) == 1
        assert "order_providers" not in caplog.text
        books.time += 1
        with line.fault(naming(STRANGER)):
            watcher.refresh()
        assert len(line.requests("get_witnesses")) == 2
    [told] = [record for record in caplog.records if "order_providers" in record.getMessage()]
    assert told.levelno == logging.ERROR  # of a single one none is left
    assert f"{STRANGER} instead of {net.network.order_providers[0]}" in told.getMessage()


def test_what_hubs_have_told_of_the_order_providers_is_told_together(
    net: Devnet, line: HubProxy, books: MerchantBooks, caplog: pytest.LogCaptureFixture
) -> None:
    with HubProxy(net.url) as second, line.fault(naming(STRANGER)), second.fault(naming(STRANGER)):
        hub, other = (Hub(each.url, net.network) for each in (line, second))
        with books.watcher(net, hub, others=[other]) as watcher:
            watcher.refresh()
            watcher._light._hubs.leave(hub, "another thread met a fault")
            watcher.refresh()
    assert f"named by {line.url}, {second.url}: {STRANGER}" in caplog.text
