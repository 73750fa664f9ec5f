"""A wallet with more units than a hub gives at once: no coin is missed within reach, and none is missed silently."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.composer import Output
from paypercall.obyte.errors import HistoryTooLarge
from paypercall.obyte.wallet import Wallet
from tests.obyte.test_wallet import PAYEE, bytes_of, open_wallet

LIMIT = 6
"""Units in an answer, and names of known ones in a question, where the real hub has 2,000."""


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Iterator[Devnet]:
    monkeypatch.setattr("paypercall.devnet.history.MAX_ITEMS", LIMIT)
    monkeypatch.setattr("paypercall.obyte.histories.HISTORY_LIMIT", LIMIT)
    monkeypatch.setattr("paypercall.obyte.light.HISTORY_LIMIT", LIMIT)
    with Devnet(speed=20) as net:
        net.hold()
        yield net


@pytest.fixture
def wallet(net: Devnet) -> Iterator[Wallet]:
    with closing(open_wallet(net)) as wallet:
        yield wallet


def fund(net: Devnet, address: str, count: int) -> None:
    for _ in range(count):
        net.fund(address, 10_000)
        net.settle()


def test_a_wallet_brought_back_from_its_words_finds_twice_as_many_units_as_a_hub_gives_at_once(
    net: Devnet, wallet: Wallet
) -> None:
    fund(net, wallet.address, LIMIT)
    wallet.refresh()
    spent = wallet.pay([Output(PAYEE, 45_000)])
    net.settle()
    fund(net, wallet.address, LIMIT - 1)
    with closing(open_wallet(net, wallet.key)) as again:
        again.refresh()
        assert bytes_of(again) == (net.balance(wallet.address), 0)
        assert len(again.transactions()) == 2 * LIMIT
        assert spent["unit"] in {transaction.unit for transaction in again.transactions()}


def test_as_many_new_units_between_two_looks_are_all_taken_and_the_next_look_goes_on_from_there(
    net: Devnet, wallet: Wallet
) -> None:
    """A look begins a little before the last one, so that some units come twice."""
    for _ in range(3):
        fund(net, wallet.address, 2 * LIMIT - 2)
        for _ in range(2):
            wallet.refresh()
    assert bytes_of(wallet) == (net.balance(wallet.address), 0) == (30 * 10_000, 0)


def test_more_than_can_be_had_is_an_error_with_a_code_and_advice_each_time(
    net: Devnet, wallet: Wallet
) -> None:
    fund(net, wallet.address, 2 * LIMIT + 1)
    for ask in (wallet.refresh, wallet.transactions, wallet.refresh):
        with pytest.raises(HistoryTooLarge, match="newest database") as failure:
            ask()
        assert failure.value.code == "history_too_large"
        assert wallet.address in str(failure.value)


def test_the_newest_coins_can_be_spent_though_older_ones_are_out_of_reach(
    net: Devnet, wallet: Wallet, caplog: pytest.LogCaptureFixture
) -> None:
    fund(net, wallet.address, 2 * LIMIT + 1)
    wallet.pay([Output(PAYEE, 50_000)])
    net.settle()
    assert net.balance(PAYEE) == 50_000
    assert "history_too_large" in caplog.text


def test_a_wallet_that_knows_its_older_coins_from_its_books_can_pay_after_a_flood(
    net: Devnet, wallet: Wallet
) -> None:
    fund(net, wallet.address, 2)
    wallet.refresh()
    with closing(open_wallet(net, wallet.key)) as again:
        again.learn(wallet.final_units())
        for _ in range(2 * LIMIT + 1):
            net.fund(wallet.address, 1)
            net.settle()
        again.pay([Output(PAYEE, 15_000)])
    net.settle()
    assert net.balance(PAYEE) == 15_000
