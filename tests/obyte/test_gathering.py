"""Which coins are moved as a whole, and that the unit which does is one that the network takes."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from paypercall.obyte.composer import INPUT_BYTES, MAX_UNIT_BYTES, Coin, compose
from paypercall.obyte.errors import InsufficientFunds
from paypercall.obyte.gathering import MAX_ASSET_COINS, MAX_BYTE_COINS, coins_of_worth, gather
from tests.obyte.test_composer import ASSET, KEY, NETWORK, OTHER, PARENTS, coin
from tests.obyte.whole_units import read_whole


def unit_that_gathers(coins: list[Coin], asset: str, must_spend: tuple[Coin, ...] = ()) -> dict[str, object]:
    draft, spent = gather(coins, asset, OTHER, must_spend)
    return compose(NETWORK, KEY, draft, coins, PARENTS, with_definition=True, must_spend=spent)


@example(amounts=[1, 51, 89, 2097], asset_amounts=[11, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19, 1, 19], asset=ASSET)
@settings(max_examples=60, deadline=None)
@given(
    amounts=st.lists(st.integers(1, 10**6), max_size=2 * MAX_BYTE_COINS),
    asset_amounts=st.lists(st.integers(1, 1000), max_size=2 * MAX_ASSET_COINS),
    asset=st.sampled_from(["base", ASSET]),
)
def test_as_many_of_the_largest_coins_as_fit_go_whole_to_the_address(
    amounts: list[int], asset_amounts: list[int], asset: str
) -> None:
    coins = [coin(amount, number) for number, amount in enumerate(amounts)]
    coins += [coin(amount, 1_000 + number, ASSET) for number, amount in enumerate(asset_amounts)]
    most = MAX_BYTE_COINS if asset == "base" else MAX_ASSET_COINS
    moved = coins_of_worth(coins, asset)[:most]
    try:
        unit = unit_that_gathers(coins, asset)
    except InsufficientFunds:
        worth = sum(coin.amount - INPUT_BYTES for coin in coins_of_worth(coins, "base"))
        inputs = 0 if asset == "base" else len(moved)  # those of bytes are taken off already
        assert not moved or worth < 2_000 + inputs * INPUT_BYTES
        return
    read_whole({"unit": unit}, NETWORK)
    size = unit["headers_commission"] + unit["payload_commission"]
    assert size <= MAX_UNIT_BYTES
    by_place = {(coin.unit, coin.message_index, coin.output_index): coin for coin in coins}
    payloads = {message["payload"].get("asset", "base"): message["payload"] for message in unit["messages"]}
    spent = [
        by_place[place["unit"], place["message_index"], place["output_index"]]
        for place in payloads[asset]["inputs"]
    ]
    assert spent[: len(moved)] == moved
    fees = size + unit["tps_fee"] if asset == "base" else 0
    assert payloads[asset]["outputs"] == [
        {"address": OTHER, "amount": sum(coin.amount for coin in spent) - fees}
    ]
    if asset != "base":
        assert {output["address"] for output in payloads["base"]["outputs"]} == {KEY.address}


def test_the_largest_unit_of_each_kind_is_below_the_size_that_owes_a_further_fee() -> None:
    many = [coin(10_000, number) for number in range(300)]
    assert MAX_UNIT_BYTES - 500 < size_of(unit_that_gathers(many, "base")) <= MAX_UNIT_BYTES
    dust = [coin(1, 1_000 + number, ASSET) for number in range(300)]
    bytes_as_dust = [coin(500, number) for number in range(300)]
    assert MAX_UNIT_BYTES - 500 < size_of(unit_that_gathers([*dust, *bytes_as_dust], ASSET)) <= MAX_UNIT_BYTES


def size_of(unit: dict[str, object]) -> int:
    return int(str(unit["headers_commission"])) + int(str(unit["payload_commission"]))


def test_dust_that_costs_more_than_it_brings_stays_where_it_is() -> None:
    coins = [coin(INPUT_BYTES, 1), coin(INPUT_BYTES + 1, 2), coin(50_000, 3), coin(1, 4, ASSET)]
    assert coins_of_worth(coins, "base") == [coins[2], coins[1]]
    assert coins_of_worth(coins, ASSET) == [coins[3]]


@pytest.mark.parametrize("asset", ["base", ASSET])
def test_where_there_is_nothing_to_move_it_says_so(asset: str) -> None:
    with pytest.raises(InsufficientFunds, match="no coin"):
        gather([coin(INPUT_BYTES, 1)], asset, OTHER, ())


def test_coins_that_must_be_spent_are_each_spent_once() -> None:
    coins = [coin(50_000, 1), coin(40_000, 2), coin(7, 3, ASSET)]
    for asset, count in (("base", 2), (ASSET, 1)):
        _, spent = gather(coins, asset, OTHER, (coins[1],))
        assert spent[0] == coins[1]
        assert len(set(spent)) == len(spent) == (count if asset == "base" else 2)
