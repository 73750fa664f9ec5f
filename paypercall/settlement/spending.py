"""What the outbox may spend: above all, how much TPS fee a unit is worth. Pure.

A fee is limited by what would be lost without the unit. Few units defend anything; all others can wait until the
network is less busy, and are held to the ordinary limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from paypercall.channel import Channel
from paypercall.costs import SWEEPING_COST
from paypercall.obyte.amounts import BASE, MAX_CAP
from paypercall.store import OutboxKind, OutboxRow


@dataclass(frozen=True, slots=True)
class Spending:
    """What the outbox may spend.

    Attributes:
        max_tps_fee: Bytes of TPS fee for an ordinary unit.
        reserve: Bytes for each open channel with something at stake that only its own commands may touch.
        cost_of_sweep_by_asset: By asset: what a sweep costs, in its units. That is all that is known of its worth.
    """

    max_tps_fee: int
    reserve: int
    cost_of_sweep_by_asset: Mapping[str, int] = field(default_factory=dict)

    @property
    def known_assets(self) -> frozenset[str]:
        """The assets of which it is known what they are worth."""
        return frozenset((BASE, *self.cost_of_sweep_by_asset))

    def in_bytes(self, asset: str, amount: int) -> int:
        """What an amount of a known asset is worth in bytes."""
        return amount if asset == BASE else amount * SWEEPING_COST // self.cost_of_sweep_by_asset[asset]

    def reserve_in(self, asset: str) -> int:
        """How much of a known asset is worth the reserve of a channel."""
        if asset == BASE:
            return self.reserve
        return min(MAX_CAP, self.reserve * self.cost_of_sweep_by_asset[asset] // SWEEPING_COST)


def tps_fee_limit(row: OutboxRow, channel: Channel | None, spending: Spending, certain_time: int) -> int:
    """The most that a row's unit may pay as TPS fee: the ordinary limit, or what would be lost without the unit.

    A fraud proof is worth what the lie would take, once the agent's answer proves that the close is on the ledger: the
    peer can sign one and have a hub show it to this node alone. At first sight the ordinary limit holds. An answer to
    an honest close is worth what it gives back, and only when the peer may soon confirm without it: what the peer owes,
    its close pays out either way.

    My own close and its confirmation can wait, and lose nothing. The period is frozen, so nothing is added to what is
    at stake; if the peer closes first with a lie, that is answered with a fraud proof; and when the agent has taken my
    close, the peer can only add to what it owes, since I have claimed all that I signed.

    Args:
        row: What is to be sent.
        channel: The row's, in the row's period; None for a withdrawal.
        spending: The limits.
        certain_time: What the ledger's time is at least, in seconds; only a confirmation depends on it.

    Returns:
        Bytes.
    """
    stake = 0 if channel is None else _stake_in_bytes(_stake(row, channel, certain_time), channel, spending)
    return max(spending.max_tps_fee, stake)


def _stake(row: OutboxRow, channel: Channel, certain_time: int) -> int:
    is_proven = channel.pending_close is not None and not channel.pending_close.initiated_by_me
    if row.kind is OutboxKind.FRAUD_PROOF and is_proven:
        return channel.deposited_by_me + channel.unsettled
    if row.kind is OutboxKind.CONFIRM and is_answer_pressing(channel, certain_time):
        # A peer may claim to owe more than there is.
        returned: int = row.details["owed_by_me"]
        return min(returned, channel.deposited_by_me + channel.deposited_by_peer)
    return 0


def _stake_in_bytes(stake: int, channel: Channel, spending: Spending) -> int:
    asset = channel.parameters.asset
    if not stake or asset == BASE:
        return stake
    # What an asset is worth is hardly known, if at all; but no more than this is held back for the channel.
    is_little = asset in spending.known_assets and stake < spending.reserve_in(asset)
    return spending.in_bytes(asset, stake) if is_little else spending.reserve


def is_answer_pressing(channel: Channel, certain_time: int) -> bool:
    """Whether the peer's close has waited for half of the timeout, after which the peer can confirm it by itself."""
    close = channel.pending_close
    return (
        close is not None
        and not close.initiated_by_me
        and 2 * (certain_time - close.timestamp) >= channel.parameters.timeout
    )
