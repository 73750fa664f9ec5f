"""Closing by either side, and what is answered to it, on a real local network."""

from __future__ import annotations

from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.contract import close_draft
from paypercall.devnet import Devnet
from paypercall.errors import Refusal
from paypercall.events import Event
from paypercall.server import Server
from tests.parties import customer_on, merchant_on, parameters_of, pay, wait_until, wait_until_open


def answers(net: Devnet, aa_address: str) -> list[dict[str, object]]:
    """The data of the agent's answers that were no bounces."""
    found = []
    for answer in net.responses(aa_address):
        assert not answer["bounced"], answer
        found += [m["payload"] for m in answer["response_unit"]["messages"] if m["app"] == "data"]
    return found


def test_the_merchants_sweep_is_confirmed_by_the_customer_and_pays_what_was_accepted(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 10_000, times=3)
    wait_until_open(customer, merchant)
    merchant.sweep(customer.aa_address)
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
    (period,) = merchant.settled_periods()
    assert (period.deposited_by_peer, period.accepted_from_peer, period.signed_by_peer) == (
        100_000,
        30_000,
        30_000,
    )
    closing = next(answer for answer in answers(net, customer.aa_address) if answer.get("closing"))
    assert closing[customer.address] == 30_000
    assert closing[merchant.address] == 0
    assert "fraud_proof" not in answers(net, customer.aa_address)[-1]


def test_a_swept_channel_is_opened_again_by_its_customer(merchant: Server, customer: Client) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    customer.sweep()
    wait_until(lambda: customer.balance().period == 2, "the period has ended")
    pay(customer, merchant, 5_000)
    assert merchant.channels()[0].period == 2


def test_a_closed_channel_stays_closed_until_it_is_used(merchant: Server, customer: Client) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    customer.close()
    wait_until(lambda: customer.balance().period == 2, "the period has ended")
    assert customer.balance().pending_deposits == 0
    pay(customer, merchant, 5_000)
    assert customer.balance().pending_deposits + customer.balance().deposited_by_me == 100_000


def test_a_close_freezes_both_directions(net: Devnet, merchant: Server, customer: Client) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    late = customer.create_payment_package(1_000)
    net.hold()
    merchant.sweep(customer.aa_address)
    refused = merchant.verify_payment_package(late)
    assert refused.code == "channel_closing"
    with pytest.raises(Refusal) as refusal:
        merchant.create_payment_package(100, customer.aa_address)
    assert refusal.value.code == "channel_closing"
    net.release()


