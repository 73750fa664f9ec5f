"""A process is killed at any step of moving its wallet's money, and started again: it is moved once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.store import Store
from tests.parties import wait_until
from tests.party_process import Died, PartyProcess

pytestmark = pytest.mark.slow

STEPS = ["after decided", "before stored", "after stored", "before posted", "after posted"]
PAYEE = key_from_mnemonic(new_mnemonic()).address
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "withdrawal": ("funds.send", {"amount": 5_000, "address": PAYEE}),
    "sweep_out": ("funds.sweep_out", {"address": PAYEE}),
    "consolidation": ("funds.consolidate", {}),
}


@pytest.fixture(scope="module")
def net() -> Iterator[Devnet]:
    with Devnet(speed=50) as net:
        yield net


def has_nothing_left_to_send(party: PartyProcess) -> bool:
    store = Store(party.database_url)
    try:
        with store.reading() as books:
            return not books.outbox.unfinished()
    finally:
        store.close()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", CALLS)
def test_money_is_moved_once_whenever_the_process_dies(
    net: Devnet, tmp_path: Path, kind: str, step: str
) -> None:
    before = net.balance(PAYEE)
    name, arguments = CALLS[kind]
    with PartyProcess(net, tmp_path) as party:
        net.fund(party.address, 50_000)
        net.settle()
        party.start(f"{step} {kind}")
        with suppress(Died):
            party.call(name, **arguments)
        party.wait_for_death()
        party.start()
        wait_until(lambda: has_nothing_left_to_send(party), "what was decided is on the ledger")
    units = [joint["unit"] for joint in net.units()]
    sent = [unit for unit in units if unit["authors"][0]["address"] == party.address]
    assert [net.sequence(unit["unit"]) for unit in sent] == ["good"]
    fees = sum(unit["headers_commission"] + unit["payload_commission"] + unit["tps_fee"] for unit in sent)
    paid = net.balance(PAYEE) - before
    assert paid == {"withdrawal": 5_000, "sweep_out": 1_050_000 - fees, "consolidation": 0}[kind]
    assert net.balance(party.address) == 1_050_000 - fees - paid
