"""Contradicting units: who wins, who falls, and what remains of them."""

from __future__ import annotations

import pytest

from paypercall.devnet.form import Refused
from paypercall.devnet.graph import Sequence
from paypercall.devnet.ledger import UnitsWentBad
from paypercall.devnet.wallets import TOTAL_BYTES
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.unit import ball_hash
from tests.devnet.local_node import LocalNode, make_key, payment
from tests.obyte.whole_units import read_whole


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


def test_a_voided_unit_is_not_charged(local: LocalNode) -> None:
    first, second = _contradicting(local)
    local.node.settle()
    loser = local.ledger.graph.vertices[second]
    winner = local.ledger.graph.vertices[first]
    credit = local.ledger.fee_credit(make_key(1).address, local.ledger.graph.stable_index)
    assert loser.actual_tps_fee is None
    assert credit == winner.unit["tps_fee"] - (winner.actual_tps_fee or 0)