def test_nothing_is_signed_any_more_once_the_peers_close_is_seen_on_its_way(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    """The close says what I owe by what I signed before it."""
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    merchant.create_payment_package(100, customer.aa_address)
    net.hold()
    close = close_draft(
        parameters_of(net, customer.aa_address), period=1, transferred_from_me=10_000, sent_by_peer=None
    )
    unit = customer.wallet.compose(close)
    customer.wallet.post(unit)

    def is_seen() -> bool:
        with merchant._store.reading() as books:
            return books.unconfirmed.get(customer.aa_address, unit["unit"]) is not None

    wait_until(is_seen, "the merchant has seen the close")
    assert merchant.channels()[0].status is Status.OPEN
    with pytest.raises(Refusal) as refusal:
        merchant.create_payment_package(100, customer.aa_address)
    assert refusal.value.code == "channel_closing"


def test_a_package_that_got_lost_is_given_back_at_the_customers_close(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    customer.create_payment_package(7_000)  # never reaches the merchant
    before = net.balance(merchant.address)
    customer.close()
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
    confirm = next(
        message["payload"]
        for joint in net.units()
        for message in joint["unit"].get("messages", [])
        if message["app"] == "data" and message["payload"].get("confirm")
    )
    assert confirm["additionalTransferredFromMe"] == 7_000
    # The smaller side gets its balance and the bounce fee that its confirmation carried.
    own_fees = 3_000
    assert before + 10_000 - own_fees < net.balance(merchant.address) <= before + 10_000


def test_a_merchants_close_gives_back_the_credit(net: Devnet, merchant: Server, customer: Client) -> None:
    pay(customer, merchant, 10_000)
    customer.create_payment_package(7_000)  # lost, but covered by the next one's total
    pay(customer, merchant, 1_000)
    wait_until_open(customer, merchant)
    merchant.sweep(customer.aa_address)
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
    closing = next(answer for answer in answers(net, customer.aa_address) if answer.get("closing"))
    assert (closing[customer.address], closing[merchant.address]) == (18_000, 7_000)


def test_a_lie_is_answered_with_a_fraud_proof_before_the_close_is_stable(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    told: list[Event] = []
    merchant.subscribe("fraud_proved", told.append)
    pay(customer, merchant, 10_000, times=2)
    wait_until_open(customer, merchant)
    net.hold()
    lie = close_draft(
        parameters_of(net, customer.aa_address), period=1, transferred_from_me=10_000, sent_by_peer=None
    )
    customer.wallet.post(customer.wallet.compose(lie))

    def proof_is_posted() -> bool:
        return any(
            message["app"] == "data" and message["payload"].get("fraud_proof")
            for joint in net.units()
            for message in joint["unit"].get("messages", [])
        )

    wait_until(proof_is_posted, "the fraud proof is posted while nothing becomes stable")
    assert [answer.get("closing") for answer in answers(net, customer.aa_address)] == [None]
    net.release()
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the fraud is proved")
    assert merchant.settled_periods()[0].is_fraud_proven
    assert answers(net, customer.aa_address)[-1]["fraud_proof"] == 1
    wait_until(lambda: len(told) == 1, "the merchant's host is told")
    assert told[0].aa_address == customer.aa_address


def test_an_honest_close_is_confirmed_and_not_accused(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    customer.close()
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
    assert not merchant.settled_periods()[0].is_fraud_proven


def test_a_close_without_an_answer_is_confirmed_after_the_timeout(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    customer.close_node()
    customer.wallet.close()
    merchant.sweep(customer.aa_address)
    wait_until(lambda: merchant.channels()[0].status is Status.CLOSING, "the channel is closing")
    net.advance(3_500)
    assert merchant.channels()[0].status is Status.CLOSING
    net.advance(200)
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the timeout has passed")


def test_each_side_closes_at_the_same_time_and_nobody_loses(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 20_000)
    wait_until_open(customer, merchant)
    net.hold()
    merchant.sweep(customer.aa_address)
    customer.close()
    net.release()
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended", seconds=40)
    wait_until(lambda: len(customer.settled_periods()) == 1, "for the customer, too")
    assert merchant.settled_periods()[0].accepted_from_peer == 20_000


@pytest.mark.slow
def test_a_channel_in_an_asset_lives_through_two_periods(net: Devnet, tmp_path: Path) -> None:
    asset = net.issue_asset(1_000_000)
    accepted = {
        "accepted_assets": ("base", asset),
        "max_unsettled_by_channel": {asset: 50_000},
        "max_unsettled_by_asset": {asset: 100_000},
        "cost_of_sweep_by_asset": {asset: 1_000},
    }
    with merchant_on(net, tmp_path / "merchant", **accepted) as merchant:
        customer = customer_on(
            net,
            tmp_path / "customer",
            merchant.address,
            asset=asset,
            deposit_amount=5_000,
            refill_threshold=1_000,
            **accepted,
        )
        net.fund(customer.address, 100_000, asset)
        net.settle()
        with customer:
            pay_after_opening(net, customer, merchant)
            customer.close()
            wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
            wait_until(lambda: net.balance(merchant.address, asset) == 3_000, "the merchant has the asset")
            assert net.balance(customer.address, asset) == 97_000
        customer.wallet.close()
    merchant.wallet.close()


def pay_after_opening(net: Devnet, customer: Client, merchant: Server) -> None:
    """Nothing unconfirmed is accepted in an asset without limits, so the first package waits for the deposit."""
    package = customer.create_payment_package(1_000)
    first = merchant.verify_payment_package(package)
    assert first.error is None, first
    pay(customer, merchant, 1_000, times=2)
    assert net.balance(customer.aa_address, first.asset or "") == 5_000


def test_a_close_waits_for_the_deposit_that_opens_the_period(merchant: Server, customer: Client) -> None:
    pay(customer, merchant, 10_000)
    customer.close()
    wait_until(lambda: len(customer.settled_periods()) == 1, "the period has ended")
    assert customer.settled_periods()[0].signed_by_me == 10_000
