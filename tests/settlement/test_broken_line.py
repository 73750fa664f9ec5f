"""A channel's whole life over bad lines: nothing is paid twice, nothing is lost, and both sides agree in the end."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.contract import TriggerKind
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet
from paypercall.server import Server
from tests.hub_proxy import HubProxy
from tests.mishaps import Mishaps
from tests.parties import conf_for, wait_until
from tests.settlement.test_outbox import triggers_of

FUNDS = 1_000_000
MISHAPS = 12


def wallet_behind(line: HubProxy, net: Devnet) -> Wallet:
    key = key_from_mnemonic(new_mnemonic())
    net.fund(key.address, FUNDS)
    net.settle()
    return Wallet(key, LightClient(Hub(line.url, net.network), net.network), max_tps_fee=20_000)


@pytest.mark.slow
def test_a_channel_lives_and_ends_over_two_bad_lines(
    net: Devnet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(HubProxy(net.url)) for _ in range(2)]
        mishaps = [Mishaps(seed=seed, count=MISHAPS) for seed in (3, 4)]
        for line, fault in zip(lines, mishaps, strict=True):
            stack.enter_context(line.fault(fault))
        wallets = [wallet_behind(line, net) for line in lines]
        for wallet in wallets:
            stack.callback(wallet.close)
        merchant = stack.enter_context(Server(wallet=wallets[0], conf=conf_for(net, tmp_path / "merchant")))
        customer = stack.enter_context(
            Client(
                merchant.address,
                deposit_amount=100_000,
                wallet=wallets[1],
                conf=conf_for(net, tmp_path / "customer"),
            )
        )
        for _ in range(3):
            package = customer.create_payment_package(10_000)
            wait_until(lambda p=package: is_served(merchant, p), "the merchant has seen the deposit", 60)
        wait_until(lambda: [c.status for c in merchant.channels()] == [Status.OPEN], "it is open", 60)
        wait_until(lambda: customer.balance().status is Status.OPEN, "for the customer, too", 60)
        customer.close()
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended", 60)
        wait_until(lambda: len(customer.settled_periods()) == 1, "for the customer, too", 60)

        assert all(len(fault.happened) >= 5 for fault in mishaps)
        assert triggers_of(net, customer, customer) == [TriggerKind.DEPOSIT, TriggerKind.CLOSE]
        assert triggers_of(net, merchant, customer) == [TriggerKind.CONFIRM]
        assert not any(answer["bounced"] for answer in net.responses(customer.aa_address))
        [period] = merchant.settled_periods()
        assert (period.deposited_by_peer, period.accepted_from_peer) == (100_000, 30_000)
        net.settle()
        for wallet in wallets:
            wallet.refresh()
            assert wallet.balance()["base"].stable == net.balance(wallet.address)
    assert not [record.getMessage() for record in caplog.records if record.exc_info]


def is_served(merchant: Server, package: dict[str, object]) -> bool:
    payment = merchant.verify_payment_package(package)
    return payment.error is None or payment.code == "duplicate"
