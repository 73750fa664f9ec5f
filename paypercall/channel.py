"""The channel model: the state of one channel as one of its parties knows it, and the money rules. Pure.

Every rule takes a `Channel` and facts and returns the next `Channel`, or raises `Refusal` and so changes nothing. There
is no clock, no database and no network in here: the time is an argument, and the caller loads, locks and saves. What
ends a period is decided in `decisions.py`.

All amounts are integers, in bytes for base and in the asset's units otherwise, and count within the current period.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from paypercall.backing import NO_BACKING, Backing, Limits
from paypercall.contract import (
    BOUNCE_FEE,
    AgentEvent,
    ChannelParameters,
    Closed,
    Closing,
    DepositRefused,
    Opened,
)
from paypercall.costs import EARLY_SWEEP_FACTOR
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.package import PaymentPackage
from paypercall.trigger_data import MAX_AGENT_AMOUNT

NEVER = 2**62
"""As `signs_from_period`: no period is known to be safe yet."""

UNTOLD = 2**62
"""As `known_event_id`: nobody could tell which answer of the agent is the last."""


class Status(Enum):
    """Where the agent is, by its last answer that is proven stable."""

    CLOSED = "closed"
    OPEN = "open"
    CLOSING = "closing"


class Decision(Enum):
    """What I have decided to send to the agent; from then on the period is frozen."""

    CLOSE = "close"
    CONFIRM = "confirm"
    FRAUD_PROOF = "fraud_proof"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A decision, with the highest messages that it used. Only the ledger lifts it, by ending the period."""

    decision: Decision
    signed_by_me: int
    signed_by_peer: int


@dataclass(frozen=True, slots=True)
class PendingClose:
    """A close that the agent has taken, waiting for its confirmation."""

    initiated_by_me: bool
    owed_by_me: int
    owed_by_peer: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel, as one of its two parties knows it.

    Attributes:
        parameters: What identifies it.
        my_address: Mine; the peer is the other one of the two.
        period: The open one or, when closed, the one that the next deposit opens; from 1.
        status: Where the agent is.
        last_event_id: The last answer of the agent that is in this state; they come without a gap.
        known_event_id: The highest answer heard of; above `last_event_id` while one is missing, or may be (`UNTOLD`).
        deposited_by_me: Confirmed by the agent.
        deposited_by_peer: Confirmed by the agent.
        signed_by_me: My amount_spent: the highest total that I ever signed in this period.
        signed_by_peer: The highest amount_spent that the peer signed.
        accepted_from_peer: The sum of the payment amounts that I accepted.
        last_package: The peer's package with `signed_by_peer`, as JSON: what a close or a fraud proof shows.
        is_known_by_peer: Whether the peer is known to have the channel, so that packages need not announce it.
        signs_from_period: Nothing is signed or closed in an earlier period, of which this node may have forgotten some.
        written_off: The part of the exposure that was booked as a loss.
        freeze: Set when I decided to close or to answer a close.
        pending_close: Set while the agent is closing.
    """

    parameters: ChannelParameters
    my_address: str
    period: int = 1
    status: Status = Status.CLOSED
    last_event_id: int = 0
    known_event_id: int = 0
    deposited_by_me: int = 0
    deposited_by_peer: int = 0
    signed_by_me: int = 0
    signed_by_peer: int = 0
    accepted_from_peer: int = 0
    last_package: str | None = field(default=None, repr=False)
    is_known_by_peer: bool = False
    signs_from_period: int = 1
    written_off: int = 0
    freeze: Freeze | None = None
    pending_close: PendingClose | None = None

    @property
    def aa_address(self) -> str:
        """The agent's address, which identifies the channel."""
        return self.parameters.aa_address

    @property
    def is_payee(self) -> bool:
        """Whether I am the payee, whom the customer's deposits are for."""
        return self.my_address == self.parameters.address_a

    @property
    def peer_address(self) -> str:
        """The other side."""
        return self.parameters.address_b if self.is_payee else self.parameters.address_a

    @property
    def credit(self) -> int:
        """What the peer signed and no accepted payment has used."""
        return self.signed_by_peer - self.accepted_from_peer

    @property
    def exposure(self) -> int:
        """What the peer signed beyond its confirmed deposits and what I owe it: lost if its deposits never confirm."""
        return max(0, self.signed_by_peer - self.deposited_by_peer - self.signed_by_me)

    @property
    def counted_exposure(self) -> int:
        """The part of the exposure that counts toward the asset's limit; the rest is booked as a loss already."""
        return max(0, self.exposure - self.written_off)

    @property
    def unsettled(self) -> int:
        """What a close would bring me beyond my own deposits; the peer's credit is not served, and goes back."""
        return max(0, self.accepted_from_peer - self.signed_by_me)

    @property
    def lacks_answer(self) -> bool:
        """Whether an answer of the agent is missing for sure."""
        return self.last_event_id < self.known_event_id < UNTOLD

    @property
    def is_distrusted(self) -> bool:
        """Whether this node may have forgotten what it signed in this period, and so only confirms the peer's close."""
        return self.period < self.signs_from_period


