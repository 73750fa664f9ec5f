"""The merchant's side without a transport: its terms, the wallet and books that it is given, a look at the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.devnet import Devnet
from paypercall.paid_call import Attempt, PaidCallState, PriceUnknown, answer
from paypercall.payment_server import CHANNEL, PaymentServer
from paypercall.server import Server
from paypercall.store import Store
from tests.parties import conf_for, customer_on, merchant_on, wait_until, wallet_on
from tests.reader import use_conf_in

ATTEMPT = Attempt("a" * 64, "first", 100, "base", 0)


@pytest.mark.parametrize("order", [("1.1", "1.9", "1.10"), ("1.10", "1.9", "1.1"), ("1.9", "1.10", "1.1")])
def test_the_versions_of_the_agent_are_told_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    monkeypatch.setattr("paypercall.payment_server.BASE_AGENTS", dict.fromkeys(order, "A" * 32))
    with Devnet() as net, merchant_on(net, tmp_path / "merchant", funds=0) as merchant:
        assert PaymentServer(merchant).identify().agent_versions == ("1.10", "1.9", "1.1")


def test_with_a_wallet_it_makes_a_server_with_the_settings_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Devnet() as net:
        use_conf_in(tmp_path / "project", net, monkeypatch)
        wallet = wallet_on(net)
        payments = PaymentServer(wallet)
        with payments.server, customer_on(net, tmp_path / "customer", payments.identify().address) as client:
            assert payments.server.wallet is wallet
            assert payments.identify().address == wallet.address
            assert payments.server.store.url.endswith("project/paypercall.sqlite")
            call = payments.redeem(client.create_payment_package(100), ATTEMPT)
            assert call.state is PaidCallState.RUNNING


def test_its_calls_are_in_the_books_that_the_server_was_given_and_stay_open(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path}/books.sqlite")
    with Devnet() as net:
        conf = conf_for(net, tmp_path / "merchant")
        with Server(wallet=wallet_on(net), conf=conf, store=store) as merchant:
            payments = PaymentServer(merchant)
            with customer_on(net, tmp_path / "customer", merchant.address) as client:
                call = payments.redeem(client.create_payment_package(100), ATTEMPT)
            assert payments.calls.finish(answer(call, "first", 0), None)
        with store.transaction() as books:
            known = books.paid_calls.lock(CHANNEL, call.payment)
    store.close()
    assert known is not None
    assert (known.id, known.state) == (call.id, PaidCallState.ANSWERED)
    assert not (tmp_path / "merchant" / "paypercall.sqlite").exists()


def test_at_a_price_that_nobody_can_tell_no_payment_is_accepted_and_no_channel_watched_for(
    tmp_path: Path,
) -> None:
    with Devnet() as net, merchant_on(net, tmp_path / "merchant") as merchant:
        payments = PaymentServer(merchant)
        with customer_on(net, tmp_path / "customer", merchant.address) as client:
            package = client.create_payment_package(100)
            unpriced = replace(ATTEMPT, run="unpriced", price=None)
            with pytest.raises(PriceUnknown):
                payments.redeem(package, unpriced)
            with merchant.store.reading() as books:
                assert books.announced.addresses() == []
            assert merchant.channels() == []
            ended = answer(payments.redeem(package, ATTEMPT), "first", 0)
            assert payments.calls.finish(ended, None)
            assert payments.redeem(package, unpriced) == ended


def test_a_sync_settles_what_is_due_where_nothing_else_watches_the_ledger(tmp_path: Path) -> None:
    with Devnet() as net:
        merchant = merchant_on(net, tmp_path / "merchant")
        with merchant, customer_on(net, tmp_path / "customer", merchant.address) as client:
            payments = PaymentServer(merchant)
            call = payments.redeem(client.create_payment_package(30_000), ATTEMPT)
            aa_address = str(call.aa_address)

            def is_open() -> bool:
                net.settle()
                return payments.status(aa_address).status is Status.OPEN

            wait_until(is_open, "the deposit is confirmed")
        wallet = wallet_on(net, merchant.wallet.key, funds=0)
        later = Server(max_sweeping_period=1, wallet=wallet, conf=merchant.conf)
        try:
            idle = PaymentServer(later)
            assert idle.status(aa_address).status is Status.OPEN
            idle.sync()

            def is_closing() -> bool:
                net.settle()
                return idle.status(aa_address).status is Status.CLOSING

            wait_until(is_closing, "the channel is swept")
        finally:
            later.close_node()
