"""The wallet on a local network: what it has and spends, and what it does when units are refused or lost."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paypercall.devnet import Devnet
from paypercall.obyte.composer import Draft, Output, Parents
from paypercall.obyte.errors import (
    FeeTooHigh,
    HubError,
    HubRefused,
    HubTimeout,
    InsufficientFunds,
    InvalidUnit,
    TooManyCoins,
)
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key
from paypercall.obyte.light import LightClient
from paypercall.obyte.network import devnet
from paypercall.obyte.proof import History, HistoryUnit
from paypercall.obyte.unit import unit_hash
from paypercall.obyte.wallet import Wallet
from tests.devnet.raw_client import RawClient
from tests.hub_proxy import HubProxy, in_response

PAYEE = Key(b"\x11" * 32).address
DRAFT = Draft({"base": (Output(PAYEE, 1_000),)})


def fresh_key() -> Key:
    return Key(b"\1" + os.urandom(31))


def open_wallet(net: Devnet, key: Key | None = None, max_tps_fee: int = 10_000) -> Wallet:
    return Wallet(
        key or fresh_key(), LightClient(Hub(net.url, net.network), net.network), max_tps_fee=max_tps_fee
    )


def funded(wallet: Wallet, net: Devnet, *amounts: int) -> Wallet:
    for amount in amounts:
        net.fund(wallet.address, amount)
    net.settle()
    wallet.refresh()
    return wallet


def inputs(unit: dict[str, Any]) -> set[tuple[str, int, int]]:
    return {
        (spent["unit"], spent["message_index"], spent["output_index"])
        for message in unit["messages"]
        if message["app"] == "payment"
        for spent in message["payload"]["inputs"]
    }


def bytes_of(wallet: Wallet) -> tuple[int, int]:
    balance = wallet.balance()["base"]
    return balance.stable, balance.pending


@pytest.fixture(scope="module")
def shared_net() -> Iterator[Devnet]:
    with Devnet(speed=1) as net:
        yield net


@pytest.fixture
def net(shared_net: Devnet) -> Iterator[Devnet]:
    """The network, which makes nothing stable unless the test says so."""
    shared_net.hold()
    yield shared_net
    shared_net.settle()


@pytest.fixture
def wallet(net: Devnet) -> Iterator[Wallet]:
    opened = open_wallet(net)
    yield opened
    opened.close()


# --- what it has and spends ---


def test_what_is_paid_and_kept_is_what_the_ledger_says(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 100_000, 50_000)
    assert bytes_of(wallet) == (150_000, 0)
    before = net.balance(PAYEE)
    unit = wallet.pay(
        [Output(PAYEE, 20_000), Output(PAYEE, 7)], messages=({"app": "text", "payload": "hello"},)
    )
    fees = unit["headers_commission"] + unit["payload_commission"] + unit["tps_fee"]
    assert bytes_of(wallet) == (100_000, 50_000 - 20_007 - fees)
    net.settle()
    wallet.refresh()
    assert bytes_of(wallet) == (net.balance(wallet.address), 0) == (150_000 - 20_007 - fees, 0)
    assert net.balance(PAYEE) - before == 20_007


def test_assets_are_paid_with_change_and_bytes_for_the_fees(wallet: Wallet, net: Devnet) -> None:
    asset = net.issue_asset(1_000)
    net.fund(wallet.address, 500, asset)
    funded(wallet, net, 100_000)
    wallet.pay([Output(PAYEE, 200)], asset)
    balance = wallet.balance()[asset]
    assert (balance.stable, balance.pending, balance.total) == (0, 300, 300)
    net.settle()
    wallet.refresh()
    assert wallet.balance()[asset].stable == net.balance(wallet.address, asset) == 300
    assert net.balance(PAYEE, asset) == 200


def test_several_units_are_in_flight_at_once_and_spend_each_others_change(
    wallet: Wallet, net: Devnet
) -> None:
    funded(wallet, net, 100_000)
    units = [wallet.pay([Output(PAYEE, 1_000)]) for _ in range(5)]
    for earlier, later in pairwise(units):
        assert {place[0] for place in inputs(later)} == {earlier["unit"]}
    net.settle()
    assert [net.sequence(unit["unit"]) for unit in units] == ["good"] * 5
    wallet.refresh()
    assert bytes_of(wallet) == (net.balance(wallet.address), 0)


def test_the_definition_comes_with_each_unit_until_one_is_stable_even_where_no_proof_tells(
    wallet: Wallet, net: Devnet
) -> None:
    funded(wallet, net, 500_000)
    carried = []
    for _ in range(10):
        carried.append("definition" in wallet.pay([Output(PAYEE, 1)])["authors"][0])
        net.step()
    assert carried[0]
    assert not carried[-1]
    assert carried == sorted(carried, reverse=True)
    net.settle()
    wallet.refresh()
    assert "definition" not in wallet.pay([Output(PAYEE, 1)])["authors"][0]


@pytest.mark.parametrize("index", [1_000_000, None], ids=["too high", "none"])
def test_the_index_that_a_hub_gave_the_first_unit_keeps_no_other_hub_from_taking_the_next(
    net: Devnet, index: int | None
) -> None:
    def with_index(history: Any) -> Any:
        history = deepcopy(history)
        for joint in history.get("joints", ()):
            joint["unit"]["main_chain_index"] = index
        return history

    with HubProxy(net.url) as line, line.fault(in_response("light/get_history", with_index)):
        lying = Wallet(fresh_key(), LightClient(Hub(line.url, net.network), net.network), max_tps_fee=10_000)
        with closing(funded(lying, net, 100_000)):
            lying.pay([Output(PAYEE, 1)])
            net.settle()
            lying.refresh()
        kept = lying.final_units()
    with closing(open_wallet(net, lying.key)) as wallet:
        wallet.learn(kept)
        unit = wallet.pay([Output(PAYEE, 1)])
    assert "definition" not in unit["authors"][0]
    net.settle()
    assert net.sequence(unit["unit"]) == "good"


def test_what_others_have_not_confirmed_is_not_spent(wallet: Wallet, net: Devnet) -> None:
    net.fund(wallet.address, 100_000)
    wallet.refresh()
    assert bytes_of(wallet) == (0, 100_000)
    with pytest.raises(InsufficientFunds):
        wallet.pay([Output(PAYEE, 1_000)])
    net.settle()
    wallet.pay([Output(PAYEE, 1_000)])


def test_it_looks_again_before_it_says_that_there_is_not_enough(wallet: Wallet, net: Devnet) -> None:
    net.fund(wallet.address, 100_000)
    net.settle()
    assert bytes_of(wallet) == (0, 0)
    wallet.pay([Output(PAYEE, 1_000)])


def test_what_must_be_kept_is_not_spent(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 10_000)
    unit = wallet.compose(DRAFT, keep=8_000)
    left = bytes_of(wallet)[1]
    assert left >= 8_000
    wallet.forget(unit["unit"])
    assert wallet.compose(DRAFT, keep=left)["messages"] == unit["messages"]
    wallet.forget(unit["unit"])
    with pytest.raises(
        InsufficientFunds, match=f"{left} bytes would be left of the {left + 1} that are held back"
    ):
        wallet.compose(DRAFT, keep=left + 1)
    assert bytes_of(wallet) == (10_000, 0)


def test_what_is_paid_to_itself_is_kept(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 10_000)
    wallet.compose(Draft({"base": (Output(wallet.address, 5_000),)}), keep=8_000)


def test_many_coins_become_one(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, *[2_000] * 130)
    assert wallet.count_coins("base") == 130
    for left in (31, 1):
        unit = wallet.gather("base", wallet.address, keep=100_000)
        wallet.post(unit)
        assert wallet.count_coins("base") == left
    net.settle()
    wallet.refresh()
    assert bytes_of(wallet) == (net.balance(wallet.address), 0)
    with pytest.raises(InsufficientFunds, match="held back"):
        wallet.gather("base", wallet.address, keep=net.balance(wallet.address))


def test_coins_of_an_asset_become_one(wallet: Wallet, net: Devnet) -> None:
    asset = net.issue_asset(1_000)
    for _ in range(5):
        net.fund(wallet.address, 7, asset)
    funded(wallet, net, 100_000)
    wallet.post(wallet.gather(asset, wallet.address))
    assert wallet.count_coins(asset) == 1
    net.settle()
    wallet.refresh()
    assert wallet.balance()[asset].stable == net.balance(wallet.address, asset) == 35


def test_all_that_there_is_can_be_sent_to_another_address(wallet: Wallet, net: Devnet) -> None:
    asset = net.issue_asset(1_000)
    net.fund(wallet.address, 7, asset)
    funded(wallet, net, 100_000, 50_000)
    payee = fresh_key().address
    units = []
    for each in (asset, "base"):
        units.append(wallet.gather(each, payee))
        wallet.post(units[-1])
    fees = sum(unit["headers_commission"] + unit["payload_commission"] + unit["tps_fee"] for unit in units)
    assert (net.balance(payee, asset), net.balance(payee)) == (7, 150_000 - fees)
    assert net.balance(wallet.address) == net.balance(wallet.address, asset) == 0
    with pytest.raises(InsufficientFunds):
        wallet.gather("base", payee)


def test_what_is_left_after_all_was_sent_away_is_nothing(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 100_000)
    with pytest.raises(InsufficientFunds, match="0 bytes would be left of the 1 "):
        wallet.gather("base", PAYEE, keep=1)


def test_a_unit_that_moves_all_in_place_of_another_spends_one_of_its_coins(
    wallet: Wallet, net: Devnet
) -> None:
    funded(wallet, net, 100_000, 90_000)
    refused = wallet.compose(DRAFT)
    wallet.forget(refused["unit"])
    moved = wallet.gather("base", PAYEE, instead_of=[refused])
    assert inputs(refused) & inputs(moved)


def test_a_payment_that_takes_too_many_coins_says_what_to_do(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, *[1_500] * 130)
    with pytest.raises(TooManyCoins, match="consolidate"):
        wallet.pay([Output(PAYEE, 150_000)])
    wallet.post(wallet.gather("base", wallet.address))
    wallet.pay([Output(PAYEE, 150_000)])


def test_many_threads_pay_at_once(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, *[50_000] * 3)
    units: list[dict[str, Any]] = []
    threads = [
        threading.Thread(target=lambda: units.append(wallet.pay([Output(PAYEE, 1_000)]))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    net.settle()
    assert [net.sequence(unit["unit"]) for unit in units] == ["good"] * 8
    wallet.refresh()
    assert bytes_of(wallet) == (net.balance(wallet.address), 0)


# --- refused, replaced, lost ---


def test_a_refused_payment_gives_its_coins_back(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 100_000)
    net.refuse_next("tps_fee too low")
    with pytest.raises(HubRefused, match="tps_fee too low"):
        wallet.pay([Output(PAYEE, 1_000)])
    assert bytes_of(wallet) == (100_000, 0)
    wallet.pay([Output(PAYEE, 1_000)])


def test_a_refused_unit_is_replaced_by_one_that_spends_the_same_coin(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 30_000, 20_000)
    refused = wallet.compose(DRAFT)
    net.refuse_next("tps_fee too low")
    with pytest.raises(HubRefused):
        wallet.post(refused)
    before = net.balance(PAYEE)
    larger = Draft({"base": (Output(PAYEE, 25_000),)})
    replacement = wallet.compose(larger, instead_of=[refused])
    assert inputs(refused) < inputs(replacement)
    wallet.post(replacement)
    net.settle()
    wallet.refresh()
    assert wallet.has_lost(refused["unit"])
    assert not wallet.has_lost(replacement["unit"])
    assert net.balance(PAYEE) - before == 25_000
    assert bytes_of(wallet) == (net.balance(wallet.address), 0)
    with pytest.raises(InvalidUnit, match="is stable"):
        wallet.compose(DRAFT, instead_of=[replacement])


def test_a_unit_that_was_taken_after_all_wins_against_its_replacement(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 30_000, 20_000)
    first = wallet.compose(DRAFT)
    wallet.light.post(first)  # and its answer was lost
    replacement = wallet.compose(Draft({"base": (Output(PAYEE, 25_000),)}), instead_of=[first])
    with pytest.raises(HubRefused):
        wallet.post(replacement)
    net.settle()
    wallet.refresh()
    assert wallet.has_lost(replacement["unit"])
    assert bytes_of(wallet) == (net.balance(wallet.address), 0)
    assert wallet.compose(DRAFT, instead_of=[replacement]), "nothing of a lost unit need be spent"


def test_a_unit_that_loses_against_another_of_the_same_key_gives_back_what_the_winner_leaves(
    net: Devnet,
) -> None:
    key = fresh_key()
    loser_wallet = funded(open_wallet(net, key), net, 30_000, 20_000)
    winner_wallet = open_wallet(net, key)
    winner_wallet.refresh()
    loser = loser_wallet.compose(Draft({"base": (Output(PAYEE, 40_000),)}))
    winner = winner_wallet.compose(DRAFT)
    assert len(inputs(loser)) == 2
    assert inputs(winner) < inputs(loser)
    loser_wallet.post(loser)
    net.favour(winner["unit"])
    with RawClient(net) as raw:
        raw.say("joint", {"unit": winner})
        raw.ask("heartbeat")
    net.settle()
    assert [net.sequence(unit["unit"]) for unit in (loser, winner)] == ["final-bad", "good"]
    # Told of the loss alone, by the history of someone else, the wallet looks for the winner before it spends
    # again.
    lost = loser_wallet.light.history([], requested_units=[loser["unit"]])
    loser_wallet.absorb(lost)
    assert loser_wallet.has_lost(loser["unit"])
    again = loser_wallet.pay([Output(PAYEE, 1_000)])
    assert inputs(again).isdisjoint(inputs(winner))
    net.settle()
    loser_wallet.refresh()
    assert bytes_of(loser_wallet) == (net.balance(key.address), 0)
    for opened in (loser_wallet, winner_wallet):
        opened.close()


def test_after_a_crash_stored_units_are_adopted_and_posted_again(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 100_000)
    posted = wallet.pay([Output(PAYEE, 1_000)])
    stored = wallet.compose(DRAFT)
    expected = bytes_of(wallet)
    restarted = open_wallet(net, wallet.key)
    for unit in (stored, posted, stored):
        restarted.adopt(unit)
    restarted.refresh()
    assert bytes_of(restarted) == expected
    for unit in (posted, stored, stored):
        restarted.post(unit)
    assert {place[0] for place in inputs(restarted.pay([Output(PAYEE, 1_000)]))} == {stored["unit"]}
    net.settle()
    restarted.refresh()
    assert bytes_of(restarted) == (net.balance(wallet.address), 0)
    restarted.close()


def test_only_units_of_its_own_are_adopted(wallet: Wallet, net: Devnet) -> None:
    funded(wallet, net, 100_000)
    unit = wallet.compose(DRAFT)
    with pytest.raises(InvalidUnit, match="hash"):
        wallet.adopt({**unit, "timestamp": unit["timestamp"] + 1})
    stranger = open_wallet(net)
    with pytest.raises(InvalidUnit, match=f"not of {stranger.address} alone"):
        stranger.adopt(unit)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_whatever_happens_the_balance_is_the_ledgers_in_the_end(shared_net: Devnet, seed: int) -> None:
    """Payments in and out, steps of the network, refreshes, refusals and restarts, in any order.

    After some restarts the wallet goes on from what the one before has given out.
    """
    chance = random.Random(seed)
    net = shared_net
    net.hold()
    wallet = funded(open_wallet(net), net, 200_000)
    for _ in range(chance.randint(5, 25)):
        action = chance.choice(
            ["fund", "pay", "pay", "step", "step", "refresh", "refuse", "restart", "resume"]
        )
        if action == "fund":
            net.fund(wallet.address, chance.randint(1, 50_000))
        elif action == "pay":
            wallet.pay([Output(PAYEE, chance.randint(1, 500))])
        elif action == "step":
            net.step()
        elif action == "refresh":
            wallet.refresh()
        elif action == "refuse":
            net.refuse_next("no")
            with pytest.raises(HubRefused):
                wallet.pay([Output(PAYEE, 1)])
        else:
            earlier = wallet
            earlier.close()
            wallet = open_wallet(net, earlier.key)
            if action == "resume":
                wallet.ask_from(earlier._asked_from or 0)
                wallet.learn(earlier.final_units())
    wallet.refresh()
    assert wallet.balance()["base"].total == net.balance(wallet.address)
    net.settle()
    wallet.refresh()
    assert bytes_of(wallet) == (net.balance(wallet.address), 0)
    wallet.close()


# --- what it asks, with a hub that says what the test wants ---


class ScriptedLight:
    """Stands where the light client is: notes what it is asked and says what the test wants."""

    def __init__(self, tps_fee: int = 11, last_ball_mci: int = 40) -> None:
        self.network = devnet("G" * 43 + "=", (PAYEE,))
        self.tps_fee = tps_fee
        self.last_ball_mci = last_ball_mci
        self.asked: list[tuple[str, Any]] = []
        self.histories: list[History] = []
        self.outcomes: list[Exception | None] = []

    def parents(
        self, from_addresses: list[str], output_addresses: list[str], max_aa_responses: int | None = None
    ) -> Parents:
        self.asked.append(("parents", (from_addresses, set(output_addresses), max_aa_responses)))
        parent = f"{len(self.asked):043d}="
        ball = "b" * 43 + "="
        return Parents(1_795_313_655, (parent,), ball, parent, self.last_ball_mci, self.tps_fee, 1)

    def history(
        self,
        addresses: Any,
        *,
        requested_units: Any = (),
        known_stable_units: Any = (),
        min_main_chain_index: int | None = None,
    ) -> History:
        self.asked.append(("history", (list(addresses), sorted(requested_units), min_main_chain_index)))
        return self.histories.pop(0) if self.histories else History((), (), None)

    def post(self, unit: dict[str, Any]) -> None:
        self.asked.append(("post", unit["unit"]))
        if self.outcomes and (outcome := self.outcomes.pop(0)):
            raise outcome

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]


def payment_to(address: str, amount: int, number: int = 0) -> dict[str, Any]:
    payload = {
        "inputs": [{"unit": "x" * 43 + "=", "message_index": 0, "output_index": number}],
        "outputs": [{"address": address, "amount": amount}],
    }
    return {
        "unit": f"{number:043d}=",
        "timestamp": 1,
        "authors": [{"address": PAYEE}],
        "messages": [{"app": "payment", "payload": payload}],
    }


def shown(unit: dict[str, Any], index: int, *, stable: bool = True, bad: bool = False) -> HistoryUnit:
    return HistoryUnit(unit, unit["unit"], stable, bad, index, True, "messages" not in unit)


def history_of(*entries: HistoryUnit, last_ball: int | None = None) -> History:
    return History(entries, (), last_ball)


def scripted_wallet(light: ScriptedLight, *amounts: int, max_tps_fee: int = 100) -> Wallet:
    wallet = Wallet(fresh_key(), cast("LightClient", light), max_tps_fee=max_tps_fee)
    entries = [shown(payment_to(wallet.address, amount, number), 5) for number, amount in enumerate(amounts)]
    wallet.absorb(history_of(*entries))
    return wallet


def test_a_fee_above_the_limit_is_refused_naming_both_and_nothing_is_spent() -> None:
    light = ScriptedLight(tps_fee=101)
    wallet = scripted_wallet(light, 50_000)
    with pytest.raises(FeeTooHigh, match="101 bytes, the limit is 100"):
        wallet.compose(DRAFT)
    with pytest.raises(FeeTooHigh, match="101 bytes, the limit is 100"):
        wallet.pay([Output(PAYEE, 1)])
    assert bytes_of(wallet) == (50_000, 0)
    assert "post" not in light.names()
    assert wallet.compose(DRAFT, max_tps_fee=101)["tps_fee"] == 101
    light.tps_fee = 100
    with pytest.raises(FeeTooHigh, match="100 bytes, the limit is 99"):
        wallet.compose(DRAFT, max_tps_fee=99)


def test_the_hub_is_asked_for_parents_once_for_each_unit_with_everyone_who_is_paid() -> None:
    light = ScriptedLight()
    wallet = scripted_wallet(light, 50_000, 40_000)
    asset_and_agent = Key(b"\x12" * 32).address
    draft = Draft({"base": (Output(PAYEE, 1), Output(asset_and_agent, 10_000))}, (), 1)
    units = [wallet.compose(draft) for _ in range(2)]
    asked = [arguments for name, arguments in light.asked if name == "parents"]
    assert asked == [([wallet.address], {wallet.address, PAYEE, asset_and_agent}, 1)] * 2
    assert units[0]["parent_units"] != units[1]["parent_units"]
    assert all(unit["timestamp"] == 1_795_313_655 for unit in units)
    assert inputs(units[0]).isdisjoint(inputs(units[1]))


def test_units_are_composed_one_after_the_other() -> None:
    light = ScriptedLight()
    wallet = scripted_wallet(light, 50_000, 40_000)
    entered, leave = threading.Event(), threading.Event()
    slow_parents = light.parents
    inside: list[int] = []
    most_inside = 0

    def parents(*arguments: Any) -> Parents:
        nonlocal most_inside
        inside.append(1)
        most_inside = max(most_inside, len(inside))
        entered.set()
        assert leave.wait(10)
        inside.pop()
        return slow_parents(*arguments)

    light.parents = parents  # type: ignore[method-assign]
    threads = [threading.Thread(target=wallet.compose, args=(DRAFT,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    assert wallet.balance()["base"].stable == 90_000, "the balance can be read meanwhile"
    assert light.names().count("parents") == 0
    leave.set()
    for thread in threads:
        thread.join()
    assert bytes_of(wallet)[0] == 0
    assert most_inside == 1


def test_a_payment_whose_outcome_is_unknown_is_posted_again() -> None:
    light = ScriptedLight()
    wallet = scripted_wallet(light, 50_000)
    light.outcomes = [HubTimeout("no answer"), None]
    unit = wallet.pay([Output(PAYEE, 1)])
    assert [arguments for name, arguments in light.asked if name == "post"] == [unit["unit"]] * 2


def test_the_coins_of_a_payment_whose_outcome_stays_unknown_are_not_spent_again() -> None:
    light = ScriptedLight()
    wallet = scripted_wallet(light, 50_000)
    light.outcomes = [HubTimeout("no answer"), HubError("lost")]
    with pytest.raises(HubError, match="lost"):
        wallet.pay([Output(PAYEE, 1)])
    assert bytes_of(wallet)[0] == 0
    wallet = scripted_wallet(light, 50_000)
    light.outcomes = [HubTimeout("no answer"), HubRefused("no")]
    with pytest.raises(HubRefused):
        wallet.pay([Output(PAYEE, 1)])
    assert bytes_of(wallet)[0] == 0, "the first attempt may have succeeded"


def test_each_question_begins_before_what_the_answer_before_may_have_missed() -> None:
    """A unit can reach the hub while it answers and be covered by that answer's last ball all the same."""
    light = ScriptedLight(last_ball_mci=40)
    wallet = scripted_wallet(light)
    light.histories = [
        history_of(last_ball=50),
        history_of(last_ball=60),
        history_of(),
        history_of(last_ball=70),
        history_of(),
    ]
    for _ in range(5):
        wallet.refresh()
    asked = [arguments for name, arguments in light.asked if name == "history"]
    assert [least for _, _, least in asked] == [None, 40, 50, 60, 60]
    assert all(addresses == [wallet.address] for addresses, _, _ in asked)


