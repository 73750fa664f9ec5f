"""Closing a channel as a call of a host: decides it in one transaction, and waits until the hub has the unit.

It posts nothing itself: the `Node` does, and is only woken.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from paypercall.backing import Limits
from paypercall.channel import Channel, Status
from paypercall.errors import Refusal, RefusalCode
from paypercall.settlement.node import Node
from paypercall.settlement.upkeep import decide_to_close, stop_deposits
from paypercall.store import OutboxKind, Store
from paypercall.sweeping import makes_room

logger = logging.getLogger(__name__)


class Wait(Protocol):
    """Waits until something is true, or raises `ChannelTimeout` with what was waited for."""

    def __call__(self, is_done: Callable[[], bool], timeout: float, what: str, /) -> None: ...


def close_channel(
    store: Store,
    node: Node,
    wait: Wait,
    aa_address: str,
    timeout: float,
    *,
    is_last: bool,
    require: Callable[[Channel], None] | None = None,
) -> None:
    """Decides to close, once a deposit that opens the period is confirmed, and waits until the hub has the unit.

    Args:
        store: The books.
        node: Sends the unit.
        wait: How to wait.
        aa_address: The channel.
        timeout: Seconds to wait.
        is_last: Whether no deposit may follow. It is no error then that nothing is left to close.
        require: Raises `Refusal` if the channel, as it is when this is decided, is not to be closed.

    Raises:
        Refusal: When it cannot be closed.
        ChannelTimeout: When the unit is not posted in time.
    """
    deadline = time.monotonic() + timeout
    wait(
        lambda: _has_decided_to_close(store, node, aa_address, is_last, require),
        timeout,
        "close the channel again when it is open: its deposit is not confirmed yet",
    )
    node.wake()
    wait(
        lambda: _is_sent(store, aa_address),
        deadline - time.monotonic(),
        "the closing unit is decided, but not posted yet",
    )


def sweep_early(store: Store, node: Node, aa_address: str, payment_amount: int, limits: Limits) -> None:
    """Starts the sweep that makes room for a package above the limits on unsettled payments.

    Args:
        store: The books.
        node: Sends the unit.
        aa_address: The channel.
        payment_amount: The package's.
        limits: The asset's.
    """
    try:
        with store.transaction() as books:
            record = books.channels.lock(aa_address)
            assert record is not None, "channels are never deleted"
            if makes_room(record.channel, payment_amount, limits):
                decide_to_close(books, aa_address, node.now())
    except Refusal as refusal:
        logger.info("channel %s is not swept now: %s", aa_address, refusal)
    node.wake()


def _has_decided_to_close(
    store: Store,
    node: Node,
    aa_address: str,
    is_last: bool,
    require: Callable[[Channel], None] | None,
) -> bool:
    """Decides, in one transaction; not while a deposit that cannot be taken back is about to open the period."""
    with store.transaction() as books:
        record = books.channels.lock(aa_address)
        if record is None:
            raise Refusal(RefusalCode.UNKNOWN_CHANNEL, f"there is no channel {aa_address} in the books")
        if require is not None:
            require(record.channel)
        if is_last:
            stop_deposits(books, aa_address, node.now())
        is_closed = record.channel.status is Status.CLOSED
        if is_closed and books.deposits.has_signed(aa_address):
            return False
        # A channel that was taken up a moment ago counts as closed until the agent's answers are taken.
        if not (is_closed and is_last) or record.channel.is_distrusted:
            decide_to_close(books, aa_address, node.now())
        return True


def _is_sent(store: Store, aa_address: str) -> bool:
    with store.reading() as books:
        return not books.outbox.has_unsent(aa_address, OutboxKind.CLOSE)
