"""The ledger: main chain, stability, fees and accounts, without a hub."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random

import pytest

from paypercall.devnet.fees import actual_tps_fee, required_tps_fee
from paypercall.devnet.form import Refused
from paypercall.devnet.graph import Sequence, similar_indexes
from paypercall.devnet.history import prepare_history
from paypercall.devnet.ledger import fee_shares
from paypercall.devnet.wallets import TOTAL_BYTES
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.errors import InsufficientFunds
from paypercall.obyte.proof import verify_history
from paypercall.obyte.unit import Unit, ball_hash
from tests.devnet.local_node import LocalNode, finished, make_key, payment
from tests.obyte.whole_units import read_whole, signers


def test_the_genesis_unit_gives_away_everything_but_its_own_fees(local: LocalNode) -> None:
    assert local.all_bytes() == TOTAL_BYTES


def test_every_unit_that_the_network_makes_itself_is_sound(local: LocalNode) -> None:
    local.account(1, 50_000)
    known = {local.ledger.witnesses[0]: local.node.witnesses.keys[0].definition}
    for vertex in local.ledger.graph.vertices.values():
        read_whole({"unit": vertex.unit}, local.ledger.network)
        assert signers(vertex.unit, known) == set(vertex.authors)


def test_a_unit_gets_the_index_after_its_parent_on_the_main_chain(local: LocalNode) -> None:
    key = local.account(1, 50_000)
    newest = local.ledger.graph.main_chain[-1]
    vertex = local.pay(key, make_key(2).address, 1000)
    assert vertex.parents == (newest,)
    assert vertex.main_chain_index is None
    local.node.step()
    assert vertex.main_chain_index == (newest.main_chain_index or 0) + 1
    assert vertex.is_on_main_chain


def test_a_unit_becomes_stable_with_the_second_witness_unit_and_provable_with_the_third(
    local: LocalNode,
) -> None:
    vertex = local.pay(local.account(1, 50_000), make_key(2).address, 1000)
    local.node.step()
    assert not vertex.is_stable
    local.node.step()
    assert vertex.is_stable
    assert local.ledger.graph.main_chain[-1].last_ball_index < (vertex.main_chain_index or 0)
    local.node.step()
    assert local.ledger.graph.main_chain[-1].last_ball_index >= (vertex.main_chain_index or 0)


def test_parallel_units_share_the_index_of_the_unit_that_includes_them(local: LocalNode) -> None:
    first, second = local.account(1, 50_000), local.account(2, 50_000)
    newest = local.ledger.graph.main_chain[-1:]
    units = [local.compose(key, payment(make_key(3).address, 1000), newest) for key in (first, second)]
    vertices = [local.node.post({"unit": unit}) for unit in units]
    local.node.settle()
    indexes = sorted(vertex.main_chain_index or 0 for vertex in vertices)
    assert indexes[1] == indexes[0] + 1
    assert [vertex.is_on_main_chain for vertex in vertices].count(True) == 1


def test_the_main_chain_goes_on_when_many_units_arrive_at_once(local: LocalNode) -> None:
    keys = [local.account(number, 20_000) for number in range(1, 41)]
    newest = local.ledger.graph.main_chain[-1:]
    units = [local.compose(key, payment(make_key(99).address, 1000), newest) for key in keys]
    vertices = [local.node.post({"unit": unit}) for unit in units]
    local.node.settle()
    assert all(vertex.is_stable and vertex.sequence is Sequence.GOOD for vertex in vertices)
    assert local.ledger.books.balance(make_key(99).address) == 40 * 1000


def test_every_ball_is_the_hash_of_its_unit_and_the_balls_before_it(local: LocalNode) -> None:
    local.account(1, 10_000, 20_000, 30_000)
    for _ in range(8):
        local.pay(make_key(1), make_key(2).address, 100)
        local.node.settle()
    for vertex in local.ledger.graph.vertices.values():
        if vertex.is_stable:
            parent_balls = sorted(parent.ball or "" for parent in vertex.parents)
            skiplist_balls = sorted(skipped.ball or "" for skipped in vertex.skiplist)
            assert vertex.ball == ball_hash(vertex.hash, parent_balls, skiplist_balls)
    assert [v.hash for v in local.ledger.graph.main_chain[10].skiplist] == [local.ledger.genesis["unit"]]


@pytest.mark.parametrize(
    ("index", "similar"),
    [(0, ()), (7, ()), (10, (0,)), (50, (40,)), (100, (90, 0)), (2000, (1990, 1900, 1000))],
)
def test_skiplists_follow_the_zeros_at_the_end_of_an_index(index: int, similar: tuple[int, ...]) -> None:
    assert similar_indexes(index) == similar


def test_nothing_happens_while_nothing_waits(local: LocalNode) -> None:
    local.node.settle()
    assert not local.node.step()


def test_the_fee_depends_on_how_many_units_it_pays_for() -> None:
    assert [required_tps_fee(count) for count in (1, 2, 11)] == [5, 22, 803]
    assert actual_tps_fee(0) == 1
    assert actual_tps_fee(1) == 2


def test_what_a_unit_paid_too_much_is_to_the_credit_of_its_author(local: LocalNode) -> None:
    key = local.account(1, 50_000)
    vertex = local.pay(key, make_key(2).address, 1000)
    assert vertex.unit["tps_fee"] == required_tps_fee(1)
    local.node.settle()
    assert vertex.actual_tps_fee == 1
    assert local.ledger.fee_credit(key.address, local.ledger.graph.stable_index) == required_tps_fee(1) - 1
    assert local.pay(key, make_key(2).address, 1000).unit["tps_fee"] == 1


def test_an_asset_can_be_paid_like_bytes(local: LocalNode) -> None:
    asset = local.faucet.issue_asset(500)
    key = local.account(1, 50_000)
    local.account(1, 300, asset=asset)
    local.pay(key, make_key(2).address, 120, asset)
    local.node.settle()
    assert local.ledger.books.balance(make_key(2).address, asset) == 120
    assert local.ledger.books.balance(key.address, asset) == 180


def test_equal_outputs_to_one_address_are_both_kept(local: LocalNode) -> None:
    key = local.account(1, 50_000)
    twice = (Output(make_key(2).address, 700), Output(make_key(2).address, 700))
    local.node.post({"unit": finished(local.compose(key, Draft(outputs={"base": twice})), key)})
    assert local.ledger.books.balance(make_key(2).address) == 1400


def test_a_unit_beside_a_new_witness_unit_can_be_built_upon_at_once(local: LocalNode) -> None:
    first, second = local.account(1, 50_000), local.account(2, 50_000)
    beside = local.compose(first, payment(make_key(3).address, 1000))
    local.pay(second, make_key(3).address, 1000)
    local.node.step()
    local.node.post({"unit": beside})
    above = local.pay(first, make_key(3).address, 2000)
    assert above.unit["messages"][0]["payload"]["inputs"][0]["unit"] == beside["unit"]
    local.node.settle()
    assert above.is_stable
    assert local.ledger.books.balance(make_key(3).address) == 4000


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_order_everything_becomes_stable_and_adds_up(local: LocalNode, seed: int) -> None:
    """Accounts pay each other and an agent, with parents old and new, while the witness goes on at random."""
    random = Random(seed)
    accounts = [local.account(number, 200_000, 200_000) for number in range(1, 7)]
    channel = local.open_channel(accounts[0], accounts[1], 50_000)
    local.node.settle()
    pending: list[Unit] = []
    taken = 0
    refusals: list[str] = []
    for _ in range(60):
        key = random.choice(accounts)
        payee = random.choice([channel.aa_address, *(account.address for account in accounts)])
        if random.random() < 0.3:
            local.node.step()
        try:
            pending.append(local.compose(key, payment(payee, random.randint(500, 15_000))))
        except InsufficientFunds:
            continue
        while pending and random.random() < 0.6:
            unit = pending.pop(random.randrange(len(pending)))
            try:
                local.node.post({"unit": unit})
                taken += 1
            except Refused as refusal:
                refusals.append(str(refusal))
                if "non-serial" in refusals[-1]:
                    local.node.take({"unit": unit})
    local.node.settle()
    vertices = local.ledger.graph.vertices.values()
    assert taken > 10
    assert refusals
    assert all("non-serial" in refusal or "conflicting" in refusal for refusal in refusals)
    assert any(vertex.sequence is Sequence.FINAL_BAD for vertex in vertices)
    assert all(vertex.is_stable for vertex in vertices if not local.ledger.graph.is_of_witness(vertex))
    assert {vertex.sequence for vertex in vertices} <= {Sequence.GOOD, Sequence.FINAL_BAD}
    assert local.all_bytes() == TOTAL_BYTES
    addresses = [channel.aa_address, *(account.address for account in accounts)]
    request = {"witnesses": list(local.ledger.witnesses), "addresses": addresses}
    history = verify_history(
        json.loads(json.dumps(prepare_history(local.ledger, request))), local.ledger.network
    )
    assert all(unit.is_stable for unit in history.units)
    agent = local.ledger.agents.known[channel.aa_address]
    assert agent.balances["base"] == local.ledger.books.balance(channel.aa_address)


def test_a_unit_below_many_tips_includes_its_author_first(local: LocalNode) -> None:
    keys = [local.account(number, 20_000, 20_000) for number in range(1, 31)]
    newest = local.ledger.graph.main_chain[-1:]
    for key in keys:
        local.node.post({"unit": local.compose(key, payment(make_key(99).address, 1000), newest)})
    assert len(local.ledger.graph.tips) == 30
    for key in keys:
        unit = local.pay(key, make_key(99).address, 1000).unit
        assert 1 <= len(unit["parent_units"]) <= 16
    local.node.settle()
    assert local.ledger.books.balance(make_key(99).address) == 60_000


@pytest.mark.parametrize(
    ("shares", "count"), [({1: 100}, True), ({1: 60, 2: 40}, True), ({1: 60, 7: 40}, False)]
)
def test_authors_share_the_fee_unless_strangers_are_among_the_recipients(
    shares: dict[int, int], count: bool
) -> None:
    authors = sorted(make_key(number).address for number in (1, 2))
    recipients = [
        {"address": make_key(number).address, "earned_headers_commission_share": share}
        for number, share in shares.items()
    ]
    unit = {"authors": [{"address": a} for a in authors], "earned_headers_commission_recipients": recipients}
    expected = {make_key(number).address: share for number, share in shares.items()}
    assert fee_shares(unit) == (expected if count else {authors[0]: 100})


def test_each_of_two_authors_gets_its_share_of_the_credit(local: LocalNode) -> None:
    first, second = local.account(1, 50_000), local.account(2, 50_000)
    unit = deepcopy(local.compose(first, payment(make_key(3).address, 1000)))
    keys = sorted((first, second), key=lambda key: key.address)
    unit["authors"] = [
        {"address": k.address, "authentifiers": {"r": "-" * 88}, "definition": k.definition} for k in keys
    ]
    unit["earned_headers_commission_recipients"] = [
        {"address": key.address, "earned_headers_commission_share": share}
        for key, share in zip(keys, (60, 40), strict=True)
    ]
    paid = 20
    unit = finished({**unit, "tps_fee": paid}, *keys)
    outputs = unit["messages"][0]["payload"]["outputs"]
    change = next(output for output in outputs if output["address"] == first.address)
    fees = unit["headers_commission"] + unit["payload_commission"] + paid
    change["amount"] = 50_000 - 1000 - fees
    local.node.post({"unit": finished(unit, *keys)})
    local.node.settle()
    index = local.ledger.graph.stable_index
    surplus = paid - actual_tps_fee(0)
    credited = [local.ledger.fee_credit(key.address, index) for key in keys]
    assert credited == [surplus * 60 // 100, surplus * 40 // 100]


def test_the_time_of_a_new_unit_is_not_before_that_of_its_parents(local: LocalNode) -> None:
    key = local.account(1, 50_000, 60_000)
    ahead = local.node.clock.now() + 4
    unit = local.compose(key, payment(make_key(2).address, 1000))
    local.node.post({"unit": finished({**unit, "timestamp": ahead}, key)})
    assert local.pay(key, make_key(2).address, 1000).unit["timestamp"] == ahead
    local.node.settle()
    assert local.ledger.graph.main_chain[-1].timestamp >= ahead
