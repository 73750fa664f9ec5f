"""What a node decides by itself: refills, sweeps, the byte reserve; on a real local network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.errors import Refusal
from paypercall.events import Event
from paypercall.funds import NotSent
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.results import ChannelTimeout
from paypercall.server import Server
from paypercall.settlement.gathering import ReserveNeeded, require_no_need_for_reserve
from paypercall.settlement.outbox import bytes_in_reserve
from tests.parties import conf_for, customer_on, merchant_on, pay, wait_until, wait_until_open, wallet_on


def count_deposits(net: Devnet, aa_address: str) -> int:
    """How many units have given the agent more than a command does."""
    return sum(
        output["amount"] > 10_000
        for joint in net.units()
        for message in joint["unit"].get("messages", [])
        if message["app"] == "payment" and joint["unit"]["authors"][0]["address"] != aa_address
        for output in message["payload"]["outputs"]
        if output["address"] == aa_address
    )


def test_a_channel_is_refilled_once_when_it_falls_below_the_threshold(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    told: list[Event] = []
    customer.subscribe("refilled", told.append)
    pay(customer, merchant, 75_000)
    wait_until_open(customer, merchant)
    net.hold()
    pay(customer, merchant, 10_000)
    wait_until(lambda: len(told) == 1, "the refill is decided")
    wait_until(lambda: count_deposits(net, customer.aa_address) == 2, "the refill is posted")
    # The pending deposit counts, so a second one is not due.
    pay(customer, merchant, 1_000)
    customer._node.wake()
    net.release()
    wait_until(lambda: customer.balance().deposited_by_me == 200_000, "the refill is confirmed")
    assert count_deposits(net, customer.aa_address) == 2
    assert [event.amount for event in told] == [100_000]


def test_a_known_channel_is_refilled_as_the_newest_client_says(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 10_000)
    wait_until_open(customer, merchant)
    customer.close_node()
    conf, wallet = customer._conf, customer.wallet
    with Client(merchant.address, None, 120_000, 95_000, wallet=wallet, conf=conf) as renewed:
        pay(renewed, merchant, 1_000)
        assert renewed.aa_address == customer.aa_address
        wait_until(lambda: renewed.balance().deposited_by_me == 220_000, "the refill is confirmed")


def test_a_payment_above_what_is_left_waits_for_a_refill(
    net: Devnet, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 60_000)
    wait_until_open(customer, merchant)
    pay(customer, merchant, 90_000)
    assert count_deposits(net, customer.aa_address) == 2


def test_a_payment_that_no_deposit_can_cover_is_refused_at_once(merchant: Server, customer: Client) -> None:
    pay(customer, merchant, 1_000)
    wait_until_open(customer, merchant)
    with pytest.raises(Refusal, match="larger deposit_amount") as refusal:
        customer.create_payment_package(250_000)
    assert refusal.value.code == "above_deposit"
    assert customer.balance().owed_by_me == 1_000


def test_a_customer_without_money_is_told_what_is_missing(
    net: Devnet, merchant: Server, tmp_path: Path
) -> None:
    with customer_on(net, tmp_path / "poor", merchant.address, funds=0) as customer:
        with pytest.raises(ChannelTimeout) as timeout:
            customer.create_payment_package(100, timeout=1.5)
        assert customer.address in str(timeout.value)
        net.fund(customer.address, 500_000)
        pay(customer, merchant, 100)
    customer.wallet.close()


def test_a_channel_that_is_open_for_too_long_is_swept(net: Devnet, tmp_path: Path) -> None:
    merchant = Server(max_sweeping_period=2, wallet=wallet_on(net), conf=conf_for(net, tmp_path / "merchant"))
    with merchant, customer_on(net, tmp_path / "customer", merchant.address) as customer:
        pay(customer, merchant, 20_000)
        wait_until(lambda: len(merchant.settled_periods()) >= 1, "the channel is swept")
        assert merchant.settled_periods()[0].accepted_from_peer == 20_000
    merchant.wallet.close()
    customer.wallet.close()


def test_a_servers_sweeping_period_counts_while_a_client_of_its_wallet_holds_the_lease(
    net: Devnet, tmp_path: Path
) -> None:
    wallet, conf = wallet_on(net), conf_for(net, tmp_path / "merchant")
    elsewhere = key_from_mnemonic(new_mnemonic()).address
    with Client(elsewhere, wallet=wallet, conf=conf) as client:
        wait_until(lambda: client._node_health().synced_at is not None, "the client's node holds the lease")
        merchant = Server(max_sweeping_period=2, wallet=wallet, conf=conf)
        with merchant, customer_on(net, tmp_path / "customer", merchant.address) as customer:
            pay(customer, merchant, 20_000)
            wait_until(lambda: len(merchant.settled_periods()) >= 1, "the channel is swept")
    wallet.close()
    customer.wallet.close()


def test_of_several_servers_the_one_made_last_says_when_to_sweep_and_a_client_never(
    net: Devnet, tmp_path: Path
) -> None:
    wallet, conf = wallet_on(net, funds=0), conf_for(net, tmp_path)
    first = Server(max_sweeping_period=60, wallet=wallet, conf=conf)
    last = Server(max_sweeping_period=30, wallet=wallet, conf=conf)
    first.start_node()
    client = Client(key_from_mnemonic(new_mnemonic()).address, wallet=wallet, conf=conf)
    with client._store.reading() as books:
        assert books.node.max_sweeping_period() == 30
    for party in (first, last, client):
        party.close_node()
    wallet.close()


def test_a_channel_with_too_little_to_collect_is_not_swept_by_age(net: Devnet, tmp_path: Path) -> None:
    """What was signed and not accepted is not collected: it goes back."""
    merchant = Server(max_sweeping_period=1, wallet=wallet_on(net), conf=conf_for(net, tmp_path / "merchant"))
    with (
        merchant,
        customer_on(net, tmp_path / "customer", merchant.address) as customer,
        customer_on(net, tmp_path / "later", merchant.address) as later,
    ):
        customer.create_payment_package(70_000)  # never sent
        pay(customer, merchant, 1)
        wait_until_open(customer, merchant)
        pay(later, merchant, 20_000)
        wait_until(lambda: later.balance().period == 2, "a channel that opened later is swept")
        with merchant._store.reading() as books:
            assert books.outbox.of_period(customer.aa_address, 1) == []
    for party in (merchant, customer, later):
        party.wallet.close()


def test_a_channel_is_swept_by_age_only_if_it_owes_more_of_its_asset_than_that_costs(
    net: Devnet, tmp_path: Path
) -> None:
    """It costs bytes, and the agent pays some of them out to the customer: for a unit that is worth nothing, too."""
    asset = net.issue_asset(10_000)
    settings = {
        "accepted_assets": ("base", asset),
        "max_unsettled_by_channel": {asset: None},
        "max_unsettled_by_asset": {asset: None},
        "cost_of_sweep_by_asset": {asset: 100},
    }
    conf = conf_for(net, tmp_path / "merchant", **settings)
    merchant = Server(max_sweeping_period=1, wallet=wallet_on(net), conf=conf)
    in_asset: dict[str, Any] = {"asset": asset, "deposit_amount": 500, "refill_threshold": 0}
    with (
        merchant,
        customer_on(net, tmp_path / "base", merchant.address) as in_base,
        customer_on(net, tmp_path / "little", merchant.address, **in_asset) as little,
        customer_on(net, tmp_path / "later", merchant.address, **in_asset) as later,
    ):
        for customer, amount in ((in_base, 12_500), (little, 100), (later, 101)):
            net.fund(customer.address, 1_000, asset)
            net.settle()
            pay(customer, merchant, amount)
        wait_until(lambda: later.balance().period == 2, "the channel that opened last is swept")
        with merchant._store.reading() as books:
            assert books.outbox.of_period(in_base.aa_address, 1) == []
            assert books.outbox.of_period(little.aa_address, 1) == []
        assert net.balance(merchant.address, asset) == 101
    for party in (merchant, in_base, little, later):
        party.wallet.close()


def test_unsettled_payments_above_the_limit_are_refused_and_swept(net: Devnet, tmp_path: Path) -> None:
    limits = {"max_unsettled_by_channel": {"base": 250_000}, "max_unsettled_by_asset": {"base": 300_000}}
    merchant = merchant_on(net, tmp_path / "merchant", **limits)
    with (
        merchant,
        customer_on(net, tmp_path / "customer", merchant.address, deposit_amount=400_000) as customer,
    ):
        pay(customer, merchant, 125_000)
        wait_until_open(customer, merchant)
        refused = merchant.verify_payment_package(customer.create_payment_package(125_001))
        assert refused.code == "above_unsettled_limits"
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the channel is swept")
        assert merchant.settled_periods()[0].accepted_from_peer == 125_000
        pay(customer, merchant, 125_001)
    merchant.wallet.close()
    customer.wallet.close()


def test_a_package_above_the_limit_costs_the_merchant_no_sweep_that_brings_little(
    net: Devnet, tmp_path: Path
) -> None:
    limits = {"max_unsettled_by_channel": {"base": 250_000}}
    merchant = merchant_on(net, tmp_path / "merchant", **limits)
    with (
        merchant,
        customer_on(net, tmp_path / "customer", merchant.address, deposit_amount=400_000) as customer,
    ):
        pay(customer, merchant, 12_501)
        wait_until_open(customer, merchant)
        refused = merchant.verify_payment_package(customer.create_payment_package(250_000))
        assert refused.code == "above_unsettled_limits"
        with merchant._store.reading() as books:
            assert books.outbox.of_period(customer.aa_address, 1) == []
        # What was refused is credit, which does not count: the customer can go on, and settle.
        pay(customer, merchant, 1_000)
        customer.close()
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the channel is closed")
        assert merchant.settled_periods()[0].accepted_from_peer == 13_501
    merchant.wallet.close()
    customer.wallet.close()


def test_a_customer_that_signs_much_and_pays_next_to_nothing_is_not_swept_and_blocks_nobody(
    net: Devnet, tmp_path: Path
) -> None:
    """A close would give back all but what was accepted, at the merchant's cost, and the customer could go on so."""
    limits = {"max_unsettled_by_channel": {"base": 250_000}, "max_unsettled_by_asset": {"base": 300_000}}
    merchant = merchant_on(net, tmp_path / "merchant", **limits)
    rich = {"deposit_amount": 500_000}
    with (
        merchant,
        customer_on(net, tmp_path / "cheat", merchant.address, **rich) as cheat,
        customer_on(net, tmp_path / "other", merchant.address, **rich) as other,
    ):
        cheat.create_payment_package(224_999)  # never sent
        pay(cheat, merchant, 1)
        wait_until(lambda: len(merchant.channels(Status.OPEN)) == 1, "the channel is open")
        pay(other, merchant, 225_000)
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the channel that is worth it is swept")
        refused = merchant.verify_payment_package(cheat.create_payment_package(250_000))
        assert refused.code == "above_unsettled_limits"
        assert merchant.settled_periods()[0].aa_address == other.aa_address
        with merchant._store.reading() as books:
            assert books.outbox.of_period(cheat.aa_address, 1) == []
    for party in (merchant, cheat, other):
        party.wallet.close()


