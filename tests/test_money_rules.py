"""The rules that keep money safe, under any order, loss, repetition and concurrency of packages, deposits and answers.

Two honest sides are driven at random against a model of the agent; then one of them lies in every way that the agent
lets it. What is asserted is what the sides get paid in the end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from paypercall.backing import Backing, Limits
from paypercall.channel import Channel, Decision, Status, accept, apply_event, distrust_current_period, sign
from paypercall.contract import BOUNCE_FEE, AgentEvent, Closed, Closing, DepositRefused, Opened
from paypercall.costs import SWEEPING_COST
from paypercall.decisions import decide_close
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.package import PaymentPackage
from tests.two_sides import (
    ASSET,
    CUSTOMER,
    GENEROUS,
    PAYEE,
    STRANGER,
    TIMEOUT,
    Payout,
    Side,
    Unit,
    World,
    channel_parameters,
    parsed_package,
    refusal_code,
    signed_package,
)

assets = st.sampled_from([BASE, ASSET])


@dataclass
class Memory:
    """What a test remembers of one side and period, besides that side's own books."""

    highest_signed: int = 0
    accepted: dict[str, int] = field(default_factory=dict)


ACTS = {
    "pay_and_deliver": 9,
    "pay": 4,
    "deliver": 5,
    "deposit": 4,
    "make_stable": 5,
    "make_stable_unseen": 2,
    "read_any_answer": 2,
    "double_spend": 2,
    "close": 2,
    "answer": 5,
    "wait": 2,
}
"""What may happen, and how often each comes, in parts of their sum."""


