"""The money rules of one channel, each by itself: accept, sign, the agent's answers, closing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from paypercall.backing import NO_BACKING, Backing, Limits
from paypercall.channel import (
    Channel,
    Decision,
    Freeze,
    PendingClose,
    Status,
    accept,
    apply_event,
    check_deposit,
    distrust_current_period,
    doubt_answers,
    refill_due,
    sign,
    spendable,
    trust_answers,
    write_off,
)
from paypercall.contract import AgentEvent, ChannelParameters, Closed, Closing, DepositRefused, Opened
from paypercall.costs import SWEEPING_COST
from paypercall.decisions import Command, decide_answer, decide_close, decide_timeout, may_confirm_own_close
from paypercall.errors import Refusal, RefusalCode
from paypercall.package import PaymentPackage
from paypercall.sweeping import is_worth_sweeping
from paypercall.trigger_data import MAX_AGENT_AMOUNT
from tests.two_sides import (
    ASSET,
    CUSTOMER,
    GENEROUS,
    PAYEE,
    STRANGER,
    TIMEOUT,
    channel_parameters,
    parsed_package,
    refusal_code,
)

NO_UNCONFIRMED = Limits()


def payees_channel(parameters: ChannelParameters | None = None, **fields: Any) -> Channel:
    """The payee's view of an open channel into which the customer has put 100,000."""
    defaults: dict[str, Any] = {
        "status": Status.OPEN,
        "last_event_id": 1,
        "known_event_id": 1,
        "deposited_by_peer": 100_000,
    }
    return Channel(parameters or channel_parameters(), PAYEE.address, **{**defaults, **fields})


def customers_channel(**fields: Any) -> Channel:
    """The customer's view of the same."""
    defaults: dict[str, Any] = {
        "status": Status.OPEN,
        "last_event_id": 1,
        "known_event_id": 1,
        "deposited_by_me": 100_000,
    }
    return Channel(channel_parameters(), CUSTOMER.address, **{**defaults, **fields})


def accepted(
    channel: Channel,
    package: PaymentPackage,
    backing: Backing = NO_BACKING,
    limits: Limits = NO_UNCONFIRMED,
) -> Channel:
    return accept(channel, package, backing, limits)


def refused(
    channel: Channel,
    package: PaymentPackage,
    backing: Backing = NO_BACKING,
    limits: Limits = NO_UNCONFIRMED,
) -> RefusalCode:
    with pytest.raises(Refusal) as refusal:
        accept(channel, package, backing, limits)
    return refusal_code(refusal.value)


def signing_refused(channel: Channel, amount: Any, pending_deposits: int = 0, **options: Any) -> RefusalCode:
    with pytest.raises(Refusal) as refusal:
        sign(channel, amount, pending_deposits, **options)
    return refusal_code(refusal.value)


# --- the state -------------------------------------------------------------------------------------------


def test_each_side_knows_who_the_other_one_is() -> None:
    assert payees_channel().is_payee
    assert payees_channel().peer_address == CUSTOMER.address
    assert not customers_channel().is_payee
    assert customers_channel().peer_address == PAYEE.address
    assert payees_channel().aa_address == customers_channel().aa_address == channel_parameters().aa_address


def test_credit_is_what_the_peer_signed_and_nothing_used() -> None:
    assert payees_channel(signed_by_peer=70, accepted_from_peer=30).credit == 40


def test_exposure_is_what_neither_confirmed_deposits_nor_my_debt_cover() -> None:
    assert payees_channel(signed_by_peer=150_000).exposure == 50_000
    assert payees_channel(signed_by_peer=150_000, signed_by_me=20_000).exposure == 30_000
    assert payees_channel(signed_by_peer=100_000).exposure == 0
    assert payees_channel(signed_by_peer=10).exposure == 0


def test_what_is_written_off_counts_no_more() -> None:
    channel = payees_channel(signed_by_peer=150_000)
    after, loss = write_off(channel, NO_BACKING)
    assert loss == 50_000
    assert (after.exposure, after.counted_exposure) == (50_000, 0)
    assert write_off(after, NO_BACKING)[1] == 0
    more = replace(after, signed_by_peer=160_000)
    assert more.counted_exposure == 10_000
    again, loss = write_off(more, NO_BACKING)
    assert (loss, again.counted_exposure) == (10_000, 0)


def test_what_other_deposits_still_back_is_not_written_off() -> None:
    channel = payees_channel(signed_by_peer=150_000)
    assert write_off(channel, Backing(amount=50_000)) == (channel, 0)
    after, loss = write_off(channel, Backing(amount=20_000))
    assert (loss, after.counted_exposure) == (30_000, 20_000)
    assert write_off(after, Backing(amount=20_000))[1] == 0
    assert write_off(after, NO_BACKING)[1] == 20_000


