"""Faults of the JavaScript library that are not inherited: each that the pure rules decide, by name."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from paypercall.backing import Backing, Limits
from paypercall.channel import accept
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.package import parse_package
from tests.two_sides import (
    CUSTOMER,
    GENEROUS,
    PAYEE,
    Side,
    World,
    channel_parameters,
    parsed_package,
    refusal_code,
)
from tests.vectors import Case, load_cases


def refused_by(side: Side, package: object) -> RefusalCode:
    """The code with which a side refuses a package; its books stay as they are."""
    before, accepted = side.channel, dict(side.accepted)
    with pytest.raises(Refusal) as refusal:
        side.verify(package)
    assert side.channel is before
    assert side.accepted == accepted
    return refusal_code(refusal.value)


def world_with_an_unconfirmed_deposit() -> World:
    world = World()
    world.post_deposit(world.customer, 100_000)
    return world


def test_one_package_is_not_accepted_twice_while_the_deposit_is_unconfirmed() -> None:
    world = world_with_an_unconfirmed_deposit()
    package = world.customer.pay(10_000)
    world.payee.verify(package)
    assert [refused_by(world.payee, package) for _ in range(3)] == [RefusalCode.DUPLICATE] * 3
    assert world.payee.channel.accepted_from_peer == 10_000


def test_even_without_the_stores_memory_a_repeat_finds_no_credit_in_an_unconfirmed_deposit() -> None:
    world = world_with_an_unconfirmed_deposit()
    package = parsed_package(10_000)
    channel = accept(world.payee.channel, package, world.payee.backing, GENEROUS)
    with pytest.raises(Refusal) as refusal:
        accept(channel, package, world.payee.backing, GENEROUS)
    assert refusal_code(refusal.value) is RefusalCode.NO_CREDIT


def test_an_unconfirmed_deposit_is_no_credit_for_a_payment_above_what_was_signed() -> None:
    world = world_with_an_unconfirmed_deposit()
    world.payee.verify(world.customer.pay(10_000))
    greedy = parsed_package(10_500, 600)
    with pytest.raises(Refusal) as refusal:
        accept(world.payee.channel, greedy, world.payee.backing, GENEROUS)
    assert refusal_code(refusal.value) is RefusalCode.NO_CREDIT


def test_an_older_package_never_replaces_the_last_message() -> None:
    world = World()
    world.deposit(world.customer, 100_000)
    older, newer = world.customer.pay(10_000), world.customer.pay(30_000)
    highest = world.payee.verify(newer)
    world.payee.verify(older)
    assert world.payee.channel.last_package == highest.text
    payout = world.settle(world.payee)
    assert payout.paid[BASE][PAYEE.address] >= 40_000


def test_a_package_repeated_while_credit_is_left_takes_nothing_from_the_one_it_overtook() -> None:
    world = World()
    world.deposit(world.customer, 100_000)
    skipped, newer = world.customer.pay(10_000), world.customer.pay(10_000)
    world.payee.verify(newer)
    assert world.payee.channel.credit == 10_000
    assert refused_by(world.payee, newer) is RefusalCode.DUPLICATE
    assert world.payee.verify(skipped).payment_amount == 10_000
    assert world.payee.channel.accepted_from_peer == 20_000


def test_another_package_with_a_total_that_was_accepted_is_told_from_a_repeat() -> None:
    world = World()
    world.deposit(world.customer, 100_000)
    world.customer.pay(10_000)
    world.payee.verify(world.customer.pay(10_000))
    assert refused_by(world.payee, other_package(20_000, 5_000)) is RefusalCode.CONFLICTING_PACKAGE


def other_package(amount_spent: int, payment_amount: int) -> str:
    return parsed_package(amount_spent, payment_amount).text


def cases_that_only_the_library_takes() -> list[Case]:
    cases = load_cases("signed_package.json")
    return [
        case
        for case in cases
        if case.get("aa_channels_lib", {}).get("valid") is True
        and case.get("aa_formula", {}).get("valid") is False
        and case["kind"] == "validate"
    ]


def test_packages_that_the_agent_refuses_are_not_accepted() -> None:
    cases = cases_that_only_the_library_takes()
    assert len(cases) > 40
    versions = {"livenet": "4.0", "testnet": "4.0t", "devnet": "4.0dev"}
    for case in cases:
        with pytest.raises(Refusal):
            parse_package(case["package"], network_version=versions[case["network"]])


def test_unsettled_payments_are_kept_small_since_the_agent_pays_a_fraud_proof_to_anyone() -> None:
    world = World()
    world.payee.limits = replace(GENEROUS, max_unsettled_by_channel=25_000)
    world.deposit(world.customer, 100_000)
    for _ in range(2):
        world.payee.verify(world.customer.pay(10_000))
    package = world.customer.pay(10_000)
    assert refused_by(world.payee, package) is RefusalCode.ABOVE_UNSETTLED_LIMITS
    payout = world.settle(world.payee)
    assert payout.paid[BASE][PAYEE.address] >= 20_000
    world.deposit(world.customer, 100_000)
    assert world.payee.verify(world.customer.pay(10_000)).period == 2


def test_every_unconfirmed_deposit_of_a_channel_counts_and_not_one_arbitrary_of_them() -> None:
    world = World()
    for amount in (20_000, 30_000, 50_000):
        world.post_deposit(world.customer, amount)  # each with the definition: no answer has come yet
    assert world.payee.backing == Backing(amount=100_000)
    assert world.payee.verify(world.customer.pay(100_000)).payment_amount == 100_000


@pytest.mark.parametrize("step", [1, 7_000, 50_000])
def test_the_whole_of_a_limit_on_unconfirmed_deposits_can_be_used(step: int) -> None:
    limits = Limits(max_unconfirmed_by_asset=50_000, max_unconfirmed_by_channel=50_000)
    world = World(payee_limits=limits)
    world.post_deposit(world.customer, 100_000)
    paid = 0
    for amount in [step] * min(50_000 // step, 7) + [50_000 - step * min(50_000 // step, 7)]:
        if amount:
            world.payee.verify(world.customer.pay(amount))
            paid += amount
    assert paid == world.payee.channel.exposure == 50_000
    assert refused_by(world.payee, world.customer.pay(1)) is RefusalCode.ABOVE_UNCONFIRMED_LIMITS


def test_once_a_deposit_confirms_the_limit_on_unconfirmed_ones_is_free_again() -> None:
    world = World(payee_limits=Limits(max_unconfirmed_by_asset=50_000, max_unconfirmed_by_channel=50_000))
    unit = world.post_deposit(world.customer, 100_000)
    world.payee.verify(world.customer.pay(50_000))
    world.confirm(unit)
    world.post_deposit(world.customer, 100_000)
    assert world.payee.verify(world.customer.pay(100_000)).payment_amount == 100_000
    assert world.payee.channel.exposure == 50_000


def test_a_refused_package_changes_nothing_and_is_accepted_once_the_deposit_confirms() -> None:
    world = World(payee_limits=Limits(max_unconfirmed_by_asset=0, max_unconfirmed_by_channel=0))
    unit = world.post_deposit(world.customer, 100_000)
    package = world.customer.pay(10_000)
    assert refused_by(world.payee, package) is RefusalCode.ABOVE_UNCONFIRMED_LIMITS
    world.confirm(unit)
    assert world.payee.verify(package).payment_amount == 10_000


def test_an_outdated_answer_of_the_agent_does_not_bring_back_an_outdated_state() -> None:
    world = World()
    world.deposit(world.customer, 100_000)
    world.deposit(world.customer, 50_000)
    before = world.payee.channel
    world.payee.read(world.ledger.events[0])
    assert world.payee.channel == before
    assert world.payee.channel.deposited_by_peer == 150_000


@pytest.mark.parametrize("field", ["authentifiers", "definition", "address"])
def test_a_package_signed_by_another_key_in_the_customers_name_is_refused(field: str) -> None:
    world = World()
    world.deposit(world.customer, 100_000)
    package: dict[str, Any] = world.customer.pay(10_000)
    stolen = parsed_package(10_000, key=PAYEE)
    other = parse_text(stolen.text)["authors"][0]
    package["authors"][0] = {**package["authors"][0], field: other[field]}
    code = refused_by(world.payee, package)
    assert code in {RefusalCode.WRONG_SIGNATURE, RefusalCode.WRONG_SIGNER}


def parse_text(text: str) -> dict[str, Any]:
    package: dict[str, Any] = json.loads(text)
    return package


def test_the_customer_announces_its_channel_until_the_payee_is_known_to_have_it() -> None:
    world = World()
    world.deposit(world.customer, 100_000)
    first = world.customer.pay(10_000)
    assert first["signed_message"]["channel_parameters"]["address"] == CUSTOMER.address
    parsed = world.payee.verify(first)
    assert parsed.announced is not None
    assert parsed.announced.parameters(PAYEE.address) == channel_parameters()
    assert "channel_parameters" in world.customer.pay(10)["signed_message"]
    world.customer.verify(world.payee.pay(10))
    assert "channel_parameters" not in world.customer.pay(10)["signed_message"]