class Play:
    """Two honest sides; packages, units and answers come in any order, late, repeatedly or never.

    Each act is a method named in `ACTS`, with the side that acts and a number that it makes use of.
    """

    def __init__(self, asset: str, limits: Limits) -> None:
        self.world = World(channel_parameters(asset))
        for side in self.world.sides:
            side.limits = limits
        self.waiting: list[Unit] = []
        self.wire: list[tuple[Side, dict[str, Any]]] = []
        self.memories: dict[tuple[str, int], Memory] = {}
        self.ended_by_closer: set[int] = set()
        self.decided: set[tuple[str, int]] = set()

    def memory(self, side: Side, period: int | None = None) -> Memory:
        return self.memories.setdefault((side.address, period or side.channel.period), Memory())

    def act(self, name: str, is_payee: bool, number: int) -> None:
        getattr(self, name)(self.world.payee if is_payee else self.world.customer, number)
        self.check_rules()

    # --- deposits and the ledger ---

    def deposit(self, side: Side, number: int) -> None:
        if not side.channel.freeze:
            amount = (10_001, 12_000, 50_000, 300_000)[number % 4]
            self.waiting.append(self.world.post_deposit(side, amount))

    def make_stable(self, side: Side, number: int) -> None:
        """Answers any waiting unit, and both sides read all there is."""
        self.make_stable_unseen(side, number)
        self.read_everything()

    def make_stable_unseen(self, side: Side, number: int) -> None:
        if not self.waiting:
            return
        unit = self.waiting.pop(number % len(self.waiting))
        event = self.world.ledger.run(unit)
        if event is None:
            for each in self.world.sides:
                each.forget_bounced(unit)
        if isinstance(event, Closed):
            closing = [known for known in self.world.ledger.events if isinstance(known, Closing)]
            if closing[-1].initiated_by == unit["authors"][0]["address"]:
                self.ended_by_closer.add(event.period)

    def double_spend(self, side: Side, number: int) -> None:
        deposits = [unit for unit in self.waiting if all(m["app"] != "data" for m in unit["messages"])]
        if not deposits:
            return
        unit = deposits[number % len(deposits)]
        self.waiting.remove(unit)
        for each in self.world.sides:
            each.see_double_spend(unit)

    def read_any_answer(self, side: Side, number: int) -> None:
        events = self.world.ledger.events
        if events:
            newest = min(len(events), side.channel.last_event_id + 3)
            side.read(events[number % newest])

    def read_everything(self) -> None:
        for side in self.world.sides:
            for event in self.world.ledger.events:
                side.read(event)

    def wait(self, side: Side, number: int) -> None:
        seconds = (1, TIMEOUT // 2, TIMEOUT)[number % 3]
        self.world.ledger.time += seconds
        for each in self.world.sides:
            each.clock += seconds

    # --- packages ---

    def pay(self, side: Side, number: int) -> None:
        amount = (1, 700, 5_000, 8_000, 20_000, 60_000)[number % 6]
        before = side.channel
        has = before.deposited_by_me + sum(side.pending_deposits.values()) + before.signed_by_peer
        try:
            package = side.pay(amount)
        except Refusal:
            assert side.channel is before
            return
        assert (side.address, before.period) not in self.decided
        assert side.channel.signed_by_me == before.signed_by_me + amount <= has
        self.memory(side).highest_signed = side.channel.signed_by_me
        self.wire.append((self.world.peer(side), package))

    def deliver(self, side: Side, number: int) -> None:
        """Hands over any package of late: the newest, an older one, or one that was there before."""
        if self.wire:
            self.hand_over(*self.wire[-1 - number % min(8, len(self.wire))])

    def pay_and_deliver(self, side: Side, number: int) -> None:
        self.pay(side, number)
        self.deliver(side, 0)

    def hand_over(self, side: Side, package: dict[str, Any]) -> None:
        before, backing = side.channel, side.backing
        try:
            parsed = side.verify(package)
        except Refusal:
            assert side.channel is before
            return
        assert (side.address, before.period) not in self.decided
        assert before.known_event_id == before.last_event_id
        assert parsed.period == before.period
        after = side.channel
        unconfirmed = min(backing.amount, side.limits.max_unconfirmed_by_channel)
        assert after.signed_by_peer <= after.deposited_by_peer + after.signed_by_me + unconfirmed
        accepted = self.memory(side).accepted
        assert parsed.digest not in accepted
        accepted[parsed.digest] = parsed.payment_amount

    # --- closing ---

    def close(self, side: Side, number: int) -> None:
        try:
            draft = side.close()
        except Refusal:
            return
        self.decided.add((side.address, side.channel.period))
        self.waiting.append(self.world.post(side, draft))

    def answer(self, side: Side, number: int) -> None:
        close = side.channel.pending_close
        if close is None:
            return
        draft = side.end_own_close(self.world.ledger.time) if close.initiated_by_me else side.answer()
        if draft is not None:
            assert side.channel.freeze is not None
            assert side.channel.freeze.decision is Decision.CONFIRM, "an honest side is called a liar"
            self.decided.add((side.address, side.channel.period))
            self.waiting.append(self.world.post(side, draft))

    # --- what always holds ---

    def check_rules(self) -> None:
        for side in self.world.sides:
            channel, peer = side.channel, self.world.peer(side)
            highest = self.memory(peer, channel.period).highest_signed
            assert 0 <= channel.accepted_from_peer <= channel.signed_by_peer <= highest
            assert channel.accepted_from_peer == sum(self.memory(side).accepted.values())
            assert channel.signed_by_me == self.memory(side).highest_signed
            if channel.last_package is None:
                assert channel.signed_by_peer == 0
            else:
                message = json.loads(channel.last_package)["signed_message"]
                assert message["amount_spent"] == channel.signed_by_peer > 0
                assert message["period"] == channel.period
        assert self.world.ledger.is_balanced()

    # --- what holds in the end ---

    def finish(self) -> None:
        """Lets everything that is on its way arrive, settles the open period, and looks at what was paid."""
        self.settle_waiting_units()
        for side in self.world.sides:
            if side.channel.status is Status.OPEN:
                self.close(side, 0)
                self.settle_waiting_units()
        for side in self.world.sides:
            self.answer(side, 0)
            self.settle_waiting_units()
        for side in self.world.sides:
            assert side.channel.status is Status.CLOSED
        for period, payout in self.world.ledger.payouts.items():
            self.check_payout(period, payout)

    def settle_waiting_units(self) -> None:
        self.read_everything()
        while self.waiting:
            self.make_stable(self.world.payee, 0)

    def check_payout(self, period: int, payout: Payout) -> None:
        assert not payout.is_fraud_proven
        payee, customer = self.world.sides
        collected = payee.settled[period].accepted_from_peer
        refunded = customer.settled[period].accepted_from_peer
        by_payee, by_customer = payout.deposits[payee.address], payout.deposits[customer.address]
        check_share(payout, payee, by_payee + collected - payee.settled[period].signed_by_me)
        if period not in self.ended_by_closer or self.was_closed_by_payee(period):
            check_share(payout, customer, by_customer - collected + refunded)

    def was_closed_by_payee(self, period: int) -> bool:
        return any(
            isinstance(event, Closing) and event.period == period and event.initiated_by == PAYEE.address
            for event in self.world.ledger.events
        )


acts = st.tuples(
    st.sampled_from([name for name, parts in ACTS.items() for _ in range(parts)]),
    st.booleans(),
    st.integers(0, 23),
)


@given(
    assets,
    st.sampled_from([0, 15_000, 10**9]),
    st.sampled_from([None, None, 60_000]),
    st.sampled_from([0, 0, 120_000]),
    st.lists(acts, min_size=40, max_size=120),
)
@settings(max_examples=120)
def test_whatever_happens_two_honest_sides_keep_the_rules_and_get_their_due(
    asset: str,
    by_channel: int,
    unsettled: int | None,
    deposited: int,
    script: list[tuple[str, bool, int]],
) -> None:
    cost = SWEEPING_COST if asset == BASE else 1
    play = Play(asset, Limits(10**9, by_channel, max_unsettled_by_channel=unsettled, cost_of_sweep=cost))
    if deposited:
        play.world.deposit(play.world.customer, deposited)
    for name, is_payee, number in script:
        play.act(name, is_payee, number)
    play.finish()


def check_share(payout: Payout, side: Side, due: int) -> None:
    """Checks that a side got what is due to it, as far as there is so much, less the agent's unit fees."""
    asset = side.parameters.asset
    there_is = sum(payout.deposits.values())
    fees = payout.fees if asset == BASE else 0
    assert payout.paid[asset][side.address] >= min(due, there_is) - fees


# --- one side lies ---------------------------------------------------------------------------------------

numbers_as_the_agent_reads_them = st.one_of(
    st.integers(0, 200_000),
    st.integers(0, 2**53),
    st.integers(14, 25).flatmap(lambda digits: st.integers(10 ** (digits - 1), 10**digits - 1)),
    st.tuples(st.integers(1, 9), st.integers(3, 300)).map(lambda pair: f"{pair[0]}e{pair[1]}"),
    st.integers(0, 10**30).map(str),
)


@dataclass
class Played:
    """A period in which each side paid a few times, and some packages never arrived."""

    world: World
    sent: dict[str, list[dict[str, Any]]]


@st.composite
def played_periods(draw: st.DrawFn, assets: st.SearchStrategy[str] = assets) -> Played:
    world = World(channel_parameters(draw(assets)))
    world.deposit(world.customer, draw(st.sampled_from([SWEEPING_COST + 1, 100_000, 1_000_000])))
    if draw(st.booleans()):
        world.deposit(world.payee, draw(st.sampled_from([10_001, 100_000])))
    played = Played(world, {PAYEE.address: [], CUSTOMER.address: []})
    for _ in range(draw(st.integers(0, 8))):
        side = world.payee if draw(st.booleans()) else world.customer
        try:
            package = side.pay(draw(st.integers(1, 60_000)))
        except Refusal:
            continue
        played.sent[side.address].append(package)
        if draw(st.booleans()):
            world.peer(side).verify(package)
    return played


def lie(world: World, liar: Side, claim: object, shown: dict[str, Any] | None) -> AgentEvent | None:
    """The liar closes with any claim and any package that it has of the honest side; both read the answer."""
    data: dict[str, Any] = {"close": 1, "period": liar.channel.period, "transferredFromMe": claim}
    if shown is not None:
        data["sentByPeer"] = shown
    outputs = {BASE: (Output(world.parameters.aa_address, BOUNCE_FEE),)}
    draft = Draft(outputs=outputs, messages=({"app": "data", "payload": data},), max_aa_responses=1)
    return world.confirm(world.post(liar, draft))


@given(
    played_periods(),
    st.booleans(),
    numbers_as_the_agent_reads_them,
    st.none() | st.integers(0, 7),
)
def test_whatever_a_liar_claims_the_honest_side_gets_what_it_is_due(
    played: Played, is_payee: bool, claim: object, shown: int | None
) -> None:
    world = played.world
    liar = world.payee if is_payee else world.customer
    honest = world.peer(liar)
    packages = played.sent[honest.address]
    package = packages[shown % len(packages)] if packages and shown is not None else None
    assume(isinstance(lie(world, liar, claim, package), Closing))
    before = honest.channel
    payout = world.answer_close(honest)
    due = before.deposited_by_me + before.accepted_from_peer - before.signed_by_me
    assert payout.is_fraud_proven == (
        before.freeze is None and int(float(str(claim))) < before.signed_by_peer
    )
    if payout.is_fraud_proven:
        due = sum(payout.deposits.values())
    check_share(payout, honest, due)


def test_a_claim_too_large_to_count_with_takes_nothing_from_the_payee() -> None:
    """The agent counts with 15 digits: 5e19 less the return of all but 40,000 would leave the payee nothing."""
    world = World()
    world.deposit(world.customer, 100_000)
    world.payee.verify(world.customer.pay(40_000))
    assert isinstance(lie(world, world.customer, 5 * 10**19, None), Closing)
    payout = world.answer_close(world.payee)
    assert payout.paid[BASE][PAYEE.address] >= 40_000


@given(played_periods(), st.booleans())
def test_a_side_that_claims_less_than_the_other_can_show_loses_everything(
    played: Played, is_payee: bool
) -> None:
    world = played.world
    liar = world.payee if is_payee else world.customer
    honest = world.peer(liar)
    assume(honest.channel.signed_by_peer > 0)
    lie(world, liar, honest.channel.signed_by_peer - 1, None)
    payout = world.answer_close(honest)
    assert payout.is_fraud_proven
    asset = world.parameters.asset
    assert payout.paid[asset][liar.address] == 0
    check_share(payout, honest, sum(payout.deposits.values()))


@given(played_periods(), st.booleans(), st.booleans())
def test_whatever_was_accepted_is_collected_and_whatever_was_not_is_returned(
    played: Played, is_closed_by_payee: bool, is_answered: bool
) -> None:
    world = played.world
    closer = world.payee if is_closed_by_payee else world.customer
    accepted = {side.address: side.channel.accepted_from_peer for side in world.sides}
    signed_by_payee = world.payee.channel.signed_by_me
    payout = world.settle(closer) if is_answered else close_unanswered(world, closer)
    by_payee, by_customer = payout.deposits[PAYEE.address], payout.deposits[CUSTOMER.address]
    collected, refunded = accepted[PAYEE.address], accepted[CUSTOMER.address]
    check_share(payout, world.payee, by_payee + collected - signed_by_payee)
    if is_answered or is_closed_by_payee:
        check_share(payout, world.customer, by_customer - collected + refunded)
    assert world.ledger.is_balanced()


def close_unanswered(world: World, closer: Side) -> Payout:
    """Has a side close and, since the other does not answer, confirm that by itself after the timeout."""
    period = closer.channel.period
    world.confirm(world.post(closer, closer.close()))
    world.ledger.time += TIMEOUT
    draft = closer.end_own_close(world.ledger.time)
    assert draft is not None
    world.confirm(world.post(closer, draft))
    return world.ledger.payouts[period]


@given(played_periods(st.just(ASSET)))
def test_what_is_unsettled_is_exactly_what_a_close_brings_the_payee(played: Played) -> None:
    """In an asset, which no fee is taken of."""
    unsettled = played.world.payee.channel.unsettled
    payout = close_unanswered(played.world, played.world.payee)
    brought = payout.paid[ASSET][PAYEE.address] - payout.deposits[PAYEE.address]
    assert unsettled == max(0, brought)


@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=6), st.data())
def test_without_lost_refunds_both_sides_get_exactly_what_is_due_in_an_asset(
    amounts: list[int], data: st.DataObject
) -> None:
    world = World(channel_parameters(ASSET))
    world.deposit(world.customer, 200_000)
    delivered = 0
    for amount in amounts:
        package = world.customer.pay(amount)
        if data.draw(st.booleans()):
            world.payee.verify(package)
            delivered += amount
    payout = world.settle(data.draw(st.sampled_from(world.sides)))
    assert payout.paid[ASSET] == +type(payout.paid[ASSET])(
        {PAYEE.address: delivered, CUSTOMER.address: 200_000 - delivered}
    )


