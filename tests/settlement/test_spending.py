"""What a unit may pay as TPS fee, by what would be lost without it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paypercall.channel import Channel, PendingClose, Status
from paypercall.settlement.spending import Spending, is_answer_pressing, tps_fee_limit
from paypercall.store import OutboxKind, OutboxRow, OutboxState
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
