"""The wallet of a node as its owner sees it: balance, history, sending, sweeping out, consolidating."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paypercall.asynchronous import AsyncParty
from paypercall.channel import Status
from paypercall.devnet import Devnet
from paypercall.errors import Refusal
from paypercall.funds import Moved, NotSent
from paypercall.obyte.composer import Parents
from paypercall.obyte.errors import HubRefused
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.unit import Unit
from paypercall.party import Party
from paypercall.results import ChannelTimeout
from paypercall.settlement.gathering import GATHERING_SECONDS, ReserveNeeded, details_of_gathering
from paypercall.store import Books, OutboxKind, OutboxState, Refill, Store
from tests.parties import (
    conf_for,
    customer_on,
    merchant_on,
    open_channel,
    pay,
    wait_until,
    wait_until_open,
    wallet_on,
)

DUST = 1_500
MANY = 130


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet(speed=20) as net:
        yield net


@pytest.fixture
def payee() -> str:
    return key_from_mnemonic(new_mnemonic()).address


@contextmanager
def party_on(net: Devnet, folder: Path, key: Key | None = None, funds: int = 1_000_000) -> Iterator[Party]:
    """A process of a wallet that neither buys nor sells."""
    wallet = wallet_on(net, key, funds)
    party = Party(conf_for(net, folder), wallet)
    yield party
    party.close_node()
    wallet.close()


@pytest.fixture
def party(net: Devnet, tmp_path: Path) -> Iterator[Party]:
    with party_on(net, tmp_path / "wallet") as party:
        yield party


@contextmanager
def books_in(folder: Path) -> Iterator[Books]:
    store = Store(f"sqlite:///{folder}/paypercall.sqlite")
    with store.transaction() as books:
        yield books
    store.close()


def decide_withdrawal(books: Books, amount: int, payee: str) -> None:
    """Leaves behind what a process that died had decided to send."""
    details = {"address": payee, "amount": amount, "asset": "base"}
    books.outbox.add(
        OutboxKind.WITHDRAWAL, aa_address=None, period=None, details=details, now=int(time.time())
    )


def sent_by(net: Devnet, party: Party) -> list[Unit]:
    units = [joint["unit"] for joint in net.units()]
    return [unit for unit in units if unit["authors"][0]["address"] == party.address]


def fees_of(units: list[Unit]) -> int:
    return sum(unit["headers_commission"] + unit["payload_commission"] + unit["tps_fee"] for unit in units)


def coins_of(party: Party, asset: str = "base") -> int:
    party.wallet.refresh()
    return party.wallet.count_coins(asset)


def fill_with_dust(net: Devnet, party: Party, count: int, amount: int = DUST, asset: str = "base") -> None:
    for _ in range(count):
        net.fund(party.address, amount, asset)
    net.settle()


# --- looking ---------------------------------------------------------------------------------------------------------


def test_the_balance_and_the_history_are_those_of_the_ledger(net: Devnet, party: Party, payee: str) -> None:
    assert party.funds.balance()["base"].stable == 1_000_000
    asset = net.issue_asset(1_000)
    net.fund(party.address, 300, asset)
    net.settle()
    unit = party.funds.send(100, payee, asset)
    net.settle()
    assert party.funds.balance()[asset].stable == net.balance(party.address, asset) == 200
    *_, sent = party.funds.history()
    assert (sent.unit, sent.amounts[asset], sent.is_stable) == (unit, -100, True)


def test_looking_starts_nothing_that_could_spend(net: Devnet, party: Party) -> None:
    party.funds.balance()
    party.funds.history()
    assert party._node._thread is None


# --- sending ---------------------------------------------------------------------------------------------------------


def test_what_is_sent_arrives_and_the_reserve_stays(net: Devnet, party: Party, payee: str) -> None:
    unit = party.funds.send(5_000, payee)
    assert net.balance(payee) == 5_000
    assert unit in {unit["unit"] for unit in sent_by(net, party)}
    with pytest.raises(NotSent, match="would be left of the 50000 that are held back"):
        party.funds.send(950_000, payee)


def test_what_cannot_be_sent_now_is_not_sent_later(
    net: Devnet, party: Party, payee: str, tmp_path: Path
) -> None:
    with pytest.raises(NotSent, match="is needed") as refusal:
        party.funds.send(5_000_000, payee)
    assert refusal.value.code == "not_sent"
    net.fund(party.address, 9_000_000)
    net.settle()
    party.funds.send(7, payee)
    assert net.balance(payee) == 7
    with books_in(tmp_path / "wallet") as books:
        row = books.outbox.get(1)
        assert row is not None
        assert (row.state, row.attempts) == (OutboxState.FAILED, 1)
        assert [row.id for row in books.outbox.unfinished() if row.state is not OutboxState.POSTED] == []


def test_a_hub_that_says_nothing_is_waited_for_no_longer_than_asked_and_nothing_is_sent_after_it(
    net: Devnet, party: Party, payee: str
) -> None:
    party.funds.send(1, payee)
    net.mute()
    with pytest.raises(NotSent, match="no answer in time"):
        party.funds.send(5_000, payee, timeout=0.5)
    net.unmute()
    net.hang_up()
    party.funds.send(7, payee)
    assert net.balance(payee) == 8


def test_a_fee_above_the_limit_is_said(
    net: Devnet, party: Party, payee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_ask = LightClient.parents

    def parents(self: LightClient, *args: Any, **kwargs: Any) -> Parents:
        return replace(really_ask(self, *args, **kwargs), tps_fee=30_000)

    monkeypatch.setattr(LightClient, "parents", parents)
    with pytest.raises(NotSent, match="TPS fee of 30000 bytes, the limit is 20000"):
        party.funds.send(5_000, payee)


def test_what_is_signed_and_not_posted_goes_on_by_itself(
    net: Devnet, party: Party, payee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have arrived: to give it up could mean to pay twice."""
    is_refused = True
    really_post = LightClient.post

    def post(self: LightClient, unit: Unit, **options: Any) -> None:
        if is_refused:
            raise HubRefused("last ball is too old")
        really_post(self, unit, **options)

    monkeypatch.setattr(LightClient, "post", post)
    with pytest.raises(ChannelTimeout, match="goes on by itself"):
        party.funds.send(5_000, payee, timeout=1)
    is_refused = False
    wait_until(lambda: net.balance(payee) == 5_000, "it is posted in the end")