def test_a_sweep_settles_each_period_by_itself() -> None:
    world = World(channel_parameters(ASSET))
    old_package = None
    for period in (1, 2, 3):
        world.deposit(world.customer, 100_000)
        package = world.customer.pay(10_000 * period)
        assert world.payee.verify(package).period == period
        if old_package is not None:
            with_code = refused_by(world.payee, old_package)
            assert with_code in {RefusalCode.WRONG_PERIOD, RefusalCode.DUPLICATE}
        payout = world.settle(world.payee)
        assert payout.paid[ASSET][PAYEE.address] == 10_000 * period
        assert world.payee.channel.signed_by_peer == 0
        old_package = package


def refused_by(side: Side, package: object) -> RefusalCode:
    before = side.channel
    try:
        side.verify(package)
    except Refusal as refusal:
        assert side.channel is before
        return refusal_code(refusal)
    raise AssertionError("the package was accepted")


# --- packages in any order -------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=7), st.data())
def test_in_any_order_with_losses_and_repeats_each_package_is_accepted_once_if_it_arrives(
    amounts: list[int], data: st.DataObject
) -> None:
    """An honest customer is never refused for what the network does to its packages, as long as they are covered."""
    world = World(channel_parameters(ASSET))
    world.deposit(world.customer, 100_000)
    packages = [world.customer.pay(amount) for amount in amounts]
    arriving = data.draw(st.lists(st.integers(0, len(packages) - 1), max_size=14))
    for index in arriving:
        is_repeated = world.payee.channel.aa_address in {place[0] for place in world.payee.accepted} and (
            packages[index]["signed_message"]["amount_spent"] in {place[2] for place in world.payee.accepted}
        )
        if is_repeated:
            assert refused_by(world.payee, packages[index]) is RefusalCode.DUPLICATE
        else:
            world.payee.verify(packages[index])
    due = sum(amounts[index] for index in set(arriving))
    assert world.payee.channel.accepted_from_peer == due


