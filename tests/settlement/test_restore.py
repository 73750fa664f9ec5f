"""No memory, no signature: books that are lost, older than they should be, or not the ones used last."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import NEVER, Channel, Status
from paypercall.client import Client
from paypercall.contract import close_draft
from paypercall.devnet import Devnet
from paypercall.errors import PaypercallError, Refusal
from paypercall.obyte.composer import Output
from paypercall.server import Server
from paypercall.settlement import reader
from paypercall.store import StoreError
from paypercall.wiring import WrongBooks
from tests.parties import conf_for, customer_on, parameters_of, pay, wait_until, wait_until_open, wallet_on

NO_CONSTANTS = dict.fromkeys(("hub", "genesis_unit", "order_providers", "version", "alt"))
"""As on a public network, which has its own."""


def reopened(net: Devnet, merchant: Server | Client, folder: Path) -> Server:
    """The same merchant's wallet with the books in a folder."""
    return Server(wallet=wallet_on(net, merchant.wallet.key, funds=0), conf=conf_for(net, folder))


def stop(party: Server | Client) -> None:
    party.close_node()
    party.wallet.close()


@contextmanager
def twin_of(net: Devnet, party: Server | Client, folder: Path) -> Iterator[Server]:
    """A merchant with a party's keys and the books in a folder."""
    with reopened(net, party, folder) as twin:
        yield twin
    twin.wallet.close()


def sweep_and_wait(merchant: Server, customer: Client) -> None:
    period = customer.balance().period
    merchant.sweep(customer.aa_address)
    wait_until(lambda: customer.balance().period == period + 1, "the customer sees the period end")
    wait_until(
        lambda: (
            (customer.aa_address, period) in {(p.aa_address, p.period) for p in merchant.settled_periods()}
        ),
        "the merchant sees the period end",
    )


def wait_for_look(party: Server | Client) -> None:
    """Posts something, which the node does only after it has looked at the ledger."""
    party.withdraw(1_000, party.address)


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


def test_a_customer_that_lost_its_books_after_a_proven_fraud_signs_nothing_in_the_period_that_is_open(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    """The end of that other period paid the customer nothing, so that its wallet's history does not show it."""
    pay(customer, merchant, 60_000)
    wait_until_open(customer, merchant)
    lie = close_draft(
        parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
    )
    customer.wallet.post(customer.wallet.compose(lie))
    for party in (merchant, customer):
        wait_until(lambda party=party: len(party.settled_periods()) == 1, "the fraud is proved")
    pay(customer, merchant, 30_000)
    wait_until_open(customer, merchant)
    stop(customer)
    renewed = Client(
        merchant.address,
        wallet=wallet_on(net, customer.wallet.key, funds=0),
        conf=conf_for(net, tmp_path / "new_books"),
    )

    def channel() -> Channel | None:
        with renewed._store.reading() as books:
            record = books.channels.get(customer.aa_address)
        return record and record.channel

    with renewed:
        wait_until(
            lambda: (found := channel()) is not None and found.signs_from_period < NEVER, "all is taken"
        )
        found = channel()
        assert found is not None
        assert (found.period, found.signs_from_period) == (2, 3)
        with pytest.raises(Refusal) as refusal:
            renewed.sweep()
        assert refusal.value.code == "channel_restored"
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
            conf=conf_for(net, tmp_path / "merchant", network="testnet", **NO_CONSTANTS),
        )
    assert error.value.code == "wrong_books"


def test_books_of_another_network_of_the_same_version_are_refused(
    net: Devnet, merchant: Server, tmp_path: Path
) -> None:
    """Otherwise the coins of the one network would count on the other."""
    merchant.start_node()
    wait_until(lambda: merchant._node_health().synced_at is not None, "the ledger is seen")
    stop(merchant)
    folder = tmp_path / "merchant"
    with Devnet() as another:
        assert another.network.version == net.network.version
        with pytest.raises(WrongBooks) as error:
            reopened(another, merchant, folder)
        assert str(error.value) == (
            f"the database is of the network that begins with the unit {net.network.genesis_unit}, the conf's"
            f" network with {another.network.genesis_unit}; use one database for each network"
        )
    stop(reopened(net, merchant, folder))


def test_books_from_before_the_genesis_unit_was_kept_belong_to_the_network_that_their_wallet_opens_them_on(
    net: Devnet, merchant: Server, tmp_path: Path
) -> None:
    stop(merchant)
    folder = tmp_path / "merchant"
    with closing(sqlite3.connect(folder / "paypercall.sqlite")) as database, database:
        database.execute("UPDATE paypercall_node SET genesis_unit = NULL")
    with Devnet() as another:
        with pytest.raises(WrongBooks, match="belongs to the wallet"):
            Server(wallet=wallet_on(another, funds=0), conf=conf_for(another, folder))
        stop(reopened(net, merchant, folder))
        with pytest.raises(WrongBooks, match="begins with the unit"):
            reopened(another, merchant, folder)


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