def test_a_refresh_that_fails_is_made_up_for_by_the_next() -> None:
    light = ScriptedLight(last_ball_mci=40)
    wallet = scripted_wallet(light)
    history = light.history

    def fail(addresses: Any, **options: Any) -> History:
        history(addresses, **options)
        raise HubTimeout("no answer")

    light.history = fail  # type: ignore[method-assign]
    with pytest.raises(HubTimeout):
        wallet.refresh()
    light.history = history  # type: ignore[method-assign]
    wallet.refresh()
    assert [arguments[2] for name, arguments in light.asked if name == "history"] == [None, None]


def test_what_is_not_decided_is_asked_for_by_name() -> None:
    light = ScriptedLight()
    wallet = scripted_wallet(light, 50_000)
    unit = wallet.compose(DRAFT)
    incoming = payment_to(wallet.address, 10, 9)
    wallet.absorb(history_of(shown(incoming, 6, stable=False)))
    wallet.refresh()
    assert light.asked[-1] == ("history", ([wallet.address], sorted([unit["unit"], incoming["unit"]]), None))


def test_the_wallet_looks_for_the_winner_when_it_learns_of_a_loss() -> None:
    light = ScriptedLight()
    wallet = scripted_wallet(light, 50_000, 40_000)
    unit = wallet.compose(DRAFT)
    stripped = {name: value for name, value in unit.items() if name != "messages"}
    wallet.absorb(history_of(shown(stripped, 45, bad=True)))
    light.asked.clear()
    wallet.compose(DRAFT)
    assert light.names() == ["parents", "history", "parents"], (
        "the refresh comes before the question for parents"
    )
    assert light.asked[1] == ("history", ([wallet.address], [], None))
    light.asked.clear()
    wallet.compose(DRAFT)
    own_histories = [arguments for name, arguments in light.asked if name == "history" and arguments[0]]
    assert own_histories == [], "one look is enough"


