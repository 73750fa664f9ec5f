"""A hub that leaves out what an agent answers cannot have the wallet pay again and again."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.errors import Refusal
from paypercall.results import ChannelTimeout
from tests.hub_proxy import HubProxy
from tests.parties import conf_for, wait_until
from tests.settlement.faults import commands, deposits, pay, wait_until_open
from tests.settlement.test_never_blind import (
    customer_through,
    merchant_through,
    proxy,
    tells,
    wallet_through,
    withholding,
)

__all__ = ["proxy"]


@pytest.fixture(autouse=True)
def hasty(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second instead of ten minutes until an answer counts as missing."""
    monkeypatch.setattr("paypercall.settlement.upkeep.UNANSWERED_SECONDS", 1)
    monkeypatch.setattr("paypercall.settlement.node.UPKEEP_SECONDS", 0.2)


def is_closing(joint: Any) -> bool:
    return tells(joint, "closing")


def is_open(joint: Any) -> bool:
    return tells(joint, "open")


def test_a_close_is_sent_ever_more_seldom_while_its_answer_is_hidden(
    net: Devnet, proxy: HubProxy, tmp_path: Path
) -> None:
    with (
        merchant_through(net, tmp_path, proxy.url) as merchant,
        customer_through(net, tmp_path, merchant, net.url) as customer,
    ):
        customer.close_node()
        with proxy.fault(withholding(is_closing)):
            merchant.close(customer.aa_address or "")
            wait_until(lambda: commands(net, merchant).count("close") == 3, "it was sent three times")
            time.sleep(3)
            assert commands(net, merchant) == ["close"] * 3, "the third pause is four seconds"


def test_a_refill_is_not_repeated_while_its_answer_is_hidden(
    net: Devnet, proxy: HubProxy, tmp_path: Path
) -> None:
    with (
        merchant_through(net, tmp_path, net.url) as merchant,
        wallet_through(net, proxy.url) as wallet,
        Client(
            merchant.address, None, 100_000, 20_000, wallet=wallet, conf=conf_for(net, tmp_path / "customer")
        ) as customer,
    ):
        told: list[object] = []
        customer.subscribe("deposit_refused", told.append)
        pay(customer, merchant, 60_000)
        wait_until_open(customer, merchant)
        with proxy.fault(withholding(is_open)):
            pay(customer, merchant, 30_000)
            wait_until(lambda: bool(told), "the refill is given up")
            with pytest.raises((ChannelTimeout, Refusal)):
                customer.create_payment_package(50_000, timeout=2)
            assert deposits(net, customer) == [100_000, 100_000]
        merchant.sweep(customer.aa_address or "")
        wait_until(lambda: len(customer.settled_periods()) == 1, "the next answer shows that one is missing")
        assert customer.settled_periods()[0].deposited_by_me == 200_000
        pay(customer, merchant, 50_000)
        assert deposits(net, customer) == [100_000] * 3


def test_a_channel_whose_opening_is_hidden_is_opened_ever_more_seldom(
    net: Devnet, proxy: HubProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.client.UNANSWERED_SECONDS", 2)
    with (
        merchant_through(net, tmp_path, net.url) as merchant,
        wallet_through(net, proxy.url) as wallet,
        Client(merchant.address, wallet=wallet, conf=conf_for(net, tmp_path / "customer")) as customer,
        proxy.fault(withholding(is_open)),
    ):
        pay(customer, merchant, 10_000)
        began = time.monotonic()
        while time.monotonic() - began < 8:
            with suppress(ChannelTimeout, Refusal):
                customer.create_payment_package(100, timeout=0.2)
            time.sleep(0.1)
        assert len(deposits(net, customer)) <= 3
