"""What a unit may pay as TPS fee, by what would be lost without it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from paypercall.channel import Channel, PendingClose, Status
from paypercall.obyte.amounts import BASE, MAX_CAP
from paypercall.settlement.outbox import bytes_in_reserve
from paypercall.settlement.spending import Spending, is_answer_pressing, tps_fee_limit
from paypercall.store import OutboxKind, OutboxRow, OutboxState, Store
from tests.two_sides import ASSET, CUSTOMER, PAYEE, TIMEOUT, channel_parameters

SPENDING = Spending(max_tps_fee=20_000, reserve=50_000)
CLOSED_AT = 1_000
EARLY, LATE = CLOSED_AT + TIMEOUT // 2 - 1, CLOSED_AT + TIMEOUT // 2

OPEN = Channel(
    channel_parameters(),
    PAYEE.address,
    status=Status.OPEN,
    deposited_by_me=5_000,
    deposited_by_peer=100_000,
    signed_by_me=10_000,
    signed_by_peer=90_000,
    accepted_from_peer=90_000,
)
CLOSING_BY_PEER = replace(
    OPEN, status=Status.CLOSING, pending_close=PendingClose(False, 0, 90_000, CLOSED_AT)
)
CLOSING_BY_ME = replace(OPEN, status=Status.CLOSING, pending_close=PendingClose(True, 0, 90_000, CLOSED_AT))


def row(kind: OutboxKind, owed_by_me: int = 0) -> OutboxRow:
    details = {"owed_by_me": owed_by_me, "sent_by_peer": None}
    return OutboxRow(1, kind, OutboxState.DECIDED, OPEN.aa_address, 1, details, None, (), 0, None, 0, 0)


def limit(kind: OutboxKind, channel: Channel | None, time: int, owed_by_me: int = 0) -> int:
    return tps_fee_limit(row(kind, owed_by_me), channel, SPENDING, time)


@pytest.mark.parametrize("time", [EARLY, LATE])
def test_a_fraud_proof_may_cost_all_that_the_lie_would_take_once_the_close_is_proven(time: int) -> None:
    """At first sight it may be on no ledger: the peer has signed it, and a hub shows it to this node alone."""
    assert limit(OutboxKind.FRAUD_PROOF, OPEN, time) == 20_000
    assert limit(OutboxKind.FRAUD_PROOF, CLOSING_BY_ME, time) == 20_000
    assert limit(OutboxKind.FRAUD_PROOF, CLOSING_BY_PEER, time) == 5_000 + 80_000


def test_an_answer_may_cost_what_it_gives_back_once_half_of_the_timeout_has_passed() -> None:
    assert limit(OutboxKind.CONFIRM, CLOSING_BY_PEER, EARLY, owed_by_me=30_000) == 20_000
    assert limit(OutboxKind.CONFIRM, CLOSING_BY_PEER, LATE, owed_by_me=30_000) == 30_000


def test_an_answer_that_gives_nothing_back_costs_no_more_than_any_unit() -> None:
    assert limit(OutboxKind.CONFIRM, CLOSING_BY_PEER, LATE) == 20_000


def test_an_answer_to_a_claim_above_all_that_there_is_costs_no_more_than_that() -> None:
    assert limit(OutboxKind.CONFIRM, CLOSING_BY_PEER, LATE, owed_by_me=10**12) == 105_000


@pytest.mark.parametrize("time", [EARLY, LATE, CLOSED_AT + 10 * TIMEOUT])
def test_ones_own_close_and_its_confirmation_cost_no_more_than_any_unit(time: int) -> None:
    assert limit(OutboxKind.CLOSE, OPEN, time, owed_by_me=90_000) == 20_000
    assert limit(OutboxKind.CONFIRM, CLOSING_BY_ME, time, owed_by_me=90_000) == 20_000


@pytest.mark.parametrize("kind", [OutboxKind.OPEN, OutboxKind.REFILL])
def test_a_deposit_is_an_ordinary_unit(kind: OutboxKind) -> None:
    assert limit(kind, OPEN, LATE) == 20_000


def test_a_withdrawal_is_an_ordinary_unit() -> None:
    assert limit(OutboxKind.WITHDRAWAL, None, LATE) == 20_000


def test_what_defends_an_asset_may_cost_what_is_held_back_for_the_channel() -> None:
    in_asset = replace(CLOSING_BY_PEER, parameters=channel_parameters(ASSET))
    assert limit(OutboxKind.FRAUD_PROOF, in_asset, EARLY) == 50_000
    assert limit(OutboxKind.CONFIRM, in_asset, EARLY, owed_by_me=1) == 20_000
    assert limit(OutboxKind.CONFIRM, in_asset, LATE, owed_by_me=1) == 50_000
    assert limit(OutboxKind.CONFIRM, in_asset, LATE) == 20_000


def test_what_defends_little_of_an_asset_whose_worth_is_told_may_cost_no_more_than_it_is_worth() -> None:
    """Else a peer that lies while the network is busy has its merchant pay much for next to nothing."""
    told = Spending(20_000, 50_000, {"base": 20_000, ASSET: 25_000})
    for stake, most in ((2, 20_000), (60_000, 30_000), (99_999, 49_999), (100_000, 50_000), (10**6, 50_000)):
        in_asset = replace(
            CLOSING_BY_PEER, parameters=channel_parameters(ASSET), deposited_by_me=0, signed_by_me=0
        )
        owing = replace(in_asset, accepted_from_peer=stake)
        assert tps_fee_limit(row(OutboxKind.FRAUD_PROOF), owing, told, EARLY) == most
    assert tps_fee_limit(row(OutboxKind.FRAUD_PROOF), CLOSING_BY_PEER, told, EARLY) == 85_000


@pytest.mark.parametrize(
    "cost, reserve", [(1, 50_000), (25_000, 50_000), (10**15, 50_000), (10**15, 10**15), (7, 99)]
)
def test_what_is_worth_less_than_the_reserve_is_never_worth_more_in_bytes(cost: int, reserve: int) -> None:
    spending = Spending(20_000, reserve, {ASSET: cost})
    for asset in (ASSET, BASE):
        amount = spending.reserve_in(asset)
        assert amount <= MAX_CAP
        assert spending.in_bytes(asset, amount) <= reserve
    assert spending.known_assets == {BASE, ASSET}


def test_a_channel_is_not_worth_more_bytes_in_reserve_than_what_is_at_stake_in_it_whatever_its_asset(
    tmp_path: Path,
) -> None:
    """Else strangers block a merchant with deposits of an asset, which come back to them, and one unit each."""

    def owing(salt: str, asset: str, owed: int) -> Channel:
        parameters = replace(channel_parameters(asset), salt=salt)
        return Channel(
            parameters, PAYEE.address, status=Status.OPEN, accepted_from_peer=owed, signed_by_peer=owed
        )

    told = Spending(20_000, 50_000, {ASSET: 25_000})
    with closing(Store(f"sqlite:///{tmp_path}/books.sqlite")) as store, store.transaction() as books:
        for number in range(20):
            books.channels.add(owing(str(number), ASSET, 1), created_at=0)
        assert bytes_in_reserve(books, told, new_channels=0) == 10
        assert bytes_in_reserve(books, SPENDING, new_channels=0) == 20 * 50_000
        books.channels.add(owing("more", ASSET, 60_000), created_at=0)
        books.channels.add(owing("much", ASSET, 10**9), created_at=0)
        books.channels.add(owing("bytes", BASE, 7_000), created_at=0)
        assert bytes_in_reserve(books, told, new_channels=1) == 10 + 30_000 + 50_000 + 7_000 + 50_000


def test_credit_is_not_at_stake_since_it_goes_back() -> None:
    partly_accepted = replace(CLOSING_BY_PEER, accepted_from_peer=60_000)
    assert limit(OutboxKind.FRAUD_PROOF, partly_accepted, EARLY) == 55_000


def test_what_is_at_stake_never_lowers_the_ordinary_limit() -> None:
    small = replace(CLOSING_BY_PEER, deposited_by_me=0, accepted_from_peer=11_000)
    assert limit(OutboxKind.FRAUD_PROOF, small, EARLY) == 20_000
    assert limit(OutboxKind.CONFIRM, small, LATE, owed_by_me=1_000) == 20_000


def test_an_answer_presses_from_half_of_the_timeout_on() -> None:
    assert not is_answer_pressing(CLOSING_BY_PEER, EARLY)
    assert is_answer_pressing(CLOSING_BY_PEER, LATE)
    assert not is_answer_pressing(CLOSING_BY_ME, LATE)
    assert not is_answer_pressing(OPEN, LATE)
    odd = replace(CLOSING_BY_PEER, parameters=replace(channel_parameters(), timeout=61))
    assert [is_answer_pressing(odd, CLOSED_AT + seconds) for seconds in (30, 31)] == [False, True]


def test_a_customers_answer_is_weighed_alike() -> None:
    customers = replace(CLOSING_BY_PEER, my_address=CUSTOMER.address)
    assert limit(OutboxKind.CONFIRM, customers, EARLY, owed_by_me=30_000) == 20_000
    assert limit(OutboxKind.CONFIRM, customers, LATE, owed_by_me=30_000) == 30_000
