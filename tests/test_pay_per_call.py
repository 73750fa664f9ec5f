"""The main job, whole: a customer pays a merchant over a channel on a local network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.server import Server
from tests.parties import customer_on, merchant_on, wait_until


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


def test_the_first_call_is_paid_out_of_an_unconfirmed_deposit(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    net.hold()
    package = customer.create_payment_package(40_000)
    payment = merchant.verify_payment_package(json.dumps(package))
    assert payment.error is None
    assert (payment.amount, payment.asset, payment.aa_address) == (40_000, "base", customer.aa_address)
    assert customer.balance().deposited_by_me == 0
    net.release()
    wait_until(lambda: customer.balance().deposited_by_me == 100_000, "the deposit is confirmed")


def test_a_refund_reaches_the_customer(merchant: Server, customer: Client) -> None:
    payment = merchant.verify_payment_package(customer.create_payment_package(40_000))
    assert payment.error is None and payment.aa_address is not None
    refund = merchant.create_payment_package(5_000, payment.aa_address)
    result = customer.verify_payment_package(refund)
    assert (result.error, result.amount) == (None, 5_000)
    assert customer.balance().spendable == 100_000 - 40_000 + 5_000


def test_a_channel_is_closed_and_pays_out_what_was_accepted(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    before = net.balance(merchant.address)
    for _ in range(5):
        assert merchant.verify_payment_package(customer.create_payment_package(10_000)).error is None
    wait_until(lambda: customer.balance().status is Status.OPEN, "the channel is open")
    customer.close()
    wait_until(lambda: customer.balance().period == 2, "the period has ended")
    wait_until(lambda: net.balance(merchant.address) > before + 40_000, "the merchant is paid")
    assert customer.balance().status is Status.CLOSED
