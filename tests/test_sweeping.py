"""What nobody may be able to do: to have the payee settle at a loss."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.channel import Channel
from paypercall.errors import Refusal
from paypercall.obyte.amounts import BASE, MAX_CAP
from paypercall.sweeping import cost_of_sweep, is_worth_sweeping, require_paid_close
from paypercall.trigger_data import MAX_AGENT_AMOUNT
from tests.two_sides import ASSET, PAYEE, channel_parameters

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
