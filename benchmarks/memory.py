"""(i) the memory of a merchant's node, by the number of channels that it follows, each node in a process of its own."""

from __future__ import annotations

import gc
import resource
import tempfile
from contextlib import closing
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.follower import Follower
from benchmarks.result import Result
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.obyte.network import Network

FEW, MANY = 1_000, 100_000
LIMIT = 3
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class _Line:
    """A local network that runs in another process."""

    url: str
    network: Network

    def fund(self, address: str, amount: int) -> str:
        """Pays an address from the faucet."""
        with closing(Hub(self.url, self.network)) as hub:
            return str(hub.request("devnet/faucet", {"address": address, "amount": amount}))


@dataclass(frozen=True, slots=True)
class _Used:
    """Bytes of a process: after its first look at all channels, and the most that it has ever had."""

    resident: int
    peak: int


def follow() -> Result:
    """The memory of a node that has looked at 100,000 channels / the same with 1,000."""
    with Devnet() as net:
        net.hold()
        used = {count: _measure(net, count) for count in (FEW, MANY)}
    for count, each in used.items():
        told = f"{each.resident / MEBIBYTE:.0f} MiB, at most {each.peak / MEBIBYTE:.0f} MiB"
        print(f"a node with {count:,} channels: {told}", flush=True)
    further = (used[MANY].resident - used[FEW].resident) / (MANY - FEW)
    print(f"memory for each further channel: {further:.0f} bytes", flush=True)
    ratio = used[MANY].resident / used[FEW].resident
    return Result("memory of a node, 100,000 : 1,000 channels", ratio, LIMIT, "ratio")


def _measure(net: Devnet, count: int) -> _Used:
    ours, theirs = get_context("spawn").Pipe()
    line = _Line(net.url, net.network)
    process = get_context("spawn").Process(target=_follow, args=(line, count, theirs))
    process.start()
    theirs.close()
    used = ours.recv()
    process.join()
    assert isinstance(used, _Used)
    return used


def _follow(line: _Line, count: int, told: Connection) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(Follower(line, Path(folder), count)) as follower:
        follower.follow_all()
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        told.send(_Used(pages * resource.getpagesize(), peak))