@pytest.mark.parametrize("has_marker", [True, False])
def test_an_older_copy_whose_marker_is_as_old_or_lost_is_noticed_by_the_ledger(
    net: Devnet,
    merchant: Server,
    customer: Client,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    has_marker: bool,
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(merchant)
    folder = tmp_path / "merchant"
    shutil.copytree(folder, tmp_path / "backup")
    with twin_of(net, merchant, folder) as newest:
        sweep_and_wait(newest, customer)
        pay(customer, newest, 10_000)
        newest.create_payment_package(4_000, customer.aa_address)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    if not has_marker:
        (folder / "node.json").unlink()
    with twin_of(net, merchant, folder) as stale:
        wait_until(lambda: "is not in the books" in caplog.text, "the node has looked at the ledger")
        refused = stale.verify_payment_package(customer.create_payment_package(1_000))
        assert refused.code == "channel_restored"
        for act in (
            lambda: stale.create_payment_package(1, customer.aa_address),
            lambda: sweep_and_wait(stale, customer),
        ):
            with pytest.raises(Refusal) as refusal:
                act()
            assert refusal.value.code == "channel_restored"
        customer.sweep()
        wait_until(lambda: customer.balance().period == 3, "the period has ended")
        pay(customer, stale, 1_000)
    assert [record.levelname for record in caplog.records if "is not in the books" in record.message] == [
        "ERROR"
    ]
    # What was found out once is not held against the books for ever.
    with twin_of(net, merchant, folder) as again:
        pay(customer, again, 1_000)
        assert again.channels()[0].accepted_from_peer == 2_000


def test_a_distrusted_channel_whose_history_could_not_be_taken_waits_for_it(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the period that is taken later would count as the next one."""
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(merchant)
    folder = tmp_path / "merchant"
    shutil.copytree(folder, tmp_path / "backup")
    with twin_of(net, merchant, folder) as newest:
        sweep_and_wait(newest, customer)
        pay(customer, newest, 10_000)
        newest.create_payment_package(4_000, customer.aa_address)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    really_take = reader.Reader._take_channel
    failures: list[str] = []

    def take(self: reader.Reader, channel: Channel, *args: Any) -> None:
        if channel.my_address == merchant.address and not failures:
            failures.append(channel.aa_address)
            raise StoreError("the database failed: disk I/O error")
        really_take(self, channel, *args)

    monkeypatch.setattr(reader.Reader, "_take_channel", take)
    with twin_of(net, merchant, folder) as stale:
        wait_until(lambda: stale.channels()[0].period == 2, "the history is taken in the end")
        assert failures
        wait_for_look(stale)
        with pytest.raises(Refusal) as refusal:
            stale.create_payment_package(1, customer.aa_address)
        assert refusal.value.code == "channel_restored"


def test_a_channel_that_an_older_copy_has_never_heard_of_is_taken_up_as_forgotten(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(merchant)
    folder = tmp_path / "merchant"
    shutil.copytree(folder, tmp_path / "backup")
    other = customer_on(net, tmp_path / "other", merchant.address)
    with other, twin_of(net, merchant, folder) as newest:
        package = other.create_payment_package(10_000)
        assert newest.verify_payment_package(package).error is None
        newest.create_payment_package(4_000, other.aa_address)
        sweep_and_wait(newest, customer)
    other.wallet.close()
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    with twin_of(net, merchant, folder) as stale:
        wait_for_look(stale)
        assert stale.verify_payment_package(package).code == "channel_restored"


def test_other_books_that_are_in_use_at_the_same_time_are_noticed_while_the_node_runs(
    net: Devnet, merchant: Server, customer: Client, caplog: pytest.LogCaptureFixture
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    other = wallet_on(net, merchant.wallet.key, funds=0)
    other.refresh()
    net.hold()
    close = close_draft(
        parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
    )
    other.post(other.compose(close))
    other.close()
    wait_until(lambda: "is not in the books" in caplog.text, "the unit is noticed before it is stable")
    with pytest.raises(Refusal):
        merchant.create_payment_package(1, customer.aa_address)
    net.release()
    wait_until(lambda: customer.balance().period == 2, "the customer confirms")
    # The node need not be started again for the next period.
    pay(customer, merchant, 1_000)


def test_what_the_host_pays_out_of_the_wallet_itself_proves_nothing(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    merchant.wallet.pay([Output(customer.address, 20_000)])
    merchant.wallet.pay([Output(customer.aa_address, 9_999)])  # too little to be more than a gift
    net.settle()
    stop(merchant)
    with twin_of(net, merchant, tmp_path / "merchant") as again:
        wait_for_look(again)
        pay(customer, again, 1_000)


def test_new_books_of_a_wallet_that_was_in_use_before_are_trusted_although_their_clock_is_behind(
    net: Devnet, merchant: Server, customer: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    stop(customer)
    a_minute_ago = int(time.time()) - 60
    monkeypatch.setattr("paypercall.wiring.wall_clock", lambda: a_minute_ago)
    used = set()
    for _ in range(2):
        renewed = Client(
            merchant.address,
            wallet=wallet_on(net, customer.wallet.key),
            conf=conf_for(net, tmp_path / "new_books"),
        )
        with renewed:
            wait_for_look(renewed)
            pay(renewed, merchant, 1_000)
            used.add(renewed.aa_address)
        renewed.wallet.close()
    assert len(used) == 1