def test_what_is_written_off_covers_no_later_exposure_once_a_deposit_has_made_it_good() -> None:
    after, _ = write_off(payees_channel(signed_by_peer=150_000), NO_BACKING)
    made_good = apply_event(after, Opened(2, 1, 0, 150_000, "u"))
    assert made_good.exposure == 0
    exposed_again = replace(made_good, signed_by_peer=180_000)
    assert exposed_again.counted_exposure == 30_000


def test_an_exposure_that_is_written_off_must_still_be_covered_before_more_is_accepted() -> None:
    exposed = payees_channel(signed_by_peer=150_000, accepted_from_peer=150_000)
    after, _ = write_off(exposed, NO_BACKING)
    package = parsed_package(160_000, 10_000)
    assert refused(after, package, Backing(amount=59_999), GENEROUS) is RefusalCode.ABOVE_DEPOSIT
    assert accepted(after, package, Backing(amount=60_000), GENEROUS).counted_exposure == 10_000


def test_unsettled_is_what_a_close_would_bring_me() -> None:
    assert payees_channel(signed_by_peer=90, accepted_from_peer=70, signed_by_me=30).unsettled == 40
    assert payees_channel(signed_by_peer=90, accepted_from_peer=30, signed_by_me=70).unsettled == 0


def test_no_package_stands_in_what_a_channel_or_a_command_prints() -> None:
    channel = accepted(payees_channel(), parsed_package(100, 60))
    assert channel.last_package is not None
    _, command = decide_close(channel)
    for printed in (repr(channel), repr(command), repr(decide_answer(channel, 5)), repr(parsed_package(5))):
        assert "authentifiers" not in printed


# --- accepting -------------------------------------------------------------------------------------------


def test_a_covered_payment_is_accepted() -> None:
    package = parsed_package(40_000)
    after = accepted(payees_channel(), package)
    assert after == payees_channel(
        signed_by_peer=40_000, accepted_from_peer=40_000, last_package=package.text, is_known_by_peer=True
    )


def test_a_customer_accepts_a_refund_in_the_same_way() -> None:
    channel = customers_channel(signed_by_me=40_000)
    refund = parsed_package(5_000, key=PAYEE)
    after = accepted(channel, refund)
    assert (after.signed_by_peer, after.accepted_from_peer, after.credit) == (5_000, 5_000, 0)
    assert refused(channel, parsed_package(40_001, key=PAYEE)) is RefusalCode.ABOVE_DEPOSIT


def test_payments_add_up() -> None:
    channel = payees_channel()
    for total in (10, 30, 60):
        channel = accepted(channel, parsed_package(total, total - channel.signed_by_peer))
    assert (channel.signed_by_peer, channel.accepted_from_peer) == (60, 60)
    assert channel.last_package == parsed_package(60, 30).text


def test_a_repeated_package_has_no_credit_left() -> None:
    package = parsed_package(40_000)
    after = accepted(payees_channel(), package)
    assert refused(after, package) is RefusalCode.NO_CREDIT


def test_packages_that_overtake_each_other_are_all_accepted() -> None:
    first, second, third = (
        parsed_package(10, 10),
        parsed_package(25, 15),
        parsed_package(45, 20),
    )
    channel = payees_channel()
    for package in (third, first, second):
        channel = accepted(channel, package)
    assert (channel.accepted_from_peer, channel.credit, channel.last_package) == (45, 0, third.text)


def test_a_package_above_the_credit_is_refused_by_the_last_unit_of_it() -> None:
    channel = accepted(payees_channel(), parsed_package(100, 60))
    assert channel.credit == 40
    assert accepted(channel, parsed_package(99, 40)).credit == 0
    assert refused(channel, parsed_package(99, 41)) is RefusalCode.NO_CREDIT
    assert accepted(channel, parsed_package(110, 50)).credit == 0
    assert refused(channel, parsed_package(110, 51)) is RefusalCode.NO_CREDIT


def test_a_package_with_less_than_the_last_one_never_becomes_the_last_message() -> None:
    highest = parsed_package(100, 60)
    channel = accepted(payees_channel(), highest)
    after = accepted(channel, parsed_package(50, 40))
    assert (after.last_package, after.signed_by_peer) == (highest.text, 100)


def test_another_package_with_the_same_total_never_becomes_the_last_message() -> None:
    highest = parsed_package(100, 60)
    channel = accepted(payees_channel(), highest)
    assert accepted(channel, parsed_package(100, 40)).last_package == highest.text


def test_what_is_signed_is_covered_to_the_last_byte() -> None:
    assert accepted(payees_channel(), parsed_package(100_000)).signed_by_peer == 100_000
    assert refused(payees_channel(), parsed_package(100_001)) is RefusalCode.ABOVE_DEPOSIT
    owing = payees_channel(signed_by_me=500)
    assert accepted(owing, parsed_package(100_500)).exposure == 0
    assert refused(owing, parsed_package(100_501)) is RefusalCode.ABOVE_DEPOSIT