# --- packages --------------------------------------------------------------------------------------------------------


def accept(channel: Channel, package: PaymentPackage, backing: Backing, limits: Limits) -> Channel:
    """Accepts a payment of the peer, or refuses it.

    That the same package, or another with the same amount_spent, was not accepted before is the caller's to look up.

    Args:
        channel: The channel that the package names.
        package: Of the right shape, and signed by its `signer`.
        backing: The peer's unconfirmed deposits.
        limits: The asset's.

    Returns:
        The channel with the payment in it. Its `exposure` may have grown, which the caller holds against the asset's
        limit over all channels.

    Raises:
        Refusal: With the code that says why.
    """
    _require_matching_package(channel, package)
    _require_usable(channel, backing)
    if package.period != channel.period:
        raise Refusal(
            RefusalCode.WRONG_PERIOD,
            f"the package is for period {package.period}, the channel is in period {channel.period}",
        )
    is_highest = package.amount_spent > channel.signed_by_peer
    after = replace(
        channel,
        signed_by_peer=max(channel.signed_by_peer, package.amount_spent),
        accepted_from_peer=channel.accepted_from_peer + package.payment_amount,
        last_package=package.text if is_highest else channel.last_package,
        is_known_by_peer=True,
    )
    if after.credit < 0:
        raise Refusal(
            RefusalCode.NO_CREDIT,
            f"payment_amount {package.payment_amount} is above what the peer signed and has not used: {channel.credit}"
            f" before this package, {after.signed_by_peer - channel.accepted_from_peer} with it",
        )
    _require_covered(after, backing, limits)
    _require_economic(after, backing, limits)
    if limits.max_unsettled_by_channel is not None and after.unsettled > limits.max_unsettled_by_channel:
        raise Refusal(
            RefusalCode.ABOVE_UNSETTLED_LIMITS,
            f"unsettled payments in this channel would exceed {limits.max_unsettled_by_channel}: it is swept now if it"
            f" owes {EARLY_SWEEP_FACTOR * limits.cost_of_sweep} already; else pay less at a time, or close it",
        )
    return after


def _require_matching_package(channel: Channel, package: PaymentPackage) -> None:
    if package.signer != channel.peer_address:
        raise Refusal(RefusalCode.WRONG_SIGNER, "the package is not signed by the channel's peer")
    announced = package.announced
    if announced is not None and announced.parameters(channel.parameters.address_a) != channel.parameters:
        raise Refusal(RefusalCode.WRONG_PARAMETERS, "channel_parameters are not those of the channel")


