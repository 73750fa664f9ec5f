"""Which agents are watched and for how long, and what is believed of a channel that is taken up late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.contract import (
    ChannelParameters,
    Trigger,
    close_draft,
    confirm_draft,
    deposit_draft,
    read_trigger,
)
from paypercall.devnet import Devnet
from paypercall.events import Events
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.unit import Unit
from paypercall.settlement import discovery
from paypercall.settlement.discovery import ANNOUNCEMENT_SECONDS, Discovery
from paypercall.settlement.memory import Memory
from tests.parties import wallet_on
from tests.settlement.merchant_books import MerchantBooks, WatchedHub, merchant_books
from tests.two_sides import CUSTOMER, PAYEE


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


def test_an_announced_agent_that_the_ledger_does_not_show_is_watched_for_a_while_only(
    books: MerchantBooks,
) -> None:
    """Announcing costs nothing, and the list is bounded: honest customers would find it full for ever."""
    found = Discovery(books.store, PAYEE.address, Events(), books.now)
    announced = ChannelParameters(PAYEE.address, CUSTOMER.address, BASE, "a salt", 3600)
    with books.store.transaction() as store:
        store.announced.add(announced, books.time, limit=1, limit_by_customer=1)
    books.time += ANNOUNCEMENT_SECONDS
    assert found.announced_addresses() == [announced.aa_address]
    books.time += 1
    assert found.announced_addresses() == []
    with books.store.reading() as store:
        assert store.announced.all() == []


def test_a_forgotten_channel_that_is_taken_up_is_out_of_use_in_the_period_that_is_open(
    net: Devnet, books: MerchantBooks
) -> None:
    """What these books do not know of was signed in that one, however many there were before."""
    with closing(wallet_on(net, PAYEE)) as mine, closing(wallet_on(net)) as payee:
        channel = ChannelParameters(payee.address, PAYEE.address, BASE, "a salt", 3600)
        for draft, wallet in (
            (deposit_draft(channel, 50_000, with_definition=True), mine),
            (close_draft(channel, period=1, transferred_from_me=0, sent_by_peer=None), mine),
            (confirm_draft(channel, period=1, additional_transferred_from_me=0), payee),
            (deposit_draft(channel, 60_000, with_definition=False), mine),
        ):
            wallet.post(wallet.compose(draft))
            net.settle()
    with books.watcher(net) as watcher:
        for _ in range(2):
            watcher.refresh()
    found = books.channel(channel)
    assert (found.period, found.status, found.deposited_by_me) == (2, Status.OPEN, 60_000)
    assert found.is_distrusted
    with books.store.transaction() as store:
        Memory(books.store, books.folder, books.now).trust_next_periods(store, PAYEE.address, lambda _: True)
    assert books.channel(channel).signs_from_period == 3


def test_a_forgotten_channel_is_recognised_though_what_shows_it_first_is_one_new_unit(
    net: Devnet, books: MerchantBooks
) -> None:
    """A unit that pays the merchant, too, is in the wallet's history, which begins after all that is forgotten."""
    with closing(wallet_on(net)) as customer, books.watcher(net) as watcher:
        channel = ChannelParameters(PAYEE.address, customer.address, BASE, "a salt", 3600)
        customer.post(customer.compose(deposit_draft(channel, 50_000, with_definition=True)))
        net.settle()
        with books.store.transaction() as store:
            store.node.set_complete_since(net.now() + 60)
        for _ in range(3):
            net.fund(PAYEE.address, 1_000)
            net.settle()
            watcher.refresh()
        net.advance(300)
        both = Draft({BASE: (Output(channel.aa_address, 10_001), Output(PAYEE.address, 1))})
        customer.post(customer.compose(both))
        announce(books, channel)
        for _ in range(2):
            watcher.refresh()
        assert books.channel(channel).is_distrusted
        net.settle()
        watcher.refresh()
    assert books.channel(channel).deposited_by_peer == 60_001
    assert books.channel(channel).is_distrusted


def test_each_unit_is_held_against_the_announced_agents_that_it_concerns_only(
    net: Devnet, books: MerchantBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Announcing costs nothing: many announced agents must not make every look at the ledger slower."""
    looked_at: list[str] = []

    def counted(parameters: ChannelParameters, unit: Unit) -> Trigger | None:
        looked_at.append(parameters.aa_address)
        return read_trigger(parameters, unit)

    monkeypatch.setattr(discovery, "read_trigger", counted)
    announced = [
        ChannelParameters(PAYEE.address, CUSTOMER.address, BASE, f"salt {number}", 3600)
        for number in range(5)
    ]
    with books.store.transaction() as store:
        for parameters in announced:
            store.announced.add(parameters, books.time, limit=9, limit_by_customer=9)
    with closing(wallet_on(net)) as customer:
        for parameters in announced[:2]:
            customer.post(customer.compose(deposit_draft(parameters, 50_000, with_definition=True)))
            net.settle()
    with books.watcher(net) as watcher:
        watcher.refresh()
    assert sorted(looked_at) == sorted(parameters.aa_address for parameters in announced[:2])
    with books.store.reading() as store:
        assert store.announced.all() == announced[2:]


def announce(books: MerchantBooks, parameters: ChannelParameters) -> None:
    with books.store.transaction() as store:
        store.announced.add(parameters, books.time, limit=9, limit_by_customer=9)


def drop_announcements(books: MerchantBooks) -> None:
    with books.store.transaction() as store:
        store.announced.expire(books.time + 1)


def test_a_deposit_that_was_passed_over_while_nobody_announced_its_agent_is_found_once_it_is_announced_again(
    net: Devnet, books: MerchantBooks
) -> None:
    """The agent is followed until the round ends, which goes on from what was shown of it."""
    with closing(wallet_on(net)) as customer, books.watcher(net) as watcher:
        channel = ChannelParameters(PAYEE.address, customer.address, BASE, "a salt", 3600)
        announce(books, channel)
        watcher.refresh()
        drop_announcements(books)
        deposit = customer.compose(deposit_draft(channel, 50_000, with_definition=True))
        customer.post(deposit)
        watcher.show(deposit)
        net.settle()
        for _ in range(3):
            watcher.refresh()
        assert not is_taken_up(books, channel)
        announce(books, channel)
        for _ in range(2):
            watcher.refresh()
    assert books.channel(channel).deposited_by_peer == 50_000


def test_a_deposit_that_was_passed_over_because_others_made_room_in_each_look_is_found(
    net: Devnet, books: MerchantBooks
) -> None:
    """A flood of announcements pushes an agent out in each look; its customer announces it again before the next."""
    hub = WatchedHub(net)
    with closing(wallet_on(net)) as customer, books.watcher(net, hub) as watcher:
        channel = ChannelParameters(PAYEE.address, customer.address, BASE, "a salt", 3600)
        announce(books, channel)
        watcher.refresh()
        customer.post(customer.compose(deposit_draft(channel, 50_000, with_definition=True)))
        net.settle()
        for _ in range(3):
            hub.interruption = lambda: drop_announcements(books)
            watcher.refresh()
            assert not is_taken_up(books, channel)
            announce(books, channel)
        for _ in range(2):
            watcher.refresh()
    assert books.channel(channel).deposited_by_peer == 50_000


def is_taken_up(books: MerchantBooks, parameters: ChannelParameters) -> bool:
    with books.store.reading() as store:
        return store.channels.get(parameters.aa_address) is not None
