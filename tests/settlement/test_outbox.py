"""The outbox when the hub refuses, loses or forgets what it is sent, and when the ledger is faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.contract import TriggerKind, close_draft, read_trigger
from paypercall.devnet import Devnet
from paypercall.obyte.composer import Parents
from paypercall.obyte.errors import HubRefused
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.unit import Unit
from paypercall.results import ChannelTimeout
from paypercall.server import Server
from paypercall.settlement import outbox
from paypercall.settlement.upkeep import add_deposit, decide_to_close
from paypercall.store import Books, OutboxKind, OutboxState, Store
from tests.parties import parameters_of, pay, wait_until, wait_until_open


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "LONGEST_PAUSE", 0)


@pytest.fixture
def payee() -> str:
    return key_from_mnemonic(new_mnemonic()).address


@contextmanager
def books_in(folder: Path) -> Iterator[Books]:
    store = Store(f"sqlite:///{folder}/paypercall.sqlite")
    with store.transaction() as books:
        yield books
    store.close()


def is_idle(folder: Path) -> bool:
    """Whether nothing is left to send."""
    with books_in(folder) as books:
        return not books.outbox.unfinished()


def triggers_of(net: Devnet, party: Client | Server, customer: Client) -> list[TriggerKind]:
    """What a party has sent to the customer's channel, in order."""
    with customer._store.reading() as books:
        record = books.channels.get(customer.aa_address)
    assert record is not None
    triggers = (read_trigger(record.channel.parameters, joint["unit"]) for joint in net.units())
    return [trigger.kind for trigger in triggers if trigger and trigger.sender == party.address]


