"""Where a new unit belongs: its parents, its last ball, and what the network asks for it.

The same answer serves the clients of the hub and the network's own wallets. It only reads the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paypercall.devnet.fees import count_charged_units, required_tps_fee
from paypercall.devnet.graph import Sequence, Vertex
from paypercall.devnet.ledger import Ledger
from paypercall.obyte.composer import Parents

MAX_PARENTS = 16


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where a unit made now would stand.

    Attributes:
        timestamp: Seconds of the ledger's time.
        parents: Sorted by hash.
        last_ball: The newest unit that is stable in view of the parents.
        tps_fee: Bytes that the first author has to pay beside the size, after what is to its credit.
        count_triggers: How many agents the unit would trigger.
    """

    timestamp: int
    parents: tuple[Vertex, ...]
    last_ball: Vertex
    tps_fee: int
    count_triggers: int

    def for_composer(self) -> Parents:
        """The same in the words of the composer."""
        return Parents(
            timestamp=self.timestamp,
            parent_units=tuple(parent.hash for parent in self.parents),
            last_ball=self.last_ball.ball or "",
            last_ball_unit=self.last_ball.hash,
            last_ball_mci=self.last_ball.main_chain_index or 0,
            tps_fee=self.tps_fee,
            primary_aa_triggers=self.count_triggers,
        )


def attach(
    ledger: Ledger,
    now: int,
    from_addresses: Iterable[str],
    output_addresses: Iterable[str],
    max_agent_responses: int | None,
    parents: Iterable[Vertex] | None = None,
) -> Attachment:
    """Finds the place of a unit that is about to be composed.

    Args:
        ledger: What there is.
        now: The network's time in seconds.
        from_addresses: Authors; the first one bears the TPS fee.
        output_addresses: Whom it pays; agents among them make it dearer.
        max_agent_responses: As the unit will say; None for the network's most.
        parents: To use instead of the good tips.
    """
    authors = list(from_addresses)
    chosen = tuple(pick_good_parents(ledger, authors) if parents is None else parents)
    last_ball = ledger.graph.stable_in_view(chosen)
    index = last_ball.main_chain_index or 0
    count_triggers = len(ledger.agents.triggers_of(set(output_addresses), index))
    required = required_tps_fee(count_charged_units(count_triggers, max_agent_responses))
    return Attachment(
        timestamp=max(now, *(parent.timestamp for parent in chosen)),
        parents=chosen,
        last_ball=last_ball,
        tps_fee=max(0, required - ledger.fee_credit(authors[0], index)),
        count_triggers=count_triggers,
    )


def pick_good_parents(ledger: Ledger, authors: Iterable[str]) -> list[Vertex]:
    """The units without children that nothing contradicts, those above units of the authors first."""
    graph = ledger.graph
    own = [vertex for author in authors for vertex in graph.unstable_units_of(author)]

    def order(tip: Vertex) -> tuple[bool, int]:
        return not any(graph.includes([tip], vertex) for vertex in own), -tip.level

    good = [tip for tip in graph.tips.values() if tip.sequence is Sequence.GOOD]
    if len(good) > MAX_PARENTS:
        good.sort(key=order)
    chosen = good[:MAX_PARENTS] or [graph.main_chain[-1]]
    return sorted(chosen, key=lambda vertex: vertex.hash)
