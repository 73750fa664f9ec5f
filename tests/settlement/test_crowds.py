"""Dust can hide what an agent has answered. A channel then stops until all is read, and goes on by itself.

Of one main chain index a hub gives the first answers of an agent and the last ones. What is between shows in its
history if that is not too large, or by the number of a later answer.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import UNTOLD
from paypercall.contract import ChannelParameters, deposit_draft
from paypercall.devnet import Devnet
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key
from paypercall.obyte.wallet import Wallet
from paypercall.settlement.watcher import TURN_SECONDS, Watcher
from tests.devnet.raw_client import RawClient
from tests.hub_proxy import Back, Fault, Frame, HubProxy, in_response, instead_of_requests
from tests.parties import wallet_on
from tests.settlement.faults import HISTORY
from tests.settlement.merchant_books import MerchantBooks, merchant_books
from tests.settlement.test_never_blind import (
    contested,
    customer_through,
    is_of_a_close,
    lie,
    merchant_through,
    scatter_dust,
    wait_until_won,
    withholding,
)

RESPONSES = "light/get_aa_responses"
PAGE = 4
LIMIT = 16
STRANGERS = [Key(bytes([number]) * 32) for number in range(101, 114)]


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Devnet]:
    limit_pages(monkeypatch, PAGE)
    with Devnet(speed=20) as net:
        net.hold()
        for stranger in STRANGERS:
            net.fund(stranger.address, 100_000)
        net.settle()
        yield net


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """In its context the hub's limit on histories is small, and so is the node's on what it names as known."""
    with monkeypatch.context() as limited:
        limit_histories(limited, LIMIT)
        yield limited


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


@pytest.fixture
def customer(net: Devnet) -> Iterator[Wallet]:
    with closing(wallet_on(net)) as customer:
        yield customer


def limit_pages(patch: pytest.MonkeyPatch, answers: int) -> None:
    for name in (
        "devnet.answers.MAX_ANSWERS",
        "obyte.agent_answers.RESPONSES_IN_PAGE",
        "obyte.hub_answers.RESPONSES_IN_PAGE",
    ):
        patch.setattr(f"paypercall.{name}", answers)


def limit_histories(patch: pytest.MonkeyPatch, units: int) -> None:
    for name in ("devnet.history.MAX_ITEMS", "obyte.histories.HISTORY_LIMIT", "obyte.light.HISTORY_LIMIT"):
        patch.setattr(f"paypercall.{name}", units)


def look(books: MerchantBooks, watcher: Watcher) -> None:
    for _ in range(3):
        watcher.refresh()
        books.time += TURN_SECONDS


def open_channel(net: Devnet, books: MerchantBooks, customer: Wallet) -> ChannelParameters:
    """A channel with 50,000, and so much dust that its whole history is too large, index by index."""
    channel = books.open(customer)
    customer.post(customer.compose(deposit_draft(channel, 50_000, with_definition=True)))
    net.settle()
    for _ in range(PAGE):
        scatter_dust(net, channel.aa_address, 1)
        net.settle()
    return channel


def refill(net: Devnet, customer: Wallet, channel: ChannelParameters) -> None:
    customer.refresh()
    customer.post(customer.compose(deposit_draft(channel, 50_000, with_definition=False)))
    net.settle()


def crowd(net: Devnet, customer: Wallet, channel: ChannelParameters) -> None:
    """Strangers send dust to the agent, side by side with a refill of 50,000 that comes in the middle of it all."""
    dust = Draft({BASE: (Output(channel.aa_address, 1),)})
    with RawClient(net) as line:
        units = [line.compose(stranger, dust) for stranger in STRANGERS]
        others = sorted(unit["unit"] for unit in units)
        for salt in count():
            draft = deposit_draft(channel, 50_000, with_definition=False)
            paid = Output(STRANGERS[salt % len(STRANGERS)].address, 1_000 + salt)
            outputs = {BASE: (*draft.outputs[BASE], paid)}
            refill = line.compose(customer.key, Draft(outputs, draft.messages, max_aa_responses=1))
            if others[PAGE + 2] < refill["unit"] < others[-PAGE - 2]:
                break
        for unit in (*units, refill):
            assert line.request("post_joint", {"unit": unit}) == "accepted"
    net.settle()
    with RawClient(net) as line:
        for order in ("ASC", "DESC"):
            rows = line.request(
                RESPONSES, {"aa": channel.aa_address, "order": order, **crowded_at(net, refill)}
            )
            assert len(rows) == PAGE
            assert all(row["bounced"] for row in rows)


def crowded_at(net: Devnet, unit: Any) -> dict[str, int]:
    index = next(
        joint["unit"]["main_chain_index"] for joint in net.units() if joint["unit"]["unit"] == unit["unit"]
    )
    return {"min_mci": index, "max_mci": index}


def bury(net: Devnet, channel: ChannelParameters) -> None:
    """So much dust follows that no part of the history reaches back behind it."""
    scatter_dust(net, channel.aa_address, 2 * LIMIT)
    net.settle()


@pytest.mark.usefixtures("limited")
def test_an_answer_in_the_middle_of_a_crowd_is_found_in_the_history(
    net: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = open_channel(net, books, customer)
    crowd(net, customer, channel)
    with books.watcher(net) as watcher:
        look(books, watcher)
        assert books.channel(channel).deposited_by_peer == 100_000
        assert books.channel(channel).known_event_id == 2
        assert watcher.is_up_to_date(channel.aa_address)


def test_a_channel_stops_while_dust_hides_what_its_agent_may_have_answered_and_goes_on_when_all_is_read(
    net: Devnet, books: MerchantBooks, customer: Wallet, limited: pytest.MonkeyPatch
) -> None:
    channel = open_channel(net, books, customer)
    with HubProxy(net.url) as proxy, books.watcher(net, Hub(proxy.url, net.network)) as watcher:
        look(books, watcher)
        before = len(proxy.requests(RESPONSES))
        crowd(net, customer, channel)
        bury(net, channel)
        for _ in range(2):
            look(books, watcher)
            assert books.channel(channel).deposited_by_peer == 50_000
            assert books.channel(channel).known_event_id == UNTOLD
            assert not watcher.is_up_to_date(channel.aa_address)
        # It is read again from where it was whole, not from the beginning.
        assert all(params["min_mci"] > 1 for params in proxy.requests(RESPONSES)[before:])
        limit_histories(limited, 2_000)
        look(books, watcher)
        assert books.channel(channel).deposited_by_peer == 100_000
        assert books.channel(channel).known_event_id == 2
        assert watcher.is_up_to_date(channel.aa_address)


def test_a_stopped_channel_is_let_go_on_by_the_next_process_too(
    net: Devnet, books: MerchantBooks, customer: Wallet, limited: pytest.MonkeyPatch
) -> None:
    channel = open_channel(net, books, customer)
    with books.watcher(net) as watcher:
        look(books, watcher)
        crowd(net, customer, channel)
        bury(net, channel)
        look(books, watcher)
    limit_histories(limited, 2_000)
    with books.watcher(net) as watcher:
        watcher.resume()
        assert not watcher.is_up_to_date(channel.aa_address)
        look(books, watcher)
    assert books.channel(channel).known_event_id == books.channel(channel).last_event_id == 2


@pytest.mark.usefixtures("limited")
def test_a_later_answer_tells_by_its_number_that_the_crowd_hides_one(
    net: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = open_channel(net, books, customer)
    crowd(net, customer, channel)
    refill(net, customer, channel)
    bury(net, channel)
    with books.watcher(net) as watcher:
        look(books, watcher)
    assert (books.channel(channel).last_event_id, books.channel(channel).known_event_id) == (1, 3)


@pytest.mark.usefixtures("limited")
def test_a_later_answer_tells_by_its_number_that_the_crowd_hides_none(
    net: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = open_channel(net, books, customer)
    dust = Draft({BASE: (Output(channel.aa_address, 1),)})
    with RawClient(net) as line:
        for unit in [line.compose(stranger, dust) for stranger in STRANGERS]:
            assert line.request("post_joint", {"unit": unit}) == "accepted"
    net.settle()
    bury(net, channel)
    with books.watcher(net) as watcher:
        look(books, watcher)
        assert books.channel(channel).known_event_id == UNTOLD
        refill(net, customer, channel)
        look(books, watcher)
    assert books.channel(channel).known_event_id == books.channel(channel).last_event_id == 2


# --- another hub -----------------------------------------------------------------------------------------------------


def claiming_a_crowd(agent: str) -> list[Fault]:
    """A hub that claims that there is too much of an agent in one index to tell."""
    numbers = count()

    def answers(frame: Frame) -> Sequence[Back]:
        if frame.body["params"]["min_mci"] > 1:
            return [Back(frame.answer([]))]
        return [Back(frame.answer([bounced(next(numbers)) for _ in range(PAGE)]))]

    def refuse(frame: Frame) -> Any:
        if agent in frame.body["params"].get("addresses", ()):
            return [
                Back(
                    frame.answer({"error": "your history is too large, consider switching to a full client"})
                )
            ]
        return None

    return [instead_of_requests(RESPONSES, answers), instead_of_requests(HISTORY, refuse)]


def bounced(number: int) -> dict[str, Any]:
    return {"mci": 1, "bounced": 1, "trigger_unit": b64encode(number.to_bytes(32, "big")).decode()}


@pytest.mark.parametrize("has_other", [True, False])
def test_a_channel_goes_on_by_what_another_hub_tells_or_else_is_asked_about_with_each_look(
    net: Devnet, books: MerchantBooks, customer: Wallet, has_other: bool
) -> None:
    channel = open_channel(net, books, customer)
    first, second = claiming_a_crowd(channel.aa_address)
    other = Hub(net.url, net.network)
    with HubProxy(net.url) as proxy, closing(other), proxy.fault(first), proxy.fault(second):
        other.request("get_last_mci")
        hub = Hub(proxy.url, net.network)
        with books.watcher(net, hub, [other] if has_other else []) as watcher:
            look(books, watcher)
            watcher.refresh()
            before = len(proxy.requests(RESPONSES))
            watcher.refresh()
            assert len(proxy.requests(RESPONSES)) > before or has_other
    expected = (50_000, 1) if has_other else (0, UNTOLD)
    assert (books.channel(channel).deposited_by_peer, books.channel(channel).known_event_id) == expected


def test_what_one_hub_withholds_is_found_at_another_one_among_dust(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    monkeypatch.setattr("paypercall.settlement.watcher.TURN_SECONDS", 1)
    monkeypatch.setattr("paypercall.settlement.node.REFRESH_SECONDS", 1)
    with (
        Devnet(speed=20) as net,
        HubProxy(net.url) as proxy,
        merchant_through(net, tmp_path, proxy.url, net.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
        proxy.fault(withholding(is_of_a_close)),
        proxy.fault(in_response(RESPONSES, lambda rows: [])),
    ):
        scatter_dust(net, customer.aa_address, 2 * LIMIT)
        net.settle()
        limit_histories(monkeypatch, LIMIT)
        with contested(net, merchant, customer, record_property):
            lie(net, customer)
            net.settle()
            scatter_dust(net, customer.aa_address, 2 * LIMIT)
        wait_until_won(merchant)
