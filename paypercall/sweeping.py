"""When a channel is worth a sweep, and when a limit on unsettled payments calls for one. Pure, like `channel.py`.

A sweep costs the payee; whoever could make it sweep for nothing could drain it.
"""

from __future__ import annotations

from collections.abc import Mapping

from paypercall.backing import Limits
from paypercall.channel import Channel
from paypercall.costs import EARLY_SWEEP_FACTOR
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import MAX_CAP


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
    if not _pays_for_early_sweep(channel, cost):
        raise Refusal(
            RefusalCode.UNECONOMIC,
            f"what is owed in this channel is less than {EARLY_SWEEP_FACTOR} times what closing it costs the payee;"
            " close it yourself on the ledger",
        )


def sweep_threshold(limit: int) -> int:
    """From which unsettled sum on a channel is swept, so that it rarely comes to refusing: four fifths of the limit."""
    return limit * 4 // 5


def makes_room(channel: Channel, payment_amount: int, limits: Limits) -> bool:
    """Whether a package that was refused because of a limit on unsettled payments has its channel swept at once.

    A package that is refused costs its signer nothing, so what was accepted before must pay for the sweep. And the
    package must be above the channel's own limit, since to the asset's other channels have contributed, and must fit
    into an empty channel, since else a sweep is no help.

    Args:
        channel: Without the package.
        payment_amount: The package's.
        limits: The asset's.
    """
    limit = limits.max_unsettled_by_channel
    if limit is None or payment_amount > limit:
        return False
    unsettled = channel.accepted_from_peer + payment_amount - channel.signed_by_me
    return unsettled > limit and _pays_for_early_sweep(channel, limits.cost_of_sweep)


def _pays_for_early_sweep(channel: Channel, cost: int) -> bool:
    return channel.unsettled >= EARLY_SWEEP_FACTOR * cost