def _require_usable(channel: Channel, backing: Backing) -> None:
    if channel.known_event_id > channel.last_event_id:
        raise Refusal(
            RefusalCode.EVENTS_MISSING, "an answer of the agent is missing; it is being fetched, try again"
        )
    if channel.freeze or channel.status is Status.CLOSING or backing.is_closing:
        raise Refusal(
            RefusalCode.CHANNEL_CLOSING, "the channel is closing; it can be used again in its next period"
        )
    if channel.is_distrusted:
        raise Refusal(
            RefusalCode.CHANNEL_RESTORED,
            "this node may have forgotten what it signed in this period; close the channel to go on in the next one",
        )


def _require_covered(after: Channel, backing: Backing, limits: Limits) -> None:
    if not after.exposure:
        return
    if backing.is_double_spent:
        raise Refusal(
            RefusalCode.DEPOSIT_DOUBLE_SPENT,
            "a deposit of the peer is double-spent; only confirmed ones count",
        )
    if after.exposure > backing.amount:
        if backing.is_too_young:
            raise Refusal(
                RefusalCode.DEPOSIT_TOO_YOUNG,
                f"the deposit must be known for {limits.minimum_time_in_seconds} seconds before it counts; try again",
            )
        covered = after.deposited_by_peer + after.signed_by_me + backing.amount
        raise Refusal(
            RefusalCode.ABOVE_DEPOSIT,
            f"amount_spent {after.signed_by_peer} is above the {covered} that the deposits cover",
        )
    if after.exposure > limits.max_unconfirmed_by_channel:
        raise Refusal(
            RefusalCode.ABOVE_UNCONFIRMED_LIMITS,
            f"payments backed by unconfirmed deposits are limited to {limits.max_unconfirmed_by_channel} in a channel;"
            " try again when the deposit is confirmed",
        )


def _require_economic(after: Channel, backing: Backing, limits: Limits) -> None:
    """Refuses a channel that can never bring more than sweeping it costs.

    Single payments are meant to be tiny, so they are not looked at, but all that the peer can ever owe on balance.
    """
    most = after.deposited_by_peer + backing.amount
    if after.is_payee and most <= limits.cost_of_sweep:
        raise Refusal(
            RefusalCode.UNECONOMIC,
            f"the channel is too small: settling may cost as much as {limits.cost_of_sweep}, the deposits are {most};"
            " deposit more",
        )


def spendable(channel: Channel, pending_deposits: int) -> int:
    """What I may still sign: my deposits, those on their way included, and what the peer signed, less what I signed."""
    return channel.deposited_by_me + pending_deposits + channel.signed_by_peer - channel.signed_by_me


def sign(channel: Channel, amount: int, pending_deposits: int, backing: Backing = NO_BACKING) -> Channel:
    """Adds `amount` to what I owe; the caller saves the result before the package leaves the process.

    Args:
        channel: The channel.
        amount: What the package pays, a positive integer.
        pending_deposits: My deposits that the agent has not answered yet.
        backing: Tells whether a close is on its way.

    Raises:
        Refusal: When the channel cannot be used, or the amount is not there.
    """
    if type(amount) is not int or amount <= 0:
        raise Refusal(RefusalCode.WRONG_AMOUNT, "the amount must be a positive integer")
    _require_usable(channel, backing)
    if amount > spendable(channel, pending_deposits) or channel.signed_by_me + amount > MAX_AGENT_AMOUNT:
        raise Refusal(
            RefusalCode.ABOVE_DEPOSIT,
            f"cannot pay {amount}: the channel has {max(0, spendable(channel, pending_deposits))} left; deposit more",
        )
    return replace(channel, signed_by_me=channel.signed_by_me + amount)


# --- the agent's answers ---------------------------------------------------------------------------------------------


