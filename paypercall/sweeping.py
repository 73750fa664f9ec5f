"""When a channel is worth a sweep, and when a limit on unsettled payments calls for one. Pure, like `channel.py`.

A sweep costs the payee; whoever could make it sweep for nothing could drain it.
"""

from __future__ import annotations

from paypercall.channel import Channel
from paypercall.costs import SWEEPING_COST
from paypercall.obyte.amounts import BASE


def cost_of_sweep(asset: str) -> int:
    """What a sweep costs, in units of the asset: 0 if it is not bytes, which cannot be compared with fees."""
    return SWEEPING_COST if asset == BASE else 0


def is_worth_sweeping(channel: Channel) -> bool:
    """Whether a close brings more than it costs, as far as the two can be compared."""
    return channel.unsettled > cost_of_sweep(channel.parameters.asset)


def sweep_threshold(limit: int) -> int:
    """From which unsettled sum on a channel is swept, so that it rarely comes to refusing: four fifths of the limit."""
    return limit * 4 // 5


def makes_room(channel: Channel, payment_amount: int, limit: int | None) -> bool:
    """Whether a sweep makes room for a package that was refused because of a limit on unsettled payments.

    What was accepted before must be worth the sweep, since a package that is refused costs its signer nothing. And the
    package must be above the channel's own limit: to the asset's, other channels have contributed.

    Args:
        channel: Without the package.
        payment_amount: The package's.
        limit: The channel's, or None for no limit.
    """
    unsettled = channel.accepted_from_peer + payment_amount - channel.signed_by_me
    return limit is not None and unsettled > limit and is_worth_sweeping(channel)
