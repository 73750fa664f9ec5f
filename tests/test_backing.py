"""What unconfirmed deposits back a payment, and which never do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.backing import (
    HANGING_SECONDS,
    NO_BACKING,
    UNANSWERED_SECONDS,
    Backing,
    Limits,
    UnconfirmedUnit,
    is_overdue,
    weigh_unconfirmed,
)
from paypercall.channel import Channel, write_off
from paypercall.contract import TriggerKind
from tests.two_sides import CUSTOMER, PAYEE, STRANGER, channel_parameters

NOW = 1_000_000
OPEN_LIMITS = Limits(max_unconfirmed_by_asset=10**12, max_unconfirmed_by_channel=10**12)

DEPOSIT = UnconfirmedUnit(
    unit="deposit",
    sender=CUSTOMER.address,
    kind=TriggerKind.DEPOSIT,
    amount=50_000,
    has_data=False,
    has_definition=False,
    first_seen=NOW,
)


def weigh(
    *units: UnconfirmedUnit, is_agent_known: bool = True, limits: Limits = OPEN_LIMITS, now: int = NOW
) -> Backing:
    return weigh_unconfirmed(
        units, peer_address=CUSTOMER.address, is_agent_known=is_agent_known, limits=limits, now=now
    )


def command(kind: TriggerKind, sender: str = CUSTOMER.address) -> UnconfirmedUnit:
    return replace(DEPOSIT, unit=kind.value, sender=sender, kind=kind, amount=0, has_data=True)


def test_without_units_there_is_no_backing() -> None:
    assert weigh() == NO_BACKING == Backing()


def test_the_peers_deposits_are_added_up() -> None:
    assert weigh(DEPOSIT).amount == 50_000
    assert weigh(DEPOSIT, replace(DEPOSIT, unit="second", amount=7)) == Backing(amount=50_007)


@pytest.mark.parametrize("sender", [PAYEE.address, STRANGER.address])
def test_deposits_of_others_back_nothing(sender: str) -> None:
    assert weigh(replace(DEPOSIT, sender=sender)) == NO_BACKING


def test_a_deposit_with_data_backs_nothing() -> None:
    assert weigh(replace(DEPOSIT, has_data=True)) == NO_BACKING


@pytest.mark.parametrize("kind", [kind for kind in TriggerKind if kind is not TriggerKind.DEPOSIT])
def test_only_deposits_back_anything(kind: TriggerKind) -> None:
    assert weigh(replace(DEPOSIT, kind=kind)).amount == 0


def test_a_deposit_to_an_agent_that_the_ledger_may_not_know_backs_nothing() -> None:
    assert weigh(DEPOSIT, is_agent_known=False) == NO_BACKING
    assert weigh(replace(DEPOSIT, has_definition=True), is_agent_known=False).amount == 50_000


@pytest.mark.parametrize("age, amount", [(0, 0), (29, 0), (30, 50_000), (31, 50_000)])
def test_a_deposit_counts_from_the_minimum_time_on_by_this_nodes_clock(age: int, amount: int) -> None:
    limits = replace(OPEN_LIMITS, minimum_time_in_seconds=30)
    backing = weigh(replace(DEPOSIT, first_seen=NOW - age), limits=limits)
    assert backing == Backing(amount=amount, is_too_young=not amount)


def test_of_two_deposits_the_older_counts_while_the_other_is_too_young() -> None:
    limits = replace(OPEN_LIMITS, minimum_time_in_seconds=30)
    older = replace(DEPOSIT, unit="older", amount=9, first_seen=NOW - 60)
    assert weigh(DEPOSIT, older, limits=limits) == Backing(amount=9, is_too_young=True)


def test_a_double_spend_of_the_peer_ends_all_its_credit() -> None:
    double_spent = replace(DEPOSIT, unit="bad", is_double_spent=True)
    assert weigh(DEPOSIT, double_spent) == Backing(is_double_spent=True)
    assert weigh(double_spent, DEPOSIT) == Backing(is_double_spent=True)
    assert weigh(DEPOSIT, replace(command(TriggerKind.CLOSE), is_double_spent=True)).amount == 0


def test_a_double_spend_of_somebody_else_is_not_held_against_the_peer() -> None:
    foreign = replace(DEPOSIT, unit="bad", sender=STRANGER.address, is_double_spent=True)
    assert weigh(DEPOSIT, foreign).amount == 50_000


def test_while_a_close_of_the_peer_is_on_its_way_nothing_is_backed() -> None:
    assert weigh(DEPOSIT, command(TriggerKind.CLOSE)) == Backing(is_closing=True)


@pytest.mark.parametrize("kind", [TriggerKind.CLOSE, TriggerKind.CONFIRM, TriggerKind.FRAUD_PROOF])
def test_a_stranger_cannot_stop_a_channel_with_a_command(kind: TriggerKind) -> None:
    assert weigh(DEPOSIT, command(kind, STRANGER.address)) == Backing(amount=50_000)


def test_a_close_that_was_double_spent_is_not_on_its_way() -> None:
    close = replace(command(TriggerKind.CLOSE), is_double_spent=True)
    assert not weigh(close).is_closing


def test_a_stable_deposit_that_the_agent_never_answered_stops_counting() -> None:
    for seconds, amount in ((0, 50_000), (UNANSWERED_SECONDS, 50_000), (UNANSWERED_SECONDS + 1, 0)):
        stable = replace(DEPOSIT, first_seen=NOW - 10_000, stable_since=NOW - seconds)
        assert weigh(stable).amount == amount


def test_a_deposit_that_hangs_backs_nothing_until_the_ledger_has_it_after_all() -> None:
    for seconds, amount in ((HANGING_SECONDS, 50_000), (HANGING_SECONDS + 1, 0)):
        assert weigh(replace(DEPOSIT, first_seen=NOW - seconds)).amount == amount
    late = replace(DEPOSIT, first_seen=NOW - 10 * HANGING_SECONDS, stable_since=NOW)
    assert weigh(late).amount == 50_000


units = st.builds(
    UnconfirmedUnit,
    unit=st.text(max_size=3),
    sender=st.sampled_from([CUSTOMER.address, PAYEE.address, STRANGER.address]),
    kind=st.sampled_from(TriggerKind),
    amount=st.integers(1, 1_000),
    has_data=st.booleans(),
    has_definition=st.booleans(),
    first_seen=st.integers(NOW - 60, NOW) | st.integers(NOW - 2 * HANGING_SECONDS, NOW),
    stable_since=st.none() | st.integers(NOW - 2 * UNANSWERED_SECONDS, NOW),
    is_double_spent=st.just(False) | st.booleans(),
)


@given(st.lists(units, max_size=6), st.booleans(), st.integers(0, 60), st.data())
def test_the_order_of_the_units_does_not_matter_and_the_sum_is_never_above_the_peers_deposits(
    found: list[UnconfirmedUnit], is_agent_known: bool, minimum_time: int, data: st.DataObject
) -> None:
    limits = replace(OPEN_LIMITS, minimum_time_in_seconds=minimum_time)
    backing = weigh(*found, is_agent_known=is_agent_known, limits=limits)
    shuffled = data.draw(st.permutations(found))
    assert weigh(*shuffled, is_agent_known=is_agent_known, limits=limits) == backing
    eligible = [
        unit.amount
        for unit in found
        if unit.sender == CUSTOMER.address
        and unit.kind is TriggerKind.DEPOSIT
        and not unit.is_double_spent
        and not unit.has_data
        and unit.first_seen <= NOW - minimum_time
        and (unit.stable_since is not None or unit.first_seen >= NOW - HANGING_SECONDS)
    ]
    assert 0 <= backing.amount <= sum(eligible)


@given(st.lists(units, max_size=6), units)
def test_one_more_unit_adds_at_most_its_own_amount(
    found: list[UnconfirmedUnit], one_more: UnconfirmedUnit
) -> None:
    assert weigh(*found, one_more).amount <= weigh(*found).amount + one_more.amount


@given(st.lists(units, max_size=6), st.integers(0, 3 * HANGING_SECONDS))
def test_time_alone_only_takes_backing_away_and_in_the_end_all_of_it(
    found: list[UnconfirmedUnit], seconds: int
) -> None:
    """Without a minimum age, and as long as the ledger shows nothing new."""
    later = weigh(*found, now=NOW + seconds)
    assert later.amount <= weigh(*found).amount
    living = [unit for unit in found if not is_overdue(unit, NOW + seconds)]
    commands_and_marks = [
        unit for unit in found if unit.kind is not TriggerKind.DEPOSIT or unit.is_double_spent
    ]
    assert later.amount == weigh(*commands_and_marks, *living, now=NOW + seconds).amount
    assert weigh(*found, now=NOW + HANGING_SECONDS + UNANSWERED_SECONDS + 1).amount == 0


@given(st.lists(units, max_size=6), st.integers(1, 10_000), st.integers(0, 3 * HANGING_SECONDS))
def test_what_hangs_is_written_off_once_and_the_rest_stays_covered(
    found: list[UnconfirmedUnit], signed: int, seconds: int
) -> None:
    exposed = Channel(channel_parameters(), PAYEE.address, signed_by_peer=signed)
    left = weigh(*found, now=NOW + seconds)
    after, loss = write_off(exposed, left)
    assert after.counted_exposure == min(signed, left.amount)
    assert after.counted_exposure + loss == exposed.counted_exposure
    assert write_off(after, left) == (after, 0)