def apply_event(channel: Channel, event: AgentEvent) -> Channel:
    """Brings the channel to the state that an answer of the agent tells.

    An older event changes nothing. One that comes before its predecessor is only remembered as missing: the channel
    accepts and signs nothing until the gap is filled.
    """
    if event.event_id <= channel.last_event_id:
        return channel
    known_event_id = max(channel.known_event_id, event.event_id)
    if event.event_id > channel.last_event_id + 1:
        # That one is missing for sure says more than that one may be.
        is_doubted = channel.known_event_id == UNTOLD
        return replace(channel, known_event_id=event.event_id if is_doubted else known_event_id)
    channel = replace(channel, last_event_id=event.event_id, known_event_id=known_event_id)
    if isinstance(event, Opened):
        mine, peers = event.deposited_by_a, event.deposited_by_b
        if not channel.is_payee:
            mine, peers = peers, mine
        opened = replace(
            channel, status=Status.OPEN, period=event.period, deposited_by_me=mine, deposited_by_peer=peers
        )
        # What a deposit has made good is lost no more: it must not cover a later exposure.
        return replace(opened, written_off=min(opened.written_off, opened.exposure))
    if isinstance(event, Closing):
        mine, peers = event.owed_by_a, event.owed_by_b
        if not channel.is_payee:
            mine, peers = peers, mine
        pending_close = PendingClose(event.initiated_by == channel.my_address, mine, peers, event.timestamp)
        return replace(channel, status=Status.CLOSING, pending_close=pending_close)
    if isinstance(event, Closed):
        return Channel(
            parameters=channel.parameters,
            my_address=channel.my_address,
            period=event.period + 1,
            last_event_id=channel.last_event_id,
            known_event_id=channel.known_event_id,
            is_known_by_peer=channel.is_known_by_peer,
            signs_from_period=channel.signs_from_period,
        )
    assert isinstance(event, DepositRefused)
    return channel


def doubt_answers(channel: Channel) -> Channel:
    """Stops accepting and signing, because an answer of the agent after the last one may have been missed."""
    return replace(channel, known_event_id=UNTOLD) if not channel.lacks_answer else channel


def trust_answers(channel: Channel) -> Channel:
    """Ends such a doubt, after all that the agent has answered was read; an answer that is missing stays so."""
    is_doubted = channel.known_event_id == UNTOLD
    return replace(channel, known_event_id=channel.last_event_id) if is_doubted else channel


def distrust(channel: Channel) -> Channel:
    """Puts the channel out of use until the ledger has told its current period: this memory is not the newest."""
    return replace(channel, signs_from_period=NEVER)


def distrust_current_period(channel: Channel) -> Channel:
    """Puts the current period out of use, and no later one: this node may have forgotten what it signed in it."""
    if channel.signs_from_period == NEVER:
        return replace(channel, signs_from_period=channel.period + 1)
    return replace(channel, signs_from_period=max(channel.signs_from_period, channel.period + 1))


def write_off(channel: Channel, backing: Backing) -> tuple[Channel, int]:
    """Books exposure as lost, once a deposit of the peer has turned out to be worthless.

    Args:
        channel: The channel.
        backing: The peer's unconfirmed deposits that are left, and still back the exposure.

    Returns:
        The channel, and the loss, which goes on counting toward the asset's limit for a while.
    """
    loss = max(0, channel.counted_exposure - backing.amount)
    return replace(channel, written_off=channel.written_off + loss), loss


# --- deposits --------------------------------------------------------------------------------------------------------


def check_deposit(asset: str, amount: int) -> None:
    """Checks that an amount can be a deposit: for base it must be above the agent's bounce fee.

    Raises:
        Refusal: With `wrong_amount`.
    """
    least = BOUNCE_FEE + 1 if asset == BASE else 1
    if type(amount) is not int or not least <= amount <= MAX_AGENT_AMOUNT:
        raise Refusal(
            RefusalCode.WRONG_AMOUNT, f"a deposit must be an integer from {least} to {MAX_AGENT_AMOUNT}"
        )


def refill_due(channel: Channel, pending_deposits: int, threshold: int) -> bool:
    """Whether what is left to spend has fallen below the threshold, deposits on their way counted."""
    if channel.freeze or channel.status is Status.CLOSING or channel.is_distrusted:
        return False
    return spendable(channel, pending_deposits) < threshold
