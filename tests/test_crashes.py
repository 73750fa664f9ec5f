"""A party is killed between any two steps from a decision to its end on the ledger: nothing is lost or paid twice.

Two lives lead through every kind of command. The process of one party is killed at the same step of each of them in
turn, and started again; the other party lives in the test. At the end every unit and every byte is accounted for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from paypercall.channel import Channel, Status
from paypercall.client import Client
from paypercall.contract import BOUNCE_FEE, ChannelParameters, TriggerKind, close_draft, read_trigger
from paypercall.demo.accounts import Ledger, SideOfBooks, account_for
from paypercall.devnet import Devnet
from paypercall.results import Payment
from paypercall.settlement import node
from paypercall.store import Books, OutboxKind, PeriodRecord, Store
from tests.crashing_party import UPKEEP_SECONDS
from tests.parties import customer_on, merchant_on, settings_for, wait_until
from tests.party_process import Died, PartyProcess

pytestmark = pytest.mark.slow

DEPOSIT = 100_000
TIMEOUT = 3600
WITHDRAWN = 5_000
PAID = 40_000

STEPS = [
    f"{when} {what}"
    for what in ("decided", "stored", "posted", "stable", "answered")
    for when in ("before", "after")
]
"""Before "stored" the unit is composed, before "posted" the hub has it, before "answered" the answer is stable."""


@pytest.fixture
def net() -> Iterator[Devnet]:
    with Devnet(speed=50) as net:
        yield net


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the party that lives in the test look after its channels as often as the other one does."""
    monkeypatch.setattr(node, "UPKEEP_SECONDS", UPKEEP_SECONDS)


# --- what the parties do ---------------------------------------------------------------------------------------------


def outlive(party: PartyProcess, next_step: str | None, call: str, **arguments: Any) -> Any:
    """Makes a call that its process dies of, now or soon, and starts the party again.

    Returns:
        The call's result, for which it is repeated if it was not answered the first time.
    """
    try:
        result, is_answered = party.call(call, **arguments), True
    except Died:
        result, is_answered = None, False
    party.wait_for_death()
    party.start(next_step)
    return result if is_answered else party.call(call, **arguments)


def close(party: PartyProcess, next_step: str | None, **arguments: Any) -> None:
    """Closes; when that had been decided before the party died, there may be nothing left to close."""
    result = outlive(party, next_step, "close", **arguments)
    assert result is None or result.code == "channel_closing", result


def withdraw(party: PartyProcess, step: str) -> None:
    """Withdraws once, and leaves the party doomed to die of its close.

    To its own address, because in the account nothing may go to strangers.
    """
    arguments = {"amount": WITHDRAWN, "address": party.address}
    if "answered" in step:
        # No agent answers a withdrawal.
        party.start()
        assert isinstance(party.call("withdraw", **arguments), str)
        party.start(f"{step} close")
        return
    try:
        assert isinstance(party.call("withdraw", **arguments), str)
    except Died:
        assert step != "after stable", "the call returns as soon as the unit is posted"
    party.wait_for_death()
    party.start(f"{step} close")
    if step == "before decided":
        assert isinstance(party.call("withdraw", **arguments), str)


def pay(customer: Client, merchant: PartyProcess, period: int) -> None:
    """Pays once in a period, and waits until the merchant sees it open."""
    wait_until(lambda: customer.balance().period == period, f"period {period} has begun")
    package = customer.create_payment_package(PAID)
    payment = merchant.call("verify_payment_package", package=package)
    assert (payment.amount, payment.error) == (PAID, None)
    wait_until(lambda: channel_of(merchant).status is Status.OPEN, "the merchant sees the channel open")