def test_a_withdrawal_whose_units_are_refused_again_and_again_is_paid_once(
    net: Devnet, merchant: Server, payee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each unit is refused for good, as one whose parents are too old; all of them spend the same coin."""
    really_post = LightClient.post
    refused: dict[str, Unit] = {}

    def post(self: LightClient, unit: Unit, *, to_all_hubs: bool = False) -> None:
        if unit["unit"] in refused or len(refused) < 4:
            refused[unit["unit"]] = unit
            raise HubRefused("last ball is too old")
        really_post(self, unit, to_all_hubs=to_all_hubs)

    monkeypatch.setattr(LightClient, "post", post)
    merchant.withdraw(5_000, payee)
    net.settle()
    assert net.balance(payee) == 5_000
    (paid,) = (
        joint["unit"] for joint in net.units() if joint["unit"]["authors"][0]["address"] == merchant.address
    )
    spent = [inputs_of(unit) for unit in (*refused.values(), paid)]
    assert len(spent) == 5
    assert frozenset.intersection(*spent)


def test_a_new_unit_that_is_refused_is_replaced_at_once(
    net: Devnet, tmp_path: Path, merchant: Server, payee: str
) -> None:
    net.hold()
    net.refuse_next("last ball is too old")
    merchant.withdraw(5_000, payee)
    with books_in(tmp_path / "merchant") as books:
        (row,) = books.outbox.unfinished()
    assert (row.state, row.attempts) == (OutboxState.POSTED, 0)


def inputs_of(unit: Unit) -> frozenset[tuple[str, int, int]]:
    return frozenset(
        (source["unit"], source["message_index"], source["output_index"])
        for message in unit["messages"]
        if message["app"] == "payment"
        for source in message["payload"]["inputs"]
    )


def test_a_refused_unit_does_not_keep_a_defence_from_its_coins(
    net: Devnet, merchant: Server, customer: Client, payee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wallet has one coin; a withdrawal that is signed, refused and now too dear must not hold it."""
    pay(customer, merchant, 40_000)
    wait_until_open(customer, merchant)
    really_post = LightClient.post
    refused: list[str] = []

    def post(self: LightClient, unit: Unit, *, to_all_hubs: bool = False) -> None:
        if not refused or unit["unit"] in refused:
            refused.append(unit["unit"])
            raise HubRefused("tps fee on address is too low")
        really_post(self, unit, to_all_hubs=to_all_hubs)

    with monkeypatch.context() as busy:
        busy.setattr(LightClient, "post", post)
        ask_tps_fee(merchant, lambda: 30_000 if refused else 0, busy)
        with pytest.raises(ChannelTimeout):
            merchant.withdraw(5_000, payee, timeout=1)
        lie = close_draft(
            parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
        )
        customer.wallet.post(customer.wallet.compose(lie))
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the channel is closed")
        assert merchant.settled_periods()[0].is_fraud_proven
        assert net.balance(payee) == 0
    wait_until(lambda: net.balance(payee) == 5_000, "the withdrawal is paid in the end")
    assert triggers_of(net, merchant, customer) == [TriggerKind.FRAUD_PROOF]


def ask_tps_fee(party: Client | Server, fee: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the hub ask for another TPS fee for what one party composes."""
    light = party.wallet.light

    def parents(*args: Any, **kwargs: Any) -> Parents:
        return replace(LightClient.parents(light, *args, **kwargs), tps_fee=fee())

    monkeypatch.setattr(light, "parents", parents)


def test_a_close_waits_until_its_fee_is_below_the_ordinary_limit(
    net: Devnet, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(customer, merchant, 40_000)
    wait_until_open(customer, merchant)
    with monkeypatch.context() as busy:
        ask_tps_fee(customer, lambda: 20_001, busy)
        with pytest.raises(ChannelTimeout):
            customer.close(timeout=1)
        assert triggers_of(net, customer, customer) == [TriggerKind.DEPOSIT]
    wait_until(lambda: len(customer.settled_periods()) == 1, "the channel is closed")


def test_an_answer_that_gives_something_back_may_cost_so_much_once_half_of_the_timeout_has_passed(
    net: Devnet,
    tmp_path: Path,
    merchant: Server,
    customer: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pay(customer, merchant, 40_000)
    wait_until_open(customer, merchant)
    customer.create_payment_package(27_000)  # never reaches the merchant
    ask_tps_fee(merchant, lambda: 25_000, monkeypatch)
    customer.close()

    def has_failed() -> bool:
        with books_in(tmp_path / "merchant") as books:
            return any(row.last_error for row in books.outbox.unfinished())

    wait_until(has_failed, "the answer is too dear as yet")
    net.advance(customer._conf.default_timeout_in_seconds // 2)
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the answer ends the period")
    with books_in(tmp_path / "merchant") as books:
        (row,) = books.outbox.of_period(customer.aa_address, 1)
    assert row.unit is not None
    assert (row.kind, row.details["owed_by_me"], row.unit["tps_fee"]) == (OutboxKind.CONFIRM, 27_000, 25_000)


def test_a_unit_that_the_hub_took_and_lost_is_replaced_when_it_refuses_it_later(
    net: Devnet, merchant: Server, payee: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "REPOST_SECONDS", 0)
    really_post = LightClient.post
    lost: list[str] = []

    def post(self: LightClient, unit: Unit, *, to_all_hubs: bool = False) -> None:
        if not lost:
            lost.append(unit["unit"])
        elif unit["unit"] in lost:
            raise HubRefused("last ball is too old")
        else:
            really_post(self, unit, to_all_hubs=to_all_hubs)

    monkeypatch.setattr(LightClient, "post", post)
    merchant.withdraw(5_000, payee)
    wait_until(lambda: net.balance(payee) == 5_000, "another unit has taken its place")


def test_a_command_for_a_period_that_has_ended_without_it_is_not_sent(
    net: Devnet, tmp_path: Path, merchant: Server, customer: Client
) -> None:
    """The agent would keep the bounce fee."""
    pay(customer, merchant, 40_000)
    wait_until_open(customer, merchant)
    merchant.close_node()
    with books_in(tmp_path / "merchant") as books:
        assert decide_to_close(books, customer.aa_address, now=0)
    customer.close()
    wait_until(lambda: customer.balance().status is Status.CLOSING, "the customer closes")
    net.advance(3660)
    customer._node.wake()
    wait_until(lambda: len(customer.settled_periods()) == 1, "the customer ends the period alone")
    merchant.start_node()
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the merchant sees it")
    wait_until(lambda: is_idle(tmp_path / "merchant"), "the decision is given up")
    with books_in(tmp_path / "merchant") as books:
        (row,) = books.outbox.of_period(customer.aa_address, 1)
    assert (row.state, row.units) == (OutboxState.FAILED, ())
    assert triggers_of(net, merchant, customer) == []


def test_a_deposit_waits_while_the_channel_closes(
    net: Devnet, tmp_path: Path, merchant: Server, customer: Client
) -> None:
    """The agent would send it back, less the bounce fee."""
    pay(customer, merchant, 40_000)
    wait_until_open(customer, merchant)
    customer.close_node()
    with books_in(tmp_path / "customer") as books:
        record = books.channels.lock(customer.aa_address)
        assert record is not None
        add_deposit(books, OutboxKind.REFILL, record.channel, 100_000, now=0)
        assert decide_to_close(books, customer.aa_address, now=0)
    customer.start_node()
    wait_until(lambda: customer.balance().period == 2, "the period has ended")
    wait_until(lambda: customer.balance().deposited_by_me == 100_000, "the deposit opens the next one")
    deposit, close = TriggerKind.DEPOSIT, TriggerKind.CLOSE
    assert triggers_of(net, customer, customer) == [deposit, close, deposit]
    assert not any(answer["bounced"] for answer in net.responses(customer.aa_address))


def test_a_refill_is_given_up_when_nothing_of_it_can_be_on_the_ledger_any_more(
    net: Devnet, tmp_path: Path, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wallet has one coin, which the close spends. A new unit would open the channel that was closed for good."""
    pay(customer, merchant, 40_000)
    wait_until_open(customer, merchant)
    channel = parameters_of(net, customer.aa_address)
    really_post = LightClient.post
    refused: list[str] = []

    def post(self: LightClient, unit: Unit, *, to_all_hubs: bool = False) -> None:
        trigger = read_trigger(channel, unit)
        is_refill = trigger is not None and trigger.kind is TriggerKind.DEPOSIT
        if unit["unit"] in refused or (is_refill and customer.balance().status is not Status.CLOSED):
            refused.append(unit["unit"])
            raise HubRefused("last ball is too old")
        really_post(self, unit, to_all_hubs=to_all_hubs)

    monkeypatch.setattr(LightClient, "post", post)
    with books_in(tmp_path / "customer") as books:
        record = books.channels.lock(customer.aa_address)
        assert record is not None
        add_deposit(books, OutboxKind.REFILL, record.channel, 100_000, now=0)
    customer._node.wake()
    wait_until(lambda: bool(refused), "the refill is refused")
    customer.close()
    wait_until(lambda: is_idle(tmp_path / "customer"), "all is done")
    with books_in(tmp_path / "customer") as books:
        refill, _ = books.outbox.of_period(customer.aa_address, 1)[-2:]
        assert books.deposits.pending(customer.aa_address) == 0
    assert (refill.kind, refill.state) == (OutboxKind.REFILL, OutboxState.FAILED)
    assert triggers_of(net, customer, customer) == [TriggerKind.DEPOSIT, TriggerKind.CLOSE]
    wait_until(lambda: customer.balance().status is Status.CLOSED, "the period has ended")
