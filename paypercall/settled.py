"""What a period was settled with, and what that tells of a payment that the peer says it has not taken. Pure.

Whoever refuses a payment may have it all the same: in the total that it claims when the channel is closed. An honest
peer gives back what it claims and has not accepted, in its close or in its answer to mine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from paypercall.channel import Channel, PendingClose
from paypercall.contract import BOUNCE_FEE, Closed
from paypercall.obyte.amounts import BASE


@dataclass(frozen=True, slots=True)
class Settled:
    """What the agent has paid the two sides out by, in bytes or units of the channel's asset.

    Attributes:
        owed_by_me: The total that I owed by the close; not what I gave back with my answer to it, which is no payment.
        owed_by_peer: The total that the peer owed by the close, and what it gave back with its answer to it, at least.
        unsure: How much more that may be.
    """

    owed_by_me: int
    owed_by_peer: int
    unsure: int = 0


class Standing(Enum):
    """What has become of a payment that the peer says it has not taken."""

    OPEN = "it may be taken yet: its period goes on"
    UNTOLD = "its period ends, or has, and the ledger has not told with what"
    UNCLAIMED = "the peer has not claimed it"
    GIVEN_BACK = "the peer has claimed it, and given as much back"
    KEPT = "the peer has claimed it, and given nothing back"
    UNKNOWN = "its period has ended, and what the ledger shows does not tell with what"
    OVER = "another process has found out what has become of it"

    @property
    def is_final(self) -> bool:
        """Whether nothing can become of it any more."""
        return self not in (Standing.OPEN, Standing.UNTOLD)


def settled_with(channel: Channel, closed: Closed) -> Settled | None:
    """What a period was settled with, by what the agent has paid out; None if its close was not seen.

    Args:
        channel: As it was before.
        closed: The agent's answer that has ended its period.
    """
    close = channel.pending_close
    if close is None:
        return None
    paid_to_me, paid_to_peer = closed.paid_to_a, closed.paid_to_b
    if not channel.is_payee:
        paid_to_me, paid_to_peer = paid_to_peer, paid_to_me
    if closed.is_fraud_proven:
        # Who has proved it has everything, whatever was claimed.
        return Settled(0 if paid_to_me else channel.signed_by_me, channel.signed_by_peer)
    least, most = _added_by_peer(channel, close, paid_to_me, paid_to_peer)
    return Settled(close.owed_by_me, close.owed_by_peer + least, most - least)


def _added_by_peer(
    channel: Channel, close: PendingClose, paid_to_me: int, paid_to_peer: int
) -> tuple[int, int]:
    """What the peer's answer to the close has given back, at least and at most.

    The smaller side got its balance exactly, and the bounce fee; the larger one what was left after the fees (agent
    1.1). Where the two differ by less than those, which one is the smaller cannot be told. Nor can, where a claim was
    cut off, what it was cut off by: less counts then.
    """
    fee = BOUNCE_FEE if channel.parameters.asset == BASE else 0
    mine = channel.deposited_by_me - close.owed_by_me + close.owed_by_peer
    peers = channel.deposited_by_peer - close.owed_by_peer + close.owed_by_me
    by_mine, by_peers = paid_to_me - fee - max(mine, 0), peers - (paid_to_peer - fee)
    if abs(paid_to_me - paid_to_peer) <= by_peers - by_mine:
        return max(0, by_mine), max(0, by_peers)
    exactly = max(0, by_mine if paid_to_me < paid_to_peer else by_peers)
    return exactly, exactly


def standing_after(
    settled: Settled | None, signed_by_peer: int, paid_anew: int, *, amount: int, amount_spent: int
) -> Standing:
    """What has become of a payment whose period has ended.

    Args:
        settled: What the period was settled with; None if that is not known.
        signed_by_peer: The refunds: the highest total that the peer signed.
        paid_anew: What other payments of the period came to that were given back: each coin comes back for one.
        amount: The payment's.
        amount_spent: The total in its package.
    """
    if settled is None:
        return Standing.UNKNOWN
    if settled.owed_by_me < amount_spent:
        return Standing.UNCLAIMED
    came_back = settled.owed_by_peer - signed_by_peer - paid_anew
    if came_back >= amount:
        return Standing.GIVEN_BACK
    return Standing.UNKNOWN if came_back + settled.unsure >= amount else Standing.KEPT


def standing_within(channel: Channel, *, amount: int, amount_spent: int) -> Standing:
    """What has become of a payment of a channel's current period, as far as the peer's close tells it.

    What comes back counts when the period has ended, and not before. My own close claims all that I signed for the
    peer, which tells what it gives back in its answer; and after a lie everything may go to either side.
    """
    close = channel.pending_close
    if close is None:
        return Standing.OPEN if channel.freeze is None else Standing.UNTOLD
    if close.initiated_by_me or close.owed_by_peer < channel.signed_by_peer:
        return Standing.UNTOLD
    claimed = Settled(close.owed_by_me, close.owed_by_peer)
    standing = standing_after(claimed, channel.signed_by_peer, 0, amount=amount, amount_spent=amount_spent)
    return Standing.UNTOLD if standing is Standing.GIVEN_BACK else standing