def lie(customer: Client, parameters: ChannelParameters, period: int) -> None:
    """Closes as a customer that claims to owe nothing, and keeps books of it: else they would be distrusted."""
    customer.wallet.refresh()
    draft = close_draft(parameters, period=period, transferred_from_me=0, sent_by_peer=None)
    unit = customer.wallet.compose(draft)
    with customer._store.transaction() as books:
        details = {"owed_by_me": 0, "sent_by_peer": None}
        row = books.outbox.add(
            OutboxKind.CLOSE, aa_address=parameters.aa_address, period=period, details=details, now=1
        )
        books.outbox.signed(row, unit, now=1)
        books.outbox.posted(row, now=1)
    customer.wallet.post(unit)


def outlive_what_it_does_by_itself(party: PartyProcess, next_step: str | None) -> None:
    """Waits until the party has died, and starts it again."""
    party.wait_for_death()
    party.start(next_step)


# --- what is to be seen ----------------------------------------------------------------------------------------------


@contextmanager
def books_at(database_url: str) -> Iterator[Books]:
    """A look at a party's books, whether it lives or not."""
    with closing(Store(database_url)) as store, store.reading() as books:
        yield books


def channel_of(party: PartyProcess) -> Channel:
    """The only channel of a party."""
    with books_at(party.database_url) as books:
        (record,) = books.channels.records(party.address)
        return record.channel


def count_periods(party: PartyProcess) -> int:
    with books_at(party.database_url) as books:
        return len(books.periods.all())


def is_idle(party: PartyProcess) -> bool:
    """Whether everything that the party ever decided has become stable."""
    with books_at(party.database_url) as books:
        return not books.outbox.unfinished()


def commands_of(net: Devnet, parameters: ChannelParameters) -> Counter[tuple[str, TriggerKind]]:
    """How often each side has sent what to the agent."""
    sides = {parameters.address_a: "merchant", parameters.address_b: "customer"}
    triggers = (read_trigger(parameters, joint["unit"]) for joint in net.units())
    return Counter((sides[trigger.sender], trigger.kind) for trigger in triggers if trigger)


def payouts_of(joint: dict[str, Any], address: str) -> list[int]:
    """What a unit pays to an address."""
    return [
        output["amount"]
        for message in joint["unit"].get("messages", [])
        if message["app"] == "payment"
        for output in message["payload"]["outputs"]
        if output["address"] == address
    ]


def audit(
    net: Devnet,
    parameters: ChannelParameters,
    merchant_url: str,
    customer_url: str,
    *,
    earned: int,
) -> list[PeriodRecord]:
    """Accounts for every unit and every byte on the ledger and in both databases.

    Args:
        net: The network.
        parameters: The channel's.
        merchant_url: The merchant's database.
        customer_url: The customer's.
        earned: What the merchant has accepted.

    Returns:
        The merchant's periods.
    """
    aa_address = parameters.aa_address
    units = [joint["unit"] for joint in net.units()]
    addresses = (parameters.address_a, parameters.address_b, aa_address)
    ledger = Ledger(units, {address: net.balance(address) for address in addresses})
    merchant = _side(parameters.address_a, merchant_url, aa_address, units)
    customer = _side(parameters.address_b, customer_url, aa_address, units)
    account = account_for(ledger, merchant, {aa_address: customer}, earned=earned)
    assert account.agents[0].left < 500, "no more than the agent must hold for its state"
    assert not any(response["bounced"] for response in net.responses(aa_address))
    return list(merchant.periods)


def _side(address: str, database_url: str, aa_address: str, units: list[dict[str, Any]]) -> SideOfBooks:
    mine = [unit["unit"] for unit in units if unit["authors"][0]["address"] == address]
    with books_at(database_url) as books:
        rows = {unit: books.outbox.by_unit(unit) for unit in mine}
        return SideOfBooks(
            address,
            periods=books.periods.all(),
            received={aa_address: books.payments.total_accepted(aa_address)},
            sent={unit: row.id for unit, row in rows.items() if row is not None},
        )


