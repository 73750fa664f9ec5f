"""A network, a merchant and a customer for each test of settlement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.server import Server
from tests.parties import customer_on, merchant_on


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet(speed=20) as net:
        yield net


@pytest.fixture
def merchant(net: Devnet, tmp_path: Path) -> Iterator[Server]:
    with merchant_on(net, tmp_path / "merchant") as merchant:
        yield merchant
    merchant.wallet.close()


@pytest.fixture
def customer(net: Devnet, tmp_path: Path, merchant: Server) -> Iterator[Client]:
    with customer_on(net, tmp_path / "customer", merchant.address) as customer:
        yield customer
    customer.wallet.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens every pause and every patience, none of which changes what happens."""
    for name, seconds in {
        "obyte.hub.HEARTBEAT_SECONDS": 0.3,
        "obyte.hub.SILENCE_SECONDS": 1.0,
        "obyte.hub.FIRST_RETRY_SECONDS": 0.05,
        "obyte.hub.LAST_RETRY_SECONDS": 0.2,
        "obyte.hubs.PATIENCE_SECONDS": 0.5,
        "obyte.light.HISTORY_SECONDS": 1.5,
        "obyte.light.POST_SECONDS": 1.5,
        "settlement.node.LONGEST_PAUSE": 0.3,
        "settlement.node.REFRESH_SECONDS": 2,
        "settlement.outbox.LONGEST_PAUSE": 1,
    }.items():
        monkeypatch.setattr(f"paypercall.{name}", seconds)
    monkeypatch.setattr(Hub.request, "__defaults__", (None, 1.5))
