"""The faucet: who gets what."""

from __future__ import annotations

import pytest

from paypercall.devnet.wallets import TOTAL_BYTES
from paypercall.obyte.errors import InsufficientFunds
from tests.devnet.local_node import LocalNode, make_key


def test_the_faucet_pays_several_times_without_waiting(local: LocalNode) -> None:
    for number in range(1, 30):
        local.faucet.fund(make_key(number).address, number)
    local.node.settle()
    assert [local.ledger.books.balance(make_key(n).address) for n in range(1, 30)] == list(range(1, 30))


def test_the_faucet_cannot_give_more_than_there_is(local: LocalNode) -> None:
    with pytest.raises(InsufficientFunds):
        local.faucet.fund(make_key(1).address, TOTAL_BYTES)


@pytest.mark.parametrize("amount", [0, -1, 1.5, True, "5", None])
def test_the_faucet_gives_positive_integers_only(local: LocalNode, amount: object) -> None:
    with pytest.raises(Exception, match="positive integer"):
        local.faucet.fund(make_key(1).address, amount)
