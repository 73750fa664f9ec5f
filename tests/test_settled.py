"""What a period was settled with, by the agent's payout, and what became of payments that a peer has refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paypercall.channel import Channel, Decision, Freeze, PendingClose, Status, apply_event
from paypercall.contract import BOUNCE_FEE, Closed, read_response
from paypercall.obyte.amounts import BASE
from paypercall.settled import Settled, Standing, settled_with, standing_after, standing_within
from paypercall.trigger_data import integer, is_true, select
from tests.test_contract import Step, every_trace, paid_to, parameters_of
from tests.two_sides import ASSET, CUSTOMER, PAYEE, channel_parameters

FEES = 5_000
"""More than what the agent pays for its answers in a period, in bytes."""

amounts = st.integers(0, 100_000)


def closing(asset: str = BASE, *, by_me: bool = False, **changes: Any) -> Channel:
    """The customer's view of a channel that is closing: it has signed 500, and got refunds of 20."""
    close = PendingClose(by_me, 500, 20, timestamp=1)
    channel = Channel(channel_parameters(asset), CUSTOMER.address, status=Status.CLOSING, pending_close=close)
    known = {"deposited_by_me": 100_000, "signed_by_me": 500, "signed_by_peer": 20, "accepted_from_peer": 20}
    return replace(channel, **{**known, **changes})


def closed(channel: Channel, paid_to_peer: int, paid_to_me: int, *, is_fraud_proven: bool = False) -> Closed:
    return Closed(9, channel.period, is_fraud_proven, paid_to_peer, paid_to_me)


# --- the payout ----------------------------------------------------------------------------------------------------


@every_trace
def test_what_real_agents_paid_out_tells_what_was_given_back_at_the_close(trace: Step) -> None:
    parameters = parameters_of(trace)
    for me in (parameters.address_a, parameters.address_b):
        channel = Channel(parameters, me)
        for step in trace["steps"]:
            joint = (step["result"] or {}).get("response_joint")
            event = read_response(parameters, joint["unit"]) if joint else None
            if event is None:
                continue
            before, channel = channel, apply_event(channel, event)
            if isinstance(event, Closed) and not event.is_fraud_proven:
                require_what_was_given_back(trace, step, before, event)


def require_what_was_given_back(trace: Step, step: Step, channel: Channel, event: Closed) -> None:
    settled, close = settled_with(channel, event), channel.pending_close
    assert settled is not None
    assert close is not None
    given_back = 0
    if step["trigger"]["address"] != channel.my_address:
        data = step["trigger"]["joint"]["unit"]["messages"]
        [payload] = [message["payload"] for message in data if message["app"] == "data"]
        claimed = select(payload, "additionalTransferredFromMe")
        given_back = (integer(claimed) or 0) if is_true(claimed) else 0
    assert settled.owed_by_me == close.owed_by_me
    assert settled.owed_by_peer <= close.owed_by_peer + given_back, step["note"]
    asset = trace["params"]["asset"]
    paid = [paid_to(step, asset, address) for address in (channel.my_address, channel.peer_address)]
    fee = BOUNCE_FEE if asset == BASE else 0
    is_cut_off = min(paid) <= fee
    if not is_cut_off and (asset != BASE or abs(paid[0] - paid[1]) > FEES):
        assert settled.owed_by_peer == close.owed_by_peer + given_back, step["note"]


