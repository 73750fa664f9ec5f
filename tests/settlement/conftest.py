"""A network, a merchant and a customer for each test of settlement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paypercall.client import Client
from paypercall.devnet import Devnet
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
