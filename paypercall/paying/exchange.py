"""What to do next in a call that may cost something: probe, pay, send the same package again, give up. No I/O.

`exchange` is a generator. It yields what it wants done and gets the outcome; the shells, one for each HTTP library, do
it and decide nothing. One payment buys one call. A second one is made only when the first has bought this call nothing
and never can: all of it was given back, its period has ended and the ledger tells that the merchant does not have it,
or another call had left it, and it is lost (`refusals.Outlook`). There is no third.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from time import monotonic
from typing import Any

from paypercall import wire
from paypercall.paying.budget import PaymentDeclined, check_max_price
from paypercall.paying.call import Call, Head, Lost
from paypercall.paying.offer import Offer, Quote, WrongOffer, read_offer
from paypercall.paying.outcomes import is_of_another_period, outlook_of, retry_after, was_taken
from paypercall.paying.payer import Payer
from paypercall.paying.purchase import Purchase
from paypercall.paying.refusals import REFUSALS, Outlook
from paypercall.paying.rejections import claimed, rejection
from paypercall.settled import Standing

SENDS = 3
"""How often a payment is sent when its outcome stays unknown, before the call fails."""

MOST_SENDS = 10
"""How often it is sent at most, whoever says: later."""

_LOOK_SECONDS = 0.25
_SHORTEST_PAUSE = 0.25
_LONGEST_PAUSE = 10.0
_LONGEST_LOOK = 1.0
_PROXY_ERRORS = (
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
    *range(520, 525),  # Cloudflare's words for the same
)

_SECONDS = re.compile(r"[0-9]{1,4}")


class _Fate(Enum):
    """What became of a payment that was sent."""

    KEPT = "kept"
    GIVEN_BACK = "given back"
    NOT_HAD = "its period ends, and the ledger tells that the merchant does not have it"
    PERIOD_OVER = "its period has ended, and the ledger does not tell whether the merchant has it"
    CLAIMED = "the merchant has claimed it on the ledger, and says that it has not taken it"
    LOST = "left by another call, and of no use any more, as when that has used it"


@dataclass(frozen=True, slots=True)
class Send:
    """Sends the request, with a payment or without; the outcome is a `Head` or `Lost`.

    Attributes:
        package: The value of the payment's header, or None.
    """

    package: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits."""

    seconds: float


def _keep(outcome: Any) -> None:
    """Undoes nothing."""


@dataclass(frozen=True, slots=True)
class Do:
    """Calls a function that blocks; the outcome is what it returns or raises.

    Attributes:
        function: The function.
        undo: What a shell whose call is cancelled meanwhile does with what the function returns after all.
    """

    function: Callable[[], Any]
    undo: Callable[[Any], None] = _keep


@dataclass(frozen=True, slots=True)
class Look:
    """Gets what is at an address, without anything of the request; the outcome is its body, or None.

    Attributes:
        url: The address.
    """

    url: str


Steps = Generator[Send | Pause | Do | Look, Any, Any]


def exchange(payer: Payer, call: Call) -> Steps:
    """Makes a call; gives the HTTP library's answer in the end.

    Raises:
        WrongBudget: When the call's own limit is none; nothing is sent then.
        PaymentDeclined: When it costs what this side does not pay.
        PaymentRejected: When the merchant is paid and asks again, or says that it has not taken what it has claimed.
        NotYetAccepted: When it will take the payment later, such as when the ledger has confirmed the deposit.
        PeriodOver: When the channel is settled just now, and not usable again within the payer's patience, or the call
            may not cost what was refused and the same again.
        RefundMissing: In strict mode.
        Exception: What the HTTP library raised, when there is no answer.
    """
    check_max_price(call.max_price)
    purchase = None
    if call.may_pay:
        served = yield from _collect(payer, call)
        if served is not None:
            return served.response
        purchase = yield from _begin(payer, call)
    if purchase is None:
        head = yield from _probe()
        purchase = yield from _accept(payer, call, head)
        if purchase is None:
            return head.response
    deadline = monotonic() + payer.patience
    for is_last in (False, True):
        head, fate = yield from _deliver(payer, purchase, deadline)
        if fate is _Fate.CLAIMED:
            raise claimed(purchase, head)
        if head.status != HTTPStatus.PAYMENT_REQUIRED and fate not in (_Fate.NOT_HAD, _Fate.PERIOD_OVER):
            return head.response
        again = None
        if not is_last and _may_pay_again(payer, purchase, head, fate):
            again = yield from _accept(payer, call, head)
        if again is None:
            break
        purchase = again
    raise rejection(purchase, head)


def _may_pay_again(payer: Payer, purchase: Purchase, head: Head, fate: _Fate) -> bool:
    """Whether another payment may be made in the same call."""
    if fate not in (_Fate.NOT_HAD, _Fate.PERIOD_OVER):
        return fate is not _Fate.KEPT
    offer = offer_in(head)
    if offer is None:
        return False
    return fate is _Fate.NOT_HAD or payer.allowance.may_pay_besides(purchase, offer)


