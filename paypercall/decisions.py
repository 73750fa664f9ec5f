"""What ends a period: to close it, to answer the peer's close, to confirm one's own after the timeout. Pure.

Each decision freezes the period in the `Channel` that it returns, and says what the agent is to be told; the caller
saves both in one transaction. When a channel is due is decided elsewhere, and so is how the agent is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from paypercall.channel import Channel, Decision, Freeze, Status
from paypercall.errors import Refusal, RefusalCode
from paypercall.trigger_data import MAX_AGENT_AMOUNT


@dataclass(frozen=True, slots=True)
class Command:
    """What to tell the agent.

    Attributes:
        decision: Which command.
        period: The period that it ends.
        transferred_from_me: What I owe, as the agent calls it: all for a close, what comes on top for a confirmation.
        sent_by_peer: The peer's highest package, for a close or a fraud proof.
    """

    decision: Decision
    period: int
    transferred_from_me: int = 0
    sent_by_peer: str | None = field(default=None, repr=False)


def decide_close(channel: Channel) -> tuple[Channel, Command]:
    """Freezes the period to close it: what I owe is all I signed, and the credit that goes back.

    The same decision may be taken again, with the same result, when the ledger shows that the first one did nothing.

    Raises:
        Refusal: When there is nothing to close, or this node may have forgotten what it signed.
    """
    if channel.is_distrusted:
        raise Refusal(
            RefusalCode.CHANNEL_RESTORED,
            "this node may have forgotten what it signed in this period and cannot close it; the peer can",
        )
    if channel.status is not Status.OPEN:
        raise Refusal(
            RefusalCode.CHANNEL_CLOSING, f"the channel is {channel.status.value}: there is nothing to close"
        )
    command = Command(
        Decision.CLOSE,
        channel.period,
        transferred_from_me=channel.signed_by_me + channel.credit,
        sent_by_peer=channel.last_package,
    )
    return _frozen(channel, Decision.CLOSE), command


def decide_answer(channel: Channel, owed_by_peer: int) -> tuple[Channel, Command]:
    """Freezes the period to answer the peer's close, with a confirmation or a fraud proof.

    A payee gives back whatever the peer claims to owe beyond what was accepted: packages that got lost were never
    served. So it does with refunds that it has signed, and that the peer's close does not show: they got lost, too, and
    are good in no other period. A customer gives back only what it holds: what a payee says to owe on top is a lost
    refund, or returned credit.

    Args:
        channel: The channel, while the peer closes it.
        owed_by_peer: What the peer claims to owe, from the agent's answer or, at first sight, from the closing unit.
    """
    if owed_by_peer < channel.signed_by_peer:
        command = Command(Decision.FRAUD_PROOF, channel.period, sent_by_peer=channel.last_package)
        return _frozen(channel, Decision.FRAUD_PROOF), command
    returned = channel.credit
    if channel.is_payee:
        # The agent counts with 15 digits. Of a claim that it cannot count exactly, what is returned could be all of it.
        claim = min(owed_by_peer, MAX_AGENT_AMOUNT - channel.deposited_by_me)
        returned = max(0, claim - channel.accepted_from_peer) + _lost_refunds(channel)
        returned = min(returned, claim + channel.deposited_by_me)
    if channel.is_distrusted:
        # What was accepted since is forgotten: it must not be given back.
        returned = 0
    return _frozen(channel, Decision.CONFIRM), Command(
        Decision.CONFIRM, channel.period, transferred_from_me=returned
    )


def _lost_refunds(channel: Channel) -> int:
    close = channel.pending_close
    return 0 if close is None else max(0, channel.signed_by_me - close.owed_by_me)


def may_confirm_own_close(channel: Channel, certain_time: int) -> bool:
    """Whether my own close has waited for `timeout` seconds of the ledger's time without an answer."""
    close = channel.pending_close
    return (
        close is not None
        and close.initiated_by_me
        and certain_time >= close.timestamp + channel.parameters.timeout
    )


def decide_timeout(channel: Channel) -> tuple[Channel, Command]:
    """Freezes the period to confirm my own close after the timeout."""
    return _frozen(channel, Decision.CONFIRM), Command(Decision.CONFIRM, channel.period)


def _frozen(channel: Channel, decision: Decision) -> Channel:
    return replace(channel, freeze=Freeze(decision, channel.signed_by_me, channel.signed_by_peer))
