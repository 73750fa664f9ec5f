"""The ledger: main chain, stability, conflicts, agents and accounts, without a hub."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random

import pytest

from paypercall.contract import ChannelParameters
from paypercall.devnet.agent import NotModelled
from paypercall.devnet.attachment import attach
from paypercall.devnet.fees import actual_tps_fee, required_tps_fee
from paypercall.devnet.form import Refused
from paypercall.devnet.graph import Sequence, Vertex, similar_indexes
from paypercall.devnet.history import prepare_history
from paypercall.devnet.ledger import UnitsWentBad, fee_shares
from paypercall.devnet.wallets import TOTAL_BYTES
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.errors import InsufficientFunds
from paypercall.obyte.proof import verify_history
from paypercall.obyte.unit import Unit, ball_hash
from tests.devnet.local_node import LocalNode, finished, make_key, payment
from tests.obyte.whole_units import read_whole, signers


@pytest.fixture
def local() -> LocalNode:
    return LocalNode()


def test_the_genesis_unit_gives_away_everything_but_its_own_fees(local: LocalNode) -> None:
    assert local.all_bytes() == TOTAL_BYTES


def test_every_unit_that_the_network_makes_itself_is_sound(local: LocalNode) -> None:
    local.account(1, 50_000)
    known = {local.ledger.witness: local.node.witness.key.definition}
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


# --- conflicts -----------------------------------------------------------------------------------


def _contradicting(local: LocalNode) -> tuple[str, str]:
    """Two units that spend the same output to accounts 2 and 3, both with the network."""
    key = local.account(1, 50_000)
    first, second = (local.compose(key, payment(make_key(to).address, 1000 * to)) for to in (2, 3))
    local.node.post({"unit": first})
    local.node.take({"unit": second})
    return first["unit"], second["unit"]


def test_a_double_spend_is_refused_when_posted(local: LocalNode) -> None:
    key = local.account(1, 50_000)
    first, second = (local.compose(key, payment(make_key(to).address, 1000)) for to in (2, 3))
    local.node.post({"unit": first})
    with pytest.raises(Refused, match="non-serial"):
        local.node.post({"unit": second})


def test_a_double_spend_passed_on_by_somebody_spoils_both_units(local: LocalNode) -> None:
    events: list[object] = []
    local.node.listen(events.append)
    first, second = _contradicting(local)
    vertices = local.ledger.graph.vertices
    assert vertices[first].sequence is vertices[second].sequence is Sequence.TEMP_BAD
    assert [e.vertices for e in events if isinstance(e, UnitsWentBad)] == [(vertices[first],)]
    assert local.ledger.books.balance(make_key(2).address) == 0
    assert local.ledger.books.balance(make_key(3).address) == 0


def test_of_two_contradicting_units_one_stays_and_the_other_is_stripped(local: LocalNode) -> None:
    first, second = _contradicting(local)
    local.node.settle()
    winner, loser = (local.ledger.graph.vertices[unit] for unit in (first, second))
    assert winner.sequence is Sequence.GOOD
    assert loser.sequence is Sequence.FINAL_BAD
    assert "messages" not in loser.unit
    assert set(loser.unit) >= {"content_hash", "parent_units", "timestamp"}
    read_whole({"unit": loser.unit, "ball": loser.ball}, local.ledger.network)
    assert loser.ball == ball_hash(loser.hash, loser.parent_balls, (), True)
    assert local.ledger.books.balance(make_key(2).address) == 2000
    assert local.ledger.books.balance(make_key(3).address) == 0
    assert local.all_bytes() == TOTAL_BYTES


def test_the_favoured_one_of_two_contradicting_units_wins(local: LocalNode) -> None:
    first, second = _contradicting(local)
    local.node.favour(second)
    local.node.settle()
    assert local.ledger.graph.vertices[first].sequence is Sequence.FINAL_BAD
    assert local.ledger.graph.vertices[second].sequence is Sequence.GOOD
    assert local.ledger.books.balance(make_key(3).address) == 3000
    assert local.all_bytes() == TOTAL_BYTES


def test_what_spends_a_final_bad_unit_falls_with_it(local: LocalNode) -> None:
    receiver = local.account(2, 50_000)
    sender = local.account(1, 50_000)
    gift, rival = (
        local.compose(sender, payment(to, 40_000)) for to in (receiver.address, make_key(3).address)
    )
    local.node.post({"unit": gift})
    spend = local.pay(receiver, make_key(4).address, 80_000)
    local.node.take({"unit": rival})
    local.node.favour(rival["unit"])
    local.node.settle()
    assert local.ledger.graph.vertices[gift["unit"]].sequence is Sequence.FINAL_BAD
    assert spend.sequence is Sequence.FINAL_BAD
    assert local.ledger.books.balance(make_key(4).address) == 0
    assert local.ledger.books.balance(receiver.address) == 50_000
    assert local.all_bytes() == TOTAL_BYTES


def test_units_of_one_author_that_ignore_each_other_are_contradictions_too(local: LocalNode) -> None:
    key = local.account(1, 30_000, 60_000)
    newest = local.ledger.graph.main_chain[-1:]
    local.node.post({"unit": local.compose(key, payment(make_key(2).address, 50_000), newest)})
    other = local.compose(key, payment(make_key(2).address, 1000), newest)
    assert local.ledger.graph.vertices.keys() >= {other["parent_units"][0]}
    with pytest.raises(Refused, match="non-serial"):
        local.node.post({"unit": other})


# --- fees ----------------------------------------------------------------------------------------


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


# --- agents --------------------------------------------------------------------------------------


def test_an_agent_answers_once_its_trigger_is_stable(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    merchant = make_key(2)
    channel = local.open_channel(customer, merchant, 100_000)
    local.node.step()
    assert not local.ledger.agents.answers
    local.node.step()
    (answer,) = local.ledger.agents.answers
    assert answer.error is None
    assert answer.response is not None
    data = next(m["payload"] for m in answer.response.unit["messages"] if m["app"] == "data")
    assert data["open"] == 1
    assert data[customer.address] == 100_000
    read_whole({"unit": answer.response.unit}, local.ledger.network)
    local.node.settle()
    assert answer.response.is_stable
    assert local.ledger.agents.known[channel.aa_address].balances == {
        "base": local.ledger.books.balance(channel.aa_address)
    }
    assert local.all_bytes() == TOTAL_BYTES


def test_a_payment_before_the_definition_triggers_nothing_but_is_the_agents(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    future = ChannelParameters(make_key(2).address, customer.address, "base", "salt", 600)
    local.pay(customer, future.aa_address, 30_000)
    local.node.settle()
    channel = local.open_channel(customer, make_key(2), 100_000)
    assert channel == future
    local.node.settle()
    assert len(local.ledger.agents.answers) == 1
    balance = local.ledger.agents.known[channel.aa_address].balances["base"]
    assert balance == local.ledger.books.balance(channel.aa_address)
    assert balance > 120_000


def test_triggers_at_one_index_run_in_the_order_of_level_and_hash(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()
    strangers = [local.account(number, 100_000) for number in range(10, 16)]
    newest = local.ledger.graph.main_chain[-1:]
    units = [local.compose(key, payment(channel.aa_address, 20_000), newest) for key in strangers]
    vertices = [local.node.post({"unit": unit}) for unit in units]
    local.node.settle()
    answers = local.ledger.agents.answers[1:]
    assert len(answers) == len(strangers)
    expected = sorted(vertices, key=lambda v: (v.main_chain_index or 0, v.level, v.hash))
    assert [answer.trigger for answer in answers] == expected
    assert all(answer.error == "neither case is true in messages" for answer in answers)
    assert local.all_bytes() == TOTAL_BYTES
    _check_parents_of_answers(local)


def _check_parents_of_answers(local: LocalNode) -> None:
    """One below the other, from the main chain unit of each index on (ocore)."""
    before = None
    for answer in local.ledger.agents.answers[1:]:
        assert answer.response is not None
        anchor = local.ledger.graph.main_chain[answer.index].hash
        if before is None:
            expected = [anchor]
        elif before.index == answer.index:
            expected = [before.response.hash]
        else:
            expected = sorted([before.response.hash, anchor])
        assert answer.response.unit["parent_units"] == expected
        before = answer


def test_a_bounced_trigger_is_sent_back_without_the_fee(local: LocalNode) -> None:
    customer, stranger = local.account(1, 500_000), local.account(3, 100_000)
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()
    before = local.ledger.books.balance(stranger.address)
    trigger = local.pay(stranger, channel.aa_address, 30_000)
    local.node.settle()
    fees = before - 30_000 - local.ledger.books.balance(stranger.address) + 20_000
    assert fees == sum(trigger.unit[name] for name in ("headers_commission", "payload_commission", "tps_fee"))


def test_an_agent_in_an_asset_pays_out_what_it_was_paid(local: LocalNode) -> None:
    asset = local.faucet.issue_asset(1_000_000)
    customer = local.account(1, 500_000)
    local.account(1, 70_000, asset=asset)
    channel = local.open_channel(customer, make_key(2), 50_000, asset)
    local.node.settle()
    assert local.ledger.books.balance(channel.aa_address, asset) == 50_000
    local.send_data(customer, channel.aa_address, {"close": 1, "period": 1})
    local.node.settle()
    local.node.advance(601)
    local.send_data(customer, channel.aa_address, {"confirm": 1, "period": 1})
    local.node.settle()
    assert local.ledger.books.balance(channel.aa_address, asset) == 0
    assert local.ledger.books.balance(customer.address, asset) == 70_000
    assert local.all_bytes() == TOTAL_BYTES


def test_the_time_that_an_agent_sees_can_be_moved(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()
    local.send_data(customer, channel.aa_address, {"close": 1, "period": 1})
    local.node.settle()
    local.send_data(customer, channel.aa_address, {"confirm": 1, "period": 1})
    local.node.settle()
    assert local.ledger.agents.answers[-1].error == "too early"
    local.node.advance(600)
    local.send_data(customer, channel.aa_address, {"confirm": 1, "period": 1})
    local.node.settle()
    assert local.ledger.agents.answers[-1].error is None
    assert local.ledger.books.balance(customer.address) > 450_000
    assert local.all_bytes() == TOTAL_BYTES


# --- the faucet ----------------------------------------------------------------------------------


def test_the_faucet_pays_several_times_without_waiting(local: LocalNode) -> None:
    for number in range(1, 30):
        local.faucet.fund(make_key(number).address, number)
    local.node.settle()
    assert [local.ledger.books.balance(make_key(n).address) for n in range(1, 30)] == list(range(1, 30))


def test_the_faucet_cannot_give_more_than_there_is(local: LocalNode) -> None:
    with pytest.raises(InsufficientFunds):
        local.faucet.fund(make_key(1).address, TOTAL_BYTES)


@pytest.mark.parametrize("amount", [0, -1, 1.5, True, "5", None])
def test_the_faucet_gives_positive_integers_only(local: LocalNode, amount: object) -> None:
    with pytest.raises(Exception, match="positive integer"):
        local.faucet.fund(make_key(1).address, amount)


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


# --- any order -----------------------------------------------------------------------------------


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
    assert all(vertex.is_stable for vertex in vertices if local.ledger.witness not in vertex.authors)
    assert {vertex.sequence for vertex in vertices} <= {Sequence.GOOD, Sequence.FINAL_BAD}
    assert local.all_bytes() == TOTAL_BYTES
    addresses = [channel.aa_address, *(account.address for account in accounts)]
    request = {"witnesses": [local.ledger.witness], "addresses": addresses}
    history = verify_history(
        json.loads(json.dumps(prepare_history(local.ledger, request))), local.ledger.network
    )
    assert all(unit.is_stable for unit in history.units)
    agent = local.ledger.agents.known[channel.aa_address]
    assert agent.balances["base"] == local.ledger.books.balance(channel.aa_address)


# --- corners -------------------------------------------------------------------------------------


def test_an_agent_that_is_published_again_stays_what_it_was(local: LocalNode) -> None:
    customer = local.account(1, 500_000)
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()
    before = local.ledger.agents.known[channel.aa_address]
    assert local.open_channel(customer, make_key(2), 50_000) == channel
    local.node.settle()
    after = local.ledger.agents.known[channel.aa_address]
    assert after is before
    assert after.state.balance_b == 150_000
    assert after.balances["base"] == local.ledger.books.balance(channel.aa_address)


def test_a_trigger_that_the_rules_do_not_model_bounces_with_their_words(
    local: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise NotModelled("too exotic")

    monkeypatch.setattr("paypercall.devnet.agents.execute", refuse)
    local.open_channel(local.account(1, 500_000), make_key(2), 100_000)
    local.node.settle()
    (answer,) = local.ledger.agents.answers
    assert answer.error == "too exotic"
    assert answer.response is None


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


def test_a_chain_of_spends_falls_with_its_root(local: LocalNode) -> None:
    """One of the heirs spends two outputs of the voided unit: it is voided once."""
    sender = local.account(1, 50_000)
    rival = local.compose(sender, payment(make_key(9).address, 1000))
    two = Draft(outputs={"base": (Output(make_key(2).address, 10_000), Output(make_key(2).address, 11_000))})
    local.node.post({"unit": local.compose(sender, two)})
    heir = local.pay(make_key(2), make_key(3).address, 15_000)
    grandchild = local.pay(make_key(3), make_key(4).address, 5000)
    local.node.take({"unit": rival})
    local.node.favour(rival["unit"])
    local.node.settle()
    assert heir.sequence is grandchild.sequence is Sequence.FINAL_BAD
    assert local.ledger.books.balance(make_key(4).address) == 0
    assert local.all_bytes() == TOTAL_BYTES


def test_whoever_spends_what_is_contradicted_is_contradicted_too(local: LocalNode) -> None:
    sender = local.account(1, 50_000)
    gift, rival = (local.compose(sender, payment(make_key(to).address, 20_000)) for to in (2, 3))
    local.node.post({"unit": gift})
    spend = local.compose(make_key(2), payment(make_key(4).address, 10_000))
    local.node.take({"unit": rival})
    with pytest.raises(Refused, match="non-serial"):
        local.node.post({"unit": spend})
    vertex = local.node.take({"unit": spend})
    assert vertex is not None
    assert vertex.sequence is Sequence.TEMP_BAD
    local.node.favour(gift["unit"])
    local.node.settle()
    assert vertex.sequence is local.ledger.graph.vertices[gift["unit"]].sequence is Sequence.GOOD
    assert local.ledger.books.balance(make_key(4).address) == 10_000


def test_whoever_was_paid_by_a_voided_unit_can_go_on_at_once(local: LocalNode) -> None:
    receiver, sender = local.account(2, 50_000), local.account(1, 50_000)
    payees = (receiver.address, make_key(3).address)
    gift, rival = (local.compose(sender, payment(payee, 40_000)) for payee in payees)
    voided = local.node.post({"unit": gift})
    spend = local.compose(receiver, payment(make_key(4).address, 80_000))
    local.node.take({"unit": rival})
    local.node.favour(rival["unit"])
    while voided.main_chain_index is None:
        local.node.step()
    heir = local.node.take({"unit": spend})
    assert heir is not None
    while voided.sequence is not Sequence.FINAL_BAD:
        local.node.step()
    assert heir.sequence is Sequence.FINAL_BAD
    assert not heir.is_stable
    again = local.pay(receiver, make_key(4).address, 30_000)
    local.node.settle()
    assert again.sequence is Sequence.GOOD
    assert heir.is_stable
    assert local.ledger.books.balance(make_key(4).address) == 30_000


def test_of_rivals_at_one_index_the_smaller_hash_wins(local: LocalNode) -> None:
    sender, *others = (local.account(number, 50_000) for number in range(1, 5))
    newest = local.ledger.graph.main_chain[-1:]
    units = [local.compose(sender, payment(make_key(9).address, amount), newest) for amount in (1000, 2000)]
    beside = local.compose(others[0], payment(make_key(9).address, 1), newest)
    local.node.post({"unit": beside})
    first = local.node.post({"unit": units[0]})
    second = local.node.take({"unit": units[1]})
    assert second is not None
    for key, rival in zip(others[1:], (first, second), strict=True):
        local.node.post({"unit": local.compose(key, payment(make_key(9).address, 1), [rival])})
    local.node.settle()
    assert first.main_chain_index == second.main_chain_index
    winner, loser = sorted((first, second), key=lambda vertex: vertex.hash)
    assert winner.sequence is Sequence.GOOD
    assert loser.sequence is Sequence.FINAL_BAD
    assert local.all_bytes() == TOTAL_BYTES


def test_an_agent_spends_its_own_change_before_that_is_stable(local: LocalNode) -> None:
    customer, merchant = local.account(1, 900_000), local.account(2, 100_000)
    channel = local.open_channel(customer, merchant, 400_000)
    local.send_data(customer, channel.aa_address, {"close": 1, "period": 1, "transferredFromMe": 150_000})
    local.send_data(merchant, channel.aa_address, {"confirm": 1, "period": 1})
    local.node.step()
    local.node.step()
    answers = local.ledger.agents.answers
    assert [answer.error for answer in answers] == [None] * 3
    responses = [answer.response for answer in answers if answer.response is not None]
    assert len(responses) == 3
    assert not any(response.is_stable for response in responses)
    inputs = next(m["payload"]["inputs"] for m in responses[2].unit["messages"] if m["app"] == "payment")
    assert responses[1].hash in {source["unit"] for source in inputs}
    local.node.settle()
    assert local.ledger.books.balance(merchant.address) > 240_000
    assert local.all_bytes() == TOTAL_BYTES


def test_a_voided_unit_is_not_charged(local: LocalNode) -> None:
    first, second = _contradicting(local)
    local.node.settle()
    loser = local.ledger.graph.vertices[second]
    winner = local.ledger.graph.vertices[first]
    credit = local.ledger.fee_credit(make_key(1).address, local.ledger.graph.stable_index)
    assert loser.actual_tps_fee is None
    assert credit == winner.unit["tps_fee"] - (winner.actual_tps_fee or 0)


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


def test_an_agent_counts_once_it_is_known_at_the_last_ball(local: LocalNode) -> None:
    customer, stranger = local.account(1, 500_000), local.account(3, 100_000)
    before = local.ledger.graph.main_chain[-1:]
    channel = local.open_channel(customer, make_key(2), 100_000)
    local.node.settle()

    def count(parents: list[Vertex] | None) -> int:
        ledger, now = local.ledger, local.node.clock.now()
        return attach(ledger, now, [stranger.address], [channel.aa_address], None, parents).count_triggers

    assert count(None) == 1
    assert count(before) == 0
    unit = local.compose(stranger, payment(channel.aa_address, 20_000), before)
    assert unit["tps_fee"] == required_tps_fee(1)
    local.node.post({"unit": unit})
    local.node.settle()
    assert len(local.ledger.agents.answers) == 2


def test_the_second_agent_that_a_unit_pays_bounces(local: LocalNode) -> None:
    """Possible only while the network does not know the agents yet: later such a unit is refused."""
    customer = local.account(1, 900_000)
    merchants = [make_key(2), make_key(5)]
    channels = [local.open_channel(customer, merchant, 50_000) for merchant in merchants]
    outputs = {"base": tuple(Output(channel.aa_address, 30_000) for channel in channels)}
    both = local.node.post({"unit": local.compose(customer, Draft(outputs=outputs))})
    local.node.settle()
    answers = [answer for answer in local.ledger.agents.answers if answer.trigger is both]
    assert [answer.agent for answer in answers] == sorted(channel.aa_address for channel in channels)
    assert answers[0].error is None
    assert answers[1].error is not None
    assert local.all_bytes() == TOTAL_BYTES


def test_the_time_of_a_new_unit_is_not_before_that_of_its_parents(local: LocalNode) -> None:
    key = local.account(1, 50_000, 60_000)
    ahead = local.node.clock.now() + 4
    unit = local.compose(key, payment(make_key(2).address, 1000))
    local.node.post({"unit": finished({**unit, "timestamp": ahead}, key)})
    assert local.pay(key, make_key(2).address, 1000).unit["timestamp"] == ahead
    local.node.settle()
    assert local.ledger.graph.main_chain[-1].timestamp >= ahead