def test_all_channels_together_are_held_below_the_assets_limit(net: Devnet, tmp_path: Path) -> None:
    limits = {"max_unsettled_by_channel": {"base": 250_000}, "max_unsettled_by_asset": {"base": 300_000}}
    merchant = merchant_on(net, tmp_path / "merchant", **limits)
    rich = {"deposit_amount": 500_000}
    with (
        merchant,
        customer_on(net, tmp_path / "one", merchant.address, **rich) as one,
        customer_on(net, tmp_path / "two", merchant.address, **rich) as two,
    ):
        pay(one, merchant, 195_000)
        refused = merchant.verify_payment_package(two.create_payment_package(195_000))
        assert refused.code == "above_unsettled_limits"
        assert [c.accepted_from_peer for c in merchant.channels() if c.aa_address == two.aa_address] == [0]
    for party in (merchant, one, two):
        party.wallet.close()


def test_channels_that_are_not_worth_a_sweep_keep_nobody_from_paying(net: Devnet, tmp_path: Path) -> None:
    limits = {"max_unsettled_by_channel": {"base": 250_000}, "max_unsettled_by_asset": {"base": 250_000}}
    merchant = merchant_on(net, tmp_path / "merchant", **limits)
    rich = {"deposit_amount": 500_000}
    with (
        merchant,
        customer_on(net, tmp_path / "one", merchant.address) as one,
        customer_on(net, tmp_path / "two", merchant.address) as two,
        customer_on(net, tmp_path / "three", merchant.address, **rich) as three,
    ):
        for customer in (one, two):
            pay(customer, merchant, 12_500)
        net.hold()
        pay(three, merchant, 250_000)
        refused = merchant.verify_payment_package(one.create_payment_package(1))
        assert refused.code == "above_unsettled_limits"
        net.release()
        wait_until(lambda: len(merchant.settled_periods()) == 1, "a channel is swept")
        assert merchant.settled_periods()[0].aa_address == three.aa_address
        pay(one, merchant, 1)
    for party in (merchant, one, two, three):
        party.wallet.close()