@given(
    asset=st.sampled_from([BASE, ASSET]),
    mine=amounts,
    peers=amounts,
    claims=st.tuples(amounts, amounts),
    given_back=st.tuples(amounts, st.booleans()),
    commands=st.integers(2, 4),
    fees=st.integers(0, 4_000),
)
def test_never_more_counts_as_given_back_than_was(
    asset: str,
    mine: int,
    peers: int,
    claims: tuple[int, int],
    given_back: tuple[int, bool],
    commands: int,
    fees: int,
) -> None:
    """Whatever was claimed and cut off, and however much the fees and the bounced triggers have moved."""
    close, (more, is_by_peer) = PendingClose(False, *claims, timestamp=1), given_back
    channel = closing(asset, deposited_by_me=mine, deposited_by_peer=peers, pending_close=close)
    moved = more if is_by_peer else -more
    balances = mine - claims[0] + claims[1], peers - claims[1] + claims[0]
    finals = max(0, balances[0] + moved), max(0, balances[1] - moved)
    left, smaller = mine + peers, min(finals)
    if asset == BASE:
        left, smaller = left + BOUNCE_FEE * commands - fees, smaller + BOUNCE_FEE
    assume(smaller <= left)
    # Of two balances that are equal, A's counts as the larger one.
    to_peer, to_me = (smaller, left - smaller) if finals[0] > finals[1] else (left - smaller, smaller)
    settled = settled_with(channel, closed(channel, to_peer, to_me))
    assert settled is not None
    added, truly_added = settled.owed_by_peer - claims[1], more if is_by_peer else 0
    assert 0 <= added <= truly_added
    is_cut_off = min(*balances, *finals) <= 0
    assert is_cut_off or truly_added <= added + settled.unsure
    if not is_cut_off and (asset != BASE or abs(finals[0] - finals[1]) > 2 * fees):
        assert (added, settled.unsure) == (truly_added, 0)


@given(
    deposited=st.integers(60_000, 100_000),
    claim=st.integers(1, 20_000),
    given_back=st.integers(1, 500),
    difference=st.integers(-3_000, 3_000),
    fees=st.integers(0, 4_000),
)
def test_what_was_given_back_may_be_as_much_as_it_was_where_both_sides_get_nearly_the_same(
    deposited: int, claim: int, given_back: int, difference: int, fees: int
) -> None:
    mine = deposited - claim + given_back
    peers = mine - difference
    channel = closing(
        deposited_by_me=deposited,
        deposited_by_peer=peers - claim + given_back,
        pending_close=PendingClose(True, claim, 0, timestamp=1),
    )
    smaller = min(mine, peers) + BOUNCE_FEE
    larger = mine + peers + 2 * BOUNCE_FEE - fees - smaller
    to_peer, to_me = (smaller, larger) if mine > peers else (larger, smaller)
    settled = settled_with(channel, closed(channel, to_peer, to_me))
    assert settled is not None
    assert settled.owed_by_peer <= given_back <= settled.owed_by_peer + settled.unsure
    standing = standing_after(settled, 0, 0, amount=given_back, amount_spent=claim)
    assert standing in (Standing.GIVEN_BACK, Standing.UNKNOWN)


@pytest.mark.parametrize(
    "paid_to_me, settled", [(150_000, Settled(0, 20)), (0, Settled(500, 20))], ids=["by me", "by another"]
)
def test_after_a_fraud_all_is_with_whoever_has_proved_it(paid_to_me: int, settled: Settled) -> None:
    channel = closing(pending_close=PendingClose(False, 100, 7, timestamp=1))
    event = closed(channel, 150_000 - paid_to_me, paid_to_me, is_fraud_proven=True)
    assert settled_with(channel, event) == settled


def test_without_its_close_nobody_knows_what_a_period_was_settled_with() -> None:
    channel = closing(pending_close=None)
    assert settled_with(channel, closed(channel, 10_000, 10_000)) is None


def test_no_claim_is_too_large_for_the_books() -> None:
    channel = closing(pending_close=PendingClose(False, 0, 10**18, timestamp=1))
    settled = settled_with(channel, closed(channel, 10**18, 10**18))
    assert settled is not None
    assert 10**18 <= settled.owed_by_peer < 2**63


# --- a payment that was refused ------------------------------------------------------------------------------------


def standing(settled: Settled | None, amount: int, amount_spent: int, paid_anew: int = 0) -> Standing:
    return standing_after(settled, 20, paid_anew, amount=amount, amount_spent=amount_spent)