def test_an_unconfirmed_deposit_covers_what_it_backs_and_no_more() -> None:
    backing, limits = Backing(amount=50_000), GENEROUS
    assert accepted(payees_channel(), parsed_package(150_000), backing, limits).exposure == 50_000
    code = refused(payees_channel(), parsed_package(150_001), backing, limits)
    assert code is RefusalCode.ABOVE_DEPOSIT


def test_the_first_payment_may_rest_on_an_unconfirmed_deposit_alone() -> None:
    channel = Channel(channel_parameters(), PAYEE.address)
    after = accepted(channel, parsed_package(40_000), Backing(amount=100_000), GENEROUS)
    assert (after.status, after.exposure) == (Status.CLOSED, 40_000)


def test_the_limit_of_a_channel_bounds_what_unconfirmed_deposits_cover() -> None:
    limits = Limits(max_unconfirmed_by_channel=30_000)
    backing = Backing(amount=50_000)
    assert accepted(payees_channel(), parsed_package(130_000), backing, limits).exposure == 30_000
    code = refused(payees_channel(), parsed_package(130_001), backing, limits)
    assert code is RefusalCode.ABOVE_UNCONFIRMED_LIMITS


def test_without_a_limit_in_the_conf_no_unconfirmed_deposit_counts() -> None:
    backing = Backing(amount=50_000)
    assert refused(payees_channel(), parsed_package(100_001), backing) is RefusalCode.ABOVE_UNCONFIRMED_LIMITS


def test_a_deposit_that_is_too_young_is_told_from_one_that_is_missing() -> None:
    young = Backing(is_too_young=True)
    assert (
        refused(payees_channel(), parsed_package(100_001), young, GENEROUS) is RefusalCode.DEPOSIT_TOO_YOUNG
    )
    assert accepted(payees_channel(), parsed_package(100_000), young, GENEROUS).exposure == 0


def test_after_a_double_spend_only_confirmed_deposits_count() -> None:
    bad = Backing(is_double_spent=True)
    assert (
        refused(payees_channel(), parsed_package(100_001), bad, GENEROUS) is RefusalCode.DEPOSIT_DOUBLE_SPENT
    )
    assert accepted(payees_channel(), parsed_package(100_000), bad, GENEROUS).exposure == 0


def test_a_package_of_anybody_but_the_peer_is_refused() -> None:
    assert refused(payees_channel(), parsed_package(10, key=PAYEE)) is RefusalCode.WRONG_SIGNER
    assert refused(payees_channel(), parsed_package(10, key=STRANGER)) is RefusalCode.WRONG_SIGNER
    assert refused(customers_channel(), parsed_package(10)) is RefusalCode.WRONG_SIGNER


@pytest.mark.parametrize("period", [1, 3, MAX_AGENT_AMOUNT])
def test_a_package_of_another_period_is_refused(period: int) -> None:
    assert refused(payees_channel(period=2), parsed_package(10, period=period)) is RefusalCode.WRONG_PERIOD
    assert accepted(payees_channel(period=2), parsed_package(10, period=2)).accepted_from_peer == 10


def test_channel_parameters_that_are_the_channels_are_accepted_at_any_time() -> None:
    package = parsed_package(10, announce=channel_parameters())
    assert accepted(payees_channel(), package).accepted_from_peer == 10
    refund = parsed_package(10, key=PAYEE, announce=channel_parameters())
    assert accepted(customers_channel(signed_by_me=10), refund).accepted_from_peer == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"asset": ASSET},
        {"salt": "another salt"},
        {"timeout": TIMEOUT + 1},
        {"address_b": STRANGER.address},
        {"address_b": PAYEE.address},
    ],
    ids=str,
)
def test_channel_parameters_that_differ_from_the_channels_are_refused(changes: dict[str, Any]) -> None:
    package = parsed_package(10, announce=replace(channel_parameters(), **changes))
    assert refused(payees_channel(), package) is RefusalCode.WRONG_PARAMETERS


def test_channel_parameters_with_another_agent_version_are_refused() -> None:
    package = parsed_package(10, announce=replace(channel_parameters(), version="1.0"))
    assert refused(payees_channel(), package) is RefusalCode.WRONG_AGENT_VERSION


def test_while_an_answer_of_the_agent_is_missing_nothing_is_accepted_or_signed() -> None:
    channel = payees_channel(known_event_id=3)
    assert refused(channel, parsed_package(10)) is RefusalCode.EVENTS_MISSING
    assert signing_refused(replace(channel, deposited_by_me=100), 10) is RefusalCode.EVENTS_MISSING


