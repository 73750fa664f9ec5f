"""The story that the demonstration tells, step by step. Each step fails loudly if it does not happen as told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.contract import ChannelParameters, close_draft, read_definition
from paypercall.demo.accounts import AgentAccount, check_books, check_wallets, flows_of, settle_agents
from paypercall.demo.merchant import PRICE
from paypercall.demo.stage import DemoFailed, Stage, require, wait_until
from paypercall.errors import RefusalCode
from paypercall.store import PeriodRecord, Store

LIARS_CALLS = 20

Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Shown:
    """One line of the table: what was done, and what was seen."""

    step: str
    seen: str


@dataclass(frozen=True, slots=True)
class Account:
    """The account at the end: by agent, and by wallet what it has gained or lost."""

    agents: list[AgentAccount]
    names: dict[str, str]
    periods: list[PeriodRecord]


def open_channel(stage: Stage, customer: Client) -> Shown:
    """The first call: opens the channel, and is paid out of the unconfirmed deposit."""
    reply = stage.merchant.call(customer.create_payment_package(PRICE))
    balance = customer.balance()
    require(reply.status == 200, f"the first call is served, not answered {reply}")
    require(balance.deposited_by_me == 0, "the deposit is still unconfirmed at the first call")
    pending = balance.pending_deposits
    wait_until(lambda: customer.balance().deposited_by_me > 0, "the deposit is confirmed")
    return Shown("channel opened", f"first call served while {pending:,} bytes were unconfirmed")


def make_calls(stage: Stage, customer: Client, count: int, advance: Advance) -> Shown:
    """Paid calls, one after the other."""
    started = time.monotonic()
    for _ in range(count):
        reply = stage.merchant.call(customer.create_payment_package(PRICE))
        require(reply.status == 200, f"each paid call is served, not answered {reply}")
        advance()
    rate = count / (time.monotonic() - started)
    return Shown("paid calls", f"{count:,} calls of {PRICE} bytes each, {rate:,.0f} a second")


def underpay(stage: Stage, customer: Client) -> Shown:
    """An underpaid call is refused, and refunded in the answer."""
    reply = stage.merchant.call(customer.create_payment_package(PRICE // 2))
    require(
        reply.status == 402 and reply.refund is not None,
        f"an underpaid call is refunded, not answered {reply}",
    )
    refund = customer.verify_payment_package(reply.refund)
    require(refund.error is None and refund.amount == PRICE // 2, f"the refund is good: {refund}")
    return Shown("underpaid call", f"refused with 402, {refund.amount} bytes refunded in the answer")


def repeat(stage: Stage, customer: Client) -> Shown:
    """A package that is sent twice is charged once."""
    package = customer.create_payment_package(PRICE)
    first = stage.merchant.call(package)
    second = stage.merchant.call(package)
    require(first.status == 200, f"the first one is served, not answered {first}")
    require(
        second.code == RefusalCode.DUPLICATE.value, f"the repeated one is recognised, not answered {second}"
    )
    return Shown("repeated package", f"refused with code {second.code!r}, not charged again")


def reorder(stage: Stage, customer: Client) -> Shown:
    """Packages may arrive in any order."""
    packages = [customer.create_payment_package(PRICE) for _ in range(3)]
    for package in (packages[2], packages[0], packages[1]):
        reply = stage.merchant.call(package)
        require(reply.status == 200, f"a package that was overtaken is served, not answered {reply}")
    return Shown("packages out of order", "the third, the first, the second: all served")


def sweep(stage: Stage, customer: Client) -> Shown:
    """The period is settled, and the channel opens again by itself."""
    period = customer.balance().period
    customer.sweep()
    wait_until(lambda: customer.balance().period == period + 1, "the period is settled")
    reply = stage.merchant.call(customer.create_payment_package(PRICE))
    require(reply.status == 200, f"the reopened channel works: {reply}")
    wait_until(lambda: customer.balance().status is Status.OPEN, "the channel is open again")
    return Shown("swept and reopened", f"period {period} settled, a call served in period {period + 1}")


def lie(stage: Stage, liar: Client) -> Shown:
    """A customer closes with the claim to owe nothing; the merchant proves the fraud and takes the deposit."""
    for _ in range(LIARS_CALLS):
        require(
            stage.merchant.call(liar.create_payment_package(PRICE)).status == 200,
            "the liar's calls are served",
        )
    wait_until(lambda: liar.balance().status is Status.OPEN, "the liar's deposit is confirmed")
    balance = liar.balance()
    claim = close_draft(_parameters(stage, liar), period=1, transferred_from_me=0, sent_by_peer=None)
    liar.wallet.post(liar.wallet.compose(claim))
    wait_until(lambda: liar.balance().period == 2, "the fraud is proved")
    answer = stage.net.responses(liar.aa_address)[-1]["response_unit"]
    data = next(message["payload"] for message in answer["messages"] if message["app"] == "data")
    require(data.get("fraud_proof") == 1, f"the channel is closed by a fraud proof: {data}")
    return Shown(
        "lie punished", f"claimed to owe 0 of {balance.owed_by_me:,}, lost {balance.deposited_by_me:,} bytes"
    )


def close(stage: Stage, customer: Client) -> Shown:
    """A normal close."""
    balance = customer.balance()
    customer.close()
    wait_until(lambda: customer.balance().period == balance.period + 1, "the channel is closed")
    require(customer.balance().status is Status.CLOSED, "the channel stays closed")
    owed = balance.owed_by_me - balance.owed_by_peer
    return Shown("closed", f"period {balance.period}: {owed:,} bytes to the merchant, the rest returned")


def account(stage: Stage) -> Account:
    """Accounts for every byte, once both sides have seen the end."""
    agents = [customer.aa_address for customer in stage.customers]
    names = {stage.merchant.address: "merchant"}
    names.update({customer.address: f"customer {n}" for n, customer in enumerate(stage.customers, 1)})
    ended = [record for customer in stage.customers for record in customer.settled_periods()]
    merchants_books = Store(f"sqlite:///{stage.merchant.folder}/paypercall.sqlite")
    try:
        wait_until(
            lambda: len(_periods(merchants_books)) == len(ended), "the merchant has seen every period end"
        )
        periods = _periods(merchants_books)
    finally:
        merchants_books.close()
    stage.net.settle()
    flows = flows_of(stage.net.units(), [*agents, *names])
    balances = {address: stage.net.balance(address) for address in flows}
    accounts = settle_agents(flows, balances, agents)
    check_wallets(flows, balances, names)
    check_books(periods, ended)
    return Account(accounts, names, periods)


def _parameters(stage: Stage, customer: Client) -> ChannelParameters:
    """The parameters of a customer's channel, from the network, where they are public."""
    for joint in stage.net.units():
        for message in joint["unit"].get("messages", []):
            if message["app"] == "definition" and message["payload"]["address"] == customer.aa_address:
                parameters = read_definition(message["payload"]["definition"])
                assert parameters is not None
                return parameters
    raise DemoFailed("the channel's definition is on the ledger")


def _periods(store: Store) -> list[PeriodRecord]:
    with store.reading() as books:
        return books.periods.all()
