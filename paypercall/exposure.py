"""What a payment is held against besides the channel's own sums: the conf's limits, unconfirmed units, all channels.

Reads the books within the transaction of the caller. The rules are those of `backing.py` and `channel.py`.
"""

from __future__ import annotations

from paypercall.backing import LOSS_WINDOW_SECONDS, NO_BACKING, Backing, Limits, weigh_unconfirmed
from paypercall.channel import Channel
from paypercall.conf import Conf
from paypercall.errors import Refusal, RefusalCode
from paypercall.settlement.upkeep import is_unsettled_above
from paypercall.store import Books, ChannelRecord
from paypercall.sweeping import cost_of_sweep


def limits_of(conf: Conf, asset: str) -> Limits:
    """The limits that the conf sets for channels in an asset."""
    unconfirmed = conf.unconfirmed_amounts_limits_by_asset_or_channel.get(asset)
    unsettled = conf.max_unsettled_by_channel.get(asset)
    cost = cost_of_sweep(asset, conf.cost_of_sweep_by_asset)
    if unconfirmed is None:
        return Limits(max_unsettled_by_channel=unsettled, cost_of_sweep=cost)
    return Limits(
        unconfirmed.max_unconfirmed_by_asset,
        unconfirmed.max_unconfirmed_by_channel,
        unconfirmed.minimum_time_in_seconds,
        unsettled,
        cost,
    )


def backing_of(books: Books, record: ChannelRecord, limits: Limits, now: int) -> Backing:
    """What the units on their way to a channel's agent back."""
    if not record.has_unconfirmed:
        return NO_BACKING
    channel = record.channel
    return weigh_unconfirmed(
        books.unconfirmed.of(channel.aa_address),
        peer_address=channel.peer_address,
        is_agent_known=channel.last_event_id > 0,
        limits=limits,
        now=now,
    )


def require_limits_over_all(
    books: Books, conf: Conf, before: Channel, after: Channel, limits: Limits, now: int
) -> None:
    """Holds the sums over all channels, this payment included, against the asset's limits.

    Raises:
        Refusal: With `above_unconfirmed_limits` or `above_unsettled_limits`.
    """
    asset = after.parameters.asset
    if after.counted_exposure > before.counted_exposure:
        books.totals.lock(asset)
        if books.totals.exposure(asset, now - LOSS_WINDOW_SECONDS) > limits.max_unconfirmed_by_asset:
            raise Refusal(
                RefusalCode.ABOVE_UNCONFIRMED_LIMITS,
                "payments backed by unconfirmed deposits have reached this node's limit;"
                " try again when the deposit is confirmed",
            )
    most = conf.max_unsettled_by_asset.get(asset)
    has_grown = after.unsettled > before.unsettled
    if most is not None and has_grown and is_unsettled_above(books, asset, most, limits.cost_of_sweep):
        raise Refusal(
            RefusalCode.ABOVE_UNSETTLED_LIMITS,
            "unsettled payments have reached this node's limit; channels are being swept, try again later",
        )