packages_of_a_cheat = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12)).map(sorted), min_size=1, max_size=12
)


@given(packages_of_a_cheat, st.integers(0, 10), st.integers(0, 10))
def test_of_whatever_a_cheat_signs_no_more_is_accepted_than_its_highest_total_and_its_cover(
    signed: list[list[int]], backed: int, by_channel: int
) -> None:
    parameters = channel_parameters(ASSET)
    channel = Channel(
        parameters, PAYEE.address, status=Status.OPEN, last_event_id=1, known_event_id=1, deposited_by_peer=5
    )
    limits = Limits(10**9, by_channel, cost_of_sweep=1)
    places: dict[int, str] = {}
    accepted: list[PaymentPackage] = []
    for payment_amount, amount_spent in signed:
        package = parsed_package(amount_spent, payment_amount, parameters=parameters)
        before = channel
        if amount_spent in places:
            continue
        try:
            channel = accept(channel, package, Backing(amount=backed), limits)
        except Refusal:
            assert channel is before
            continue
        places[amount_spent] = package.digest
        accepted.append(package)
    paid = sum(package.payment_amount for package in accepted)
    assert paid == channel.accepted_from_peer <= channel.signed_by_peer
    assert channel.signed_by_peer == max((package.amount_spent for package in accepted), default=0)
    assert channel.signed_by_peer <= 5 + min(backed, by_channel)
    if accepted:
        highest = max(accepted, key=lambda package: package.amount_spent)
        assert channel.last_package == highest.text


