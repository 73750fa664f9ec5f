"""Composed units, compared byte for byte with those of the real wallet, and what is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.obyte.amounts import MAX_CAP
from paypercall.obyte.composer import (
    INPUT_BYTES,
    MAX_COINS,
    MAX_UNIT_BYTES,
    Coin,
    Draft,
    Output,
    Parents,
    compose,
)
from paypercall.obyte.errors import (
    CanonicalError,
    InsufficientFunds,
    InvalidUnit,
    TooManyCoins,
    UnitTooLarge,
)
from paypercall.obyte.keys import Key
from paypercall.obyte.network import devnet
from paypercall.obyte.unit import headers_size, total_payload_size, unit_hash
from tests.obyte.whole_units import read_whole, signers

TRACES: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "traces" / "units.json").read_text(encoding="utf-8")
)
NETWORK = devnet(TRACES["network"]["genesis_unit"], tuple(TRACES["network"]["witnesses"]))
SEVERAL_AUTHORS = "several addresses pay or sign; a wallet of ours has one"
SEVERAL_KEYS = "the address has several keys; one of ours has one"
NOBODYS_WALLET = "not made by a wallet"
NOT_COMPOSED = {
    "multi_author": SEVERAL_AUTHORS,
    "multi_author_one_signs_only": SEVERAL_AUTHORS,
    "three_authors_big": SEVERAL_AUTHORS,
    "asset_fee_paid_by_another": SEVERAL_AUTHORS,
    "and_definition_first": SEVERAL_KEYS,
    "and_definition_second": SEVERAL_KEYS,
    "or_definition": SEVERAL_KEYS,
    "agent_response_1": NOBODYS_WALLET,
    "agent_response_2": NOBODYS_WALLET,
    "agent_response_3": NOBODYS_WALLET,
    "agent_response_4": NOBODYS_WALLET,
    "agent_response_5": NOBODYS_WALLET,
    "genesis": NOBODYS_WALLET,
    "witness_early": NOBODYS_WALLET,
    "witness_late": NOBODYS_WALLET,
    "unit_with_skiplist": NOBODYS_WALLET,
}
"""The recorded units that no wallet of ours makes, with the reason."""

RECORDED = [unit for unit in TRACES["units"] if unit["name"] not in NOT_COMPOSED]
KEY = Key(bytes(range(1, 33)))
OTHER = Key(bytes(range(2, 34))).address
ASSET = "3uuv4rFgDxycbkSv1GpUEeJvj0RAZpiZwBP0yR/CyxA="
PARENTS = Parents(1_795_313_655, ("b" * 42 + "A=", "a" * 42 + "A="), "c" * 42 + "A=", "d" * 42 + "A=", 62, 11)


def coin(amount: int, number: int = 0, asset: str = "base", is_stable: bool = True) -> Coin:
    return Coin(f"{number:042d}A=", 0, number, amount, asset, KEY.address, is_stable)


def pay(amount: int, asset: str = "base") -> Draft:
    return Draft({asset: (Output(OTHER, amount),)})


def compose_one(draft: Draft, coins: list[Coin], **options: Any) -> dict[str, Any]:
    return compose(NETWORK, KEY, draft, coins, PARENTS, **{"with_definition": False, **options})


def byte_payment(unit: dict[str, Any]) -> dict[str, Any]:
    [payload] = [
        message["payload"]
        for message in unit["messages"]
        if message["app"] == "payment" and "asset" not in message["payload"]
    ]
    return dict(payload)


def recorded_parents(unit: dict[str, Any]) -> Parents:
    response = unit["compose"]["lp_response"]
    return Parents(
        timestamp=response["timestamp"],
        parent_units=tuple(response["parent_units"]),
        last_ball=response["last_stable_mc_ball"],
        last_ball_unit=response["last_stable_mc_ball_unit"],
        last_ball_mci=response["last_stable_mc_ball_mci"],
        tps_fee=response["tps_fee"],
        primary_aa_triggers=response["count_primary_aa_triggers"],
    )


def recorded_draft(unit: dict[str, Any]) -> Draft:
    recorded = unit["compose"]
    address = recorded["change_address"]
    outputs = {}
    if recorded["outputs"]:
        outputs["base"] = tuple(Output(output["address"], output["amount"]) for output in recorded["outputs"])
    messages = [{"app": message["app"], "payload": message["payload"]} for message in recorded["messages"]]
    for payment in recorded["assets"]:
        if any(spent.get("type") == "issue" for spent in payment["inputs"]):
            messages.append({"app": "payment", "payload": payment})
            continue
        outputs[payment["asset"]] = tuple(
            Output(output["address"], output["amount"])
            for output in payment["outputs"]
            if output["address"] != address
        )
    return Draft(outputs, tuple(messages), recorded.get("max_aa_responses"), change_to=address)


def recorded_coins(unit: dict[str, Any]) -> list[Coin]:
    return [
        Coin(
            unit=output["unit"],
            message_index=output["message_index"],
            output_index=output["output_index"],
            amount=output["amount"],
            asset=output["asset"] or "base",
            address=output["address"],
            is_stable=bool(output["is_stable"]),
            main_chain_index=output["main_chain_index"],
        )
        for output in unit["compose"]["available_outputs"]
    ]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda unit: str(unit["name"]))
def test_a_unit_is_the_one_that_the_real_wallet_made(recorded: dict[str, Any]) -> None:
    [author] = recorded["compose"]["authors"]
    key = Key(bytes.fromhex(recorded["private_keys"][author["address"]]["privkey_hex"]))
    coins = recorded_coins(recorded)
    everything = sorted((one for one in coins if one.asset == "base"), key=lambda one: -one.amount)
    unit = compose(
        NETWORK,
        key,
        recorded_draft(recorded),
        coins,
        recorded_parents(recorded),
        with_definition=author["with_definition"],
        must_spend=tuple(everything) if recorded["compose"].get("send_all") else (),
    )
    assert unit == recorded["joint"]["unit"]
    read_whole({"unit": unit}, NETWORK)
    assert signers(unit, {key.address: key.definition}) == {key.address}


def test_each_recorded_unit_is_composed_or_listed_with_the_reason_why_not() -> None:
    names = [unit["name"] for unit in TRACES["units"]]
    assert len(names) == len(set(names)) == 44
    assert set(NOT_COMPOSED) <= set(names)
    assert len(RECORDED) == 28


@pytest.mark.parametrize("name", NOT_COMPOSED)
def test_a_unit_that_we_do_not_compose_has_the_same_hash_and_the_same_commissions(name: str) -> None:
    recorded = next(unit for unit in TRACES["units"] if unit["name"] == name)
    unit = recorded["joint"]["unit"]
    assert unit_hash(unit) == recorded["unit"]
    assert headers_size(unit) == recorded["headers_commission"]
    assert total_payload_size(unit) == recorded["payload_commission"]
    read_whole({"unit": unit}, NETWORK)


@settings(max_examples=100, deadline=None)
@given(
    amounts=st.lists(st.integers(1, 10_000_000), min_size=1, max_size=20),
    asset_amounts=st.lists(st.integers(1, 1000), max_size=5),
    paid=st.lists(st.integers(1, 2_000_000), max_size=5),
    asset_paid=st.integers(0, 2000),
    with_definition=st.booleans(),
)
def test_a_unit_is_valid_balanced_and_the_same_each_time_or_the_coins_do_not_suffice(
    amounts: list[int], asset_amounts: list[int], paid: list[int], asset_paid: int, with_definition: bool
) -> None:
    coins = [coin(amount, number, is_stable=number % 3 > 0) for number, amount in enumerate(amounts)]
    coins += [coin(amount, 100 + number, ASSET) for number, amount in enumerate(asset_amounts)]
    outputs = {"base": tuple(Output(OTHER, amount) for amount in paid)}
    if asset_paid:
        outputs[ASSET] = (Output(OTHER, asset_paid),)
    try:
        unit = compose_one(Draft(outputs), coins, with_definition=with_definition)
    except InsufficientFunds:
        most_fees = 1_500 + 89 * len(coins)
        assert sum(amounts) <= sum(paid) + most_fees or sum(asset_amounts) < asset_paid
        return
    read_whole({"unit": unit}, NETWORK)
    assert signers(unit, {KEY.address: KEY.definition}) == {KEY.address}
    assert unit == compose_one(Draft(outputs), coins[::-1], with_definition=with_definition)
    by_place = {(coin.unit, coin.message_index, coin.output_index): coin for coin in coins}
    fees = headers_size(unit) + total_payload_size(unit) + unit["tps_fee"]
    for message in unit["messages"]:
        payload = message["payload"]
        asset = payload.get("asset", "base")
        spent = [
            by_place[spent["unit"], spent["message_index"], spent["output_index"]]
            for spent in payload["inputs"]
        ]
        assert {coin.asset for coin in spent} == {asset}
        assert len(set(spent)) == len(spent)
        created = sum(output["amount"] for output in payload["outputs"])
        assert sum(coin.amount for coin in spent) == created + (fees if asset == "base" else 0)
        assert payload["outputs"] == sorted(
            payload["outputs"], key=lambda output: (output["address"], output["amount"])
        )
        assert all(output["amount"] > 0 for output in payload["outputs"])


def test_the_smallest_coin_that_suffices_is_spent_and_a_stable_one_before_change() -> None:
    coins = [coin(5_000, 1), coin(900_000, 2), coin(40_000, 3), coin(30_000, 4, is_stable=False)]
    spent = byte_payment(compose_one(pay(20_000), coins))["inputs"]
    assert [spent["output_index"] for spent in spent] == [3]


def test_without_a_large_coin_the_largest_are_put_together() -> None:
    coins = [coin(10_000, 1), coin(30_000, 2), coin(20_000, 3)]
    spent = byte_payment(compose_one(pay(45_000), coins))["inputs"]
    assert [spent["output_index"] for spent in spent] == [2, 3]


def test_of_equal_coins_the_oldest_is_spent_first() -> None:
    """As the recorded client did with its many coins of 20,000 bytes."""
    coins = [
        replace(coin(20_000, number), main_chain_index=index) for number, index in ((1, 7), (2, 5), (3, None))
    ]
    for available in (coins, coins[::-1]):
        spent = byte_payment(compose_one(pay(1_000), available))["inputs"]
        assert [spent["output_index"] for spent in spent] == [2]
        spent = byte_payment(compose_one(pay(50_000), available))["inputs"]
        assert [spent["output_index"] for spent in spent] == [2, 1, 3]


def test_the_change_is_never_zero() -> None:
    unit = compose_one(pay(1_000), [coin(50_000)])
    exact = 50_000 - next(
        output["amount"] for output in byte_payment(unit)["outputs"] if output["address"] == KEY.address
    )
    with pytest.raises(InsufficientFunds):
        compose_one(pay(1_000), [coin(exact)])
    smallest = compose_one(pay(1_000), [coin(exact + 1)])
    assert {"address": KEY.address, "amount": 1} in byte_payment(smallest)["outputs"]


def test_insufficient_funds_name_both_amounts() -> None:
    with pytest.raises(InsufficientFunds, match=r"1 coins give 10 of base, but \d+ is needed"):
        compose_one(pay(20), [coin(10)])
    with pytest.raises(InsufficientFunds, match=f"1 coins give 5 of {ASSET}, but 6 is needed"):
        compose_one(pay(6, ASSET), [coin(100_000), coin(5, 1, ASSET)])


def test_coins_of_others_are_left_alone() -> None:
    with pytest.raises(InsufficientFunds):
        compose_one(pay(20), [Coin("e" * 43 + "=", 0, 0, 100_000, "base", OTHER)])


def test_coins_that_must_be_spent_are_spent_first() -> None:
    coins = [coin(50_000, 1), coin(60_000, 2), coin(20_000, 3)]
    spent = byte_payment(compose_one(pay(1_000), coins, must_spend=(coins[1],)))["inputs"]
    assert [spent["output_index"] for spent in spent] == [2]
    spent = byte_payment(compose_one(pay(65_000), coins, must_spend=(coins[1],)))["inputs"]
    assert [spent["output_index"] for spent in spent] == [2, 3]
    spent = byte_payment(compose_one(pay(120_000), coins, must_spend=(coins[2],)))["inputs"]
    assert [spent["output_index"] for spent in spent] == [3, 2, 1]


def test_a_coin_that_must_be_spent_needs_a_payment_in_its_asset() -> None:
    with pytest.raises(InvalidUnit, match="nothing is paid in it"):
        compose_one(pay(1_000), [coin(50_000)], must_spend=(coin(5, 1, ASSET),))


@pytest.mark.parametrize("amount", [0, -1, MAX_CAP + 1, True, 1.0, "1", None, 2**63])
def test_an_amount_that_is_no_positive_integer_within_the_limit_is_refused(amount: Any) -> None:
    with pytest.raises(InvalidUnit, match="an amount must be an integer from 1 to 9000000000000000"):
        compose_one(pay(amount), [coin(50_000)])


@pytest.mark.parametrize(
    "draft",
    [
        Draft({"base": (Output("NOT AN ADDRESS", 1),)}),
        Draft({"bytes": (Output(OTHER, 1),)}),
        Draft({ASSET: ()}),
        Draft({}, (), 0),
        Draft({}, (), 11),
        Draft(change_to="NOT AN ADDRESS"),
    ],
)
def test_what_the_network_would_refuse_is_refused(draft: Draft) -> None:
    with pytest.raises(InvalidUnit):
        compose_one(draft, [coin(50_000), coin(10, 1, ASSET)])


def test_a_message_without_a_canonical_form_is_refused() -> None:
    for payload in ({"x": None}, {"x": {}}, {"x": float("nan")}):
        with pytest.raises(CanonicalError):
            compose_one(Draft({}, ({"app": "data", "payload": payload},)), [coin(50_000)])


def test_a_unit_that_would_owe_an_oversize_fee_is_refused() -> None:
    empty = compose_one(Draft({}, ({"app": "text", "payload": "x"},)), [coin(50_000_000)])
    size = empty["headers_commission"] + empty["payload_commission"]
    largest = "x" * (MAX_UNIT_BYTES - size + 1)
    unit = compose_one(Draft({}, ({"app": "text", "payload": largest},)), [coin(50_000_000)])
    assert unit["headers_commission"] + unit["payload_commission"] == MAX_UNIT_BYTES
    for text in (largest + "x", "x" * 5_000_001):
        with pytest.raises(UnitTooLarge, match="oversize fee"):
            compose_one(Draft({}, ({"app": "text", "payload": text},)), [coin(50_000_000)])


def test_too_many_outputs_or_messages_are_refused() -> None:
    with pytest.raises(UnitTooLarge, match="at most 127 outputs"):
        compose_one(Draft({"base": (Output(OTHER, 1),) * 128}), [coin(50_000)])
    with pytest.raises(UnitTooLarge, match="at most 128 messages"):
        compose_one(Draft({}, ({"app": "text", "payload": "x"},) * 128), [coin(50_000)])


def test_dust_beyond_what_a_unit_spends_is_named() -> None:
    coins = [coin(1, number, ASSET) for number in range(MAX_COINS + 10)]
    with pytest.raises(
        TooManyCoins, match=rf"{MAX_COINS} coins give {MAX_COINS} .*at most {MAX_COINS}"
    ) as refusal:
        compose_one(pay(MAX_COINS + 1, ASSET), [*coins, coin(50_000, 999)])
    assert refusal.value.asset == ASSET


def test_dust_that_a_unit_of_the_largest_size_cannot_spend_is_named() -> None:
    with pytest.raises(TooManyCoins, match=r"126 coins give 25200 of base .*at most 126"):
        compose_one(pay(14_000), [coin(200 if n < 140 else 1, n) for n in range(10_000)])
    with pytest.raises(TooManyCoins, match="oversize fee: consolidate the 111 coins") as refusal:
        compose_one(pay(110_000), [coin(1_090, number) for number in range(130)])
    assert refusal.value.asset == "base"
    dust = [coin(10, number, ASSET) for number in range(120)]
    with pytest.raises(TooManyCoins, match="consolidate the 120 coins") as refusal:
        compose_one(pay(1_200, ASSET), [*dust, coin(50_000, 999)])
    assert refusal.value.asset == ASSET


def test_dust_that_is_worth_less_than_its_input_does_not_ask_for_consolidation() -> None:
    dust = [coin(INPUT_BYTES, number) for number in range(10_000)]
    with pytest.raises(InsufficientFunds) as refusal:
        compose_one(pay(20_000), [*dust, coin(10_000, 10_001)])
    assert type(refusal.value) is InsufficientFunds
    with pytest.raises(InsufficientFunds) as refusal:
        compose_one(pay(MAX_COINS + 1, ASSET), [coin(1, n, ASSET) for n in range(MAX_COINS)])
    assert type(refusal.value) is InsufficientFunds


def test_parents_are_sorted_and_the_draft_stays_untouched() -> None:
    payload = {"list": [1, 2]}
    draft = Draft({"base": (Output(OTHER, 1),)}, ({"app": "data", "payload": payload},))
    before = copy.deepcopy(draft)
    unit = compose_one(draft, [coin(50_000)])
    assert unit["parent_units"] == sorted(PARENTS.parent_units)
    unit["messages"][0]["payload"]["list"].append(3)
    assert draft == before
    assert unit["unit"] == unit_hash({**unit, "messages": compose_one(draft, [coin(50_000)])["messages"]})


def test_the_number_of_responses_is_written_only_when_an_agent_is_paid() -> None:
    draft = Draft({"base": (Output(OTHER, 10_000),)}, (), 1)
    assert "max_aa_responses" not in compose_one(draft, [coin(50_000)])
    with_agent = Parents(
        **{field: getattr(PARENTS, field) for field in Parents.__slots__} | {"primary_aa_triggers": 1}
    )
    unit = compose(NETWORK, KEY, draft, [coin(50_000)], with_agent, with_definition=False)
    assert unit["max_aa_responses"] == 1
