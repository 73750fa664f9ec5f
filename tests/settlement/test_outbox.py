"""The outbox when the hub refuses, loses or forgets what it is sent, and when the ledger is faster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import Status
from paypercall.client import Client
from paypercall.contract import TriggerKind, close_draft, read_trigger
from paypercall.devnet import Devnet
from paypercall.obyte.composer import Parents
from paypercall.obyte.errors import HubRefused
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.unit import Unit
from paypercall.obyte.wallet import Wallet
from paypercall.results import ChannelTimeout
from paypercall.server import Server
from paypercall.settlement import outbox, repetition
from paypercall.settlement.upkeep import add_deposit, decide_to_close
from paypercall.store import Books, OutboxKind, OutboxState, Store
from tests.devnet.raw_client import RawClient
from tests.hub_proxy import Arrival, Back, Fault, Frame, HubProxy, instead_of_requests
from tests.parties import conf_for, customer_on, parameters_of, pay, wait_until, wait_until_open
from tests.settlement.faults import POST


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


def swallowing(is_swallowed: Callable[[Unit], bool], swallowed: list[Unit]) -> Fault:
    """The hub keeps the first such unit to itself, and says from then on that it has it."""

    def answer(frame: Frame) -> Sequence[Arrival] | None:
        unit = frame.body["params"]["unit"]
        if not swallowed and is_swallowed(unit):
            swallowed.append(unit)
            return [Back(frame.answer("accepted"))]
        if swallowed and unit["unit"] == swallowed[0]["unit"]:
            return [Back(frame.answer({"error": "known"}))]
        return None

    return instead_of_requests(POST, answer)


def test_a_unit_that_hubs_say_they_have_and_that_never_becomes_stable_is_replaced_and_paid_once(
    net: Devnet, payee: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "REPOST_SECONDS", 0)
    monkeypatch.setattr(repetition, "HANGING_SECONDS", 2)
    swallowed: list[Unit] = []
    with (
        HubProxy(net.url) as line,
        line.fault(swallowing(lambda unit: True, swallowed)),
        closing(wallet_through(net, line)) as wallet,
        server_of(net, wallet, tmp_path) as payer,
    ):
        payer.withdraw(5_000, payee)
        wait_until(lambda: net.balance(payee) == 5_000, "another unit has taken its place")
        wait_until(lambda: is_idle(tmp_path / "payer"), "its row is finished")
    with RawClient(net) as line_of_another:
        # The first one comes to light after all.
        line_of_another.ask(POST, {"unit": swallowed[0]})
    net.settle()
    assert net.balance(payee) == 5_000


def test_a_unit_that_the_ledger_has_and_that_takes_long_is_kept_and_paid_once(
    net: Devnet,
    merchant: Server,
    payee: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(outbox, "REPOST_SECONDS", 0)
    monkeypatch.setattr(repetition, "HANGING_SECONDS", 1)
    caplog.set_level("INFO")
    net.hold()
    merchant.withdraw(5_000, payee)
    with books_in(tmp_path / "merchant") as books:
        (row,) = books.outbox.unfinished()
    assert row.unit is not None
    wait_until(lambda: f"unit {row.unit['unit']} is kept" in caplog.text, "it was to be replaced")
    monkeypatch.undo()
    net.settle()
    wait_until(lambda: is_idle(tmp_path / "merchant"), "its row is finished")
    assert net.balance(payee) == 5_000
    assert net.sequence(row.unit["unit"]) == "good"


def test_a_fraud_proof_that_a_hub_says_it_has_and_keeps_to_itself_is_replaced_before_the_timeout_has_passed(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "REPOST_SECONDS", 0)
    timeout = 12
    limits = {"min_channel_timeout_in_seconds": timeout, "default_timeout_in_seconds": timeout}
    swallowed: list[Unit] = []
    is_proof = partial(gives, "fraud_proof")
    with ExitStack() as stack:
        line = stack.enter_context(HubProxy(net.url))
        stack.enter_context(line.fault(swallowing(is_proof, swallowed)))
        wallet = stack.enter_context(closing(wallet_through(net, line)))
        merchant = stack.enter_context(server_of(net, wallet, tmp_path, **limits))
        customer = stack.enter_context(customer_on(net, tmp_path / "customer", merchant.address, **limits))
        pay(customer, merchant, 60_000)
        wait_until_open(customer, merchant)
        lie = close_draft(
            parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
        )
        customer.wallet.post(customer.wallet.compose(lie))
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
        assert merchant.settled_periods()[0].is_fraud_proven
        stack.callback(customer.wallet.close)
    assert swallowed


def test_a_close_that_a_hub_keeps_to_itself_does_not_keep_the_answer_to_the_peers_from_its_coins(
    net: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another close would bounce: the coins come back by a unit that tells the agent nothing."""
    monkeypatch.setattr(outbox, "REPOST_SECONDS", 0)
    timeout = 20
    limits = {"min_channel_timeout_in_seconds": timeout, "default_timeout_in_seconds": timeout}
    swallowed: list[Unit] = []
    with ExitStack() as stack:
        line = stack.enter_context(HubProxy(net.url))
        stack.enter_context(line.fault(swallowing(partial(gives, "close"), swallowed)))
        wallet = stack.enter_context(closing(wallet_through(net, line)))
        merchant = stack.enter_context(server_of(net, wallet, tmp_path, **limits))
        customer = stack.enter_context(customer_on(net, tmp_path / "customer", merchant.address, **limits))
        stack.callback(customer.wallet.close)
        pay(customer, merchant, 40_000)
        wait_until_open(customer, merchant)
        with books_in(tmp_path / "payer") as books:
            assert decide_to_close(books, customer.aa_address, now=int(time.time()))
        wait_until(lambda: bool(swallowed), "the close is kept from the ledger")
        customer.close()
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the period has ended")
        wait_until(lambda: is_idle(tmp_path / "payer"), "all is done")
        assert triggers_of(net, merchant, customer) == [TriggerKind.CONFIRM]
        with books_in(tmp_path / "payer") as books:
            close, _ = books.outbox.of_period(customer.aa_address, 1)
    assert (close.kind, close.state, len(close.units)) == (OutboxKind.CLOSE, OutboxState.STABLE, 2)


def gives(command: str, unit: Unit) -> bool:
    """Whether a unit gives an agent a command."""
    return any(message["app"] == "data" and command in message["payload"] for message in unit["messages"])


def wallet_through(net: Devnet, line: HubProxy) -> Wallet:
    """A wallet with bytes in it, on a line."""
    key = key_from_mnemonic(new_mnemonic())
    net.fund(key.address, 1_000_000)
    net.settle()
    return Wallet(key, LightClient(Hub(line.url, net.network), net.network), max_tps_fee=20_000)


def server_of(net: Devnet, wallet: Wallet, folder: Path, **settings: Any) -> Server:
    return Server(wallet=wallet, conf=conf_for(net, folder / "payer", **settings))


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