@pytest.mark.parametrize(
    ("index", "last_ball", "is_needed"), [(45, 45, False), (45, 44, True), (None, 99, True)]
)
def test_an_unproven_first_unit_tells_by_its_place_whether_the_definition_is_needed(
    index: int | None, last_ball: int, is_needed: bool
) -> None:
    light = ScriptedLight(last_ball_mci=last_ball)
    wallet = scripted_wallet(light, 50_000, 40_000)
    first = wallet.compose(DRAFT)
    assert "definition" in first["authors"][0]
    light.histories = [
        history_of(HistoryUnit(first, first["unit"], False, False, index, True, False)),
    ]
    second = wallet.compose(DRAFT)
    assert light.asked[-1] == ("history", ([], [first["unit"]], None))
    assert ("definition" in second["authors"][0]) is is_needed


def test_a_bad_first_unit_leaves_the_definition_needed() -> None:
    light = ScriptedLight(last_ball_mci=50)
    wallet = scripted_wallet(light, 50_000, 40_000)
    first = wallet.compose(DRAFT)
    stripped = {name: value for name, value in first.items() if name != "messages"}
    light.histories = [history_of(shown(stripped, 45, bad=True))]
    assert "definition" in wallet.compose(DRAFT)["authors"][0]
    assert wallet.has_lost(first["unit"])


