"""What the watcher makes of the ledger: which units back payments, and what becomes of those that do not hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from paypercall.backing import NO_BACKING, Backing
from paypercall.channel import Status
from paypercall.contract import BASE, deposit_draft
from paypercall.devnet import Devnet
from paypercall.obyte.composer import Draft
from paypercall.obyte.unit import Unit
from paypercall.obyte.wallet import Wallet
from tests.parties import wallet_on
from tests.settlement.merchant_books import MerchantBooks, merchant_books


@pytest.fixture
def held(net: Devnet) -> Devnet:
    """A network on which nothing becomes stable unless the test settles it."""
    net.hold()
    return net


@pytest.fixture
def books(tmp_path: Path) -> Iterator[MerchantBooks]:
    with merchant_books(tmp_path) as books:
        yield books


@pytest.fixture
def customer(held: Devnet) -> Iterator[Wallet]:
    wallet = wallet_on(held)
    yield wallet
    wallet.close()


def post(wallet: Wallet, draft: Draft) -> Unit:
    unit = wallet.compose(draft)
    wallet.post(unit)
    return unit


def test_a_unit_that_pays_two_agents_backs_nothing_until_one_of_them_has_taken_it(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    """The other one bounces: both would have backed payments that nothing covers in the end."""
    channels = [books.open(customer, salt) for salt in ("one", "two")]
    drafts = [deposit_draft(channel, 50_000, with_definition=True) for channel in channels]
    both = Draft(
        outputs={BASE: tuple(output for draft in drafts for output in draft.outputs[BASE])},
        messages=tuple(message for draft in drafts for message in draft.messages),
    )
    with books.watcher(held) as watcher:
        post(customer, both)
        watcher.refresh()
        assert [books.backing(channel) for channel in channels] == [NO_BACKING, NO_BACKING]
        held.settle()
        watcher.refresh()
    found = [books.channel(channel) for channel in channels]
    assert sorted((channel.status.value, channel.deposited_by_peer) for channel in found) == [
        (Status.CLOSED.value, 0),
        (Status.OPEN.value, 50_000),
    ]


def test_a_deposit_of_our_own_client_backs_payments_at_once(
    held: Devnet, books: MerchantBooks, customer: Wallet
) -> None:
    channel = books.open(customer)
    with books.watcher(held) as watcher:
        post(customer, deposit_draft(channel, 50_000, with_definition=True))
        watcher.refresh()
        assert books.backing(channel) == Backing(amount=50_000)