@pytest.mark.parametrize(
    "fields",
    [
        {"status": Status.CLOSING},
        {"freeze": Freeze(Decision.CLOSE, 0, 0)},
        {"freeze": Freeze(Decision.CONFIRM, 0, 0)},
        {"freeze": Freeze(Decision.FRAUD_PROOF, 0, 0)},
    ],
    ids=str,
)
def test_closing_freezes_the_period(fields: dict[str, Any]) -> None:
    channel = payees_channel(deposited_by_me=100, **fields)
    assert refused(channel, parsed_package(10)) is RefusalCode.CHANNEL_CLOSING
    assert signing_refused(channel, 10) is RefusalCode.CHANNEL_CLOSING


def test_a_close_of_the_peer_on_its_way_stops_accepting_and_signing() -> None:
    channel = payees_channel(deposited_by_me=100)
    closing = Backing(is_closing=True)
    assert refused(channel, parsed_package(10), closing) is RefusalCode.CHANNEL_CLOSING
    assert signing_refused(channel, 10, backing=closing) is RefusalCode.CHANNEL_CLOSING


def test_unsettled_payments_are_limited() -> None:
    limits = Limits(max_unsettled_by_channel=30_000)
    assert accepted(payees_channel(), parsed_package(30_000), limits=limits).unsettled == 30_000
    code = refused(payees_channel(), parsed_package(30_001), limits=limits)
    assert code is RefusalCode.ABOVE_UNSETTLED_LIMITS
    refunding = payees_channel(signed_by_me=1_000)
    assert accepted(refunding, parsed_package(31_000), limits=limits).unsettled == 30_000


def test_credit_does_not_count_toward_the_limit_since_it_is_not_served_and_goes_back() -> None:
    limits = Limits(max_unsettled_by_channel=30_000)
    assert accepted(payees_channel(), parsed_package(100_000, 1), limits=limits).unsettled == 1


@pytest.mark.parametrize("amount_spent", [60_000, 100_000])
def test_credit_that_is_used_up_counts_toward_the_limit_even_by_a_package_that_comes_late(
    amount_spent: int,
) -> None:
    limits = Limits(max_unsettled_by_channel=30_000)
    channel = accepted(payees_channel(), parsed_package(80_000, 29_000), limits=limits)
    assert accepted(channel, parsed_package(amount_spent, 1_000), limits=limits).unsettled == 30_000
    code = refused(channel, parsed_package(amount_spent, 1_001), limits=limits)
    assert code is RefusalCode.ABOVE_UNSETTLED_LIMITS


def test_a_channel_that_can_never_pay_for_its_sweeping_is_refused() -> None:
    small, large = (payees_channel(deposited_by_peer=SWEEPING_COST + more) for more in (0, 1))
    assert refused(small, parsed_package(500)) is RefusalCode.UNECONOMIC
    assert accepted(large, parsed_package(500)).accepted_from_peer == 500


def test_what_is_accepted_is_worth_sweeping_once_the_deposits_are_used_up() -> None:
    deposited = SWEEPING_COST + 1
    channel = accepted(payees_channel(deposited_by_peer=deposited), parsed_package(deposited))
    assert is_worth_sweeping(channel, SWEEPING_COST)
    assert not is_worth_sweeping(replace(channel, accepted_from_peer=SWEEPING_COST), SWEEPING_COST)


def test_a_deposit_on_its_way_makes_a_small_channel_worth_its_sweeping() -> None:
    small = payees_channel(deposited_by_peer=SWEEPING_COST)
    assert accepted(small, parsed_package(500), Backing(amount=1)).accepted_from_peer == 500


def test_a_debt_of_mine_makes_a_small_channel_worth_no_more() -> None:
    owing = payees_channel(deposited_by_peer=SWEEPING_COST, deposited_by_me=50_000, signed_by_me=20_000)
    assert refused(owing, parsed_package(500)) is RefusalCode.UNECONOMIC


def test_in_an_asset_its_own_cost_of_a_sweep_counts() -> None:
    parameters = channel_parameters(ASSET)
    limits = replace(GENEROUS, cost_of_sweep=10)
    package = parsed_package(1, parameters=parameters)
    small, large = (payees_channel(parameters, deposited_by_peer=deposited) for deposited in (10, 11))
    assert refused(small, package, limits=limits) is RefusalCode.UNECONOMIC
    assert accepted(large, package, limits=limits).accepted_from_peer == 1


def test_refunds_are_never_uneconomic() -> None:
    assert (
        accepted(customers_channel(signed_by_me=10), parsed_package(10, key=PAYEE)).accepted_from_peer == 10
    )


# --- signing ---------------------------------------------------------------------------------------------


def test_signing_adds_to_what_i_owe_and_changes_nothing_else() -> None:
    channel = customers_channel(signed_by_me=10)
    assert sign(channel, 90, 0) == customers_channel(signed_by_me=100)