def test_a_posted_unit_is_not_forgotten() -> None:
    wallet = scripted_wallet(ScriptedLight(), 50_000)
    unit = wallet.compose(DRAFT)
    wallet.post(unit)
    wallet.forget(unit["unit"])
    assert bytes_of(wallet)[0] == 0


def test_a_proven_unit_makes_the_definition_needless_without_asking() -> None:
    light = ScriptedLight(last_ball_mci=45)
    wallet = scripted_wallet(light, 50_000, 40_000)
    first = wallet.compose(DRAFT)
    wallet.absorb(history_of(shown(first, 45)))
    second = wallet.compose(DRAFT)
    assert "history" not in light.names()
    assert "definition" not in second["authors"][0]


def test_a_draft_that_is_refused_leaves_the_coins_alone() -> None:
    wallet = scripted_wallet(ScriptedLight(), 50_000)
    with pytest.raises(InvalidUnit):
        wallet.compose(Draft({"base": (Output(PAYEE, 0),)}))
    assert bytes_of(wallet) == (50_000, 0)


def test_a_composed_unit_has_the_hash_it_claims() -> None:
    unit = scripted_wallet(ScriptedLight(), 50_000).compose(DRAFT)
    assert unit_hash(unit) == unit["unit"]


# --- processes ---


def test_a_fork_waits_until_the_books_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    wallet = scripted_wallet(ScriptedLight(), 100)
    entries = [shown(payment_to(wallet.address, 100, number), 5) for number in (1, 2)]
    in_the_middle = threading.Event()
    take = wallet._book.take

    def take_slowly(entry: HistoryUnit) -> None:
        take(entry)
        in_the_middle.set()
        time.sleep(0.05)

    monkeypatch.setattr(wallet._book, "take", take_slowly)
    thread = threading.Thread(target=wallet.absorb, args=(history_of(*entries),))
    thread.start()
    assert in_the_middle.wait(10)
    child = os.fork()
    if child == 0:
        is_whole = bytes_of(wallet) == (300, 0)
        wallet.forget("of no account")
        os._exit(0 if is_whole else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    assert bytes_of(wallet) == (300, 0)
