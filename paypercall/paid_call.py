"""The life of one payment for one request: accepted, running, answered or refunded. Pure, like `channel.py`.

A payment buys one answer to one request. Whoever presents it again with the same request gets that answer again;
with another request it is refused. It never gives back more than it paid; where its method cannot give back, it
must be the price exactly, and stays good until it has bought an answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from paypercall.errors import PaypercallError, RefusalCode

SAME_REQUEST = 32
"""Digits of a request's digest by which it is the same request; the others are of what else its price may depend on."""

RUN_SECONDS = 15
"""How long a run is left alone after its last sign of life; then its worker counts as dead, and a retry runs anew."""

LONGEST_LEASE_SECONDS = RUN_SECONDS + 60
"""A run that is to be left alone for longer, whatever the clocks of its workers differ by, began before one was put
right."""


MAX_LOST_RUNS = 3
"""Workers that may die over one request: the payment is given back then, and not one more is risked."""


class PaidCallState(Enum):
    """Where a payment is on its way to an answer.

    `UNTIED` is one that was kept or taken for a request whose price nobody could tell when it came again: it is good
    for that request, as agreed, or for another.
    """

    ACCEPTED = "accepted"
    UNTIED = "untied"
    RUNNING = "running"
    ANSWERED = "answered"
    REFUNDED = "refunded"


class PaymentRefused(PaypercallError):
    """The payment was not accepted; nothing has changed. `code` says why: one of `RefusalCode`, or the method's own."""


class CallConflict(PaypercallError):
    """The payment cannot be used for this request, at least not now; nothing has changed."""


class PaymentUsed(CallConflict):
    """The payment was used for another request."""

    code = "payment_used"


class PaymentInProgress(CallConflict):
    """The same request is being answered at this moment; ask again with the same payment."""

    code = "payment_in_progress"


class WrongPaymentAsset(CallConflict):
    """The payment is in another asset than what is asked for."""

    code = "wrong_asset"


class PackagePublished(CallConflict):
    """The package is on the ledger, so that anybody can send it: it buys nothing any more, but its token does."""

    code = "package_published"


class PriceUnknown(CallConflict):
    """Nobody can tell what the request costs, and the payment has bought nothing yet."""

    code = "price_unknown"


class PaymentPending(CallConflict):
    """The payment is on its way, but not final; ask again with the same payment."""

    code = "payment_pending"


class RunLost(CallConflict):
    """Another worker has taken over, since this one gave no sign of life for too long."""

    code = "run_lost"


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A payment and the request that it was used for.

    Attributes:
        method: The payment method's name.
        payment: What identifies the payment within its method; with it a second use is recognised.
        amount: What was paid, in bytes or units of the asset.
        asset: The asset.
        aa_address: The channel, where the method has one.
        state: Where it is.
        request: The digest of the request that it was used for, or None if it was not used yet.
        run: Who is running it, or ran it last.
        runs_until: Seconds; until when the run is left alone.
        lost_runs: How many runs ended without a word.
        refund: What goes back to the payer, never more than `amount`.
        token_hash: Of the one-time token that stands for the payment, or None.
        receipt: What the payer is told of the payment, as JSON.
        is_retried: Whether it was kept to be collected again: another attempt than the first may have done so.
    """

    method: str
    payment: str
    amount: int
    asset: str
    aa_address: str | None = None
    state: PaidCallState = PaidCallState.ACCEPTED
    request: str | None = None
    run: str | None = None
    runs_until: int = 0
    lost_runs: int = 0
    refund: int = 0
    token_hash: str | None = field(default=None, repr=False)
    receipt: str = field(default="{}", repr=False)
    is_retried: bool = False

    @property
    def id(self) -> str:
        """Tells it from all other calls; the payer knows it, too."""
        return f"{self.method}-{self.payment}"

    @property
    def is_tied(self) -> bool:
        """Whether it is good for its request only."""
        return self.request is not None and self.state is not PaidCallState.UNTIED

    @property
    def is_over(self) -> bool:
        """Whether it is answered or refunded: for good, but for an answer that breaks off; see `break_off`."""
        return self.state in (PaidCallState.ANSWERED, PaidCallState.REFUNDED)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a worker to answer a request.

    Attributes:
        request: The digest of method, path, query and body, of `SAME_REQUEST` digits; and, where nothing can be given
            back, after it that of headers and root path.
        run: Tells this attempt from all others.
        price: What the request costs, in bytes or units of the asset; None where nobody can tell: then nothing is run
            and nothing taken, and only what the payment bought before is answered again.
        asset: What it costs it in.
        now: Seconds.
    """

    request: str
    run: str
    price: int | None
    asset: str
    now: int