def test_i_never_sign_more_than_i_have() -> None:
    channel = customers_channel(signed_by_me=99_990)
    assert sign(channel, 10, 0).signed_by_me == 100_000
    assert signing_refused(channel, 11) is RefusalCode.ABOVE_DEPOSIT
    assert sign(channel, 60, pending_deposits=50).signed_by_me == 100_050
    assert signing_refused(channel, 61, pending_deposits=50) is RefusalCode.ABOVE_DEPOSIT
    paid_back = replace(channel, signed_by_peer=5)
    assert sign(paid_back, 15, 0).signed_by_me == 100_005
    assert signing_refused(paid_back, 16) is RefusalCode.ABOVE_DEPOSIT


def test_a_payee_without_a_deposit_refunds_only_what_it_got() -> None:
    assert signing_refused(payees_channel(), 1) is RefusalCode.ABOVE_DEPOSIT
    assert sign(payees_channel(signed_by_peer=40), 40, 0).signed_by_me == 40


@pytest.mark.parametrize("amount", [0, -1, 1.0, True, None, "5"])
def test_only_a_positive_integer_can_be_signed(amount: Any) -> None:
    assert signing_refused(customers_channel(), amount) is RefusalCode.WRONG_AMOUNT


def test_the_total_that_i_sign_stays_within_what_the_agent_counts() -> None:
    rich = customers_channel(deposited_by_me=2 * MAX_AGENT_AMOUNT, signed_by_me=MAX_AGENT_AMOUNT - 5)
    assert sign(rich, 5, 0).signed_by_me == MAX_AGENT_AMOUNT
    assert signing_refused(rich, 6) is RefusalCode.ABOVE_DEPOSIT


def test_spendable_is_deposits_and_income_less_what_i_owe() -> None:
    channel = customers_channel(signed_by_me=70_000, signed_by_peer=1_000)
    assert spendable(channel, 0) == 31_000
    assert spendable(channel, 9) == 31_009


# --- the agent's answers ---------------------------------------------------------------------------------


def test_a_deposit_opens_the_channel_for_both_sides() -> None:
    event = Opened(1, 1, 7, 100_000, "u")
    payees = apply_event(Channel(channel_parameters(), PAYEE.address), event)
    customers = apply_event(Channel(channel_parameters(), CUSTOMER.address), event)
    assert (payees.deposited_by_me, payees.deposited_by_peer) == (7, 100_000)
    assert (customers.deposited_by_me, customers.deposited_by_peer) == (100_000, 7)
    for channel in (payees, customers):
        assert (channel.status, channel.period) == (Status.OPEN, 1)
        assert (channel.last_event_id, channel.known_event_id) == (1, 1)


def test_a_deposit_that_confirms_keeps_what_was_signed_and_accepted_before() -> None:
    channel = accepted(
        Channel(channel_parameters(), PAYEE.address),
        parsed_package(40_000),
        Backing(amount=100_000),
        GENEROUS,
    )
    after = apply_event(channel, Opened(1, 1, 0, 100_000, "u"))
    assert (after.signed_by_peer, after.accepted_from_peer, after.exposure) == (40_000, 40_000, 0)
    assert after.last_package == channel.last_package


@pytest.mark.parametrize("is_mine", [True, False])
def test_a_close_is_remembered_as_each_side_sees_it(is_mine: bool) -> None:
    initiator = PAYEE if is_mine else CUSTOMER
    event = Closing(2, 1, initiator.address, 500, 40_000, "u", 1_700_000_000)
    after = apply_event(payees_channel(), event)
    assert after.status is Status.CLOSING
    assert after.pending_close == PendingClose(is_mine, 500, 40_000, 1_700_000_000)
    customers = apply_event(customers_channel(), event)
    assert customers.pending_close == PendingClose(not is_mine, 40_000, 500, 1_700_000_000)


def test_the_end_of_a_period_settles_everything_and_lifts_the_freeze() -> None:
    channel = payees_channel(
        status=Status.CLOSING,
        last_event_id=5,
        known_event_id=5,
        deposited_by_me=1,
        signed_by_me=2,
        signed_by_peer=3,
        accepted_from_peer=3,
        last_package="{}",
        is_known_by_peer=True,
        written_off=4,
        freeze=Freeze(Decision.CONFIRM, 2, 3),
        pending_close=PendingClose(False, 2, 3, 4),
    )
    assert apply_event(channel, Closed(6, 1, False, 0, 0)) == Channel(
        channel_parameters(),
        PAYEE.address,
        period=2,
        last_event_id=6,
        known_event_id=6,
        is_known_by_peer=True,
    )