# --- the lives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_customer_may_die_at_any_step(net: Devnet, tmp_path: Path, step: str) -> None:
    with (
        merchant_on(net, tmp_path / "merchant") as merchant,
        PartyProcess(net, tmp_path / "customer", merchant.address) as customer,
    ):
        customer.start(f"{step} open")
        first = outlive(
            customer, f"{step} refill", "create_payment_package", amount=PAID, idempotency_key="first"
        )
        assert merchant.verify_payment_package(first).error is None
        second = outlive(
            customer, f"{step} withdrawal", "create_payment_package", amount=50_000, idempotency_key="second"
        )
        assert merchant.verify_payment_package(second).error is None
        withdraw(customer, step)
        wait_until(
            lambda: merchant.channels()[0].deposited_by_peer == 2 * DEPOSIT, "the channel is filled up"
        )
        close(customer, None)
        wait_until(lambda: count_periods(customer) == 1, "the period has ended")
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the merchant knows it")
        wait_until(lambda: is_idle(customer), "the customer has nothing left to do")
        parameters = channel_of(customer).parameters
    merchant.wallet.close()
    assert commands_of(net, parameters) == {
        ("customer", TriggerKind.DEPOSIT): 2,
        ("customer", TriggerKind.CLOSE): 1,
        ("merchant", TriggerKind.CONFIRM): 1,
    }
    withdrawals = [joint for joint in net.units() if WITHDRAWN in payouts_of(joint, customer.address)]
    assert len(withdrawals) == 1
    merchant_url = settings_for(net, tmp_path / "merchant")["database_url"]
    (period,) = audit(net, parameters, merchant_url, customer.database_url, earned=PAID + 50_000)
    assert period.deposited_by_peer == 2 * DEPOSIT


@pytest.mark.parametrize("step", STEPS)
def test_a_merchant_may_die_at_any_step(net: Devnet, tmp_path: Path, step: str) -> None:
    with PartyProcess(net, tmp_path / "merchant") as merchant:
        merchant.start(f"{step} close")
        assert merchant.call("channels") == []
        with customer_on(net, tmp_path / "customer", merchant.address) as customer:
            pay(customer, merchant, period=1)
            aa_address = customer.aa_address
            close(merchant, f"{step} confirm", aa_address=aa_address)
            pay(customer, merchant, period=2)
            customer.close()
            outlive_what_it_does_by_itself(merchant, None)
            pay(customer, merchant, period=3)
            customer.close_node()
            merchant.start(f"{step} confirm")
            merchant.call("close", aa_address=aa_address)
            wait_until(lambda: channel_of(merchant).status is Status.CLOSING, "the channel is closing")
            net.advance(TIMEOUT + 60)
            outlive_what_it_does_by_itself(merchant, f"{step} fraud_proof")
            wait_until(lambda: count_periods(merchant) == 3, "the merchant has confirmed its own close")
            customer.start_node()
            pay(customer, merchant, period=4)
            customer.close_node()
            parameters = channel_of(merchant).parameters
            lie(customer, parameters, period=4)
            outlive_what_it_does_by_itself(merchant, None)
            customer.start_node()
            pay(customer, merchant, period=5)
            customer.close()
            wait_until(lambda: len(customer.settled_periods()) == 5, "the last period has ended")
            wait_until(lambda: count_periods(merchant) == 5, "the merchant knows it")
            wait_until(lambda: is_idle(merchant), "the merchant has nothing left to do")
        customer.wallet.close()
    assert commands_of(net, parameters) == {
        ("customer", TriggerKind.DEPOSIT): 5,
        ("customer", TriggerKind.CLOSE): 3,
        ("customer", TriggerKind.CONFIRM): 1,
        ("merchant", TriggerKind.CLOSE): 2,
        ("merchant", TriggerKind.CONFIRM): 3,
        ("merchant", TriggerKind.FRAUD_PROOF): 1,
    }
    customer_url = settings_for(net, tmp_path / "customer")["database_url"]
    periods = audit(net, parameters, merchant.database_url, customer_url, earned=5 * PAID)
    assert [period.is_fraud_proven for period in periods] == [False, False, False, True, False]


