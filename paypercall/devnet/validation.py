"""Whether the network takes a posted unit: everything that needs the ledger.

The order of the checks and the texts of the refusals are ocore's where clients see them. A unit that
contradicts another one of its author is not refused here, as nodes pass such units on; the verdict names
its rivals, and `post_joint` refuses it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from paypercall.devnet.attachment import MAX_PARENTS
from paypercall.devnet.authors import check_authors
from paypercall.devnet.fees import count_charged_units, oversize_fee, required_tps_fee
from paypercall.devnet.form import check_form, require
from paypercall.devnet.graph import Vertex
from paypercall.devnet.ledger import Ledger, fee_shares
from paypercall.devnet.messages import check_message
from paypercall.devnet.payments import PaymentCheck
from paypercall.obyte.amounts import BASE
from paypercall.obyte.unit import Unit


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a unit is that the network may take.

    Attributes:
        rivals: Living units of the same authors that it does not include.
        is_spoilt: True when it spends what a unit gives that does not stand.
    """

    rivals: tuple[Vertex, ...]
    is_spoilt: bool

    @property
    def is_serial(self) -> bool:
        """Tells whether nothing contradicts the unit."""
        return not self.rivals and not self.is_spoilt


class UnknownParents(Exception):
    """The unit refers to units that the network has not seen.

    Args:
        hashes: Which.
    """

    def __init__(self, hashes: list[str]) -> None:
        super().__init__(", ".join(hashes))
        self.hashes = hashes


def validate(ledger: Ledger, joint: dict[str, Any], now: int) -> Verdict:
    """Checks a joint, `{"unit": …}`, with a text in `unit.unit` and `unit.version`.

    Raises:
        Refused: With the text for the client.
        UnknownParents: A parent is unknown.
    """
    check_form(joint, ledger.network, now)
    unit = joint["unit"]
    _check_commission_recipients(unit)
    parents = _find_parents(ledger, unit)
    last_ball = _check_parents(ledger, unit, parents)
    index = last_ball.main_chain_index or 0
    count_triggers = _check_triggers(ledger, unit, index)
    _check_tps_fee(ledger, unit, index, count_triggers)
    rivals = check_authors(ledger, unit, parents, index)
    authors = tuple(author["address"] for author in unit["authors"])
    payments = PaymentCheck(ledger.graph, ledger.books, unit, authors, parents, index)
    for message in sorted(unit["messages"], key=_payments_first):
        check_message(ledger, unit, message, payments)
    payments.finish()
    return Verdict(rivals, payments.is_spoilt)


def _payments_first(message: dict[str, Any]) -> tuple[bool, bool]:
    is_payment = message.get("app") == "payment"
    return not is_payment, is_payment and "asset" in message["payload"]


def _check_commission_recipients(unit: Unit) -> None:
    recipients = unit.get("earned_headers_commission_recipients")
    if recipients is None:
        is_needed = len(unit["authors"]) > 1
        require(not is_needed, "must specify earned_headers_commission_recipients when more than 1 author")
        return
    is_filled = isinstance(recipients, list) and all(isinstance(recipient, dict) for recipient in recipients)
    require(is_filled and bool(recipients), "empty earned_headers_commission_recipients array")
    total, previous = 0, ""
    for recipient in recipients:
        share, address = recipient.get("earned_headers_commission_share"), recipient.get("address")
        require(type(share) is int and share > 0, "earned_headers_commission_share must be positive integer")
        require(len(recipient) == 2, "unknown fields in recipient")
        require(isinstance(address, str) and address > previous, "recipient list must be sorted by address")
        total, previous = total + share, address
    require(total == 100, "sum of earned_headers_commission_share is not 100")


def _find_parents(ledger: Ledger, unit: Unit) -> tuple[Vertex, ...]:
    hashes = unit["parent_units"]
    require(len(hashes) <= MAX_PARENTS, f"too many parents: {len(hashes)}")
    is_sorted = all(first < second for first, second in itertools.pairwise(hashes))
    require(is_sorted, "parent units not ordered")
    missing = [parent for parent in hashes if parent not in ledger.graph.vertices]
    if missing:
        raise UnknownParents(missing)
    return tuple(ledger.graph.vertices[parent] for parent in hashes)


