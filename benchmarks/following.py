"""(e) what an event on the ledger costs a merchant's node, and the first look, by the number of channels it follows.

An event is a deposit that opens a channel: the node works once when the hub shows the unit, and once when the agent has
answered. Both are measured until the books have it.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.follower import Follower
from benchmarks.result import Result
from paypercall.contract import deposit_draft
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet

FEW, MANY = 1_000, 100_000
SIZES = (FEW, 10_000, MANY)
EVENTS = 20
EVENT_LIMIT = 1.5
FIRST_LOOK_LIMIT = 1.5
DEPOSIT = 100_000


@dataclass(frozen=True, slots=True)
class _Measured:
    """CPU seconds by the number of channels: of each event, and of the first look at all channels."""

    events: dict[int, list[float]]
    first_looks: dict[int, float]


def event() -> Result:
    """An event with 100,000 channels / the same with 1,000."""
    medians = {count: statistics.median(taken) for count, taken in _measured().events.items()}
    for count, seconds in medians.items():
        print(f"one event, {count:,} channels: {seconds * 1e3:.1f} ms of CPU", flush=True)
    return Result("one event, 100,000 : 1,000 channels", medians[MANY] / medians[FEW], EVENT_LIMIT, "ratio")


def first_look() -> Result:
    """The first look at a channel, with 100,000 of them / the same with 1,000."""
    each = {count: seconds / count for count, seconds in _measured().first_looks.items()}
    for count, seconds in each.items():
        print(f"first look, {count:,} channels: {seconds * 1e6:.1f} µs of CPU for each", flush=True)
    return Result("first look at each of 100,000 : 1,000", each[MANY] / each[FEW], FIRST_LOOK_LIMIT, "ratio")


@cache
def _measured() -> _Measured:
    """Measures once for both results, the sizes in turns, so that they see the same machine."""
    with ExitStack() as stack:
        net = stack.enter_context(Devnet())
        net.hold()
        followers: dict[int, Follower] = {}
        for count in SIZES:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            followers[count] = stack.enter_context(closing(Follower(net, folder, count)))
        customer = stack.enter_context(closing(_wallet(net)))
        measured = _Measured(
            {count: [] for count in SIZES},
            {count: follower.follow_all() for count, follower in followers.items()},
        )
        for _ in range(EVENTS):
            for count, follower in followers.items():
                measured.events[count].append(_event(net, follower, customer))
    return measured


def _wallet(net: Devnet) -> Wallet:
    hub = Hub(net.url, net.network)
    wallet = Wallet(key_from_mnemonic(new_mnemonic()), LightClient(hub, net.network), max_tps_fee=100_000)
    net.fund(wallet.address, 100_000_000)
    net.settle()
    wallet.refresh()
    return wallet


def _event(net: Devnet, follower: Follower, customer: Wallet) -> float:
    """CPU seconds of the node for a deposit that opens a channel."""
    parameters = follower.expect(customer.address)
    follower.forget_news()
    follower.look()
    customer.post(customer.compose(deposit_draft(parameters, DEPOSIT, with_definition=True)))
    taken = follower.take_news()
    channel, unanswered = follower.channel(parameters)
    assert unanswered == 1 and channel.last_event_id == 0, "the deposit is seen"
    follower.forget_news()
    net.settle()
    taken += follower.take_news()
    channel, unanswered = follower.channel(parameters)
    assert unanswered == 0 and channel.deposited_by_peer == DEPOSIT, "the channel is open"
    return taken