def test_after_the_end_of_a_period_the_next_deposit_opens_the_next_one() -> None:
    channel = apply_event(payees_channel(last_event_id=2, known_event_id=2), Closed(3, 1, False, 0, 0))
    after = apply_event(channel, Opened(4, 2, 0, 500, "u"))
    assert (after.status, after.period, after.deposited_by_peer) == (Status.OPEN, 2, 500)


def test_a_refused_deposit_only_counts_as_an_event() -> None:
    channel = payees_channel(status=Status.CLOSING)
    after = apply_event(channel, DepositRefused(2, "u"))
    assert after == replace(channel, last_event_id=2, known_event_id=2)


EVERY_KIND: list[AgentEvent] = [
    Opened(1, 1, 9, 9, "u"),
    Closing(1, 1, CUSTOMER.address, 9, 9, "u", 1),
    Closed(1, 1, False, 0, 0),
    DepositRefused(1, "u"),
]


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: type(event).__name__)
def test_an_older_event_changes_nothing(event: AgentEvent) -> None:
    channel = payees_channel(last_event_id=3, known_event_id=4)
    for number in (1, 2, 3):
        assert apply_event(channel, replace(event, event_id=number)) == channel


@pytest.mark.parametrize("event", EVERY_KIND, ids=lambda event: type(event).__name__)
def test_an_event_after_a_gap_is_only_remembered(event: AgentEvent) -> None:
    channel = payees_channel(last_event_id=3, known_event_id=4)
    assert apply_event(channel, replace(event, event_id=7)) == replace(channel, known_event_id=7)
    known = replace(channel, known_event_id=9)
    assert apply_event(known, replace(event, event_id=7)) == known


def test_a_gap_is_over_only_when_every_event_up_to_the_last_known_one_is_there() -> None:
    channel = payees_channel(deposited_by_me=100)
    channel = apply_event(channel, Opened(4, 1, 100, 400_000, "u"))
    for number in (2, 3):
        channel = apply_event(channel, Opened(number, 1, 100, number * 100_000, "u"))
        assert refused(channel, parsed_package(1)) is RefusalCode.EVENTS_MISSING
    channel = apply_event(channel, Opened(4, 1, 100, 400_000, "u"))
    assert accepted(channel, parsed_package(1)).accepted_from_peer == 1


def test_while_an_answer_may_be_missing_nothing_is_accepted_or_signed_until_all_was_read() -> None:
    doubted = doubt_answers(payees_channel(deposited_by_me=100))
    assert refused(doubted, parsed_package(10)) is RefusalCode.EVENTS_MISSING
    assert signing_refused(doubted, 10) is RefusalCode.EVENTS_MISSING
    further = apply_event(doubted, Opened(2, 1, 100, 200_000, "u"))
    assert further.deposited_by_peer == 200_000
    assert refused(further, parsed_package(10)) is RefusalCode.EVENTS_MISSING
    assert trust_answers(further).known_event_id == 2
    assert accepted(trust_answers(further), parsed_package(10)).accepted_from_peer == 10
    assert trust_answers(doubted) == payees_channel(deposited_by_me=100)


def test_that_an_answer_is_missing_for_sure_outweighs_that_one_may_be() -> None:
    gap = payees_channel(last_event_id=3, known_event_id=5)
    assert gap.lacks_answer
    assert doubt_answers(gap) == trust_answers(gap) == gap
    doubted = doubt_answers(payees_channel(last_event_id=3, known_event_id=3))
    assert not doubted.lacks_answer
    assert apply_event(doubted, Opened(5, 1, 0, 1, "u")) == gap


# --- memory that may have been lost ----------------------------------------------------------------------


def test_a_distrusted_channel_signs_accepts_and_closes_nothing_in_its_period() -> None:
    channel = distrust_current_period(payees_channel(deposited_by_me=100))
    assert channel.is_distrusted
    assert refused(channel, parsed_package(10)) is RefusalCode.CHANNEL_RESTORED
    assert signing_refused(channel, 10) is RefusalCode.CHANNEL_RESTORED
    with pytest.raises(Refusal) as refusal:
        decide_close(channel)
    assert refusal_code(refusal.value) is RefusalCode.CHANNEL_RESTORED
    assert not refill_due(channel, 0, 10**9)


def test_a_distrusted_channel_confirms_the_peers_close_and_takes_its_word() -> None:
    channel = distrust_current_period(payees_channel(status=Status.CLOSING))
    after, command = decide_answer(channel, 70_000)
    assert command == Command(Decision.CONFIRM, 1, transferred_from_me=0)
    assert after.freeze is not None