@given(st.lists(st.integers(1, 40_000), max_size=8), st.integers(0, 100_000), st.integers(0, 50_000))
def test_what_i_sign_is_within_my_deposits_and_what_the_peer_signed(
    amounts: list[int], signed_by_peer: int, pending: int
) -> None:
    channel = Channel(
        channel_parameters(), CUSTOMER.address, deposited_by_me=50_000, signed_by_peer=signed_by_peer
    )
    for amount in amounts:
        try:
            after = sign(channel, amount, pending)
        except Refusal:
            assert channel.signed_by_me + amount > 50_000 + pending + signed_by_peer
            continue
        assert after.signed_by_me == channel.signed_by_me + amount <= 50_000 + pending + signed_by_peer
        channel = after


# --- answers in any order --------------------------------------------------------------------------------


@cache
def a_life_in_three_periods(asset: str) -> World:
    """A channel with deposits of both, a refused one, two settled periods and a third that is closing."""
    world = World(channel_parameters(asset))
    for _ in range(2):
        world.deposit(world.customer, 100_000)
        world.deposit(world.payee, 20_000)
        world.payee.verify(world.customer.pay(1_000))
        world.confirm(world.post(world.customer, world.customer.close()))
        world.confirm(world.post_deposit(world.payee, 30_000))
        world.answer_close(world.payee)
    world.deposit(world.customer, 50_000)
    world.confirm(world.post(world.payee, world.payee.close()))
    return world


