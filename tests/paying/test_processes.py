"""Programs that are killed pay once for the same call, and all processes and threads together keep to the budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paypercall.bought_call import LEASE_SECONDS
from paypercall.devnet import Devnet
from paypercall.methods import Channel
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import MNEMONIC_VARIABLE, new_mnemonic
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Paywall
from paypercall.store import Store
from tests.parties import conf_for, merchant_on, settings_for
from tests.paying.merchant import Reply, Seen, Site, rows_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LAVISH = {"per_call": 1000, "per_hour": 100_000, "per_day": 100_000}


@dataclass
class Town:
    """A merchant's site, and a customer whose programs run in processes of their own."""

    site: Site
    orders: dict[str, Any]
    mnemonic: str
    database_url: str

    def start(
        self,
        calls: list[tuple[str, str]],
        step: str | None = None,
        budget: dict[str, int] | None = None,
        threads: int = 1,
    ) -> subprocess.Popen[str]:
        orders = {
            **self.orders,
            "calls": [(method, self.site.url + path) for method, path in calls],
            "step": step,
            "budget": budget or LAVISH,
            "threads": threads,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "tests.paying.caller", json.dumps(orders)],
            cwd=ROOT,
            env={**os.environ, MNEMONIC_VARIABLE: self.mnemonic},
            stdout=subprocess.PIPE,
            text=True,
        )

    def results(self, process: subprocess.Popen[str]) -> list[int | str]:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        results: list[int | str] = json.loads(output)
        return results

    def rows(self) -> list[dict[str, Any]]:
        store = Store(self.database_url)
        try:
            return rows_of(store)
        finally:
            store.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder, mnemonic = tmp_path_factory.mktemp("town"), new_mnemonic()
    customer = folder / "customer"
    with Devnet() as net, merchant_on(net, folder / "merchant") as merchant:
        server = PaymentServer(merchant)
        site = Site(Paywall(server.calls, [Channel(server)]))
        net.fund(key_from_mnemonic(mnemonic).address, 1_000_000)
        net.settle()
        orders = {"peer_address": merchant.address, "settings": settings_for(net, customer)}
        try:
            yield Town(site, orders, mnemonic, conf_for(net, customer).database_url)
        finally:
            site.close()


@pytest.mark.parametrize("step", ["reserved", "signed", "served"])
def test_a_program_that_is_killed_pays_once_when_it_makes_the_same_call_again(town: Town, step: str) -> None:
    town.site.begin()
    rows = len(town.rows())
    calls = [("POST", f"/killed/{step}?id=1")]
    killed = town.start(calls, step)
    killed.communicate(timeout=60)
    assert killed.returncode == -9
    assert [row["state"] for row in town.rows()[rows:]] == ["pending"]
    assert len(town.site.packages) == (1 if step == "served" else 0)
    assert town.results(town.start(calls)) == [200]
    assert [row["state"] for row in town.rows()[rows:]] == ["answered"]
    assert len({str(package) for package in town.site.packages}) == 1
    assert town.site.served == 1


def test_all_threads_of_all_processes_together_keep_to_the_budget(town: Town) -> None:
    town.site.begin()
    before = sum(row["amount"] - row["refund"] for row in town.rows())
    budget = {"per_call": 100, "per_hour": before + 1000, "per_day": before + 1000}
    calls = [
        [("GET", f"/shared?process={process}&call={call}") for call in range(12)] for process in range(2)
    ]
    processes = [town.start(each, budget=budget, threads=4) for each in calls]
    results = Counter(result for process in processes for result in town.results(process))
    assert results == {200: 10, "above_per_hour": 14}
    assert sum(row["amount"] - row["refund"] for row in town.rows()) == before + 1000
    assert town.site.served == 10


def test_the_same_call_of_a_process_that_lives_is_a_call_of_its_own(town: Town) -> None:
    town.site.begin()
    assert town.results(town.start([("GET", "/both")])) == [200]
    has_come = threading.Event()

    def hold_the_first(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        town.site.trick = None
        has_come.set()
        reply = honest()
        time.sleep(LEASE_SECONDS + 2)
        return reply

    town.site.trick = hold_the_first
    first = town.start([("GET", "/both")])
    assert has_come.wait(30.0)
    second = town.start([("GET", "/both")])
    assert [town.results(second), town.results(first)] == [[200], [200]]
    assert len({str(package) for package in town.site.packages}) == 3
