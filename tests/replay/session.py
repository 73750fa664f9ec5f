"""A party of ours in the place of the JavaScript node of a recorded session, one step after the other.

It has all the parts of a real one. What a host decided in the session (to open, to deposit, to pay, to close) is
decided again here; everything else is up to our code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from paypercall.backing import NO_BACKING, Limits
from paypercall.channel import Channel, Status, accept, sign
from paypercall.contract import ChannelParameters, read_definition
from paypercall.events import Event, EventKind, Events
from paypercall.obyte.composer import Draft
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key
from paypercall.obyte.light import LightClient
from paypercall.obyte.wallet import Wallet
from paypercall.package import PaymentPackage, compose_package, parse_package
from paypercall.settlement import outbox as outbox_module
from paypercall.settlement.commands import draft_of
from paypercall.settlement.discovery import Discovery
from paypercall.settlement.lease import Lease
from paypercall.settlement.memory import Memory
from paypercall.settlement.outbox import Outbox, Spending
from paypercall.settlement.reader import Reader
from paypercall.settlement.upkeep import SweepingRules, Upkeep, add_deposit, decide_to_close
from paypercall.settlement.watcher import Watcher
from paypercall.store import OutboxKind, OutboxRow, Store
from tests.replay.recorded_hub import RecordedHub
from tests.replay.recording import (
    CUSTOMER,
    HISTORY,
    NETWORK,
    PARENTS,
    POST,
    Line,
    Recording,
    merchant_key,
    payments_to,
)

LIMITS = Limits(max_unconfirmed_by_asset=0, max_unconfirmed_by_channel=0)
Data = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """What the books say after a history.

    Attributes:
        answers: How many of the hub's answers to requests had been played by then.
        channel: The channel of the session, or None before the books have it.
    """

    answers: int
    channel: Channel | None


@dataclass
class Session:
    """One session with our code in it; close it in the end.

    Attributes:
        parameters: Of the channel that it is about.
        seen: What each refresh led to.
        events: What a host was told.
        posted: The units that were composed, in order.
        news: How often the hub hinted at something new.
    """

    recording: Recording
    folder: Path
    seen: list[Seen] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    posted: list[Data] = field(default_factory=list)
    news: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        merchant = merchant_key(self.recording)
        self.is_merchant = self.recording.name == "server"
        key = cast("Key", merchant) if self.is_merchant else CUSTOMER
        self.parameters = parameters_of(self.recording)
        self.hub = RecordedHub(self.recording, known_definitions={merchant.address: merchant.definition})
        self.light = LightClient(Hub(self.hub.url, NETWORK), NETWORK)
        self.wallet = Wallet(key, self.light, max_tps_fee=2_000)
        self.store = Store(f"sqlite:///{self.folder}/{self.recording.name}.sqlite")
        with self.store.transaction() as books:
            books.node.claim(NETWORK.version, key.address, 0)
        published = Events()
        for kind in EventKind:
            published.subscribe(kind, self.events.append)
        discovery = Discovery(self.store, key.address, published, self.clock)
        self.lease = Lease(self.store, key.address, self.clock)
        memory = Memory(self.store, self.folder, self.clock)
        reader = Reader(self.store, self.wallet, discovery, memory, self.lease, published, self.clock)
        self.watcher = Watcher(self.store, self.light, key.address, discovery, reader, self.clock)
        rules = SweepingRules({}, {}, {})
        self.upkeep = Upkeep(self.store, key.address, rules, published, self.clock, self.clock)
        self.outbox = Outbox(
            self.store, self.wallet, self.light, self.lease, Spending(2_000, 0), self.clock, self.clock
        )

    def clock(self) -> int:
        """The time of the recording."""
        passed = [line for line in self.recording.lines if line.number <= self.hub.next_request]
        return max(passed, key=lambda line: line.number).seconds if passed else 0

    def play(self) -> None:
        """Goes through the session, and ends it."""
        self.lease.take()
        self.light.on_news(lambda unit: self.news.append(None))
        for line in self.recording.requests(HISTORY, PARENTS):
            if line.number < self.hub.next_request:
                continue  # our code has asked for it already, or had no need to
            if line.name == PARENTS:
                self._send(line)
            elif "addresses" in line.content["params"]:
                self._refresh()
        self.hub.finish()

    def close(self) -> None:
        self.lease.release()
        self.light.close()
        self.hub.close()
        self.store.close()

    def channel(self) -> Channel | None:
        with self.store.reading() as books:
            record = books.channels.get(self.parameters.aa_address)
        return record.channel if record else None

    def _refresh(self) -> None:
        self.watcher.refresh()
        self.seen.append(Seen(len(self.hub.matched), self.channel()))
        self._pay()
        self.upkeep.run()
        if self.is_merchant and len(self.seen) == 1:
            with self.store.transaction() as books:
                books.announced.add(self.parameters, self.clock(), limit=1, limit_by_customer=1)

    def _pay(self) -> None:
        """Makes the payments that the period's close tells of, once the period is open."""
        with self.store.transaction() as books:
            record = books.channels.lock(self.parameters.aa_address)
            if record is None or record.channel.status is not Status.OPEN:
                return
            channel = record.channel
            if channel.signed_by_me or channel.signed_by_peer:
                return
            close = self._close_of(channel.period)
            paid, refund = close["transferredFromMe"], close.get("sentByPeer")
            if self.is_merchant:
                channel = accept(channel, self._package(channel, paid), NO_BACKING, LIMITS)
                refunded = refund["signed_message"]["amount_spent"] if refund else 0
                channel = sign(channel, refunded, 0) if refunded else channel
            else:
                channel = sign(channel, paid, 0)
                if refund:
                    package = parse_package(refund, network_version=NETWORK.version)
                    channel = accept(channel, package, NO_BACKING, LIMITS)
            books.channels.save(record.channel, channel)

    def _package(self, channel: Channel, amount: int) -> PaymentPackage:
        package = compose_package(
            CUSTOMER,
            NETWORK.version,
            aa_address=channel.aa_address,
            period=channel.period,
            payment_amount=amount,
            amount_spent=amount,
            announce=None,
        )
        return parse_package(package, network_version=NETWORK.version)

    def _close_of(self, period: int) -> Data:
        return next(
            data
            for unit in self.recording.units().values()
            for data in data_of(unit)
            if data.get("close") and data["period"] == period and is_to(unit, self.parameters)
        )

    def _send(self, line: Line) -> None:
        """Decides what the recorded host decided, unless our node has done so already, and sends it."""
        post = next(post for post in self.recording.requests(POST) if post.number > line.number)
        self._decide(post.content["params"]["unit"])
        with self.store.reading() as books:
            [row] = [row for row in books.outbox.unfinished() if row.unit is None]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(outbox_module, "draft_of", draft_of_recorded)
            self.outbox.advance()
        with self.store.reading() as books:
            [unit] = books.outbox.signed_units(row.id)
        self.posted.append(unit)

    def _decide(self, unit: Data) -> None:
        is_first = any(message["app"] == "definition" for message in unit["messages"])
        with self.store.transaction() as books:
            if is_first:
                books.channels.add(Channel(self.parameters, self.wallet.address), created_at=self.clock())
            record = books.channels.lock(self.parameters.aa_address)
            assert record is not None
            data = data_of(unit)
            if not data:
                kind = OutboxKind.OPEN if is_first else OutboxKind.REFILL
                [amount] = [
                    amount
                    for *_, asset, amount in payments_to(unit, self.parameters.aa_address)
                    if asset == self.parameters.asset
                ]
                add_deposit(books, kind, record.channel, amount, self.clock())
            elif data[0].get("close"):
                decide_to_close(books, self.parameters.aa_address, self.clock())


def draft_of_recorded(row: OutboxRow, parameters: ChannelParameters | None) -> Draft:
    """What ours would send, but for the one answer of the agent that it pays for: recorded wallets left it unsaid."""
    return replace(draft_of(row, parameters), max_aa_responses=None)


def parameters_of(recording: Recording) -> ChannelParameters:
    """The parameters of the channel that a session is about: the last one that it shows."""
    definitions = [
        message["payload"]["definition"]
        for unit in recording.units().values()
        for message in unit["messages"]
        if message["app"] == "definition"
    ]
    parameters = read_definition(definitions[-1])
    assert parameters is not None
    return parameters


def data_of(unit: Data) -> list[Data]:
    """The data messages of a unit."""
    return [message["payload"] for message in unit["messages"] if message["app"] == "data"]


def is_to(unit: Data, parameters: ChannelParameters) -> bool:
    """Whether a unit pays to a channel's agent."""
    return any(True for _ in payments_to(unit, parameters.aa_address))