@given(assets, st.booleans(), st.data())
@settings(max_examples=60)
def test_answers_in_any_order_with_gaps_and_repeats_lead_to_the_same_state_once_complete(
    asset: str, is_payee: bool, data: st.DataObject
) -> None:
    events = a_life_in_three_periods(asset).ledger.events
    address = PAYEE.address if is_payee else CUSTOMER.address
    in_order = Channel(channel_parameters(asset), address)
    states = [in_order]
    for event in events:
        in_order = apply_event(in_order, event)
        states.append(in_order)
    channel = states[0]
    for index in data.draw(st.lists(st.integers(0, len(events) - 1), max_size=40)):
        channel = apply_event(channel, events[index])
        assert replace(channel, known_event_id=channel.last_event_id) == states[channel.last_event_id]
        if channel.known_event_id > channel.last_event_id:
            assert code_of_accepting(channel) is RefusalCode.EVENTS_MISSING
    for event in events:
        channel = apply_event(channel, event)
    assert channel == in_order


def code_of_accepting(channel: Channel) -> RefusalCode | None:
    key = CUSTOMER if channel.is_payee else PAYEE
    package = parsed_package(1, key=key, period=channel.period, parameters=channel.parameters)
    try:
        accept(channel, package, Backing(amount=10**9), GENEROUS)
    except Refusal as refusal:
        return refusal_code(refusal)
    return None


# --- closing freezes, forgetting forbids -----------------------------------------------------------------


@given(st.lists(st.sampled_from(["pay", "verify", "refused", "deposit", "old"]), max_size=8))
def test_a_frozen_period_stays_frozen_until_the_agent_ends_it(acts: list[str]) -> None:
    world = World()
    world.deposit(world.customer, 100_000)
    in_flight = [world.customer.pay(100) for _ in range(3)]
    world.payee.verify(in_flight[0])
    old_deposit = world.ledger.events[0]
    close = world.post(world.payee, world.payee.close())
    frozen = world.payee.channel.freeze
    for act in acts:
        before = world.payee.channel
        if act == "pay":
            assert code_of_paying(world.payee, 10) is RefusalCode.CHANNEL_CLOSING
        elif act == "verify":
            assert refused_by(world.payee, in_flight[1]) is RefusalCode.CHANNEL_CLOSING
        elif act == "refused":
            world.payee.forget_bounced(close)
        elif act == "old":
            world.payee.read(old_deposit)
        else:
            world.confirm(world.post_deposit(world.customer, 20_000))
        assert world.payee.channel.freeze == frozen
        assert world.payee.channel.signed_by_me == before.signed_by_me
    world.confirm(close)
    assert world.payee.channel.freeze == frozen
    payout = world.answer_close(world.customer)
    assert world.payee.channel.freeze is None
    assert not payout.is_fraud_proven


