"""Units that their payee is to post: the wallet that made them never loses a coin, nor pays twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from paypercall.asynchronous import AsyncParty
from paypercall.errors import Refusal
from paypercall.funds import NotSent
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.errors import HubRefused
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.unit import Unit
from paypercall.obyte.wallet import Wallet
from paypercall.party import Party
from paypercall.paywall import Running
from paypercall.results import ChannelTimeout
from paypercall.settlement.commands import details_of_unit_payment
from paypercall.settlement.gathering import GATHERING_SECONDS
from paypercall.settlement.outbox import HANDOVER_SECONDS
from paypercall.store import OutboxKind, OutboxRow, OutboxState
from paypercall.unit_payer import PreparedUnit, UnitSpent
from tests.methods.ledger_shop import PRICE, LedgerShop, code_of, open_ledger_shop, pass_on
from tests.parties import conf_for, wait_until, wallet_on

FUNDS = 1_000_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[LedgerShop]:
    with open_ledger_shop(tmp_path) as shop:
        yield shop


def sent_by(shop: LedgerShop, party: Party) -> list[str]:
    units = [joint["unit"] for joint in shop.net.units()]
    return [unit["unit"] for unit in units if unit["authors"][0]["address"] == party.address]


def row_of(party: Party, number: int) -> OutboxRow:
    with party.store.reading() as books:
        row = books.outbox.get(number)
    assert row is not None
    return row


def state_of(party: Party, unit: PreparedUnit) -> OutboxState:
    return row_of(party, unit.number).state


@contextmanager
def wallet_of(shop: LedgerShop, key: Key, funds: int) -> Iterator[Wallet]:
    wallet = wallet_on(shop.net, key, funds)
    yield wallet
    wallet.close()


def test_a_prepared_unit_is_left_to_its_payee_and_ends_as_stable(shop: LedgerShop) -> None:
    unit = shop.prepare()
    assert shop.customer.unit_payer.prepared() == [unit]
    assert sent_by(shop, shop.customer) == []
    shop.sell(unit)
    shop.net.settle()
    wait_until(lambda: state_of(shop.customer, unit) is OutboxState.STABLE, "the unit is final")
    assert shop.net.balance(shop.payee) == FUNDS + PRICE


@pytest.mark.parametrize("is_final", [False, True])
def test_a_unit_is_listed_until_it_is_done_with_though_it_is_final(shop: LedgerShop, is_final: bool) -> None:
    unit, other = shop.prepare(), shop.prepare()
    payer = shop.customer.unit_payer
    if is_final:
        pass_on(shop.net, unit.payment.unit)
        shop.net.settle()
        wait_until(lambda: state_of(shop.customer, unit) is OutboxState.STABLE, "the unit is final")
    assert payer.prepared() == [unit, other]
    shop.sell(payer.prepared()[0])
    for _ in range(2):
        payer.done(unit)
    assert payer.prepared() == [other]
    shop.net.settle()
    wait_until(lambda: state_of(shop.customer, unit) is OutboxState.STABLE, "the unit is final")
    assert payer.prepared() == [other]


def test_neither_unit_nor_secret_is_in_a_repr(shop: LedgerShop) -> None:
    unit = shop.prepare()
    assert unit.payment.secret not in repr(unit)
    assert unit.payment.unit["authors"][0]["authentifiers"]["r"] not in repr(unit) + repr(unit.payment)


def test_the_coins_of_a_prepared_unit_are_not_spent_by_another_one(shop: LedgerShop) -> None:
    unit = shop.prepare()
    payee = key_from_mnemonic(new_mnemonic()).address
    sent = shop.customer.funds.send(5_000, payee)
    # It was posted first, since the other one had to be composed upon it.
    assert sent_by(shop, shop.customer) == [unit.payment.hash, sent]
    shop.sell(unit)
    shop.net.settle()
    assert (shop.net.balance(payee), shop.net.balance(shop.payee)) == (5_000, FUNDS + PRICE)
    assert {shop.net.sequence(posted) for posted in sent_by(shop, shop.customer)} == {"good"}


def test_two_units_that_are_prepared_one_after_the_other_both_buy_something(shop: LedgerShop) -> None:
    units = [shop.prepare(), shop.prepare()]
    for number, unit in enumerate(units):
        shop.sell(unit, path=f"/{number}")
    shop.net.settle()
    assert shop.net.balance(shop.payee) == FUNDS + 2 * PRICE


def test_a_unit_that_nobody_posts_is_posted_after_a_while(
    shop: LedgerShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = shop.prepare()
    monkeypatch.setattr("paypercall.settlement.outbox.HANDOVER_SECONDS", 0)
    shop.customer._node.wake()
    wait_until(lambda: shop.is_posted(unit.payment.hash), "the unit is posted")
    assert HANDOVER_SECONDS > 0
    shop.sell(unit)


def test_a_refused_unit_is_taken_back_and_then_buys_nothing(shop: LedgerShop) -> None:
    unit = shop.prepare(PRICE - 1)
    assert code_of(shop.ask(unit)) == (402, "underpaid")
    shop.customer.unit_payer.take_back(unit)
    assert shop.customer.unit_payer.prepared() == []
    (instead,) = sent_by(shop, shop.customer)
    assert instead != unit.payment.hash
    assert code_of(shop.ask(unit, price=PRICE - 1)) == (402, "unit_refused")
    shop.net.settle()
    wait_until(lambda: state_of(shop.customer, unit) is OutboxState.STABLE, "the other unit is final")
    shop.customer.unit_payer.take_back(unit)
    assert shop.customer.unit_payer.prepared() == []
    assert shop.net.balance(shop.payee) == FUNDS
    assert shop.net.balance(shop.customer.address) > FUNDS - 1_000
    shop.sell(shop.prepare())


@pytest.mark.parametrize("is_seen_before", [True, False])
def test_a_unit_that_wins_against_what_takes_it_back_is_told_and_listed_again(
    shop: LedgerShop, is_seen_before: bool
) -> None:
    shop.net.hold()
    unit, payer = shop.prepare(), shop.customer.unit_payer
    pass_on(shop.net, unit.payment.unit)
    if is_seen_before:
        with pytest.raises(ChannelTimeout):
            payer.take_back(unit, timeout=0.1)
        assert payer.prepared() == []
    shop.net.settle()
    for _ in range(2):
        with pytest.raises(UnitSpent):
            payer.take_back(unit)
    assert sent_by(shop, shop.customer) == [unit.payment.hash]
    assert shop.net.balance(shop.payee) == FUNDS + PRICE
    assert payer.prepared() == [unit]
    shop.sell(payer.prepared()[0])


def test_taking_back_twice_costs_the_fees_once(shop: LedgerShop) -> None:
    unit = shop.prepare()
    for _ in range(2):
        shop.customer.unit_payer.take_back(unit)
    assert len(sent_by(shop, shop.customer)) == 1


def test_a_unit_that_is_final_is_not_taken_back(shop: LedgerShop) -> None:
    unit = shop.prepare()
    shop.sell(unit)
    shop.net.settle()
    wait_until(lambda: state_of(shop.customer, unit) is OutboxState.STABLE, "the unit is final")
    with pytest.raises(UnitSpent):
        shop.customer.unit_payer.take_back(unit)
    assert len(sent_by(shop, shop.customer)) == 1


def test_a_unit_that_has_lost_to_another_one_needs_not_be_taken_back(shop: LedgerShop) -> None:
    shop.net.hold()
    unit = shop.prepare()
    with wallet_of(shop, shop.customer.wallet.key, 0) as same_wallet:
        rival = same_wallet.compose(Draft({"base": (Output(shop.customer.address, 1_000),)}))
    assert isinstance(shop.ask(unit), Running)
    pass_on(shop.net, rival)
    shop.net.favour(rival["unit"])
    shop.net.settle()
    wait_until(lambda: state_of(shop.customer, unit) is OutboxState.FAILED, "the unit has lost")
    shop.customer.unit_payer.take_back(unit)
    assert shop.customer.unit_payer.prepared() == []
    assert set(sent_by(shop, shop.customer)) == {unit.payment.hash, rival["unit"]}


def test_a_unit_that_the_hub_refuses_its_payer_is_taken_back_instead_of_paid_anew(
    shop: LedgerShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = shop.prepare()
    shop.net.refuse_next("no")
    monkeypatch.setattr("paypercall.settlement.outbox.HANDOVER_SECONDS", 0)
    shop.customer._node.wake()
    wait_until(lambda: len(sent_by(shop, shop.customer)) == 1, "another unit is posted")
    assert not shop.is_posted(unit.payment.hash)
    assert shop.net.balance(shop.payee) == FUNDS
    assert shop.customer.unit_payer.prepared() == []


def test_that_a_unit_was_used_is_kept_though_the_hub_refuses_it_at_that_moment(
    shop: LedgerShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit, payer = shop.prepare(), shop.customer.unit_payer
    really_post = LightClient.post

    def post(self: LightClient, posted: Unit, *, to_all_hubs: bool = False) -> None:
        if posted["unit"] == unit.payment.hash:
            payer.done(unit)
            raise HubRefused("last ball is too old")
        really_post(self, posted, to_all_hubs=to_all_hubs)

    monkeypatch.setattr(LightClient, "post", post)
    monkeypatch.setattr("paypercall.settlement.outbox.HANDOVER_SECONDS", 0)
    shop.customer._node.wake()
    wait_until(lambda: row_of(shop.customer, unit.number).details["is_taken_back"], "it is taken back")
    assert row_of(shop.customer, unit.number).is_done_with


def test_after_a_restart_the_unit_is_there_its_coins_are_kept_and_it_buys_what_it_was_made_for(
    shop: LedgerShop, tmp_path: Path
) -> None:
    key = key_from_mnemonic(new_mnemonic())
    folder = tmp_path / "restarted"
    with wallet_of(shop, key, FUNDS) as wallet, Party(conf_for(shop.net, folder), wallet) as before:
        unit = before.unit_payer.prepare(PRICE, shop.payee)
    with wallet_of(shop, key, 0) as wallet, Party(conf_for(shop.net, folder), wallet) as after:
        assert after.unit_payer.prepared() == [unit]
        after.funds.send(1_000, shop.customer.address)
        shop.sell(unit)
        shop.net.settle()
        wait_until(lambda: state_of(after, unit) is OutboxState.STABLE, "the unit is final")
        assert shop.net.balance(shop.payee) == FUNDS + PRICE


def test_what_cannot_be_paid_is_not_prepared_and_not_later_either(shop: LedgerShop) -> None:
    with pytest.raises(NotSent):
        shop.prepare(2 * FUNDS)
    with shop.customer.store.reading() as books:
        assert books.outbox.unfinished() == []
    with pytest.raises(Refusal):
        shop.prepare(0)
    with pytest.raises(Refusal):
        shop.prepare(PRICE, "x")
    shop.net.fund(shop.customer.address, 3 * FUNDS)
    shop.net.settle()
    shop.sell(shop.prepare())
    assert len(sent_by(shop, shop.customer)) == 1


def test_what_was_decided_by_a_process_that_died_is_not_signed_much_later(shop: LedgerShop) -> None:
    details = details_of_unit_payment(shop.payee, PRICE, "base", "s" * 43)
    with shop.customer.store.transaction() as books:
        number = books.outbox.add(
            OutboxKind.UNIT_PAYMENT,
            aa_address=None,
            period=None,
            details=details,
            now=int(time.time()) - GATHERING_SECONDS - 1,
        )
    shop.customer._node.wake()
    wait_until(lambda: row_of(shop.customer, number).state is OutboxState.FAILED, "the row is given up")
    assert row_of(shop.customer, number).units == ()


def test_an_async_party_prepares_and_takes_back_alike(shop: LedgerShop) -> None:
    async def pay() -> None:
        payer = AsyncParty(shop.customer).unit_payer
        unit = await payer.prepare(PRICE, shop.payee)
        assert [prepared.number for prepared in await payer.prepared()] == [unit.number]
        await payer.take_back(unit)
        assert await payer.prepared() == []
        unit = await payer.prepare(PRICE, shop.payee)
        await payer.done(unit)
        assert await payer.prepared() == []

    asyncio.run(pay())
