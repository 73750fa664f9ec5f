"""A party that starts: before the ledger was seen, nothing tells that its books are an older copy."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from paypercall import party
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.obyte.light import LightClient
from paypercall.obyte.wallet import Wallet
from paypercall.party import LOOK_SECONDS, Party
from paypercall.results import ChannelTimeout
from paypercall.server import Server
from paypercall.store import Store
from tests.parties import conf_for, pay, wait_until, wait_until_open, wallet_on


def wallet_without_hub(net: Devnet, owner: Party) -> Wallet:
    """A party's wallet whose hub is out of reach."""
    return Wallet(
        owner.wallet.key, LightClient(Hub("ws://127.0.0.1:9", net.network), net.network), max_tps_fee=1
    )


def stop(each: Party) -> None:
    each.close_node()
    each.wallet.close()


def age_books(folder: Path, seconds: int) -> None:
    """Makes the books in a folder ones that have not seen the ledger for some time."""
    store = Store(f"sqlite:///{folder}/paypercall.sqlite")
    with store.transaction() as books:
        books.node.set_synced_at(int(time.time()) - seconds)
    store.close()


def test_a_customer_signs_and_closes_nothing_before_the_ledger_was_seen(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(customer)
    age_books(tmp_path / "customer", LOOK_SECONDS + 10)
    blind = Client(
        merchant.address,
        wallet=wallet_without_hub(net, customer),
        conf=conf_for(net, tmp_path / "customer"),
    )
    with blind._store.transaction() as books:
        record = books.channels.lock(customer.aa_address)
        assert record is not None
        books.channels.save(
            record.channel, replace(record.channel, signed_by_peer=90_000, accepted_from_peer=90_000)
        )
    before = blind.balance()
    with pytest.raises(ChannelTimeout, match="not seen the ledger"):
        blind.create_payment_package(1_000, timeout=0.3)
    with pytest.raises(ChannelTimeout, match="not seen the ledger"):
        blind.sweep(timeout=0.3)
    blind._sweep_early(record.channel, 2_000_000)  # what a refund above the limits calls for
    assert blind.balance() == before
    stop(blind)


def test_a_merchant_signs_closes_and_accepts_nothing_before_the_ledger_was_seen(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    before = merchant.channels()
    stop(merchant)
    age_books(tmp_path / "merchant", LOOK_SECONDS + 10)
    blind = Server(
        wallet=wallet_without_hub(net, merchant),
        conf=conf_for(net, tmp_path / "merchant"),
        ledger_timeout=0.3,
    )
    with pytest.raises(ChannelTimeout, match="not seen the ledger"):
        blind.create_payment_package(1_000, customer.aa_address)
    with pytest.raises(ChannelTimeout, match="not seen the ledger"):
        blind.sweep(customer.aa_address, timeout=0.3)
    refused = blind.verify_payment_package(customer.create_payment_package(1_000))
    assert refused.code == "ledger_unreachable"
    assert blind.channels() == before
    stop(blind)


def test_a_customer_whose_hub_goes_away_goes_on_signing_until_it_is_started_again(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(party, "HEALTH_CHECK_SECONDS", 0)
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(customer)
    alone = Client(
        merchant.address,
        wallet=wallet_without_hub(net, customer),
        conf=conf_for(net, tmp_path / "customer"),
    )
    pay(alone, merchant, 1_000)
    age_books(tmp_path / "customer", 24 * 3600)
    pay(alone, merchant, 1_000)
    alone.close_node()
    alone.start_node()
    with pytest.raises(ChannelTimeout, match="not seen the ledger"):
        alone.create_payment_package(1_000, timeout=0.3)
    stop(alone)


def test_a_customer_with_an_older_copy_of_its_books_pays_out_of_another_channel(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    """The channel is chosen only after the ledger has shown which ones can be trusted."""
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(customer)
    folder = tmp_path / "customer"
    shutil.copytree(folder, tmp_path / "backup")
    newest = Client(
        merchant.address, wallet=wallet_on(net, customer.wallet.key, funds=0), conf=conf_for(net, folder)
    )
    pay(newest, merchant, 85_000)
    wait_until(lambda: newest.balance().deposited_by_me == 200_000, "the channel is filled up")
    stop(newest)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    age_books(folder, LOOK_SECONDS + 10)
    stale = Client(merchant.address, wallet=wallet_on(net, customer.wallet.key), conf=conf_for(net, folder))
    pay(stale, merchant, 1_000)
    assert stale.aa_address != newest.aa_address
    stop(stale)
    (balance,) = [each for each in merchant.channels() if each.aa_address == newest.aa_address]
    assert balance.owed_by_peer == 95_000