def offer_in(head: Head) -> Offer | None:
    """The terms in an answer, or None if it is no 402 that can be understood."""
    if head.status != HTTPStatus.PAYMENT_REQUIRED:
        return None
    try:
        return read_offer(head.headers)
    except WrongOffer:
        return None


def _probe() -> Generator[Send, Head | Lost, Head]:
    outcome = yield Send()
    if isinstance(outcome, Lost):
        raise outcome.error
    return outcome


def _accept(payer: Payer, call: Call, head: Head) -> Generator[Do, Any, Purchase | None]:
    """Pays what an answer asks for, if it does and the call may; remembers the price."""
    offer = offer_in(head)
    if offer is None:
        return None
    payer.prices.learn_offer(call, offer)
    if not call.may_pay:
        payer.prices.show(call, offer.quote)
        return None
    purchase: Purchase | None = yield Do(lambda: payer.buy(call, offer.quote, offer), payer.places.release)
    return purchase


def _collect(payer: Payer, call: Call) -> Generator[Do | Send, Any, Head | None]:
    """Asks once for what is owed for an earlier call like this one; gives the answer if that is this one's."""
    purchase: Purchase | None = yield Do(lambda: payer.owed(call), payer.places.release)
    if purchase is None:
        return None
    is_cut_short = False
    try:
        outcome = yield from _send(purchase)
        if isinstance(outcome, Lost):
            raise outcome.error
        if outcome.headers.get(wire.PACKAGE) is not None:
            yield Do(lambda: payer.collect(purchase, outcome))
            return None
        is_of_payment = outcome.headers.get(wire.RECEIPT) is not None or outlook_of(outcome) is not None
        if is_of_payment or outcome.status == HTTPStatus.PAYMENT_REQUIRED:
            return None
        # It may cost nothing by now, and have done, or tried, what the program wants done once.
        return outcome
    except GeneratorExit:
        is_cut_short = True
        raise
    finally:
        yield from _let_go(payer, purchase, is_cut_short=is_cut_short)


def _begin(payer: Payer, call: Call) -> Generator[Pause | Do | Look, Any, Purchase | None]:
    """Goes on with the same call of a process that died, or pays at once if the price is known."""
    others = yield Do(lambda: payer.places.others_at(call))
    while others:
        # Whoever lives gives signs of it.
        yield Pause(_LOOK_SECONDS)
        now = yield Do(lambda: payer.places.others_at(call))
        others = {number: until for number, until in now.items() if others.get(number) == until}
    purchase: Purchase | None = yield Do(lambda: payer.resume(call), payer.places.release)
    if purchase is not None:
        return purchase
    quote = yield Do(lambda: payer.quote(call))
    if quote is None and call.is_large:
        quote = yield from _look_up(payer, call)
    if quote is None:
        return None
    try:
        purchase = yield Do(lambda: payer.buy(call, quote), payer.places.release)
    except PaymentDeclined:
        return None  # the price may be another by now
    return purchase


def _look_up(payer: Payer, call: Call) -> Generator[Do | Look, Any, Quote | None]:
    """Learns the price from the merchant's list, so that a large body is not sent to learn it."""
    url = payer.price_list_at(call)
    if url is None:
        return None
    payer.prices.learn_list(call, (yield Look(url)))
    quote: Quote | None = yield Do(lambda: payer.quote(call))
    return quote


def _deliver(payer: Payer, purchase: Purchase, deadline: float) -> Generator[Any, Any, tuple[Head, _Fate]]:
    """Sends a payment and, if one that another call had left is good for nothing any more, one of this call's own."""
    head, fate = yield from _deliver_one(payer, purchase, deadline)
    payer.require_no_forgery(purchase, head)
    if fate is _Fate.LOST and purchase.call.chain.may_make_new:
        renewed: Purchase = yield Do(lambda: payer.renew(purchase), payer.places.release)
        head, fate = yield from _deliver_one(payer, renewed, deadline)
        payer.require_no_forgery(renewed, head)
    return head, fate