def hold(call: PaidCall, attempt: Attempt, *, can_refund: bool) -> PaidCall:
    """Keeps a payment for a request before it is collected: from then on its price is agreed, and its asset.

    One that was kept before is marked: what one attempt is told may not be all, since another may be on its way.

    Raises:
        PaymentRefused: As `claim`.
        CallConflict: As `claim`.
    """
    _require_usable(call, attempt)
    if call.is_over:
        return call
    _require_agreed_price(call, attempt, can_refund=can_refund)
    is_retried = call.is_retried or call.request is not None
    return replace(call, request=attempt.request, state=PaidCallState.ACCEPTED, is_retried=is_retried)


def claim(call: PaidCall, attempt: Attempt, *, can_refund: bool = True) -> PaidCall:
    """Begins to answer a request with a payment; one that pays too little is refunded as a whole instead.

    So is one whose workers have died too often: its request may be what kills them. So is one that was left behind by
    its worker, if nobody can tell the price at which to run it anew, or that is in another asset by now; where nothing
    can be given back, it is untied in the first case, and was agreed in the second. What was only kept for the request
    is untied, too: perhaps there is nothing to give back.

    Args:
        call: The call.
        attempt: Who wants to answer what.
        can_refund: Whether its method can give money back. If not, the payment must be the price exactly, as it was
            when the payment was first kept or taken for this request, whatever asset that price is in now.

    Returns:
        The call, running for this attempt, or over: then its answer is to be given again.

    Raises:
        PaymentRefused: With `underpaid` or `overpaid`, when nothing can be given back.
        PaymentUsed: When it was used for another request.
        PaymentInProgress: When another worker is at it.
        WrongPaymentAsset: When it is in another asset.
        PriceUnknown: When nobody can tell the price, and it was not taken for this request before.
    """
    _require_usable(call, attempt)
    if call.is_over:
        return call
    if attempt.price is None:
        return _end_what_is_left(call, attempt.run, can_refund=can_refund)
    if can_refund and call.is_tied and call.asset != attempt.asset:
        return _refund_all(call, attempt)
    _require_agreed_price(call, attempt, can_refund=can_refund)
    lost_runs = call.lost_runs + (call.state is PaidCallState.RUNNING)
    if can_refund and (call.amount < attempt.price or lost_runs >= MAX_LOST_RUNS):
        return _refund_all(replace(call, lost_runs=lost_runs), attempt)
    return replace(
        call,
        request=attempt.request,
        run=attempt.run,
        lost_runs=lost_runs,
        state=PaidCallState.RUNNING,
        runs_until=attempt.now + RUN_SECONDS,
    )


def claim_published(call: PaidCall, attempt: Attempt) -> PaidCall:
    """Ends a call whose package anybody can send by now, since it is on the ledger: nothing is run for it.

    What a worker has left behind goes back to the payer's channel, which is its payer's whoever asks. What a token
    stands for is left to whoever has that: no other can spend it, nor take it away.

    Returns:
        The call, which is over.

    Raises:
        PaymentUsed: When it was used for another request.
        PaymentInProgress: When another worker is at it.
        PackagePublished: When it was not used yet, or has a token.
    """
    _require_usable(call, attempt)
    if call.token_hash is not None or not call.is_tied:
        raise package_published()
    return call if call.is_over else _refund_all(call, attempt)


def package_published() -> PackagePublished:
    """What whoever sends such a package is told."""
    return PackagePublished(
        "this package closes its period, and is on the ledger where anybody can read it: use the token that was given"
        " for it before"
    )


def _refund_all(call: PaidCall, attempt: Attempt) -> PaidCall:
    return replace(
        call, request=attempt.request, run=attempt.run, state=PaidCallState.REFUNDED, refund=call.amount
    )


