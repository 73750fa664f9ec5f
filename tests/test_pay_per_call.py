"""The main job, whole: a customer pays a merchant over a channel on a local network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.errors import Refusal
from paypercall.server import Server
from tests.parties import conf_for, customer_on, merchant_on, wait_until


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


LOOKS: dict[str, Callable[[Client], object]] = {
    "aa_address": lambda customer: customer.aa_address,
    "balance": lambda customer: customer.balance(),
    "close": lambda customer: customer.close(),
    "sweep": lambda customer: customer.sweep(),
    "an amount above a deposit": lambda customer: customer.create_payment_package(100_001),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_and_what_is_refused_create_no_channel(customer: Client, look: str) -> None:
    with suppress(Refusal):
        LOOKS[look](customer)
    with customer._store.reading() as books:
        assert books.channels.addresses(customer.address) == []
        assert books.outbox.unfinished() == []


def test_a_client_without_a_channel_has_no_address_and_a_balance_of_zero(customer: Client) -> None:
    balance = customer.balance()
    assert customer.aa_address is None and balance.aa_address is None
    assert (balance.peer_address, balance.asset) == (customer._peer_address, "base")
    assert (balance.period, balance.status) == (1, Status.CLOSED)
    assert (balance.deposited_by_me, balance.pending_deposits, balance.spendable) == (0, 0, 0)


def test_a_channel_that_there_is_not_cannot_be_swept(customer: Client) -> None:
    with pytest.raises(Refusal) as refusal:
        customer.sweep()
    assert refusal.value.code == "unknown_channel"


def test_an_amount_above_what_a_deposit_covers_is_refused_and_the_whole_deposit_can_be_paid(
    merchant: Server, customer: Client
) -> None:
    with pytest.raises(Refusal) as refusal:
        customer.create_payment_package(100_001)
    assert refusal.value.code == "above_deposit"
    assert merchant.verify_payment_package(customer.create_payment_package(100_000)).amount == 100_000


def test_a_client_that_starts_again_sees_the_channel_in_its_books(
    net: Devnet, merchant: Server, tmp_path: Path
) -> None:
    with customer_on(net, tmp_path / "customer", merchant.address) as customer:
        customer.create_payment_package(1_000)
    conf = conf_for(net, tmp_path / "customer")
    with Client(merchant.address, wallet=customer.wallet, conf=conf) as again:
        assert again.aa_address == again.balance().aa_address == customer.aa_address
        assert again.balance().owed_by_me == 1_000
    customer.wallet.close()
