"""What a node finds out among many channels without reading all of them each time: what is overdue, and its reserve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from paypercall.channel import Channel, Status
from paypercall.contract import ChannelParameters
from paypercall.costs import SWEEPING_COST
from paypercall.devnet import Devnet
from paypercall.events import Events
from paypercall.obyte.amounts import BASE
from paypercall.obyte.wallet import Wallet
from paypercall.settlement import reserve
from paypercall.settlement.reserve import Reserve
from paypercall.settlement.spending import Spending
from paypercall.settlement.upkeep import LOOK_FOR_OVERDUE_SECONDS, SWEEPS_AT_ONCE, SweepingRules, Upkeep
from paypercall.store import OutboxKind, Store
from tests.parties import wallet_on
from tests.two_sides import CUSTOMER, PAYEE

WEEK = 7 * 24 * 3600
HELD = 1_000_000
"""What the wallet holds; the reserve of two channels and a new one is more by little."""

SPENDING = Spending(max_tps_fee=20_000, reserve=HELD // 3 + 1)


@dataclass
class ManyChannels:
    """Books with a clock that the test moves."""

    store: Store
    time: int = 10 * WEEK

    def now(self) -> int:
        return self.time

    def open(self, salt: str, *, opened_at: int | None = None, owed: int = 0) -> None:
        """Adds a channel that has just opened, or did so at another time."""
        parameters = ChannelParameters(PAYEE.address, CUSTOMER.address, BASE, salt, 3600)
        channel = Channel(
            parameters,
            PAYEE.address,
            status=Status.OPEN,
            deposited_by_peer=owed,
            signed_by_peer=owed,
            accepted_from_peer=owed,
        )
        with self.store.transaction() as books:
            books.channels.add(channel, created_at=0)
            books.channels.set_opened_at(channel.aa_address, self.time if opened_at is None else opened_at)

    def close(self, salt: str) -> None:
        """Ends the period of a channel."""
        parameters = ChannelParameters(PAYEE.address, CUSTOMER.address, BASE, salt, 3600)
        with self.store.transaction() as books:
            record = books.channels.lock(parameters.aa_address)
            assert record is not None
            books.channels.save(record.channel, replace(record.channel, status=Status.CLOSED))
            books.channels.set_opened_at(parameters.aa_address, None)

    def upkeep(self) -> Upkeep:
        with self.store.transaction() as books:
            books.node.set_max_sweeping_period(WEEK)
        rules = SweepingRules({}, {}, {BASE: SWEEPING_COST})
        return Upkeep(self.store, PAYEE.address, rules, Events(), self.now, self.now)

    def closes(self) -> int:
        """How many closes are decided."""
        with self.store.reading() as books:
            return sum(row.kind is OutboxKind.CLOSE for row in books.outbox.unfinished())

    def is_below(self, reserve: Reserve) -> bool:
        """What the books say of the reserve, once it is compared."""
        reserve.update()
        with self.store.reading() as books:
            return books.node.health().is_below_reserve


@pytest.fixture
def many(tmp_path: Path) -> Iterator[ManyChannels]:
    with closing(Store(f"sqlite:///{tmp_path}/books.sqlite")) as store:
        with store.transaction() as books:
            books.node.claim("4.0dev", PAYEE.address, now=0)
        yield ManyChannels(store)


@pytest.fixture
def wallet(net: Devnet) -> Iterator[Wallet]:
    with closing(wallet_on(net, funds=HELD)) as wallet:
        wallet.refresh()
        yield wallet


def test_all_overdue_channels_are_swept_one_round_after_the_other(many: ManyChannels) -> None:
    for number in range(SWEEPS_AT_ONCE + 5):
        many.open(str(number), opened_at=0, owed=100_000)
    upkeep = many.upkeep()
    upkeep.run()
    assert many.closes() == SWEEPS_AT_ONCE
    upkeep.run()
    assert many.closes() == SWEEPS_AT_ONCE + 5


def test_a_channel_that_becomes_overdue_is_swept_within_a_minute(many: ManyChannels) -> None:
    many.open("with too little to collect", opened_at=0, owed=1)
    many.open("soon", opened_at=many.time - WEEK, owed=100_000)
    upkeep = many.upkeep()
    upkeep.run()
    assert many.closes() == 0
    many.time += LOOK_FOR_OVERDUE_SECONDS
    upkeep.run()
    assert many.closes() == 1


def test_overdue_channels_are_swept_although_the_clock_was_set_back(many: ManyChannels) -> None:
    upkeep = many.upkeep()
    upkeep.run()
    many.time -= WEEK
    many.open("overdue", opened_at=0, owed=100_000)
    upkeep.run()
    assert many.closes() == 1


def test_the_channel_that_the_wallet_cannot_defend_any_more_is_noticed_at_once(
    many: ManyChannels, wallet: Wallet
) -> None:
    reserve = Reserve(many.store, wallet, SPENDING, many.now)
    assert not many.is_below(reserve)
    many.time += 1
    many.open("one", owed=HELD)
    assert not many.is_below(reserve)
    many.time += 1
    many.open("two", owed=HELD)
    assert many.is_below(reserve)
    many.close("one")
    assert not many.is_below(reserve)


def test_channels_that_have_opened_and_closed_again_need_no_reserve(
    many: ManyChannels, wallet: Wallet
) -> None:
    many.open("one", opened_at=0, owed=HELD)
    reserve = Reserve(many.store, wallet, SPENDING, many.now)
    assert not many.is_below(reserve)
    many.close("one")
    many.open("two", owed=HELD)
    assert not many.is_below(reserve)


def test_a_channel_that_opens_after_the_clock_was_set_back_needs_its_reserve(
    many: ManyChannels, wallet: Wallet
) -> None:
    reserve = Reserve(many.store, wallet, SPENDING, many.now)
    many.open("one", opened_at=0, owed=HELD)
    assert not many.is_below(reserve)
    many.time -= WEEK
    many.open("two", owed=HELD)
    assert many.is_below(reserve)


def test_all_channels_are_counted_again_when_many_have_opened(
    many: ManyChannels, wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "MAX_OPENED_SINCE", 1)
    compared = Reserve(many.store, wallet, SPENDING, many.now)
    assert not many.is_below(compared)
    many.open("one", owed=HELD)
    many.open("two", owed=HELD)
    assert many.is_below(compared)