def _check_parents(ledger: Ledger, unit: Unit, parents: tuple[Vertex, ...]) -> Vertex:
    graph = ledger.graph
    for position, parent in enumerate(parents):
        require(unit["timestamp"] >= parent.timestamp, f"timestamp decreased from parent {parent.hash}")
        for earlier in parents[:position]:
            is_related = graph.includes([parent], earlier) or graph.includes([earlier], parent)
            require(not is_related, f"parent unit {parent.hash} is related to one of the other parent units")
    last_ball = _check_last_ball(ledger, unit, parents)
    require(
        any(not parent.is_response for parent in parents),
        "non-AA unit should have at least one non-AA parent",
    )
    fee = oversize_fee(unit["headers_commission"] + unit["payload_commission"])
    found = unit.get("oversize_fee")
    if fee:
        require(found == fee, f"oversize_fee mismatch: expected {fee}, found {found}")
    require(bool(fee) or found is None, "zero oversize fee should be omitted")
    require("tps_fee" in unit, "no tps_fee field")
    newest = max(parent.last_ball_index for parent in parents)
    require(
        newest <= (last_ball.main_chain_index or 0),
        f"last ball mci must not retreat, parents: {', '.join(unit['parent_units'])}",
    )
    stable_index = graph.stable_in_view(parents).main_chain_index or 0
    require(
        (last_ball.main_chain_index or 0) <= stable_index,
        f"{unit['unit']}: last ball unit {last_ball.hash} is not stable in view of your parents "
        + ",".join(unit["parent_units"]),
    )
    authors = [author for parent in parents for author in parent.authors]
    twice = [author for author in authors if authors.count(author) > 1]
    require(not twice, f"some addresses found more than once in parents, e.g. {twice[:1]}")
    return last_ball


def _check_last_ball(ledger: Ledger, unit: Unit, parents: tuple[Vertex, ...]) -> Vertex:
    last_ball_unit, last_ball = unit["last_ball_unit"], unit["last_ball"]
    vertex = ledger.graph.vertices.get(last_ball_unit)
    require(vertex is not None, f"last ball unit {last_ball_unit} not found")
    assert vertex is not None
    require(vertex.is_on_main_chain, f"last ball {last_ball} is not on MC")
    require(
        vertex.ball is None or vertex.ball == last_ball,
        f"last_ball {last_ball} and last_ball_unit {last_ball_unit} do not match",
    )
    is_below = vertex not in parents and ledger.graph.includes(parents, vertex)
    require(is_below, f"last ball unit {last_ball_unit} is not included in parents, unit {unit['unit']}")
    return vertex


def _check_triggers(ledger: Ledger, unit: Unit, last_ball_index: int) -> int:
    counts: dict[tuple[str, str], int] = {}
    for message in unit["messages"]:
        if message.get("app") == "payment":
            for output in message["payload"]["outputs"]:
                key = (output["address"], message["payload"].get("asset", BASE))
                counts[key] = counts.get(key, 0) + 1
    require(bool(counts), "no output addresses found in payment messages")
    triggered = ledger.agents.triggers_of({address for address, _ in counts}, last_ball_index)
    is_superfluous = not triggered and "max_aa_responses" in unit
    require(not is_superfluous, "no outputs to AAs, max_aa_responses should not be there")
    require(len(triggered) <= 1, f"more than 1 primary AA trigger ({len(triggered)})")
    for (address, asset), count in counts.items():
        is_single = address not in triggered or count == 1
        require(is_single, f"more than 1 output to the same AA {address} for asset {asset}")
    return len(triggered)


def _check_tps_fee(ledger: Ledger, unit: Unit, last_ball_index: int, count_triggers: int) -> None:
    required = required_tps_fee(count_charged_units(count_triggers, unit.get("max_aa_responses")))
    for address, share in fee_shares(unit).items():
        credit = ledger.fee_credit(address, last_ball_index)
        require(
            100 * credit + unit["tps_fee"] * share >= required * share,
            f"tps_fee {unit['tps_fee']} + tps fees balance {credit} less than required {required}"
            f" for address {address} whose share is {share / 100:g}",
        )