@pytest.mark.parametrize("is_payee", [True, False])
def test_a_distrusted_channel_gives_no_credit_back_since_it_may_have_used_it(is_payee: bool) -> None:
    key = CUSTOMER if is_payee else PAYEE
    channel = payees_channel() if is_payee else customers_channel(signed_by_me=500)
    stale = distrust_current_period(accepted(channel, parsed_package(100, 60, key=key)))
    assert stale.credit == 40
    _, command = decide_answer(stale, 150)
    assert command == Command(Decision.CONFIRM, 1, transferred_from_me=0)


def test_a_distrusted_channel_still_proves_a_fraud_that_it_can_see() -> None:
    package = parsed_package(100, 60)
    stale = distrust_current_period(accepted(payees_channel(), package))
    _, command = decide_answer(stale, 99)
    assert command == Command(Decision.FRAUD_PROOF, 1, sent_by_peer=package.text)


def test_a_distrusted_channel_is_used_again_in_the_next_period() -> None:
    channel = apply_event(
        distrust_current_period(payees_channel(deposited_by_me=100)), Closed(2, 1, False, 0, 0)
    )
    assert not channel.is_distrusted
    channel = apply_event(channel, Opened(3, 2, 100, 100_000, "u"))
    assert accepted(channel, parsed_package(10, period=2)).accepted_from_peer == 10
    assert sign(channel, 10, 0).signed_by_me == 10


def test_what_may_be_forgotten_stays_so_over_the_end_of_a_period() -> None:
    channel = apply_event(payees_channel(signs_from_period=4), Closed(2, 1, False, 0, 0))
    assert (channel.period, channel.is_distrusted) == (2, True)
    channel = apply_event(apply_event(channel, Closed(3, 2, False, 0, 0)), Closed(4, 3, False, 0, 0))
    assert (channel.period, channel.is_distrusted) == (4, False)


def test_distrusting_twice_or_late_never_shortens_the_wait() -> None:
    assert distrust_current_period(distrust_current_period(payees_channel())).signs_from_period == 2
    assert distrust_current_period(payees_channel(period=1, signs_from_period=7)).signs_from_period == 7
    assert distrust_current_period(payees_channel(period=6)).signs_from_period == 7


# --- closing ---------------------------------------------------------------------------------------------


def test_a_close_claims_all_that_i_signed_and_gives_the_credit_back() -> None:
    package = parsed_package(100, 60)
    channel = accepted(payees_channel(signed_by_me=7), package)
    after, command = decide_close(channel)
    assert command == Command(Decision.CLOSE, 1, transferred_from_me=47, sent_by_peer=package.text)
    assert after == replace(channel, freeze=Freeze(Decision.CLOSE, 7, 100))


def test_a_close_of_an_unused_channel_shows_no_package() -> None:
    _, command = decide_close(payees_channel(period=3))
    assert command == Command(Decision.CLOSE, 3, transferred_from_me=0, sent_by_peer=None)


@pytest.mark.parametrize("status", [Status.CLOSED, Status.CLOSING])
def test_only_an_open_channel_can_be_closed(status: Status) -> None:
    with pytest.raises(Refusal) as refusal:
        decide_close(payees_channel(status=status))
    assert refusal_code(refusal.value) is RefusalCode.CHANNEL_CLOSING


def test_deciding_to_close_again_gives_the_same_command() -> None:
    channel = accepted(payees_channel(), parsed_package(100, 60))
    after, command = decide_close(channel)
    assert decide_close(after) == (after, command)


def test_a_claim_below_what_the_peer_signed_is_answered_with_the_proof() -> None:
    package = parsed_package(100, 60)
    channel = accepted(payees_channel(), package)
    after, command = decide_answer(channel, 99)
    assert command == Command(Decision.FRAUD_PROOF, 1, sent_by_peer=package.text)
    assert after.freeze == Freeze(Decision.FRAUD_PROOF, 0, 100)


def test_a_payee_returns_whatever_the_customer_claims_to_owe_beyond_what_was_accepted() -> None:
    channel = accepted(payees_channel(signed_by_me=7), parsed_package(100, 60))
    for claim, returned in ((100, 40), (101, 41), (5_000, 4_940)):
        after, command = decide_answer(channel, claim)
        assert command == Command(Decision.CONFIRM, 1, transferred_from_me=returned)
        assert after.freeze == Freeze(Decision.CONFIRM, 7, 100)


@pytest.mark.parametrize(
    "claim", [MAX_AGENT_AMOUNT + 41, 2**53, 5 * 10**19, 10**300], ids=lambda claim: f"{claim:.0e}"
)
def test_against_a_claim_that_the_agent_cannot_count_exactly_no_such_amount_is_returned(claim: int) -> None:
    channel = accepted(payees_channel(deposited_by_me=20_000), parsed_package(40))
    _, command = decide_answer(channel, claim)
    assert command.decision is Decision.CONFIRM
    assert 0 <= command.transferred_from_me <= MAX_AGENT_AMOUNT


