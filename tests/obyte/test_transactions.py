"""The list of what came and went: it sums up to the balance, and what is not proven is not in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.composer import Output
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key
from paypercall.obyte.light import LightClient
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.obyte.transactions import Transaction, transactions_of
from paypercall.obyte.wallet import Wallet

ME, OTHER, ASSET = "M" * 32, "O" * 32, "a" * 43 + "="


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet() as net:
        net.hold()
        yield net


@pytest.fixture
def wallet(net: Devnet) -> Iterator[Wallet]:
    key = Key(b"\1" + os.urandom(31))
    wallet = Wallet(key, LightClient(Hub(net.url, net.network), net.network), max_tps_fee=20_000)
    yield wallet
    wallet.close()


def sums(transactions: list[Transaction]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for transaction in transactions:
        for asset, amount in transaction.amounts.items():
            totals[asset] = totals.get(asset, 0) + amount
    return {asset: total for asset, total in totals.items() if total}


def test_what_came_and_went_sums_up_to_the_balance(wallet: Wallet, net: Devnet) -> None:
    assert wallet.transactions() == []
    asset = net.issue_asset(1_000)
    came = [net.fund(wallet.address, 200_000), net.fund(wallet.address, 500, asset)]
    net.settle()
    payee = Key(b"\2" * 32).address
    went = [wallet.pay([Output(payee, 1_000)]), wallet.pay([Output(payee, 30)], asset)]
    went.append(wallet.gather(asset, wallet.address))
    wallet.post(went[-1])
    fees = [unit["headers_commission"] + unit["payload_commission"] + unit["tps_fee"] for unit in went]
    transactions = wallet.transactions()
    assert [transaction.unit for transaction in transactions] == [*came, *(unit["unit"] for unit in went)]
    assert [transaction.amounts for transaction in transactions] == [
        {"base": 200_000},
        {asset: 500},
        {"base": -1_000 - fees[0]},
        {"base": -fees[1], asset: -30},
        {"base": -fees[2]},
    ]
    assert [transaction.is_stable for transaction in transactions] == [True, True, False, False, False]
    assert not any(transaction.is_withheld for transaction in transactions)
    wallet.refresh()
    assert sums(transactions) == {asset: balance.total for asset, balance in wallet.balance().items()}
    net.settle()
    assert all(transaction.is_stable for transaction in wallet.transactions())
    assert sums(wallet.transactions()) == {"base": net.balance(wallet.address), asset: 470}


def test_the_time_is_that_of_the_unit(wallet: Wallet, net: Devnet) -> None:
    net.advance(100_000)
    unit = net.fund(wallet.address, 1_000)
    net.settle()
    (transaction,) = wallet.transactions()
    (timestamp,) = (joint["unit"]["timestamp"] for joint in net.units() if joint["unit"]["unit"] == unit)
    assert transaction.timestamp == timestamp


def test_what_a_hub_withheld_is_asked_for_by_name(
    wallet: Wallet, net: Devnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.fund(wallet.address, 1_000)
    net.settle()
    really_ask = LightClient.history

    def withholding(self: LightClient, addresses: list[str], **options: Any) -> History:
        answer = really_ask(self, addresses, **options)
        return replace(answer, units=tuple(map(stripped, answer.units))) if addresses else answer

    monkeypatch.setattr(LightClient, "history", withholding)
    assert [transaction.amounts for transaction in wallet.transactions()] == [{"base": 1_000}]


# --- what the list leaves out ---


def entry(name: str, paid: dict[str, int], spends: list[str] | None = None, **flags: Any) -> HistoryUnit:
    """A unit that pays addresses, and spends the first output of other units."""
    payload = {
        "inputs": [{"unit": unit, "message_index": 0, "output_index": 0} for unit in spends or ["elsewhere"]],
        "outputs": [{"address": address, "amount": amount} for address, amount in paid.items()],
    }
    unit = {
        "unit": name,
        "timestamp": 7,
        "authors": [{"address": OTHER}],
        "messages": [{"app": "payment", "payload": payload}],
    }
    defaults = {
        "is_stable": True,
        "is_final_bad": False,
        "main_chain_index": 1,
        "is_signature_checked": True,
        "is_stripped": False,
    }
    return HistoryUnit(unit=unit, hash=name, **{**defaults, **flags})


def history(*entries: HistoryUnit) -> History:
    return History(entries, (), None)


def stripped(entry: HistoryUnit) -> HistoryUnit:
    unit = {name: value for name, value in entry.unit.items() if name != "messages"}
    return replace(entry, unit=unit, is_stripped=True)


def test_a_unit_that_has_lost_and_one_that_the_hub_may_have_invented_are_not_listed() -> None:
    assert transactions_of(ME, history(entry("lost", {ME: 5}, is_final_bad=True))) == []
    invented = entry("invented", {ME: 5}, is_stable=False, is_signature_checked=False)
    assert transactions_of(ME, history(invented)) == []
    signed = replace(invented, is_signature_checked=True)
    assert transactions_of(ME, history(signed)) == [Transaction("invented", 7, {"base": 5}, False, False)]


def test_a_unit_without_its_content_is_listed_as_withheld_until_another_answer_has_it() -> None:
    whole = entry("one", {ME: 5})
    assert transactions_of(ME, history(stripped(whole))) == [Transaction("one", 7, {}, True, True)]
    expected = [Transaction("one", 7, {"base": 5}, True, False)]
    assert transactions_of(ME, history(stripped(whole)), history(whole)) == expected
    assert transactions_of(ME, history(whole), history(stripped(whole))) == expected


def test_units_of_no_concern_and_coins_of_others_are_left_out() -> None:
    strange = entry("strange", {OTHER: 9}, ["theirs"])
    assert transactions_of(ME, history(entry("theirs", {OTHER: 9}), strange)) == []


def test_what_is_spent_counts_wherever_the_hub_lists_it() -> None:
    spending, earlier = entry("two", {OTHER: 4, ME: 1}, ["one"]), entry("one", {ME: 6})
    found = transactions_of(ME, history(spending, earlier))
    assert [transaction.amounts for transaction in found] == [{"base": -5}, {"base": 6}]
