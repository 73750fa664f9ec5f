"""A hub that fails, lies or is silent: the node survives, pays nothing twice, and goes on when the hub is well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from paypercall.client import Client
from paypercall.contract import close_draft
from paypercall.devnet import Devnet
from paypercall.obyte.hub import Hub
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.wallet import Wallet
from paypercall.results import ChannelTimeout
from paypercall.server import Server
from tests.hub_proxy import (
    Arrival,
    Back,
    Fault,
    Frame,
    HangUp,
    HubProxy,
    in_response,
    instead_of_requests,
    instead_of_responses,
    once,
)
from tests.parties import conf_for, open_channel, parameters_of, pay, wait_until, wait_until_open
from tests.settlement.faults import (
    HISTORY,
    PARENTS,
    POST,
    commands,
    corrupt_outputs,
    deposits,
    settle_a_period,
    units_of,
)

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def proxy(net: Devnet) -> Iterator[HubProxy]:
    with HubProxy(net.url) as proxy:
        yield proxy


@pytest.fixture
def merchant(net: Devnet, proxy: HubProxy, tmp_path: Path) -> Iterator[Server]:
    wallet = wallet_through(proxy, net)
    with Server(wallet=wallet, conf=conf_for(net, tmp_path / "merchant")) as merchant:
        yield merchant
    wallet.close()


@pytest.fixture
def customer(net: Devnet, proxy: HubProxy, merchant: Server, tmp_path: Path) -> Iterator[Client]:
    wallet = wallet_through(proxy, net)
    with Client(merchant.address, wallet=wallet, conf=conf_for(net, tmp_path / "customer")) as customer:
        yield customer
    wallet.close()


def wallet_through(proxy: HubProxy, net: Devnet, key: Key | None = None) -> Wallet:
    key = key or key_from_mnemonic(new_mnemonic())
    net.fund(key.address, 1_000_000)
    net.settle()
    return Wallet(key, LightClient(Hub(proxy.url, net.network), net.network), max_tps_fee=20_000)


# --- garbage ---------------------------------------------------------------------------------------------------------


def every(arrivals: Callable[[Frame], Sequence[Arrival] | None]) -> Fault:
    """Something happens to every frame of the hub."""
    return lambda frame: arrivals(frame) if frame.is_from_hub else None


def corrupt_hashes(history: Any) -> Any:
    history = deepcopy(history)
    for joint in history.get("joints", []):
        joint["unit"]["unit"] = "A" * 43 + "="
    return history


def corrupt_signatures(history: Any) -> Any:
    history = deepcopy(history)
    for joint in history.get("unstable_mc_joints", []):
        joint["unit"]["authors"][0]["authentifiers"]["r"] = "A" * 86 + "=="
    return history


def corrupt_balls(history: Any) -> Any:
    history = deepcopy(history)
    for ball in history.get("proofchain_balls", []):
        ball["ball"] = "A" * 43 + "="
    return history


NOTHING_GETS_THROUGH: dict[str, list[Fault]] = {
    "no frames": [
        every(lambda frame: ["garbage"]),
        every(lambda frame: [b"\xff\x00\xfe"]),
        every(lambda frame: [frame.text[: len(frame.text) // 2]]),
        every(lambda frame: ["[" * 200_000]),
        every(lambda frame: ["[]"]),
        every(lambda frame: ["[null, null]"]),
        every(lambda frame: ['["response", NaN]']),
        every(lambda frame: ['["response", {"tag": ["x"], "response": []}]']),
        every(lambda frame: ['["justsaying", {"subject": {"x": 1}, "body": 5}]']),
        every(lambda frame: []),
        every(lambda frame: [HangUp()]),
    ],
    "wrong hashes": [
        in_response(HISTORY, corrupt_outputs),
        in_response(HISTORY, corrupt_hashes),
        in_response(HISTORY, corrupt_signatures),
        in_response(HISTORY, corrupt_balls),
    ],
    "no histories": [
        in_response(HISTORY, lambda history: None),
        in_response(HISTORY, lambda history: "history"),
        in_response(HISTORY, lambda history: {name: [[]] for name in history} or []),
        in_response(HISTORY, lambda history: dict.fromkeys(history) or 5),
        in_response(HISTORY, lambda history: {**history, "joints": []}),
        in_response(HISTORY, lambda history: {**history, "joints": [{"unit": {"unit": [[[]]]}}]}),
        in_response(HISTORY, lambda history: {"error": "internal error"}),
        instead_of_responses(HISTORY),
        instead_of_responses(HISTORY, HangUp()),
    ],
    "no parents": [
        in_response(PARENTS, lambda parents: None),
        in_response(PARENTS, lambda parents: dict.fromkeys(parents, "x")),
        in_response(PARENTS, lambda parents: {"error": "we are catching up"}),
        instead_of_responses(PARENTS),
        instead_of_responses(PARENTS, HangUp()),
    ],
    "no posts": [
        instead_of_requests(POST, lambda frame: []),
        instead_of_requests(POST, lambda frame: [HangUp()]),
        instead_of_requests(POST, lambda frame: [Back(frame.answer({"error": "not now"}))]),
        instead_of_requests(POST, lambda frame: [Back(frame.answer({"error": {"code": 1}}))]),
        instead_of_requests(POST, lambda frame: [Back(frame.answer(None))]),
    ],
}


class Met:
    """A fault that counts how often it happened."""

    def __init__(self, fault: Fault) -> None:
        self.count = 0
        self._fault = fault

    def __call__(self, frame: Frame) -> Sequence[Arrival] | None:
        arrivals = self._fault(frame)
        self.count += arrivals is not None
        return arrivals


@pytest.mark.parametrize("name", NOTHING_GETS_THROUGH)
def test_while_nothing_gets_through_nothing_happens_and_then_it_goes_on(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client, name: str
) -> None:
    for fault in NOTHING_GETS_THROUGH[name]:
        met = Met(fault)
        with proxy.fault(met):
            open_channel(customer)
            wait_until(lambda met=met: met.count >= 2, "the fault is met twice")
            with pytest.raises(ChannelTimeout):
                customer.create_payment_package(10_000, timeout=0.01)
    assert deposits(net, customer) == []
    assert merchant.channels() == []
    assert customer.balance().owed_by_me == 0
    settle_a_period(net, merchant, customer)


# --- posting ---------------------------------------------------------------------------------------------------------

LOST_ANSWERS: dict[str, Fault] = {
    "the line is cut": instead_of_responses(POST, HangUp()),
    "there is none": instead_of_responses(POST),
    "it says nothing": in_response(POST, lambda answer: None),
    "it is garbage": in_response(POST, lambda answer: {"accepted": ["accepted"]}),
    "it is half": instead_of_responses(POST, '["response", {"tag"'),
}


@pytest.mark.parametrize("how", LOST_ANSWERS)
def test_a_unit_whose_answer_gets_lost_is_posted_again_and_paid_once(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client, how: str
) -> None:
    net.hold()
    met = Met(once(LOST_ANSWERS[how]))
    with proxy.fault(met):
        open_channel(customer)
        wait_until(lambda: len(proxy.requests(POST)) >= 2, "the unit is posted again")
    first, second = proxy.requests(POST)[:2]
    assert first["unit"]["unit"] == second["unit"]["unit"]
    pay(customer, merchant)
    net.release()
    settle_a_period(net, merchant, customer)


@pytest.mark.parametrize("how", ["the request is lost", "the line is cut"])
def test_a_unit_that_does_not_reach_the_hub_is_posted_again(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client, how: str
) -> None:
    lost: list[Arrival] = [HangUp()] if how == "the line is cut" else []
    with proxy.fault(once(instead_of_requests(POST, lambda frame: lost))):
        settle_a_period(net, merchant, customer)
    first, second = proxy.requests(POST)[:2]
    assert first["unit"]["unit"] == second["unit"]["unit"]


@pytest.mark.parametrize("times", [1, 3])
def test_a_refused_unit_is_replaced_by_one_that_spends_the_same_coin(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client, times: int
) -> None:
    fees = count(1_000)
    for _ in range(times):
        net.refuse_next("tps fee too low")
    with proxy.fault(in_response(PARENTS, lambda parents: {**parents, "tps_fee": next(fees)})):
        open_channel(customer)
        wait_until(lambda: len(proxy.requests(POST)) > times, "the unit is replaced")
    settle_a_period(net, merchant, customer)
    posted = [request["unit"] for request in proxy.requests(POST)][: times + 1]
    assert posted[0]["unit"] != posted[-1]["unit"]
    coins = [coins_of(unit) for unit in posted]
    assert all(coins[0] & others for others in coins), "never two of them can be good"


def coins_of(unit: dict[str, Any]) -> set[tuple[str, int, int]]:
    return {
        (source["unit"], source["message_index"], source["output_index"])
        for message in unit["messages"]
        if message["app"] == "payment"
        for source in message["payload"]["inputs"]
    }


def test_a_unit_that_the_hub_took_and_then_refuses_is_not_paid_twice(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    """The hub says no to what it has passed on: whatever replaces it, only one can be good."""
    with proxy.fault(once(in_response(POST, lambda answer: {"error": "internal error"}))):
        settle_a_period(net, merchant, customer)
    assert len(proxy.requests(POST)) >= 2


def test_a_unit_that_the_hub_knows_no_more_is_posted_again(
    net: Devnet,
    proxy: HubProxy,
    merchant: Server,
    customer: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paypercall.settlement.outbox.REPOST_SECONDS", 1)
    forgetful = instead_of_requests(POST, lambda frame: [Back(frame.answer("accepted"))])
    with proxy.fault(once(forgetful)):
        settle_a_period(net, merchant, customer)
    first, second = proxy.requests(POST)[:2]
    assert first["unit"]["unit"] == second["unit"]["unit"]


def test_a_unit_that_the_hub_knows_no_more_and_refuses_is_replaced(
    net: Devnet,
    proxy: HubProxy,
    merchant: Server,
    customer: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paypercall.settlement.outbox.REPOST_SECONDS", 1)
    forgetful = instead_of_requests(POST, lambda frame: [Back(frame.answer("accepted"))])
    with proxy.fault(once(forgetful)):
        net.refuse_next("last ball is too old")
        settle_a_period(net, merchant, customer)
    hashes = [request["unit"]["unit"] for request in proxy.requests(POST)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_lost_units_at_every_command_are_posted_again(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    """Every second request to post is lost on its way, every third answer on its way back."""
    numbers = {"requests": 0, "responses": 0}

    def fault(frame: Frame) -> Sequence[Arrival] | None:
        if frame.name != POST:
            return None
        kind = "responses" if frame.is_from_hub else "requests"
        numbers[kind] += 1
        is_lost = numbers[kind] % (3 if frame.is_from_hub else 2) == 1
        return [HangUp()] if is_lost else None

    with proxy.fault(fault):
        settle_a_period(net, merchant, customer)
        assert numbers["requests"] >= 6


# --- frames that are repeated, late or gone --------------------------------------------------------------------------


def test_frames_that_arrive_twice_change_nothing(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    with proxy.fault(lambda frame: [frame.text, frame.text]):
        settle_a_period(net, merchant, customer)
    assert customer.settled_periods()[0].signed_by_me == 10_000


def test_answers_to_somebody_elses_requests_change_nothing(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    strange = json.dumps(["response", {"tag": "x" * 22, "response": {"error": "no"}}])
    with proxy.fault(every(lambda frame: [strange, frame.text])):
        settle_a_period(net, merchant, customer)


def test_frames_that_are_late_are_waited_for(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    proxy.delay = 0.1
    settle_a_period(net, merchant, customer)


def test_without_a_word_of_what_is_new_the_node_asks_by_itself(
    net: Devnet,
    proxy: HubProxy,
    merchant: Server,
    customer: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paypercall.settlement.node.REFRESH_SECONDS", 0.5)
    with proxy.fault(every(lambda frame: [] if frame.kind == "justsaying" else None)):
        settle_a_period(net, merchant, customer)


def test_a_line_that_is_cut_again_and_again_keeps_nothing_from_happening(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    count = 0

    def fault(frame: Frame) -> Sequence[Arrival] | None:
        nonlocal count
        count += 1
        return [HangUp()] if count % 30 == 0 else None

    with proxy.fault(fault):
        settle_a_period(net, merchant, customer)
        assert count > 60


def test_a_hub_that_is_away_for_a_while_is_found_again(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant)
    with proxy.fault(lambda frame: [HangUp()]):
        proxy.hang_up()
        count = len(proxy.passed)
        wait_until(lambda: len(proxy.passed) > count + 4, "both have tried to connect again")
        # The channel is in the books: payments need no hub.
        pay(customer, merchant, 1_000)
    settle_a_period(net, merchant, customer)


# --- silence ---------------------------------------------------------------------------------------------------------


def test_a_silent_hub_is_left_and_found_again(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    net.mute()
    with pytest.raises(ChannelTimeout):
        customer.create_payment_package(10_000, timeout=2)
    assert deposits(net, customer) == []
    net.unmute()
    settle_a_period(net, merchant, customer)


def test_a_merchant_that_has_not_seen_the_ledger_for_long_accepts_nothing(
    net: Devnet, merchant: Server, customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(customer, merchant)
    wait_until_open(customer, merchant)
    net.mute()
    package = customer.create_payment_package(1_000)
    clock = merchant._node._clock
    monkeypatch.setattr(merchant._node, "_clock", lambda: clock() + 1_000)
    monkeypatch.setattr(merchant, "_health", None)
    monkeypatch.setattr(merchant, "_ledger_timeout", 0.2)
    assert merchant.verify_payment_package(package).code == "ledger_unreachable"
    net.unmute()
    wait_until(
        lambda: merchant.verify_payment_package(package).code in (None, "duplicate"),
        "the merchant sees the ledger again",
    )
    assert merchant.channels()[0].accepted_from_peer == 11_000


# --- fees ------------------------------------------------------------------------------------------------------------


def with_tps_fee(fee: int) -> Fault:
    return in_response(PARENTS, lambda parents: {**parents, "tps_fee": fee})


def test_a_fee_above_the_limit_is_waited_out(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    with proxy.fault(with_tps_fee(20_001)):
        with pytest.raises(ChannelTimeout, match="20001 bytes, the limit is 20000"):
            customer.create_payment_package(10_000, timeout=2)
        assert proxy.requests(POST) == []
    settle_a_period(net, merchant, customer)


def test_a_fee_at_the_limit_is_paid(net: Devnet, proxy: HubProxy, merchant: Server, customer: Client) -> None:
    with proxy.fault(with_tps_fee(20_000)):
        pay(customer, merchant)
    assert [unit["tps_fee"] for unit in units_of(net, customer)] == [20_000]


def test_a_fraud_proof_may_cost_what_is_at_stake(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 60_000)
    wait_until_open(customer, merchant)
    lie = close_draft(
        parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
    )
    unit = customer.wallet.compose(lie)
    with proxy.fault(with_tps_fee(60_000)):
        customer.wallet.post(unit)
        wait_until(lambda: len(merchant.settled_periods()) == 1, "the fraud is proved")
    assert merchant.settled_periods()[0].is_fraud_proven
    assert [unit["tps_fee"] for unit in units_of(net, merchant)] == [60_000]


def test_a_fraud_proof_that_costs_more_than_is_at_stake_waits(
    net: Devnet, proxy: HubProxy, merchant: Server, customer: Client
) -> None:
    pay(customer, merchant, 60_000)
    wait_until_open(customer, merchant)
    lie = close_draft(
        parameters_of(net, customer.aa_address), period=1, transferred_from_me=0, sent_by_peer=None
    )
    unit = customer.wallet.compose(lie)
    met = Met(with_tps_fee(60_001))
    with proxy.fault(met):
        customer.wallet.post(unit)
        wait_until(lambda: met.count >= 2, "the fee is asked for twice")
        assert commands(net, merchant) == []
    wait_until(lambda: len(merchant.settled_periods()) == 1, "the fraud is proved")
    assert merchant.settled_periods()[0].is_fraud_proven