def test_a_payment_counts_as_kept_when_it_was_claimed_and_less_came_back_than_it_pays() -> None:
    assert standing(Settled(500, 20), 100, 500) is Standing.KEPT
    assert standing(Settled(500, 119), 100, 500) is Standing.KEPT
    assert standing(Settled(500, 120), 100, 500) is Standing.GIVEN_BACK
    assert standing(Settled(500, 120), 100, 500, paid_anew=1) is Standing.KEPT
    assert standing(Settled(499, 20), 100, 500) is Standing.UNCLAIMED
    assert standing(None, 100, 500) is Standing.UNKNOWN
    assert standing(Settled(500, 20, unsure=99), 100, 500) is Standing.KEPT
    assert standing(Settled(500, 20, unsure=100), 100, 500) is Standing.UNKNOWN


@given(
    payments=st.lists(st.tuples(st.integers(1, 1_000), st.booleans()), min_size=1, max_size=8),
    order=st.randoms(use_true_random=False),
    lost_refunds=st.integers(0, 500),
)
def test_an_honest_peer_that_gives_its_credit_back_is_never_said_to_have_kept_a_payment(
    payments: list[tuple[int, bool]], order: Any, lost_refunds: int
) -> None:
    """Each payment with whether it was accepted; what was not, and lies below the last one that was, is credit."""
    claim, accepted, total = 0, 0, 0
    refused: list[tuple[int, int]] = []
    for amount, is_accepted in payments:
        total += amount
        if is_accepted:
            claim, accepted = total, accepted + amount
        else:
            refused.append((amount, total))
    settled = Settled(claim, 20 + lost_refunds + claim - accepted)
    order.shuffle(refused)
    paid_anew = 0
    for amount, total in refused:
        now = standing(settled, amount, total, paid_anew)
        assert now in (Standing.UNCLAIMED, Standing.GIVEN_BACK)
        paid_anew += amount if now is Standing.GIVEN_BACK else 0


@given(
    payments=st.lists(st.integers(1, 1_000), min_size=1, max_size=8),
    claimed_of_them=st.integers(0, 8),
    came_back=st.integers(0, 2_000),
    order=st.randoms(use_true_random=False),
)
def test_a_peer_that_refuses_everything_never_has_more_than_each_call_costs_once(
    payments: list[int], claimed_of_them: int, came_back: int, order: Any
) -> None:
    """What is paid anew of what it has claimed is never more than what it has given back of that."""
    refused = list(zip(payments, accumulate(payments), strict=True))
    claimed = sum(payments[:claimed_of_them])
    order.shuffle(refused)
    settled, paid_anew = Settled(claimed, 20 + came_back), 0
    for amount, total in refused:
        now = standing(settled, amount, total, paid_anew)
        if now is Standing.GIVEN_BACK:
            paid_anew += amount
        assert (now is Standing.UNCLAIMED) == (total > claimed)
    assert paid_anew <= came_back


# --- while the period ends -----------------------------------------------------------------------------------------

OPEN_PERIOD = closing(status=Status.OPEN, pending_close=None)


@pytest.mark.parametrize(
    "channel, expected",
    [
        (OPEN_PERIOD, Standing.OPEN),
        (replace(OPEN_PERIOD, freeze=Freeze(Decision.CLOSE, 500, 20)), Standing.UNTOLD),
        (closing(by_me=True), Standing.UNTOLD),
        (closing(), Standing.KEPT),
        (closing(pending_close=PendingClose(False, 499, 20, timestamp=1)), Standing.UNCLAIMED),
        (closing(pending_close=PendingClose(False, 500, 119, timestamp=1)), Standing.KEPT),
        (closing(pending_close=PendingClose(False, 500, 120, timestamp=1)), Standing.UNTOLD),
        (closing(pending_close=PendingClose(False, 0, 19, timestamp=1)), Standing.UNTOLD),
    ],
    ids=["open", "frozen", "own", "claimed", "unclaimed", "less", "given back", "a lie"],
)
def test_while_a_period_ends_only_the_peers_close_tells_and_no_payment_is_given_back_yet(
    channel: Channel, expected: Standing
) -> None:
    assert channel.peer_address == PAYEE.address
    assert standing_within(channel, amount=100, amount_spent=500) is expected
    assert expected.is_final == (expected in (Standing.KEPT, Standing.UNCLAIMED))