def code_of_paying(side: Side, amount: int) -> RefusalCode:
    try:
        side.pay(amount)
    except Refusal as refusal:
        return refusal_code(refusal)
    raise AssertionError("a package was signed")


@given(
    st.integers(0, 30_000),
    st.integers(0, 30_000),
    st.sampled_from([PAYEE, CUSTOMER]),
)
@example(0, 0, PAYEE)
def test_a_node_that_forgot_everything_is_never_a_liar_and_loses_no_more_than_it_forgot(
    paid: int, refunded: int, forgetful_key: Any
) -> None:
    """It signs nothing, closes nothing, and takes the word of the peer that closes honestly."""
    assume(refunded <= paid)
    world = World(channel_parameters(ASSET))
    world.deposit(world.customer, 100_000)
    if paid:
        world.payee.verify(world.customer.pay(paid))
    if refunded:
        world.customer.verify(world.payee.pay(refunded))
    forgetful = world.payee if forgetful_key is PAYEE else world.customer
    peer = world.peer(forgetful)
    forgetful.channel = distrust_current_period(Channel(world.parameters, forgetful.address))
    for event in world.ledger.events:
        forgetful.read(event)
    assert code_of_paying(forgetful, 1) is RefusalCode.CHANNEL_RESTORED
    if forgetful is world.payee:
        package = signed_package(paid + 1, parameters=world.parameters)
        assert refused_by(forgetful, package) is RefusalCode.CHANNEL_RESTORED
    assert forgetful.channel.is_distrusted
    with pytest.raises(Refusal, match="forgotten"):
        decide_close(forgetful.channel)
    payout = world.settle(peer)
    assert not payout.is_fraud_proven
    assert payout.paid[ASSET][PAYEE.address] == paid - refunded
    assert payout.paid[ASSET][CUSTOMER.address] == 100_000 - paid + refunded
    assert not forgetful.channel.is_distrusted


# --- the fault of agent 1.1 itself -----------------------------------------------------------------------


def own_proof(world: World, sender: str, package: dict[str, Any]) -> Payout:
    draft = Draft(
        outputs={BASE: (Output(world.parameters.aa_address, BOUNCE_FEE),)},
        messages=({"app": "data", "payload": {"fraud_proof": 1, "period": 1, "sentByPeer": package}},),
    )
    assert isinstance(world.confirm(world.ledger.compose(sender, draft)), Closed)
    return world.ledger.payouts[1]


def test_a_close_that_understates_lets_whoever_is_first_take_everything() -> None:
    """Agent 1.1 pays the sender of a proof, the liar included: only small unsettled amounts bound the loss."""
    for thief in (CUSTOMER, STRANGER):
        world = World()
        world.deposit(world.customer, 100_000)
        package = world.customer.pay(40_000)
        world.payee.verify(package)
        lie(world, world.customer, 0, None)
        payout = own_proof(world, thief.address, package)
        assert payout.paid[BASE][thief.address] >= 100_000 - payout.fees
        assert payout.paid[BASE][PAYEE.address] == 0


def test_what_can_be_stolen_through_the_agent_is_within_the_limit_on_unsettled_payments() -> None:
    world = World()
    world.payee.limits = replace(GENEROUS, max_unsettled_by_channel=30_000)
    world.deposit(world.customer, 100_000)
    served = 0
    for _ in range(20):
        package = world.customer.pay(4_000)
        if world.payee.channel.unsettled <= 26_000:
            served += world.payee.verify(package).payment_amount
        else:
            assert refused_by(world.payee, package) is RefusalCode.ABOVE_UNSETTLED_LIMITS
    assert served == 28_000
    settled = world.settle(world.payee)
    assert settled.paid[BASE][PAYEE.address] >= 28_000


