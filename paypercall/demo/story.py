"""The story that the demonstration tells, step by step. Each step fails loudly if it does not happen as told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.contract import ChannelParameters, close_draft, read_definition
from paypercall.demo.expectations import DemoFailed, require, wait_until
from paypercall.demo.merchant import PRICE
from paypercall.demo.stage import Stage

CUSTOMER = "customer"
LIAR = "liar"
DEPOSIT = 300_000
LIARS_DEPOSIT = 100_000
LIARS_CALLS = 20


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the story.

    Attributes:
        name: What happens.
        play: Lets it happen, and returns what was seen.
    """

    name: str
    play: Callable[[], str]


def steps_of(stage: Stage, calls: int, count_call: Callable[[], None]) -> list[Step]:
    """The whole story.

    Args:
        stage: What it is played on.
        calls: How many paid calls there are in the middle of it.
        count_call: Called after each of these.
    """

    def customer() -> Client:
        return stage.customers[CUSTOMER]

    return [
        Step("channel opened", lambda: open_channel(stage, stage.open_customer(CUSTOMER, DEPOSIT))),
        Step("paid calls", lambda: make_calls(stage, customer(), calls, count_call)),
        Step("underpaid call", lambda: underpay(stage, customer())),
        Step("repeated package", lambda: repeat(stage, customer())),
        Step("packages out of order", lambda: reorder(stage, customer())),
        Step("swept and reopened", lambda: sweep(stage, customer())),
        Step("lie punished", lambda: lie(stage, stage.open_customer(LIAR, LIARS_DEPOSIT, 0))),
        Step("closed", lambda: close(customer())),
    ]


def open_channel(stage: Stage, customer: Client) -> str:
    """The first call: opens the channel, and is paid out of the unconfirmed deposit."""
    stage.net.hold()  # or a fast network could confirm the deposit before the call
    try:
        reply = stage.merchant.call(customer.create_payment_package(PRICE))
        balance = customer.balance()
    finally:
        stage.net.release()
    require(reply.status == 200, f"the first call is served, not answered {reply}")
    require(balance.deposited_by_me == 0, "the deposit is still unconfirmed at the first call")
    wait_until(lambda: customer.balance().deposited_by_me == DEPOSIT, "the deposit is confirmed")
    return f"first call served, {balance.pending_deposits:,} bytes still unconfirmed"


def make_calls(stage: Stage, customer: Client, count: int, count_call: Callable[[], None]) -> str:
    """Paid calls, one after the other."""
    started = time.monotonic()
    for _ in range(count):
        reply = stage.merchant.call(customer.create_payment_package(PRICE))
        require(reply.status == 200, f"each paid call is served, not answered {reply}")
        count_call()
    rate = count / (time.monotonic() - started)
    return f"{count:,} calls of {PRICE} bytes each, {rate:,.0f} a second"


def underpay(stage: Stage, customer: Client) -> str:
    """An underpaid call is refused, and refunded in the answer."""
    before = customer.balance().spendable
    reply = stage.merchant.call(customer.create_payment_package(PRICE // 2))
    require(
        reply.status == 402 and reply.refund is not None,
        f"an underpaid call is refused and refunded, not answered {reply}",
    )
    refund = customer.verify_payment_package(reply.refund)
    require(refund.error is None and refund.amount == PRICE // 2, f"the refund is good, not {refund}")
    require(customer.balance().spendable == before, "the customer can spend as much as before")
    return f"refused with 402, {refund.amount} bytes refunded in the answer"


def repeat(stage: Stage, customer: Client) -> str:
    """A package that is sent twice is answered twice and, as the account shows in the end, charged once."""
    package = customer.create_payment_package(PRICE)
    first = stage.merchant.call(package)
    second = stage.merchant.call(package)
    require(first.status == 200, f"the first one is served, not answered {first}")
    require(second.status == 200, f"the repeated one is answered again, not with {second}")
    require(second.code == "duplicate", f"the repeated one is no payment, not {second}")
    return "refused as duplicate, answered, not charged again"


def reorder(stage: Stage, customer: Client) -> str:
    """Packages may arrive in any order."""
    packages = [customer.create_payment_package(PRICE) for _ in range(3)]
    for package in (packages[2], packages[0], packages[1]):
        reply = stage.merchant.call(package)
        require(reply.status == 200, f"a package that was overtaken is served, not answered {reply}")
    return "the third, the first, the second: all served"


def sweep(stage: Stage, customer: Client) -> str:
    """The period is settled, and the channel opens again by itself."""
    period = customer.balance().period
    customer.sweep()
    wait_until(lambda: customer.balance().period == period + 1, "the period is settled")
    reply = stage.merchant.call(customer.create_payment_package(PRICE))
    require(reply.status == 200, f"the reopened channel works, not answered {reply}")
    wait_until(lambda: customer.balance().status is Status.OPEN, "the channel is open again")
    return f"period {period} settled, a call served in period {period + 1}"


def lie(stage: Stage, liar: Client) -> str:
    """A customer closes with the claim to owe nothing; the merchant proves the fraud and takes the deposit."""
    for _ in range(LIARS_CALLS):
        reply = stage.merchant.call(liar.create_payment_package(PRICE))
        require(reply.status == 200, f"the liar's calls are served, not answered {reply}")
    wait_until(lambda: liar.balance().status is Status.OPEN, "the liar's deposit is confirmed")
    balance = liar.balance()
    claim = close_draft(
        _parameters(stage, liar), period=balance.period, transferred_from_me=0, sent_by_peer=None
    )
    unit = liar.wallet.compose(claim)
    stage.sent_by_hand.append(unit["unit"])
    liar.wallet.post(unit)
    wait_until(lambda: liar.balance().period == balance.period + 1, "the fraud is proved")
    (period,) = liar.settled_periods()
    require(period.is_fraud_proven, "the channel is closed by a fraud proof")
    return f"claimed to owe 0 of {balance.owed_by_me:,}, lost {balance.deposited_by_me:,} bytes"


def close(customer: Client) -> str:
    """A normal close."""
    balance = customer.balance()
    customer.close()
    wait_until(lambda: customer.balance().period == balance.period + 1, "the channel is closed")
    require(customer.balance().status is Status.CLOSED, "the channel stays closed")
    owed = balance.owed_by_me - balance.owed_by_peer
    return f"period {balance.period}: {owed:,} bytes to the merchant, the rest returned"


def _parameters(stage: Stage, customer: Client) -> ChannelParameters:
    """The parameters of a customer's channel, from the network, where they are public."""
    for joint in stage.net.units():
        for message in joint["unit"].get("messages", []):
            if message["app"] == "definition" and message["payload"]["address"] == customer.aa_address:
                parameters = read_definition(message["payload"]["definition"])
                if parameters is not None:
                    return parameters
    raise DemoFailed("the channel's definition is not on the ledger")