def _require_usable(call: PaidCall, attempt: Attempt) -> None:
    is_same = call.request is not None and call.request[:SAME_REQUEST] == attempt.request[:SAME_REQUEST]
    if call.is_tied and not is_same:
        raise PaymentUsed("this payment was used for another request; pay for each request")
    if call.state is PaidCallState.RUNNING and 0 < call.runs_until - attempt.now <= LONGEST_LEASE_SECONDS:
        raise PaymentInProgress(
            "this request is being answered; ask again in a moment, with the same payment"
        )


def _end_what_is_left(call: PaidCall, run: str, *, can_refund: bool) -> PaidCall:
    """Ends what was begun for a request and cannot go on."""
    if call.request is None:
        raise PriceUnknown("nobody can tell what this request costs; nothing was taken for it")
    if can_refund and call.run is not None:
        return give_back(replace(call, state=PaidCallState.RUNNING, run=run), run)
    return replace(call, state=PaidCallState.UNTIED, runs_until=0)


def _require_agreed_price(call: PaidCall, attempt: Attempt, *, can_refund: bool) -> None:
    if attempt.price is None:
        raise PriceUnknown("nobody can tell what this request costs")
    if call.request == attempt.request:
        return
    is_in_asset = call.asset == attempt.asset
    if is_in_asset and (can_refund or call.amount == attempt.price):
        return
    if call.is_tied:
        # A price may depend on headers: what was agreed for a cheap request must not buy a dear one.
        raise PaymentUsed(
            "this payment is kept for the same request with other headers, which costs something else"
        )
    if not is_in_asset:
        raise WrongPaymentAsset(f"payment must be in {attempt.asset}, this one is in {call.asset}")
    code = RefusalCode.UNDERPAID.value if call.amount < attempt.price else "overpaid"
    raise PaymentRefused(
        f"the payment is {call.amount}, the price {attempt.price}: pay exactly that, since this way of paying"
        " gives nothing back",
        code=code,
    )


def prolong(call: PaidCall, run: str, now: int) -> PaidCall:
    """Gives a sign of life.

    Raises:
        RunLost: When another worker has taken over.
    """
    _require_run(call, run)
    return replace(call, runs_until=now + RUN_SECONDS)


def answer(call: PaidCall, run: str, refund: int) -> PaidCall:
    """Ends a run with an answer that is paid for, and gives a part back: at most what was paid.

    Raises:
        RunLost: When another worker has taken over.
    """
    _require_run(call, run)
    return replace(call, state=PaidCallState.ANSWERED, refund=max(0, min(refund, call.amount)))


def give_back(call: PaidCall, run: str) -> PaidCall:
    """Ends a run with an answer that is not paid for, and gives everything back.

    Raises:
        RunLost: When another worker has taken over.
    """
    _require_run(call, run)
    return replace(call, state=PaidCallState.REFUNDED, refund=call.amount)


def free(call: PaidCall, run: str) -> PaidCall:
    """Ends a run with an answer that is not paid for, where nothing can be given back: the payment buys another one.

    Raises:
        RunLost: When another worker has taken over.
    """
    _require_run(call, run)
    return replace(call, state=PaidCallState.ACCEPTED, request=None, runs_until=0)


def release(call: PaidCall, run: str) -> PaidCall:
    """Ends a run without an answer, such as one whose client has gone: the next attempt runs at once.

    Raises:
        RunLost: When another worker has taken over.
    """
    _require_run(call, run)
    return replace(call, state=PaidCallState.ACCEPTED, runs_until=0)


def break_off(call: PaidCall, run: str, *, can_refund: bool) -> PaidCall:
    """Takes back that a call was answered, since its view failed in the middle of an answer that had begun.

    It ends as any other call whose view fails: all is given back, what went back with the answer's beginning included;
    or, where nothing can be given back, the payment buys another answer.

    Raises:
        RunLost: When it is not this run that has answered it.
    """
    if call.state is not PaidCallState.ANSWERED:
        raise RunLost("this request was not answered")
    running = replace(call, state=PaidCallState.RUNNING)
    return give_back(running, run) if can_refund else free(running, run)


def _require_run(call: PaidCall, run: str) -> None:
    if call.state is not PaidCallState.RUNNING or call.run != run:
        raise RunLost("another worker has taken over this request")
