"""The book of coins: right after any order and repetition of facts, and careful with what is still open."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.obyte.coins import Balance, CoinBook
from paypercall.obyte.errors import InsufficientFunds, InvalidUnit
from paypercall.obyte.final_units import FinalUnit
from paypercall.obyte.network import Network, devnet
from paypercall.obyte.proof import HistoryUnit, verify_history

HISTORIES = Path(__file__).parents[1] / "traces" / "history.json"
ME, PEER = "ME", "PEER"


@lru_cache(maxsize=1)
def recorded_networks() -> list[dict[str, Any]]:
    networks: list[dict[str, Any]] = json.loads(HISTORIES.read_text(encoding="utf-8"))["networks"]
    return networks


@lru_cache(maxsize=4)
def verified_cases(number: int) -> list[tuple[dict[str, Any], tuple[HistoryUnit, ...]]]:
    network = recorded_networks()[number]
    definitions = {key["address"]: key["definition"] for key in network["keys"].values()}
    return [
        (case, verify_history(case["response"], constants_of(network), known_definitions=definitions).units)
        for case in network["cases"]
        if case["expected"].get("ok")
    ]


def constants_of(network: dict[str, Any]) -> Network:
    constants = network["network"]
    return devnet(
        constants["genesis_unit"], tuple(constants["witnesses"]), constants["version"], constants["alt"]
    )


def book_of(address: str, entries: Iterable[HistoryUnit]) -> CoinBook:
    book = CoinBook(address)
    for entry in entries:
        book.take(entry)
    return book


def places(book: CoinBook) -> set[tuple[str, int, int]]:
    return {(coin.unit, coin.message_index, coin.output_index) for coin in book.spendable()}


@pytest.mark.parametrize("number", [0, 1])
def test_after_each_recorded_history_the_balance_is_what_the_real_core_finds_unspent(number: int) -> None:
    wallets = {key["address"] for key in recorded_networks()[number]["keys"].values()}
    compared = 0
    for case, entries in verified_cases(number):
        counting = {entry.hash for entry in entries if entry.is_stable or entry.is_signature_checked}
        stable = {entry.hash for entry in entries if entry.is_stable}
        for address in wallets.intersection(case["request"].get("addresses", ())):
            expected: dict[str, list[int]] = {"base": [0, 0]}
            for output in case["expected"]["unspent_outputs"]:
                if output["address"] == address and output["unit"] in counting:
                    sums = expected.setdefault(output["asset"] or "base", [0, 0])
                    sums[output["unit"] not in stable] += output["amount"]
                    compared += 1
            assert book_of(address, entries).balances() == {
                asset: Balance(*sums) for asset, sums in expected.items()
            }, case["name"]
    assert compared > 50


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 1]))
def test_the_order_and_repetition_of_histories_do_not_matter(seed: int, number: int) -> None:
    chance = random.Random(seed)
    known = [entry for _, entries in verified_cases(number) for entry in entries]
    addresses = sorted(recorded_networks()[number]["keys"].values(), key=lambda key: str(key["address"]))
    address = chance.choice(addresses)["address"]
    in_order = book_of(address, known)
    shuffled = known + chance.sample(known, len(known) // 3)
    chance.shuffle(shuffled)
    mixed = book_of(address, shuffled)
    assert mixed.balances() == in_order.balances()
    assert places(mixed) == places(in_order)
    assert mixed.has_own_final_unit == in_order.has_own_final_unit
    assert set(mixed.undecided_units()) == set(in_order.undecided_units())
    kept = in_order.final_units()
    chance.shuffle(kept)
    renewed = CoinBook(address)
    for step in chance.sample([*kept, *known], len(kept) + len(known)):
        renewed.learn(step) if isinstance(step, FinalUnit) else renewed.take(step)
    assert renewed.balances() == in_order.balances()
    assert places(renewed) == places(in_order)
    assert renewed.has_own_final_unit == in_order.has_own_final_unit


# --- made-up units ---


def unit(
    name: str,
    spends: Iterable[tuple[str, int]] = (),
    pays: Iterable[tuple[str, int]] = (),
    author: str = ME,
    timestamp: int = 100,
    asset: str | None = None,
) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "inputs": [{"unit": source, "message_index": 0, "output_index": index} for source, index in spends],
        "outputs": [{"address": address, "amount": amount} for address, amount in pays],
    }
    if asset:
        payload["asset"] = asset
    return {
        "unit": name,
        "timestamp": timestamp,
        "authors": [{"address": author}],
        "messages": [{"app": "payment", "payload": payload}],
    }


def entry(
    content: dict[str, Any],
    *,
    stable: bool = False,
    bad: bool = False,
    checked: bool = True,
    stripped: bool = False,
    index: int | None = None,
) -> HistoryUnit:
    shown = {name: value for name, value in content.items() if not stripped or name != "messages"}
    return HistoryUnit(
        unit=shown,
        hash=content["unit"],
        is_stable=stable,
        is_final_bad=bad,
        main_chain_index=index,
        is_signature_checked=checked,
        is_stripped=stripped,
    )


DEPOSIT = unit("deposit", [("elsewhere", 0)], [(ME, 1000), (ME, 500)], author=PEER)
SPENDING = unit("spending", [("deposit", 0)], [(ME, 600), (PEER, 300)])
CHILD = unit("child", [("spending", 0)], [(ME, 550)])
RIVAL = unit("rival", [("deposit", 0)], [(ME, 700)], timestamp=200)


def funded_book() -> CoinBook:
    return book_of(ME, [entry(DEPOSIT, stable=True, index=5)])


def test_coins_of_others_count_as_pending_until_they_are_stable() -> None:
    book = book_of(ME, [entry(DEPOSIT)])
    assert book.balances() == {"base": Balance(0, 1500)}
    assert book.spendable() == []
    book.take(entry(DEPOSIT, stable=True))
    assert book.balances() == {"base": Balance(1500, 0)}
    assert len(book.spendable()) == 2


def test_an_unconfirmed_unit_that_nobody_is_known_to_have_signed_counts_for_nothing() -> None:
    book = book_of(ME, [entry(DEPOSIT, checked=False)])
    assert book.balances() == {"base": Balance(0, 0)}
    assert book.undecided_units() == []


def test_our_own_change_can_be_spent_at_once() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    assert book.balances() == {"base": Balance(500, 600)}
    assert places(book) == {("deposit", 0, 1), ("spending", 0, 0)}
    assert [coin.is_stable for coin in book.spendable()] == [True, False]
    assert Balance(500, 600).total == 1100


def test_a_unit_of_ours_may_be_known_before_the_coins_that_it_spends() -> None:
    book = CoinBook(ME)
    book.adopt(CHILD)
    book.adopt(SPENDING)
    book.take(entry(DEPOSIT, stable=True))
    assert places(book) == {("deposit", 0, 1), ("child", 0, 0)}


def test_a_unit_of_others_is_not_adopted() -> None:
    with pytest.raises(InvalidUnit, match="not of ME alone"):
        CoinBook(ME).adopt(DEPOSIT)
    with pytest.raises(InvalidUnit, match="not of ME alone"):
        CoinBook(ME).adopt({**SPENDING, "authors": [{"address": ME}, {"address": PEER}]})


def test_a_forgotten_unit_gives_its_coins_back() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    book.forget("spending")
    book.forget("unknown")
    assert places(book) == {("deposit", 0, 0), ("deposit", 0, 1)}


def test_a_unit_that_the_hub_has_is_not_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    book = funded_book()
    book.adopt(SPENDING)
    book.note_posted("spending")
    book.forget("spending")
    assert places(book) == {("deposit", 0, 1), ("spending", 0, 0)}
    assert "spending is not forgotten" in caplog.text


def test_a_forgotten_unit_that_shows_up_after_all_counts_again() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    book.forget("spending")
    book.take(entry(SPENDING))
    assert places(book) == {("deposit", 0, 1), ("spending", 0, 0)}


def test_change_of_a_forgotten_unit_is_not_spent_though_a_later_unit_builds_on_it() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    book.adopt(CHILD)
    book.forget("spending")
    assert places(book) == {("deposit", 0, 0), ("deposit", 0, 1)}
    assert not book.has_lost("child"), "the forgotten unit could still be posted by mistake"


def test_a_final_bad_unit_gives_back_what_the_winner_does_not_spend() -> None:
    two_inputs = unit("two inputs", [("deposit", 0), ("deposit", 1)], [(ME, 1400)])
    book = funded_book()
    book.adopt(two_inputs)
    assert places(book) == {("two inputs", 0, 0)}
    book.take(entry(two_inputs, stable=True, bad=True, stripped=True))
    assert places(book) == {("deposit", 0, 0), ("deposit", 0, 1)}
    book.take(entry(RIVAL, stable=True))
    assert places(book) == {("deposit", 0, 1), ("rival", 0, 0)}
    assert book.balances() == {"base": Balance(1200, 0)}


def test_a_stable_winner_frees_the_other_coins_of_a_loser_that_never_reached_the_ledger() -> None:
    two_inputs = unit("two inputs", [("deposit", 0), ("deposit", 1)], [(ME, 1400)])
    grandchild = unit("grandchild", [("two inputs", 0)], [(ME, 1300)])
    book = funded_book()
    book.adopt(two_inputs)
    book.adopt(grandchild)
    assert not book.has_lost("two inputs")
    book.take(entry(RIVAL, stable=True))
    assert book.has_lost("two inputs")
    assert book.has_lost("grandchild"), "its only input will never exist"
    assert places(book) == {("deposit", 0, 1), ("rival", 0, 0)}
    assert book.undecided_units() == []


def test_a_unit_that_conflicts_with_an_open_one_has_not_lost_yet() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    book.adopt(RIVAL)
    assert not book.has_lost("spending")
    assert not book.has_lost("rival")
    assert not book.has_lost("unknown")


@pytest.mark.parametrize("first", [SPENDING, RIVAL])
def test_of_two_open_rivals_only_the_likelier_ones_change_is_spent(first: dict[str, Any]) -> None:
    second = RIVAL if first is SPENDING else SPENDING
    book = funded_book()
    book.adopt(first)
    book.adopt(second)
    assert places(book) == {("deposit", 0, 1), ("rival", 0, 0)}, "the later one replaces the earlier"
    book.adopt(CHILD)
    assert ("child", 0, 0) not in places(book), "it builds on the less likely one"
    book.take(entry(SPENDING))
    assert places(book) == {("deposit", 0, 1), ("child", 0, 0)}, "the hub has shown the earlier one"


def test_a_replacement_spends_the_byte_coins_of_the_unit_that_it_replaces() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    book.adopt(CHILD)
    coins, shared = book.spendable_instead_of(SPENDING)
    assert [(coin.unit, coin.output_index) for coin in shared] == [("deposit", 0)]
    assert {(coin.unit, coin.output_index) for coin in coins} == {("deposit", 0), ("deposit", 1)}
    assert places(book) == {("deposit", 0, 1), ("child", 0, 0)}, "nothing has changed yet"


def test_a_unit_that_was_forgotten_or_never_known_can_be_replaced() -> None:
    book = funded_book()
    assert len(book.spendable_instead_of(SPENDING)[1]) == 1


def test_a_stable_unit_cannot_be_replaced() -> None:
    book = funded_book()
    book.take(entry(SPENDING, stable=True))
    with pytest.raises(InvalidUnit, match="is stable"):
        book.spendable_instead_of(SPENDING)


def test_in_place_of_a_unit_that_has_lost_any_coin_will_do() -> None:
    for know in (lambda book: book.adopt(SPENDING), lambda book: None):
        book = funded_book()
        know(book)
        book.take(entry(RIVAL, stable=True))
        coins, shared = book.spendable_instead_of(SPENDING)
        assert shared == ()
        assert len(coins) == 2


def test_a_unit_whose_coins_other_open_units_spend_cannot_be_replaced() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    book.adopt(RIVAL)
    with pytest.raises(InsufficientFunds, match="no byte coin of unit spending"):
        book.spendable_instead_of(SPENDING)


def test_what_a_stable_unit_paid_is_unknown_while_its_messages_are_missing() -> None:
    book = book_of(ME, [entry(SPENDING, stable=True, stripped=True)])
    assert book.balances() == {"base": Balance(0, 0)}
    assert book.undecided_units() == ["spending"]
    assert book.has_own_final_unit
    book.take(entry(DEPOSIT, stable=True))
    book.take(entry(SPENDING, checked=False))
    assert book.balances() == {"base": Balance(1100, 0)}
    assert book.undecided_units() == []


def test_messages_that_were_known_before_serve_when_the_stable_unit_comes_without() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    book.take(entry(SPENDING, stable=True, stripped=True))
    assert book.balances() == {"base": Balance(1100, 0)}
    assert book.undecided_units() == []


def test_coins_of_an_asset_and_bytes_are_apart() -> None:
    book = funded_book()
    book.take(entry(unit("asset", [("x", 0)], [(ME, 30)], author=PEER, asset="A"), stable=True))
    assert book.balances() == {"base": Balance(1500, 0), "A": Balance(30, 0)}


def test_fixed_denominations_and_hidden_payloads_are_no_coins() -> None:
    fixed = unit("fixed", [("x", 0)], [(ME, 30)], author=PEER, asset="A")
    fixed["messages"][0]["payload"]["denomination"] = 10
    hidden = unit("hidden", [("x", 0)], [(ME, 30)], author=PEER)
    hidden["messages"].append({"app": "payment", "payload_location": "none", "payload_hash": "h"})
    book = book_of(ME, [entry(fixed, stable=True), entry(hidden, stable=True)])
    assert book.balances() == {"base": Balance(30, 0)}


def test_earnings_are_no_coins_that_were_spent() -> None:
    earning = unit("earning", [("deposit", 0)], [(ME, 2000)])
    earning["messages"][0]["payload"]["inputs"].append(
        {"type": "witnessing", "from_main_chain_index": 1, "to_main_chain_index": 2}
    )
    book = funded_book()
    book.take(entry(earning, stable=True))
    assert book.balances() == {"base": Balance(2500, 0)}


def test_change_shared_with_another_author_waits_until_it_is_stable() -> None:
    shared = unit("shared", [("deposit", 0)], [(ME, 900)])
    shared["authors"].append({"address": PEER})
    book = funded_book()
    book.take(entry(shared))
    assert places(book) == {("deposit", 0, 1)}
    assert book.balances() == {"base": Balance(500, 900)}


def test_an_unconfirmed_coin_of_others_that_another_program_of_ours_has_spent_is_not_counted_twice() -> None:
    book = book_of(ME, [entry(DEPOSIT), entry(SPENDING)])
    assert book.balances() == {"base": Balance(0, 1100)}


def test_units_of_no_concern_leave_no_trace() -> None:
    book = CoinBook(ME)
    book.take(entry(unit("foreign", [("x", 0)], [(PEER, 5)], author=PEER), stable=True))
    assert book.changes == 0


def test_units_that_are_not_decided_are_named_for_the_next_question() -> None:
    book = funded_book()
    book.adopt(SPENDING)
    incoming = unit("incoming", [("y", 0)], [(ME, 5)], author=PEER)
    book.take(entry(incoming))
    assert set(book.undecided_units()) == {"spending", "incoming"}
    assert book.open_own_units() == ["spending"]
    book.take(entry(SPENDING, stable=True))
    assert book.undecided_units() == ["incoming"]
    assert book.has_own_final_unit


# --- a model ---


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_order_the_end_is_the_sum_of_what_is_good(seed: int) -> None:
    """Builds a ledger of payments to us, of ours, and of pairs that conflict; shows it in pieces, in any order."""
    chance = random.Random(seed)
    good: dict[str, dict[str, Any]] = {}
    facts: list[HistoryUnit] = []
    adopted: list[dict[str, Any]] = []
    unspent: dict[tuple[str, int], int] = {}
    for number in range(chance.randint(3, 15)):
        if not unspent or chance.random() < 0.3:
            incoming = unit(f"in{number}", [("x", number)], [(ME, chance.randint(10, 99))] * 2, author=PEER)
            good[incoming["unit"]] = incoming
            unspent.update({(incoming["unit"], place): 0 for place in (0, 1)})
            facts += [entry(incoming), entry(incoming, stable=True)]
            continue
        spends = chance.sample(sorted(unspent), chance.randint(1, min(3, len(unspent))))
        ours = unit(f"own{number}", spends, [(ME, number + 1), (PEER, 5)], timestamp=number)
        for place in spends:
            del unspent[place]
        unspent[ours["unit"], 0] = 0
        good[ours["unit"]] = ours
        adopted.append(ours)
        facts += [
            entry(ours),
            entry(ours, stable=True, stripped=chance.random() < 0.3),
            entry(ours, checked=False),
        ]
        if chance.random() < 0.4:
            loser = unit(f"bad{number}", spends[:1], [(ME, 7777)], timestamp=chance.randint(0, 20))
            built_on_it = unit(f"worse{number}", [(loser["unit"], 0)], [(ME, 8888)])
            adopted += [loser, built_on_it]
            facts.append(entry(loser, stable=True, bad=True, stripped=True))
    expected = sum(
        good[name]["messages"][0]["payload"]["outputs"][place]["amount"] for name, place in unspent
    )
    book = CoinBook(ME)
    steps: list[Any] = facts + facts[: chance.randint(0, len(facts))] + adopted
    chance.shuffle(steps)
    for step in steps:
        if isinstance(step, HistoryUnit):
            book.take(step)
        else:
            book.adopt(step)
        spendable = sum(coin.amount for coin in book.spendable() if coin.asset == "base")
        assert spendable <= book.balances()["base"].total
    kept = book.final_units()
    kept += chance.sample(kept, len(kept) // 2)
    chance.shuffle(kept)
    renewed = CoinBook(ME)
    for final in kept:
        renewed.learn(final)
    for own in adopted:
        renewed.adopt(own)
    for known in (book, renewed):
        assert known.balances() == {"base": Balance(expected, 0)}
        assert places(known) == {(name, 0, place) for name, place in unspent}
    assert renewed.has_own_final_unit == book.has_own_final_unit
    assert set(renewed.undecided_units()) == set(book.undecided_units())
    assert set(renewed.final_units()) <= set(kept)