def test_our_close_never_claims_less_than_we_ever_signed_so_nobody_can_prove_it_a_fraud() -> None:
    world = World()
    world.deposit(world.payee, 100_000)
    packages = [world.payee.pay(amount) for amount in (100, 200, 300)]
    world.customer.verify(packages[0])
    world.confirm(world.post(world.payee, world.payee.close()))
    draft = Draft(
        outputs={BASE: (Output(world.parameters.aa_address, BOUNCE_FEE),)},
        messages=({"app": "data", "payload": {"fraud_proof": 1, "sentByPeer": packages[-1]}},),
    )
    assert world.ledger.run(world.ledger.compose(STRANGER.address, draft)) is None
    assert world.ledger.bounced == ["the peer didn't lie in his favor"]


@pytest.mark.parametrize("asset", [BASE, ASSET])
def test_a_double_spent_deposit_costs_the_payee_no_more_than_the_limit_of_the_channel(asset: str) -> None:
    world = World(channel_parameters(asset))
    world.payee.limits = Limits(10**9, max_unconfirmed_by_channel=15_000)
    world.deposit(world.customer, 20_000)
    bad = world.post_deposit(world.customer, 100_000)
    for amount in (20_000, 15_000):
        world.payee.verify(world.customer.pay(amount))
    assert refused_by(world.payee, world.customer.pay(1)) is RefusalCode.ABOVE_UNCONFIRMED_LIMITS
    for side in world.sides:
        side.see_double_spend(bad)
    assert (world.payee.channel.exposure, world.payee.channel.counted_exposure) == (15_000, 0)
    world.post_deposit(world.customer, 100_000)
    assert refused_by(world.payee, world.customer.pay(1)) is RefusalCode.DEPOSIT_DOUBLE_SPENT
    payout = world.settle(world.payee)
    check_share(payout, world.payee, 20_000)
    assert payout.paid[asset][CUSTOMER.address] <= (BOUNCE_FEE if asset == BASE else 0)


def test_a_deposit_that_the_closing_agent_refused_covers_nothing_in_the_next_period() -> None:
    world = World(channel_parameters(ASSET))
    world.deposit(world.customer, 20_000)
    world.confirm(world.post(world.payee, world.payee.close()))
    late = world.post_deposit(world.customer, 100_000)
    assert isinstance(world.confirm(late), DepositRefused)
    assert (world.customer.pending_deposits, world.payee.unconfirmed) == ({}, {})
    world.answer_close(world.customer)
    assert code_of_paying(world.customer, 1) is RefusalCode.ABOVE_DEPOSIT
    with pytest.raises(Refusal) as refusal:
        world.payee.verify(signed_package(1, period=2, parameters=world.parameters))
    assert refusal_code(refusal.value) is RefusalCode.ABOVE_DEPOSIT


def test_when_both_sides_close_at_once_the_one_that_came_second_answers_the_other() -> None:
    for first_is_payee in (True, False):
        world = World(channel_parameters(ASSET))
        world.deposit(world.customer, 100_000)
        world.payee.verify(world.customer.pay(30_000))
        units = [world.post(side, side.close()) for side in world.sides]
        first, second = units if first_is_payee else reversed(units)
        assert isinstance(world.confirm(first), Closing)
        assert world.confirm(second) is None
        payout = world.answer_close(world.customer if first_is_payee else world.payee)
        assert payout.paid[ASSET] == {PAYEE.address: 30_000, CUSTOMER.address: 70_000}


def test_the_first_deposit_may_be_spent_while_it_is_unconfirmed_and_is_collected_when_it_confirms() -> None:
    world = World()
    unit = world.post_deposit(world.customer, 100_000)
    package = world.customer.pay(40_000)
    assert "channel_parameters" in package["signed_message"]
    assert world.payee.verify(package).payment_amount == 40_000
    assert world.payee.channel.exposure == 40_000
    assert isinstance(world.confirm(unit), Opened)
    assert world.payee.channel.exposure == 0
    payout = world.settle(world.payee)
    assert payout.paid[BASE][PAYEE.address] >= 40_000
