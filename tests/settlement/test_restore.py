"""No memory, no signature: books that are lost, older than they should be, or not the ones used last."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.errors import PaypercallError, Refusal
from paypercall.server import Server
from tests.parties import conf_for, customer_on, wait_until, wallet_on
from tests.settlement.test_closing import pay, wait_until_open


def reopened(net: Devnet, merchant: Server, folder: Path) -> Server:
    """The same merchant's wallet with the books in a folder."""
    return Server(wallet=wallet_on(net, merchant.wallet.key, funds=0), conf=conf_for(net, folder))


def stop(party: Server | Client) -> None:
    party.close_node()
    party.wallet.close()


def test_a_merchant_that_lost_its_books_signs_nothing_in_a_channel_from_before(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = customer.create_payment_package(10_000)
    payment = merchant.verify_payment_package(package)
    assert payment.error is None
    refund = merchant.create_payment_package(4_000, customer.aa_address)
    wait_until_open(customer, merchant)
    stop(merchant)
    a_minute_later = int(time.time()) + 60
    monkeypatch.setattr("paypercall.wiring.wall_clock", lambda: a_minute_later)
    with reopened(net, merchant, tmp_path / "new_books") as forgetful:
        # The old package announces the channel once more.
        again = forgetful.verify_payment_package(package)
        assert again.code == "channel_restored"
        with pytest.raises(Refusal) as refusal:
            forgetful.create_payment_package(1, customer.aa_address)
        assert refusal.value.code == "channel_restored"
        with pytest.raises(Refusal) as refusal:
            forgetful.sweep(customer.aa_address)
        assert refusal.value.code == "channel_restored"
        # The customer can still close; the forgetful merchant confirms, and the next period is as good as new.
        assert customer.verify_payment_package(refund).amount == 4_000
        customer.sweep()
        wait_until(lambda: customer.balance().period == 2, "the period has ended")
        pay(customer, forgetful, 1_000)
    forgetful.wallet.close()


def test_an_older_copy_of_the_books_is_noticed(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(merchant)
    books = tmp_path / "merchant" / "paypercall.sqlite"
    shutil.copy(books, tmp_path / "backup.sqlite")
    with reopened(net, merchant, tmp_path / "merchant") as newest:
        pay(customer, newest, 10_000)
        newest._node._memory._noted_at = 0
        marker = tmp_path / "merchant" / "node.json"
        before = marker.read_text()
        wait_until(lambda: marker.read_text() != before, "the marker is renewed")
    newest.wallet.close()
    shutil.copy(tmp_path / "backup.sqlite", books)
    with reopened(net, merchant, tmp_path / "merchant") as stale:
        refused = stale.verify_payment_package(customer.create_payment_package(1_000))
        assert refused.code == "channel_restored"
        with pytest.raises(Refusal):
            stale.create_payment_package(1, customer.aa_address)
        customer.sweep()
        wait_until(lambda: customer.balance().period == 2, "the period has ended")
        pay(customer, stale, 1_000)
    stale.wallet.close()


def test_another_database_on_the_same_keys_is_noticed(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(merchant)
    other = {"database_url": f"sqlite:///{tmp_path}/other.sqlite"}
    conf = conf_for(net, tmp_path / "merchant", **other)
    stop(Server(wallet=wallet_on(net, merchant.wallet.key, funds=0), conf=conf))
    with reopened(net, merchant, tmp_path / "merchant") as first:
        refused = first.verify_payment_package(customer.create_payment_package(1_000))
        assert refused.code == "channel_restored"
    first.wallet.close()


def test_a_customer_that_lost_its_books_opens_a_new_channel_and_finds_the_old_one(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    lost = customer.aa_address
    stop(customer)
    renewed = Client(
        merchant.address,
        wallet=wallet_on(net, customer.wallet.key, funds=1_000_000),
        conf=conf_for(net, tmp_path / "new_books"),
    )
    with renewed:
        pay(renewed, merchant, 5_000)
        assert renewed.aa_address != lost
        # When the merchant sweeps the old channel, the customer confirms although it remembers nothing.
        merchant.sweep(lost)
        wait_until(
            lambda: any(p.aa_address == lost for p in merchant.settled_periods()),
            "the old channel is settled",
        )
        period = next(p for p in merchant.settled_periods() if p.aa_address == lost)
        assert not period.is_fraud_proven
    renewed.wallet.close()


def test_a_customer_that_lost_its_books_cannot_close_the_channel_and_is_told_so(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    lost = customer.aa_address
    stop(customer)
    renewed = Client(
        merchant.address,
        wallet=wallet_on(net, customer.wallet.key, funds=0),
        conf=conf_for(net, tmp_path / "new_books"),
    )

    def channels() -> list[str]:
        with renewed._store.reading() as books:
            return books.channels.addresses(renewed.address)

    with renewed:
        wait_until(lambda: channels() == [lost], "the ledger shows the channel")
        with pytest.raises(Refusal) as refusal:
            renewed.close()
        assert refusal.value.code == "channel_restored"
        assert channels() == [lost]
    renewed.wallet.close()


def test_books_of_another_wallet_are_refused(net: Devnet, merchant: Server, tmp_path: Path) -> None:
    stop(merchant)
    with pytest.raises(PaypercallError) as error:
        Server(wallet=wallet_on(net, funds=0), conf=conf_for(net, tmp_path / "merchant"))
    assert error.value.code == "wrong_books"
    assert merchant.address in str(error.value)


def test_books_of_another_network_are_refused(net: Devnet, merchant: Server, tmp_path: Path) -> None:
    stop(merchant)
    with pytest.raises(PaypercallError) as error:
        Server(
            wallet=wallet_on(net, merchant.wallet.key, funds=0),
            conf=conf_for(net, tmp_path / "merchant", version="3.0dev"),
        )
    assert error.value.code == "wrong_books"


def test_a_damaged_marker_stops_the_start(net: Devnet, merchant: Server, tmp_path: Path) -> None:
    stop(merchant)
    (tmp_path / "merchant" / "node.json").write_text("{")
    with pytest.raises(PaypercallError) as error:
        reopened(net, merchant, tmp_path / "merchant")
    assert error.value.code == "marker_unreadable"


def test_good_books_are_trusted_after_a_restart(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(merchant)
    with reopened(net, merchant, tmp_path / "merchant") as again:
        pay(customer, again, 1_000)
        assert again.channels()[0].accepted_from_peer == 11_000
        assert again.channels()[0].status is Status.OPEN
    again.wallet.close()


def test_a_customer_goes_on_in_its_channel_after_a_restart(
    net: Devnet, merchant: Server, tmp_path: Path
) -> None:
    with customer_on(net, tmp_path / "one", merchant.address) as customer:
        pay(customer, merchant, 10_000)
    stop(customer)
    again = Client(
        merchant.address,
        wallet=wallet_on(net, customer.wallet.key, funds=0),
        conf=conf_for(net, tmp_path / "one"),
    )
    with again:
        assert again.aa_address == customer.aa_address
        pay(again, merchant, 1_000)
        assert again.balance().owed_by_me == 11_000
    again.wallet.close()