def test_the_channel_of_a_package_above_the_assets_limit_stays_open(net: Devnet, tmp_path: Path) -> None:
    limits = {"max_unsettled_by_channel": {"base": 250_000}, "max_unsettled_by_asset": {"base": 250_000}}
    merchant = merchant_on(net, tmp_path / "merchant", **limits)
    rich = {"deposit_amount": 500_000}
    with (
        merchant,
        customer_on(net, tmp_path / "one", merchant.address, **rich) as one,
        customer_on(net, tmp_path / "two", merchant.address, **rich) as two,
    ):
        pay(one, merchant, 60_000)
        pay(two, merchant, 126_000)
        wait_until(lambda: len(merchant.channels(Status.OPEN)) == 2, "both are open")
        refused = merchant.verify_payment_package(two.create_payment_package(65_000))
        assert refused.code == "above_unsettled_limits"
        with merchant._store.reading() as books:
            assert books.outbox.of_period(two.aa_address, 1) == []
    for party in (merchant, one, two):
        party.wallet.close()


def test_a_merchant_below_its_reserve_accepts_nothing_until_it_is_funded(net: Devnet, tmp_path: Path) -> None:
    merchant = merchant_on(net, tmp_path / "merchant", funds=0)
    with merchant, customer_on(net, tmp_path / "customer", merchant.address) as customer:
        refused = merchant.verify_payment_package(customer.create_payment_package(1_000))
        assert refused.code == "below_reserve"
        net.fund(merchant.address, 500_000)
        net.settle()

        def is_accepted() -> bool:
            return merchant.verify_payment_package(customer.create_payment_package(1_000)).error is None

        wait_until(is_accepted, "the merchant has its reserve")
    merchant.wallet.close()
    customer.wallet.close()