def test_it_does_not_matter_which_process_holds_the_lease(
    net: Devnet, party: Party, payee: str, tmp_path: Path
) -> None:
    party.funds.send(1, payee)
    with party_on(net, tmp_path / "wallet", party.wallet.key, funds=0) as other:
        unit = other.funds.send(5_000, payee)
        assert net.balance(payee) == 5_001
        assert unit in {unit["unit"] for unit in sent_by(net, party)}
        fill_with_dust(net, party, 3)
        assert len(other.funds.consolidate().units) == 1
        moved = other.funds.sweep_out(payee)
        assert (len(moved.units), moved.obstacle) == (1, None)
    net.settle()
    assert net.balance(party.address) == 0
    assert len(sent_by(net, party)) == 4


@pytest.mark.parametrize(
    "arguments, code",
    [
        ({"amount": 0}, "wrong_amount"),
        ({"amount": True}, "wrong_amount"),
        ({"amount": 2**60}, "wrong_amount"),
        ({"address": "me"}, "wrong_parameters"),
        ({"asset": "gold"}, "wrong_asset"),
    ],
)
def test_what_makes_no_sense_is_refused(
    party: Party, payee: str, arguments: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        party.funds.send(**{"amount": 1, "address": payee, **arguments})
    assert refusal.value.code == code
    assert party._node._thread is None


def test_the_async_twin_does_the_same(net: Devnet, party: Party, payee: str) -> None:
    funds = AsyncParty(party).funds
    asset = net.issue_asset(1_000)
    fill_with_dust(net, party, 3, 7, asset)

    async def run() -> tuple[Any, ...]:
        return (
            (await funds.balance())["base"].stable,
            await funds.send(5_000, payee),
            await funds.consolidate(asset),
            await funds.sweep_out(payee),
            await funds.history(),
        )

    balance, unit, consolidated, swept, history = asyncio.run(run())
    assert balance == 1_000_000
    sent = [unit, *consolidated.units, *swept.units]
    assert [transaction.unit for transaction in history][-4:] == sent
    net.settle()
    assert (net.balance(payee, asset), net.balance(party.address)) == (21, 0)


# --- consolidating ---------------------------------------------------------------------------------------------------


def test_many_coins_become_one_in_as_many_units_as_it_takes(net: Devnet, party: Party) -> None:
    fill_with_dust(net, party, 2 * MANY)
    moved = party.funds.consolidate()
    assert (len(moved.units), moved.obstacle) == (3, None)
    assert coins_of(party) == 1
    net.settle()
    assert party.funds.balance()["base"].stable == net.balance(party.address)
    assert net.balance(party.address) == 1_000_000 + 2 * MANY * DUST - fees_of(sent_by(net, party))
    assert party.funds.consolidate() == Moved(())


def test_coins_of_an_asset_become_one(net: Devnet, party: Party) -> None:
    asset = net.issue_asset(1_000)
    fill_with_dust(net, party, 100, 7, asset)
    assert len(party.funds.consolidate(asset).units) == 2
    assert coins_of(party, asset) == 1
    net.settle()
    assert net.balance(party.address, asset) == 700


def test_consolidating_leaves_the_reserve_or_says_why_not(net: Devnet, tmp_path: Path) -> None:
    with party_on(net, tmp_path / "poor", funds=0) as party:
        fill_with_dust(net, party, 20)
        with pytest.raises(NotSent, match="held back"):
            party.funds.consolidate()
        assert sent_by(net, party) == []


def test_a_payment_that_takes_too_many_coins_consolidates_them_first(
    net: Devnet, tmp_path: Path, payee: str
) -> None:
    with party_on(net, tmp_path / "dust", funds=0) as party:
        fill_with_dust(net, party, 2 * MANY)
        party.funds.send(300_000, payee)
        net.settle()
        assert net.balance(payee) == 300_000
        units = sent_by(net, party)
        assert len(units) == 3
        assert net.balance(party.address) == 2 * MANY * DUST - 300_000 - fees_of(units)


def test_a_payment_in_an_asset_consolidates_its_coins_and_the_bytes_for_the_fees(
    net: Devnet, tmp_path: Path, payee: str
) -> None:
    with party_on(net, tmp_path / "dust", funds=0) as party:
        asset = net.issue_asset(10_000)
        fill_with_dust(net, party, MANY, 7, asset)
        fill_with_dust(net, party, 3 * MANY, 350)
        party.wallet.refresh()
        party._node._spending = replace(party._node._spending, reserve=0)
        party.funds.send(7 * MANY, payee, asset)
        assert net.balance(payee, asset) == 7 * MANY


def test_dust_that_cannot_pay_for_it_keeps_nothing_waiting(net: Devnet, tmp_path: Path, payee: str) -> None:
    with party_on(net, tmp_path / "dust", funds=0) as party:
        fill_with_dust(net, party, 200, 95)
        with pytest.raises(NotSent, match="too small to pay for being moved"):
            party.funds.send(400, payee)
        assert sent_by(net, party) == []


def test_a_consolidation_that_is_refused_is_sent_before_another_is_made(
    net: Devnet, tmp_path: Path, payee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_post = LightClient.post
    refusals = iter(range(4))

    def post(self: LightClient, unit: Unit, **options: Any) -> None:
        if next(refusals, None) is not None:
            raise HubRefused("last ball is too old")
        really_post(self, unit, **options)

    with party_on(net, tmp_path / "dust", funds=0) as party:
        fill_with_dust(net, party, MANY)
        monkeypatch.setattr(LightClient, "post", post)
        party._node._spending = replace(party._node._spending, reserve=0)
        with books_in(tmp_path / "dust") as books:
            decide_withdrawal(books, 160_000, payee)
        party.start_node()
        wait_until(lambda: net.balance(payee) == 160_000, "it is paid in the end")
        assert len(sent_by(net, party)) == 2


def test_a_channel_can_be_closed_by_a_wallet_full_of_dust(net: Devnet, tmp_path: Path) -> None:
    """A close costs more than as many of these coins bring as a unit can spend. It may use up the reserve for it."""
    merchant = merchant_on(net, tmp_path / "merchant", funds=0, reserve=29_000)
    fill_with_dust(net, merchant, 400, 150)
    with merchant, customer_on(net, tmp_path / "customer", merchant.address) as customer:
        pay(customer, merchant, 40_000)
        wait_until_open(customer, merchant)
        merchant.sweep(customer.aa_address)
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
        assert len(sent_by(net, merchant)) == 2
    customer.wallet.close()
    merchant.wallet.close()


# --- sweeping out ----------------------------------------------------------------------------------------------------


def test_everything_goes_assets_first_and_of_bytes_all_less_the_fees(
    net: Devnet, party: Party, payee: str
) -> None:
    asset = net.issue_asset(1_000)
    fill_with_dust(net, party, 100, 7, asset)
    fill_with_dust(net, party, MANY)
    net.fund(party.address, 89)  # worth no more than its input
    net.settle()
    moved = party.funds.sweep_out(payee)
    assert (len(moved.units), moved.obstacle) == (4, None)
    net.settle()
    assert (net.balance(payee, asset), net.balance(party.address, asset)) == (700, 0)
    assert net.balance(party.address) == 89
    assert net.balance(payee) == 1_000_000 + MANY * DUST - fees_of(sent_by(net, party))
    assert party.funds.sweep_out(payee) == Moved(())


def test_what_others_sent_and_is_not_final_stays(net: Devnet, party: Party, payee: str) -> None:
    net.hold()
    net.fund(party.address, 7_000)
    party.funds.sweep_out(payee)
    balance = party.funds.balance()["base"]
    assert (balance.stable, balance.pending) == (0, 7_000)


def test_dust_that_does_not_pay_for_its_own_unit_stays_and_that_is_said(
    net: Devnet, party: Party, payee: str
) -> None:
    fill_with_dust(net, party, 105, 95)
    moved = party.funds.sweep_out(payee)
    assert len(moved.units) == 1
    assert moved.obstacle is not None and "is needed" in moved.obstacle


def test_a_wallet_whose_money_does_not_pay_the_fee_says_so(net: Devnet, tmp_path: Path, payee: str) -> None:
    with party_on(net, tmp_path / "poor", funds=0) as party:
        fill_with_dust(net, party, 1, 300)
        with pytest.raises(NotSent, match="is needed"):
            party.funds.sweep_out(payee)


def test_a_refused_unit_is_replaced_by_one_that_moves_the_same(net: Devnet, party: Party, payee: str) -> None:
    net.refuse_next("last ball is too old")
    assert len(party.funds.sweep_out(payee).units) == 1
    net.settle()
    assert net.balance(payee) == 1_000_000 - fees_of(sent_by(net, party))
    assert len(sent_by(net, party)) == 1


def test_nothing_is_swept_out_while_something_has_yet_to_be_paid(
    net: Devnet, party: Party, payee: str, tmp_path: Path
) -> None:
    with books_in(tmp_path / "wallet") as books:
        decide_withdrawal(books, 5_000_000, payee)
    with pytest.raises(ReserveNeeded, match="a withdrawal has yet to be sent"):
        party.funds.sweep_out(payee)
    assert sent_by(net, party) == []


def test_the_wallets_own_address_is_no_place_to_sweep_out_to(party: Party) -> None:
    with pytest.raises(Refusal) as refusal:
        party.funds.sweep_out(party.address)
    assert refusal.value.code == "wrong_parameters"


def test_nothing_is_swept_out_while_a_channel_is_not_closed(net: Devnet, tmp_path: Path, payee: str) -> None:
    with (
        merchant_on(net, tmp_path / "merchant") as merchant,
        customer_on(net, tmp_path / "customer", merchant.address) as customer,
    ):
        net.hold()
        open_channel(customer)
        with pytest.raises(ReserveNeeded, match="a deposit is on its way"):
            customer.funds.sweep_out(payee)
        net.release()
        pay(customer, merchant, 40_000)
        wait_until_open(customer, merchant)
        for side in (customer, merchant):
            with pytest.raises(ReserveNeeded, match="1 channels are not closed") as refusal:
                side.funds.sweep_out(payee)
            assert refusal.value.code == "reserve_needed"
        customer.close()
        wait_until(lambda: customer.balance().period == 2, "the period has ended")
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the merchant sees it, too")
        assert merchant.funds.sweep_out(payee).obstacle is None
    for side in (customer, merchant):
        side.wallet.close()
    net.settle()
    assert net.balance(merchant.address) == 0


def test_sweeping_out_ends_the_refills_that_would_take_the_money(
    net: Devnet, tmp_path: Path, payee: str
) -> None:
    with merchant_on(net, tmp_path / "merchant") as merchant:
        with customer_on(net, tmp_path / "customer", merchant.address) as customer:
            pay(customer, merchant, 40_000)
            wait_until_open(customer, merchant)
            customer.close()
            wait_until(lambda: len(customer.settled_periods()) == 1, "the channel is closed")
            aa_address, key = customer.aa_address, customer.wallet.key
        customer.wallet.close()
        with books_in(tmp_path / "customer") as books:
            record = books.channels.get(aa_address)
            assert record is not None and record.channel.status is Status.CLOSED
            books.channels.set_refill(aa_address, Refill(100_000, 20_000))
        with party_on(net, tmp_path / "customer", key, funds=0) as party:
            party.funds.sweep_out(payee)
            net.settle()
            assert net.balance(party.address) == 0
    merchant.wallet.close()


def test_a_channel_that_the_books_do_not_know_as_open_yet_stops_it_once_the_ledger_is_seen(
    net: Devnet, tmp_path: Path, payee: str
) -> None:
    """The merchant was away while its customer opened the channel again."""
    merchant = merchant_on(net, tmp_path / "merchant")
    with merchant, customer_on(net, tmp_path / "customer", merchant.address) as customer:
        pay(customer, merchant, 40_000)
        wait_until_open(customer, merchant)
        customer.close()
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
        merchant.close_node()
        customer.create_payment_package(1_000)
        wait_until(lambda: customer.balance().status is Status.OPEN, "the channel is open again")
        net.settle()
        with (
            party_on(net, tmp_path / "merchant", merchant.wallet.key, funds=0) as party,
            pytest.raises(NotSent, match="1 channels are not closed"),
        ):
            party.funds.sweep_out(payee)
    customer.wallet.close()
    merchant.wallet.close()
    assert net.balance(payee) == 0


def test_what_was_not_swept_out_in_time_is_left_alone(
    net: Devnet, party: Party, payee: str, tmp_path: Path
) -> None:
    """A process that died; what came since was not meant."""
    with books_in(tmp_path / "wallet") as books:
        long_ago = int(time.time()) - GATHERING_SECONDS - 1
        number = books.outbox.add(
            OutboxKind.SWEEP_OUT,
            aa_address=None,
            period=None,
            details=details_of_gathering("base", payee),
            now=long_ago,
        )
    party.start_node()
    party.funds.send(7, payee)
    with books_in(tmp_path / "wallet") as books:
        assert books.outbox.get(number).state is OutboxState.FAILED  # type: ignore[union-attr]
    assert net.balance(payee) == 7