def _deliver_one(
    payer: Payer, purchase: Purchase, deadline: float
) -> Generator[Any, Any, tuple[Head, _Fate]]:
    """Sends one payment until its outcome is known; gives the answer, and what became of the payment."""
    call = purchase.call
    chain = call.chain
    is_resumed = purchase.may_have_left and not purchase.is_second_hand
    is_cut_short = False
    try:
        sends, unknown = 0, 0
        while True:
            chain.leaves(call.request, call.resource, call.asker)
            outcome = yield from _send_for_refund(payer, purchase)
            if is_of_another_period(outcome):
                fate = yield from _wait_for_ledger(payer, purchase, deadline)
                if fate is not None:
                    return outcome, fate
            pause = _pause_before_next(outcome, sends)
            if pause is None:
                break
            sends += 1
            if retry_after(outcome) is None and not is_of_another_period(outcome):
                unknown += 1
            if unknown >= SENDS or sends >= MOST_SENDS or monotonic() + pause > deadline:
                break
            yield Pause(pause)
        if isinstance(outcome, Lost):
            raise outcome.error
        if was_taken(outcome):
            refund = yield Do(lambda: payer.settle(purchase, outcome))
            all_came_back = refund == purchase.row.amount
            chain.settles(all_came_back=all_came_back)
            return outcome, _Fate.GIVEN_BACK if all_came_back else _Fate.KEPT
        expected = outlook_of(outcome)
        if expected is None:
            if pause is None or outcome.status not in REFUSALS:
                payer.doubt(purchase, outcome.status, is_new=unknown == 0 and not is_resumed)
            return outcome, _Fate.KEPT
        fate = yield from _end_refused(payer, purchase, expected)
        if fate is None:
            payer.keep(purchase, expected)
            chain.makes_no_other()
            return outcome, _Fate.KEPT
        if fate is _Fate.CLAIMED:
            return outcome, fate
        # What was used may have been used by this very call, where one of its answers was lost.
        if purchase.is_second_hand and not unknown:
            return outcome, _Fate.LOST
        chain.has_paid()
        return outcome, _Fate.KEPT
    except GeneratorExit:
        is_cut_short = True
        raise
    finally:
        # What has no outcome is there for whoever makes the call again, or what follows from it.
        yield from _let_go(payer, purchase, is_cut_short=is_cut_short)


def _end_refused(payer: Payer, purchase: Purchase, expected: Outlook) -> Generator[Do, Any, _Fate | None]:
    """Ends a purchase whose payment was refused by name; gives what became of that, or None if it may be taken yet."""
    if expected is Outlook.IN_USE:
        return None
    if payer.is_lost(purchase, expected):
        yield Do(lambda: payer.abandon(purchase))
        return _Fate.LOST
    standing: Standing = yield Do(lambda: payer.end_by_ledger(purchase))
    return _fate_by_ledger(purchase, standing)


def _wait_for_ledger(
    payer: Payer, purchase: Purchase, deadline: float
) -> Generator[Do | Pause, Any, _Fate | None]:
    """Ends a purchase if the ledger tells what has become of its payment; gives that, or None.

    Where this side's books know that its period ends, nobody can take it any more: so it is not sent meanwhile.
    """
    pause = _SHORTEST_PAUSE
    while True:
        standing: Standing = yield Do(lambda: payer.end_by_ledger(purchase))
        if standing is not Standing.UNTOLD or monotonic() + pause > deadline:
            return _fate_by_ledger(purchase, standing)
        yield Pause(pause)
        pause = min(2 * pause, _LONGEST_LOOK)


def _fate_by_ledger(purchase: Purchase, standing: Standing) -> _Fate | None:
    if not standing.is_final:
        return None
    if standing is Standing.KEPT:
        purchase.call.chain.has_paid()
        return _Fate.CLAIMED
    if standing is Standing.OVER:
        return _Fate.KEPT
    return _Fate.PERIOD_OVER if standing is Standing.UNKNOWN else _Fate.NOT_HAD


def _let_go(payer: Payer, purchase: Purchase, *, is_cut_short: bool) -> Generator[Do, Any, None]:
    """Leaves a purchase whose outcome is unknown; one that is over stays so."""
    try:
        if not is_cut_short and purchase.is_held:
            yield Do(lambda: payer.places.release(purchase))
    finally:
        # For a call that was cancelled nothing is done any more; any other purchase is left by now.
        payer.places.release(purchase)


def _send(purchase: Purchase) -> Generator[Send, Head | Lost, Head | Lost]:
    before = purchase.may_have_left
    purchase.may_have_left = True
    outcome = yield Send(purchase.header)
    if isinstance(outcome, Lost):
        purchase.may_have_left = before or outcome.may_have_left
    return outcome


def _send_for_refund(payer: Payer, purchase: Purchase) -> Generator[Send | Do, Any, Head | Lost]:
    """Sends a payment, and takes what comes back where only that could tell that it was taken."""
    outcome = yield from _send(purchase)
    if isinstance(outcome, Lost) or was_taken(outcome) or outcome.headers.get(wire.PACKAGE) is None:
        return outcome
    weighed: Head = yield Do(lambda: payer.take_refund(purchase, outcome))
    return weighed


def _pause_before_next(outcome: Head | Lost, sends: int) -> float | None:
    """How long to wait before the same payment is sent again; None if it is not."""
    longer: float = min(_SHORTEST_PAUSE * 2.0**sends, _LONGEST_PAUSE)
    if isinstance(outcome, Lost):
        return longer
    if was_taken(outcome):
        return None
    text = retry_after(outcome)
    if text is not None:
        seconds = int(text) if _SECONDS.fullmatch(text) else 1
        return max(longer, min(seconds, _LONGEST_PAUSE))
    is_later = outcome.status in _PROXY_ERRORS or is_of_another_period(outcome)
    return longer if is_later else None