def test_channels_that_nobody_pays_in_need_no_reserve(net: Devnet, tmp_path: Path) -> None:
    merchant = merchant_on(net, tmp_path / "merchant", funds=140_000)
    with (
        merchant,
        customer_on(
            net, tmp_path / "one", merchant.address, deposit_amount=10_001, refill_threshold=0
        ) as one,
        customer_on(
            net, tmp_path / "two", merchant.address, deposit_amount=10_001, refill_threshold=0
        ) as two,
        customer_on(net, tmp_path / "customer", merchant.address) as customer,
    ):
        for each in (one, two):
            refused = merchant.verify_payment_package(each.create_payment_package(1))
            assert refused.code == "uneconomic"
        pay(customer, merchant, 30_000)
        wait_until(lambda: len(merchant.channels(Status.OPEN)) == 3, "all are open")
        with merchant._store.reading() as books:
            assert bytes_in_reserve(books, merchant._node._spending, new_channels=1) == 80_000
            with pytest.raises(ReserveNeeded, match="3 channels are not closed"):
                require_no_need_for_reserve(books)
        pay(customer, merchant, 1_000)
    for party in (merchant, one, two, customer):
        party.wallet.close()


def test_a_customer_keeps_the_reserve_when_it_deposits(net: Devnet, merchant: Server, tmp_path: Path) -> None:
    with customer_on(net, tmp_path / "customer", merchant.address, funds=140_000) as customer:
        with pytest.raises(ChannelTimeout, match="would be left"):
            customer.create_payment_package(100, timeout=2)
        assert count_deposits(net, customer.aa_address) == 0
    customer.wallet.close()


def test_a_withdrawal_leaves_the_reserve_in_the_wallet_and_can_be_repeated(
    net: Devnet, merchant: Server
) -> None:
    target = key_from_mnemonic(new_mnemonic()).address
    with pytest.raises(NotSent, match="held back"):
        merchant.withdraw(980_000, target)
    with merchant._store.reading() as books:
        assert books.outbox.unfinished() == []
    net.fund(merchant.address, 1_000_000)
    net.settle()
    merchant.withdraw(980_000, target)
    merchant.withdraw(10_000, target)
    assert net.balance(target) == 990_000


@pytest.mark.parametrize("amount", [0, -1, 1.5, True, 10**15, "10"])
def test_a_wrong_withdrawal_is_refused(merchant: Server, amount: object) -> None:
    with pytest.raises(Refusal) as refusal:
        merchant.withdraw(amount, merchant.address)  # type: ignore[arg-type]
    assert refusal.value.code == "wrong_amount"
