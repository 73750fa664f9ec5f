"""What the calls of `Client` and `Server` return and raise. Data only."""

from __future__ import annotations

from dataclasses import dataclass

from paypercall.channel import Channel, Status, spendable
from paypercall.errors import PaypercallError


class ChannelTimeout(PaypercallError):
    """What was waited for has not happened in time; what was decided is in the books and goes on."""

    code = "timeout"


class IdempotencyConflict(PaypercallError):
    """The idempotency key was used for another amount."""

    code = "idempotency_conflict"


@dataclass(frozen=True, slots=True)
class Payment:
    """The result of verifying a payment package.

    Attributes:
        amount: What was accepted, in bytes or units of the asset; 0 when `error` is set.
        asset: The channel's asset, where the channel is known.
        aa_address: The channel.
        period: The channel's period.
        amount_spent: The peer's total that the package carries.
        payment_id: Identifies the accepted payment in this node's books.
        error: Why it was not accepted, or None.
        code: The stable code of the error (see `RefusalCode`), or None.
        first: For the code `duplicate`: the result that the same package had the first time.
        is_published: For the same code: whether the package is on the ledger, or about to be, as the last one of its
            period is in the unit that closes it. Then anybody can send it, and it is not to be answered again.
    """

    amount: int = 0
    asset: str | None = None
    aa_address: str | None = None
    period: int | None = None
    amount_spent: int | None = None
    payment_id: int | None = None
    error: str | None = None
    code: str | None = None
    first: Payment | None = None
    is_published: bool = False


@dataclass(frozen=True, slots=True)
class ChannelBalance:
    """Where a channel stands; amounts in bytes or units of its asset, in the current period.

    Attributes:
        aa_address: The channel; None for that of a client that no payment has created yet.
        peer_address: The other side.
        asset: The channel's.
        period: The current one.
        status: Where the agent is, by its last proven answer.
        is_frozen: Whether this side has decided to settle the period.
        is_distrusted: Whether this side may have forgotten what was signed in the period, and so only confirms.
        deposited_by_me: Confirmed.
        deposited_by_peer: Confirmed.
        pending_deposits: Mine, not answered by the agent yet.
        owed_by_me: The total that I signed.
        owed_by_peer: The highest total that the peer signed.
        accepted_from_peer: What I accepted of it.
        spendable: What I can still pay.
    """

    aa_address: str | None
    peer_address: str
    asset: str
    period: int
    status: Status
    is_frozen: bool
    is_distrusted: bool
    deposited_by_me: int
    deposited_by_peer: int
    pending_deposits: int
    owed_by_me: int
    owed_by_peer: int
    accepted_from_peer: int
    spendable: int

    @classmethod
    def of(cls, channel: Channel, pending_deposits: int) -> ChannelBalance:
        """The balance of a channel with so much of mine on its way."""
        return cls(
            aa_address=channel.aa_address,
            peer_address=channel.peer_address,
            asset=channel.parameters.asset,
            period=channel.period,
            status=channel.status,
            is_frozen=channel.freeze is not None,
            is_distrusted=channel.is_distrusted,
            deposited_by_me=channel.deposited_by_me,
            deposited_by_peer=channel.deposited_by_peer,
            pending_deposits=pending_deposits,
            owed_by_me=channel.signed_by_me,
            owed_by_peer=channel.signed_by_peer,
            accepted_from_peer=channel.accepted_from_peer,
            spendable=max(0, spendable(channel, pending_deposits)),
        )