def test_a_payee_returns_refunds_that_the_customers_close_does_not_show() -> None:
    paid = accepted(payees_channel(deposited_by_me=50, signed_by_me=30), parsed_package(100))
    for shown, claim, returned in ((30, 100, 0), (31, 100, 0), (10, 100, 20), (0, 100, 30), (10, 107, 27)):
        closing = replace(paid, pending_close=PendingClose(False, shown, claim, timestamp=1))
        _, command = decide_answer(closing, claim)
        assert command == Command(Decision.CONFIRM, 1, transferred_from_me=returned)


def test_a_payee_returns_no_more_than_it_can_have() -> None:
    paid = accepted(payees_channel(deposited_by_me=50, signed_by_me=MAX_AGENT_AMOUNT), parsed_package(100))
    closing = replace(paid, pending_close=PendingClose(False, 0, 100, timestamp=1))
    _, command = decide_answer(closing, 100)
    assert command.transferred_from_me == 150


def test_a_customer_returns_the_credit_that_it_holds() -> None:
    channel = accepted(customers_channel(signed_by_me=500), parsed_package(100, 60, key=PAYEE))
    for claim in (100, 101, 5_000):
        _, command = decide_answer(channel, claim)
        assert command == Command(Decision.CONFIRM, 1, transferred_from_me=40)
    _, command = decide_answer(channel, 99)
    assert command.decision is Decision.FRAUD_PROOF


def test_answering_again_gives_the_same_command() -> None:
    channel = accepted(payees_channel(), parsed_package(100, 60))
    after, command = decide_answer(channel, 120)
    assert decide_answer(after, 120) == (after, command)


def test_an_answer_replaces_ones_own_close_that_came_too_late() -> None:
    channel, _ = decide_close(accepted(payees_channel(), parsed_package(100, 60)))
    after, command = decide_answer(channel, 100)
    assert command == Command(Decision.CONFIRM, 1, transferred_from_me=40)
    assert after.freeze == Freeze(Decision.CONFIRM, 0, 100)


def closing_channel(*, initiated_by_me: bool) -> Channel:
    pending_close = PendingClose(initiated_by_me, 0, 0, 1_000)
    return payees_channel(status=Status.CLOSING, pending_close=pending_close)


def test_ones_own_close_is_confirmed_from_the_second_of_the_timeout_on() -> None:
    channel = closing_channel(initiated_by_me=True)
    assert not may_confirm_own_close(channel, 1_000 + TIMEOUT - 1)
    assert may_confirm_own_close(channel, 1_000 + TIMEOUT)
    assert may_confirm_own_close(channel, 1_000 + TIMEOUT + 1)


def test_only_ones_own_close_waits_for_the_timeout() -> None:
    assert not may_confirm_own_close(closing_channel(initiated_by_me=False), 10**9)
    assert not may_confirm_own_close(payees_channel(), 10**9)


def test_the_confirmation_of_ones_own_close_adds_nothing() -> None:
    channel = replace(closing_channel(initiated_by_me=True), signed_by_me=5, signed_by_peer=9)
    after, command = decide_timeout(channel)
    assert command == Command(Decision.CONFIRM, 1)
    assert after.freeze == Freeze(Decision.CONFIRM, 5, 9)


def test_a_proof_shows_a_package_that_is_above_the_claim() -> None:
    package = parsed_package(100, 60)
    _, command = decide_answer(accepted(payees_channel(), package), 10)
    assert command.sent_by_peer is not None
    assert json.loads(command.sent_by_peer)["signed_message"]["amount_spent"] == 100


# --- deposits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asset, least", [("base", 10_001), (ASSET, 1)])
def test_a_deposit_is_an_integer_that_the_agent_takes_for_one(asset: str, least: int) -> None:
    check_deposit(asset, least)
    check_deposit(asset, MAX_AGENT_AMOUNT)
    for amount in (least - 1, 0, -1, MAX_AGENT_AMOUNT + 1, True, None, 20_000.0, "20000"):
        with pytest.raises(Refusal) as refusal:
            check_deposit(asset, amount)  # type: ignore[arg-type]
        assert refusal_code(refusal.value) is RefusalCode.WRONG_AMOUNT


def test_a_refill_is_due_below_the_threshold_with_deposits_on_their_way_counted() -> None:
    channel = customers_channel(signed_by_me=80_000)
    assert not refill_due(channel, 0, 20_000)
    assert refill_due(channel, 0, 20_001)
    assert not refill_due(channel, 1, 20_001)


@pytest.mark.parametrize(
    "fields", [{"status": Status.CLOSING}, {"freeze": Freeze(Decision.CLOSE, 0, 0)}], ids=str
)
def test_a_closing_channel_is_not_refilled(fields: dict[str, Any]) -> None:
    assert not refill_due(customers_channel(signed_by_me=100_000, **fields), 0, 20_000)
