"""(h) what it costs to verify a history, by the number of units in it, and to be back after a lost connection."""

from __future__ import annotations

import statistics
import time
from contextlib import closing

from benchmarks.result import Result
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.proof import verify_history

FEW, MANY = 100, 2_000
SIZES = (FEW, 1_000, MANY)
ROUNDS = 5
LIMIT = 1.5
LOSSES = 10
RECONNECT_LIMIT_SECONDS = 5.0
HISTORY = "light/get_history"


def verify() -> Result:
    """Verifying a history, for each of 2,000 units / the same for each of 100."""
    taken: dict[int, list[float]] = {count: [] for count in SIZES}
    with Devnet(speed=100) as net, closing(Hub(net.url, net.network)) as hub:
        answers = {count: _history(net, hub, count) for count in SIZES}
        for _ in range(ROUNDS):
            for count, answer in answers.items():
                started = time.thread_time()
                history = verify_history(answer, net.network)
                taken[count].append(time.thread_time() - started)
                assert len(history.units) == count and all(unit.is_stable for unit in history.units)
    medians = {count: statistics.median(seconds) for count, seconds in taken.items()}
    for count, seconds in medians.items():
        told = f"{seconds * 1e3:.1f} ms of CPU, {1 / seconds:.1f} a second, {seconds / count * 1e6:.0f} µs a unit"
        print(f"a history of {count:,} units verified: {told}", flush=True)
    ratio = medians[MANY] / MANY / (medians[FEW] / FEW)
    return Result("a unit in a history of 2,000 : of 100", ratio, LIMIT, "ratio")


def reconnect() -> Result:
    """Seconds from the loss of the connection until a history is verified again, the median of ten."""
    address = key_from_mnemonic(new_mnemonic()).address
    with Devnet(speed=100) as net:
        net.fund(address, 1)
        net.settle()
        taken = [_reconnect(net, address) for _ in range(LOSSES)]
    median = statistics.median(taken)
    return Result("connection lost until a history is verified", median, RECONNECT_LIMIT_SECONDS, "s")


def _reconnect(net: Devnet, address: str) -> float:
    """Seconds for a client that was connected for the first time."""
    hub = Hub(net.url, net.network)
    with closing(LightClient(hub, net.network)) as light:
        assert light.history([address]).units
        started = time.monotonic()
        net.hang_up()
        while hub.connections == 1:
            time.sleep(0.001)
        assert light.history([address]).units
        return time.monotonic() - started


def _history(net: Devnet, hub: Hub, count: int) -> object:
    """The answer of a hub about an address that so many units have paid."""
    address = key_from_mnemonic(new_mnemonic()).address
    for _ in range(count):
        net.fund(address, 1)
    net.settle()
    return hub.request(HISTORY, {"witnesses": list(net.network.order_providers), "addresses": [address]})
