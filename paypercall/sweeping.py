"""When a channel is worth a sweep, and when a limit on unsettled payments calls for one. Pure, like `channel.py`.

A sweep costs the payee; whoever could make it sweep for nothing could drain it.
"""

from __future__ import annotations

from collections.abc import Mapping

from paypercall.backing import Limits
from paypercall.channel import Channel
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import MAX_CAP

REQUESTED_CLOSE_FACTOR = 10
"""How many times its cost must be owed before the merchant closes because the customer asks for it.

The customer chooses the time, and the merchant bears the cost, which it does not when the customer closes on the
ledger. So it is a tenth of what was earned at most; if the mere cost were enough, a customer that asks for a close each
time it owes a little more than that would be served for nothing.
"""


def cost_of_sweep(asset: str, by_asset: Mapping[str, int]) -> int:
    """What a sweep costs, in units of the asset; more than there can be of an asset of which nobody has told it."""
    return by_asset.get(asset, MAX_CAP)


def is_worth_sweeping(channel: Channel, cost: int) -> bool:
    """Whether a close brings more than it costs, in units of the channel's asset."""
    return channel.unsettled > cost


def require_paid_close(channel: Channel, cost: int) -> None:
    """Requires that so much is owed that the merchant closes because the customer asks for it.

    Raises:
        Refusal: With `uneconomic`.
    """
    if channel.unsettled < REQUESTED_CLOSE_FACTOR * cost:
        raise Refusal(
            RefusalCode.UNECONOMIC,
            f"what is owed in this channel is less than {REQUESTED_CLOSE_FACTOR} times what closing it costs the payee;"
            " close it yourself on the ledger",
        )


def sweep_threshold(limit: int) -> int:
    """From which unsettled sum on a channel is swept, so that it rarely comes to refusing: four fifths of the limit."""
    return limit * 4 // 5


def makes_room(channel: Channel, payment_amount: int, limits: Limits) -> bool:
    """Whether a sweep makes room for a package that was refused because of a limit on unsettled payments.

    What was accepted before must be worth the sweep, since a package that is refused costs its signer nothing. And the
    package must be above the channel's own limit: to the asset's, other channels have contributed.

    Args:
        channel: Without the package.
        payment_amount: The package's.
        limits: The asset's.
    """
    limit = limits.max_unsettled_by_channel
    unsettled = channel.accepted_from_peer + payment_amount - channel.signed_by_me
    return limit is not None and unsettled > limit and is_worth_sweeping(channel, limits.cost_of_sweep)
