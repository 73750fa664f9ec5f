"""What may back a payment while the peer's deposit is unconfirmed: the limits, the units on their way, their weight.

Pure, like `channel.py`, which holds the result against what the peer signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paypercall.contract import TriggerKind
from paypercall.costs import SWEEPING_COST

HANGING_SECONDS = 3600
"""A deposit that is not stable so long after it was first seen backs nothing more: usually that takes minutes."""

UNANSWERED_SECONDS = 600
"""A stable deposit that the agent has not answered for so long counts no more: it triggered nothing."""

LOSS_WINDOW_SECONDS = 24 * 3600
"""How long an exposure that turned into a loss goes on counting toward the asset's limit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the host allows for one asset. None means no limit.

    Attributes:
        max_unconfirmed_by_asset: The sum of all channels' exposures, losses of late included.
        max_unconfirmed_by_channel: One channel's exposure.
        minimum_time_in_seconds: How long this node must have known an unconfirmed deposit.
        max_unsettled_by_channel: What one peer may owe before its channel is swept.
        cost_of_sweep: What a sweep costs, in units of the asset.
    """

    max_unconfirmed_by_asset: int = 0
    max_unconfirmed_by_channel: int = 0
    minimum_time_in_seconds: int = 0
    max_unsettled_by_channel: int | None = None
    cost_of_sweep: int = SWEEPING_COST


@dataclass(frozen=True, slots=True)
class UnconfirmedUnit:
    """A unit to the agent that the agent has not answered yet.

    Attributes:
        unit: Its hash.
        sender: Its first author.
        kind: What it asks for.
        amount: The deposit, in units of the channel's asset; 0 if it is none.
        has_data: Whether it carries a data message, which could make it something else than a deposit.
        has_definition: Whether it carries the agent's definition.
        first_seen: Seconds, by this node's own clock: a unit's timestamp can be back-dated.
        stable_since: When this node saw it proven stable, or None.
        is_double_spent: Whether it conflicts with another unit.
    """

    unit: str
    sender: str
    kind: TriggerKind
    amount: int
    has_data: bool
    has_definition: bool
    first_seen: int
    stable_since: int | None = None
    is_double_spent: bool = False


@dataclass(frozen=True, slots=True)
class Backing:
    """What unconfirmed deposits of the peer may back a payment now, and why not more.

    Attributes:
        amount: The sum of the eligible deposits.
        is_too_young: Whether another one is only too young.
        is_double_spent: Whether a unit of the peer turned out to be a double-spend.
        is_closing: Whether a close of the peer is on its way.
    """

    amount: int = 0
    is_too_young: bool = False
    is_double_spent: bool = False
    is_closing: bool = False


NO_BACKING = Backing()


def is_overdue(unit: UnconfirmedUnit, now: int) -> bool:
    """Whether a unit has waited too long, for the ledger or then for the agent, to be counted on; `now` in seconds."""
    if unit.stable_since is None:
        return now - unit.first_seen > HANGING_SECONDS
    return now - unit.stable_since > UNANSWERED_SECONDS


def weigh_unconfirmed(
    units: Iterable[UnconfirmedUnit], *, peer_address: str, is_agent_known: bool, limits: Limits, now: int
) -> Backing:
    """Sums the peer's unconfirmed deposits that may back a payment.

    Eligible is a deposit by the peer that carries no data, has been known for long enough but not for too long, and
    whose agent is known to the ledger or defined in the same unit; none is, while a close is on its way or after a
    double-spend.

    Args:
        units: All units to the channel's agent that are not answered yet.
        peer_address: The peer's.
        is_agent_known: Whether the agent has answered anything yet, so that its definition is on the ledger.
        limits: The asset's.
        now: Seconds, this node's clock.
    """
    from_peer = [unit for unit in units if unit.sender == peer_address]
    # Strangers' commands bounce, and one's own close has frozen the channel already.
    if any(unit.kind is TriggerKind.CLOSE and not unit.is_double_spent for unit in from_peer):
        return Backing(is_closing=True)
    if any(unit.is_double_spent for unit in from_peer):
        return Backing(is_double_spent=True)
    amount, is_too_young = 0, False
    for unit in from_peer:
        if unit.kind is not TriggerKind.DEPOSIT or unit.has_data:
            continue
        if not (unit.has_definition or is_agent_known):
            continue
        if is_overdue(unit, now):
            continue
        if now - unit.first_seen < limits.minimum_time_in_seconds:
            is_too_young = True
            continue
        amount += unit.amount
    return Backing(amount=amount, is_too_young=is_too_young)
