"""The account at the end of the demonstration finds every byte that is not where it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from paypercall.demo.accounts import AgentAccount, DoesNotAddUp, PeriodAccount, WalletAccount
from tests.demo.settled_channel import AGENT, CUSTOMER, FEES, MERCHANT, account_of, settled_channel

Path = tuple[str | int, ...]


def numbers_in(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yields the path to every number, but for the fees of the funding, which nobody here has paid."""
    if path[:2] == ("units", 0) and path[-1] in FEES:
        return
    if type(value) is int:
        yield path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers_in(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from numbers_in(inner, (*path, index))


def holder_of(world: Any, path: Path) -> Any:
    for key in path[:-1]:
        world = world[key]
    return world


def test_a_settled_channel_adds_up() -> None:
    account = account_of(settled_channel())
    assert account.periods == [
        PeriodAccount(
            AGENT,
            1,
            deposited=100_000,
            paid=31_000,
            refunded=1_000,
            for_merchant=30_000,
            for_customer=70_000,
            is_fraud_proven=False,
        )
    ]
    assert account.agents == [
        AgentAccount(
            AGENT,
            deposits=100_000,
            commands=20_000,
            to_merchant=40_000,
            to_customer=78_150,
            fees=1_800,
            left=50,
        )
    ]
    assert account.wallets == [
        WalletAccount(MERCHANT, funded=50_000, from_agents=40_000, to_agents=10_000, fees=600, left=79_400),
        WalletAccount(
            CUSTOMER, funded=200_000, from_agents=78_150, to_agents=110_000, fees=1_210, left=166_940
        ),
    ]


@pytest.mark.parametrize("difference", [1, -1])
@pytest.mark.parametrize(
    "path", list(numbers_in(settled_channel())), ids=lambda path: ".".join(map(str, path))
)
def test_a_single_altered_number_anywhere_is_found(path: Path, difference: int) -> None:
    world = settled_channel()
    holder_of(world, path)[path[-1]] += difference
    with pytest.raises(DoesNotAddUp):
        account_of(world)


@pytest.mark.parametrize(
    ("by_merchant", "by_customer"),
    [
        (("deposited_by_peer",), ("deposited_by_me",)),
        (("deposited_by_me",), ("deposited_by_peer",)),
        (("signed_by_peer", "accepted_from_peer"), ("signed_by_me",)),
        (("signed_by_me",), ("signed_by_peer", "accepted_from_peer")),
    ],
)
def test_books_that_are_wrong_in_the_same_way_are_found(
    by_merchant: tuple[str, ...], by_customer: tuple[str, ...]
) -> None:
    world = settled_channel()
    for side, names in ((MERCHANT, by_merchant), (CUSTOMER, by_customer)):
        for name in names:
            world[side]["period"][name] += 1
            if name == "accepted_from_peer":
                world[side]["received"] += 1
    with pytest.raises(DoesNotAddUp):
        account_of(world)


@pytest.mark.parametrize("side", [MERCHANT, CUSTOMER])
@pytest.mark.parametrize(
    ("name", "value"),
    [("is_fraud_proven", True), ("unit", "closing"), ("unit", "close"), ("unit", "nowhere")],
)
def test_sides_that_saw_the_period_end_differently_are_found(side: str, name: str, value: object) -> None:
    world = settled_channel()
    world[side]["period"][name] = value
    with pytest.raises(DoesNotAddUp):
        account_of(world)


@pytest.mark.parametrize("unit", ["closing", "close", "nowhere"])
def test_a_payout_that_is_not_the_agents_is_found(unit: str) -> None:
    world = settled_channel()
    for side in (MERCHANT, CUSTOMER):
        world[side]["period"]["unit"] = unit
    with pytest.raises(DoesNotAddUp):
        account_of(world)


@pytest.mark.parametrize("side", [MERCHANT, CUSTOMER])
def test_a_period_that_one_side_does_not_know_is_found(side: str) -> None:
    world = settled_channel()
    world[side]["period"] = None
    with pytest.raises(DoesNotAddUp, match="does not know"):
        account_of(world)


def test_a_payout_to_a_customer_whose_fraud_was_proved_is_found() -> None:
    world = settled_channel()
    for side in (MERCHANT, CUSTOMER):
        world[side]["period"]["is_fraud_proven"] = True
    with pytest.raises(DoesNotAddUp, match="after its fraud"):
        account_of(world)


def _forget(world: dict[str, Any]) -> None:
    del world[CUSTOMER]["sent"]["confirm"]


def _send_twice(world: dict[str, Any]) -> None:
    world[CUSTOMER]["sent"]["confirm"] = world[CUSTOMER]["sent"]["deposit"]


def _invent(world: dict[str, Any]) -> None:
    world[MERCHANT]["sent"]["refill"] = "row 2"


def _confuse(world: dict[str, Any]) -> None:
    world[MERCHANT]["sent"] = {"refill": "row 1"}


@pytest.mark.parametrize("alter", [_forget, _send_twice, _invent, _confuse])
def test_units_that_the_outbox_does_not_explain_are_found(alter: Callable[[dict[str, Any]], None]) -> None:
    world = settled_channel()
    alter(world)
    with pytest.raises(DoesNotAddUp):
        account_of(world)


def test_a_coin_that_is_spent_twice_is_found() -> None:
    world = settled_channel()
    spent = world["units"][1]["messages"][0]["payload"]["inputs"]
    world["units"][5]["messages"][0]["payload"]["inputs"] = spent
    with pytest.raises(DoesNotAddUp, match="is spent or not its author's"):
        account_of(world)


def test_a_coin_that_is_somebody_elses_is_found() -> None:
    world = settled_channel()
    world["units"][3]["messages"][0]["payload"]["inputs"][0]["output_index"] = 1
    world["units"][1]["messages"][0]["payload"]["inputs"][0]["output_index"] = 0
    with pytest.raises(DoesNotAddUp, match="is spent or not its author's"):
        account_of(world)


def outputs_of(world: dict[str, Any], unit: str) -> list[dict[str, Any]]:
    """The outputs of a unit's payment."""
    (found,) = [found for found in world["units"] if found["unit"] == unit]
    outputs: list[dict[str, Any]] = found["messages"][0]["payload"]["outputs"]
    return outputs


@pytest.mark.parametrize(("unit", "place", "owner"), [("payout", 1, CUSTOMER), ("confirm", 1, CUSTOMER)])
@pytest.mark.parametrize("is_noticed", [True, False])
def test_bytes_that_went_to_a_stranger_are_found(unit: str, place: int, owner: str, is_noticed: bool) -> None:
    world = settled_channel()
    outputs = outputs_of(world, unit)
    outputs[place]["amount"] -= 5
    outputs.append({"address": "stranger", "amount": 5})
    if is_noticed:
        world["balances"][owner] -= 5
    with pytest.raises(DoesNotAddUp):
        account_of(world)


@pytest.mark.parametrize(
    ("loser", "winner", "amount", "found"),
    [
        (MERCHANT, CUSTOMER, 1, "the side with less"),
        (CUSTOMER, MERCHANT, 1, "the side with less"),
        (CUSTOMER, AGENT, 8_151, "the side with more"),
    ],
)
def test_a_payout_that_is_not_what_the_books_say_is_found(
    loser: str, winner: str, amount: int, found: str
) -> None:
    world = settled_channel()
    places = {MERCHANT: 0, CUSTOMER: 1, AGENT: 2}
    for side, difference in ((loser, -amount), (winner, amount)):
        outputs_of(world, "payout")[places[side]]["amount"] += difference
        world["balances"][side] += difference
    with pytest.raises(DoesNotAddUp, match=found):
        account_of(world)