# --- packages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_customer_may_die_before_it_hands_out_a_package(net: Devnet, tmp_path: Path, when: str) -> None:
    with (
        merchant_on(net, tmp_path / "merchant") as merchant,
        PartyProcess(net, tmp_path / "customer", merchant.address) as customer,
    ):
        customer.start(f"{when} signed package")
        with pytest.raises(Died):
            customer.call("create_payment_package", amount=30_000)
        customer.wait_for_death()
        customer.start(f"{when} signed package")
        with pytest.raises(Died):
            customer.call("create_payment_package", amount=20_000, idempotency_key="kept")
        customer.wait_for_death()
        customer.start()
        package = customer.call("create_payment_package", amount=20_000, idempotency_key="kept")
        lost = 30_000 if when == "after" else 0
        assert package["signed_message"]["amount_spent"] == lost + 20_000
        assert merchant.verify_payment_package(package).amount == 20_000
        again = customer.call("create_payment_package", amount=20_000, idempotency_key="kept")
        assert again == package
        wait_until(lambda: channel_of(customer).status is Status.OPEN, "the channel is open")
        assert customer.call("close") is None
        wait_until(lambda: count_periods(customer) == 1, "the period has ended")
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the merchant knows it")
        (period,) = merchant.settled_periods()
    merchant.wallet.close()
    assert (period.signed_by_peer, period.accepted_from_peer) == (lost + 20_000, 20_000)
    # What was signed and never handed out is given back; the merchant's payout is the smaller one, plus a bounce fee.
    assert period.signed_by_me == 0
    (ending,) = [joint for joint in net.units() if joint["unit"]["unit"] == period.unit]
    assert payouts_of(ending, merchant.address) == [20_000 + BOUNCE_FEE]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_merchant_may_die_before_it_answers_a_payment(net: Devnet, tmp_path: Path, when: str) -> None:
    with PartyProcess(net, tmp_path / "merchant") as merchant:
        merchant.start(f"{when} accepted package")
        assert merchant.call("channels") == []
        with customer_on(net, tmp_path / "customer", merchant.address) as customer:
            package = customer.create_payment_package(PAID)
            with pytest.raises(Died):
                merchant.call("verify_payment_package", package=package)
            merchant.wait_for_death()
            merchant.start()
            first: Payment = merchant.call("verify_payment_package", package=package)
            if when == "after":
                assert (first.amount, first.code) == (0, "duplicate")
                assert first.first is not None
                first = first.first
            assert (first.amount, first.error, first.aa_address) == (PAID, None, customer.aa_address)
            again: Payment = merchant.call("verify_payment_package", package=package)
            assert (again.amount, again.code, again.first) == (0, "duplicate", first)
        customer.wallet.close()
    with books_at(merchant.database_url) as books:
        assert books.payments.total_accepted(customer.aa_address) == PAID
    assert channel_of(merchant).accepted_from_peer == PAID


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_merchant_may_die_before_it_hands_out_a_refund(net: Devnet, tmp_path: Path, when: str) -> None:
    with PartyProcess(net, tmp_path / "merchant") as merchant:
        merchant.start(f"{when} signed package")
        assert merchant.call("channels") == []
        with customer_on(net, tmp_path / "customer", merchant.address) as customer:
            pay(customer, merchant, period=1)
            refund = {"amount": 5_000, "aa_address": customer.aa_address, "idempotency_key": "refund 1"}
            with pytest.raises(Died):
                merchant.call("create_payment_package", **refund)
            merchant.wait_for_death()
            merchant.start()
            package = merchant.call("create_payment_package", **refund)
            assert package["signed_message"]["amount_spent"] == 5_000
            assert customer.verify_payment_package(package).amount == 5_000
        customer.wallet.close()
    assert channel_of(merchant).signed_by_me == 5_000
