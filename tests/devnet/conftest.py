"""A network that stands still, and clients of its hub."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paypercall.devnet import Devnet
from tests.devnet.local_channel import (
    PAYEE,
    PAYER,
    STRANGER,
    channel,
    opening,
    pay,
)
from tests.devnet.local_node import LocalNode
from tests.devnet.raw_client import RawClient


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet(speed=1000) as net:
        net.hold()
        yield net


@pytest.fixture
def client(net: Devnet) -> Iterator[RawClient]:
    with RawClient(net) as client:
        yield client


@pytest.fixture
def watcher(net: Devnet) -> Iterator[RawClient]:
    with RawClient(net) as client:
        yield client


@pytest.fixture
def busy(client: RawClient, net: Devnet) -> RawClient:
    """A client on a network where every kind of request has something to answer."""
    net.fund(PAYER.address, 1_000_000)
    net.fund(STRANGER.address, 100_000)
    net.settle()
    client.post(PAYER, opening())
    net.settle()
    client.post(STRANGER, pay(channel().aa_address, 20_000, {"hello": 1}))
    net.settle()
    client.post(PAYER, pay(channel().aa_address, 10_000, {"close": 1, "period": 1}))
    net.settle()
    client.post(PAYER, pay(PAYEE.address))
    return client


@pytest.fixture
def local() -> LocalNode:
    return LocalNode()
