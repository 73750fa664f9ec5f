"""What nobody may be able to do: to have the payee settle at a loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.backing import NO_BACKING, Limits
from paypercall.channel import Channel, Status, accept
from paypercall.costs import EARLY_SWEEP_FACTOR, LOWEST_LIMIT_FACTOR
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import BASE, MAX_CAP
from paypercall.sweeping import cost_of_sweep, is_worth_sweeping, makes_room, require_paid_close
from paypercall.trigger_data import MAX_AGENT_AMOUNT
from tests.two_sides import ASSET, PAYEE, channel_parameters, parsed_package

costs = st.integers(1, 10**6) | st.integers(1, MAX_CAP)
amounts = st.integers(0, 10**7) | st.integers(0, MAX_AGENT_AMOUNT)


def owing(accepted: int, signed_by_me: int = 0) -> Channel:
    channel = Channel(channel_parameters(ASSET), PAYEE.address)
    return replace(channel, accepted_from_peer=accepted, signed_by_me=signed_by_me, signed_by_peer=MAX_CAP)


def is_closed_on_request(channel: Channel, cost: int) -> bool:
    try:
        require_paid_close(channel, cost)
    except Refusal:
        return False
    return True


@given(costs, amounts, amounts)
def test_a_payee_gains_by_each_sweep_and_gives_a_tenth_at_most_for_one_that_is_asked_for(
    cost: int, accepted: int, signed_by_me: int
) -> None:
    channel = owing(accepted, signed_by_me)
    gain = accepted - signed_by_me - cost
    assert is_worth_sweeping(channel, cost) == (gain > 0)
    assert is_closed_on_request(channel, cost) == (gain >= 9 * cost)


@given(amounts, amounts)
def test_no_amount_of_an_asset_of_unknown_worth_is_worth_a_sweep(accepted: int, signed_by_me: int) -> None:
    cost = cost_of_sweep(ASSET, {BASE: 1})
    channel = owing(accepted, signed_by_me)
    assert not is_worth_sweeping(channel, cost)
    assert not is_closed_on_request(channel, cost)


@pytest.mark.parametrize("owed, is_closed", [(999, False), (1_000, True)])
def test_a_close_that_is_asked_for_takes_ten_times_its_cost(owed: int, is_closed: bool) -> None:
    assert is_closed_on_request(owing(owed), cost_of_sweep(ASSET, {ASSET: 100})) == is_closed


# --- to make room ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "accepted_before, payment_amount, limit, expected",
    [
        (1_000, 1_001, 2_000, True),
        (1_000, 2_000, 2_000, True),
        (1_000, 2_001, 2_000, False),  # it would not fit into the next period, either
        (999, 2_000, 2_000, False),
        (101, 2_000, 2_000, False),
        (0, 2_000, 2_000, False),  # the refused package itself brings nothing
        (1_000, 1_000, 2_000, False),  # above the asset's limit only
        (1_000, 1_001, None, False),
    ],
)
def test_a_refused_package_starts_a_sweep_only_if_that_makes_room_and_was_paid_for_before(
    accepted_before: int, payment_amount: int, limit: int | None, expected: bool
) -> None:
    limits = Limits(max_unsettled_by_channel=limit, cost_of_sweep=100)
    assert makes_room(owing(accepted_before), payment_amount, limits) is expected
    assert makes_room(owing(accepted_before + 50, 50), payment_amount, limits) is expected


EMPTY = Channel(
    channel_parameters(ASSET),
    PAYEE.address,
    status=Status.OPEN,
    last_event_id=1,
    known_event_id=1,
    deposited_by_peer=MAX_CAP,
)
PACKAGE = parsed_package(1, parameters=channel_parameters(ASSET))


def accepted(channel: Channel, amount: int, limits: Limits) -> Channel | None:
    """The channel after a payment; None if that is above the limit."""
    package = replace(PACKAGE, amount_spent=channel.signed_by_peer + amount, payment_amount=amount)
    try:
        return accept(channel, package, NO_BACKING, limits)
    except Refusal as refusal:
        if refusal.code != RefusalCode.ABOVE_UNSETTLED_LIMITS.value:
            raise
        return None


@given(
    st.integers(1, 100),
    st.integers(0, 400),
    st.lists(st.tuples(st.booleans(), st.integers(0, 10**6)), max_size=60),
)
def test_whatever_is_sent_and_refunded_sweeps_for_room_cost_a_tenth_of_what_they_bring_and_half_a_limit_fits(
    cost: int, above_lowest: int, script: list[tuple[bool, int]]
) -> None:
    limit = LOWEST_LIMIT_FACTOR * cost + above_lowest
    limits = Limits(max_unsettled_by_channel=limit, cost_of_sweep=cost)
    channel, collected, sweeps = EMPTY, 0, 0
    for is_refund, number in script:
        if is_refund:
            refund = number % (channel.unsettled + 1)
            channel = replace(channel, signed_by_me=channel.signed_by_me + refund)
            continue
        amount = 1 + number % (2 * limit)
        after = accepted(channel, amount, limits)
        if after is None and makes_room(channel, amount, limits):
            collected, sweeps = collected + channel.unsettled, sweeps + 1
            after = accepted(EMPTY, amount, limits)
            assert after is not None, "it was swept, and there is no room"
        assert after is not None or amount > limit // 2, "an honest customer is stuck"
        channel = after or channel
    assert EARLY_SWEEP_FACTOR * cost * sweeps <= collected
