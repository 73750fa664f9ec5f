"""Events that a host can subscribe to: what happened to its channels.

Subscribers are called after the books are saved, in a thread that does nothing else: neither a payment nor the defence
of a channel waits for them. Events come one after the other, in the order in which they were published. What a
subscriber raises is logged; while it hangs, all others wait, and when 1,000 events do, further ones are dropped with a
warning. No event carries a package or a key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from threading import Lock

from paypercall.announcer import Announcer

logger = logging.getLogger(__name__)


class EventKind(Enum):
    """What happened.

    A deposit is refused, too, when the agent has not taken it long after it was final; a channel is refilled when the
    deposit is decided, whether by itself, by a payment that needs it, or for the next period. A receipt is disputed
    when what a merchant writes of a payment is not what the books say; a refund is missing when one is due that did
    not come as it should, when the price is kept for an answer that most merchants would give it back for, or when a
    merchant claims a payment on the ledger that it says it has not taken, and does not give it back.
    """

    CHANNEL_CREATED = "channel_created"
    PAYMENT_RECEIVED = "payment_received"
    DEPOSIT_CONFIRMED = "deposit_confirmed"
    DEPOSIT_REFUSED = "deposit_refused"
    REFILLED = "refilled"
    CLOSING = "closing"
    CLOSED = "closed"
    FRAUD_PROVED = "fraud_proved"
    RECEIPT_DISPUTED = "receipt_disputed"
    REFUND_MISSING = "refund_missing"


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        kind: What happened.
        aa_address: The channel.
        period: The channel's period.
        asset: The channel's asset.
        amount: In bytes or units of the asset: the payment, the deposit; 0 where the event has none.
        unit: The unit on the ledger that the event is about, if any.
    """

    kind: EventKind
    aa_address: str
    period: int
    asset: str
    amount: int = 0
    unit: str | None = None


Subscriber = Callable[[Event], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Subscription:
    """One of possibly several of the same callable."""

    subscriber: Subscriber


class Events:
    """Hands each event to the subscribers of its kind. Safe to use from many threads, and after a fork."""

    def __init__(self) -> None:
        self._announcer = Announcer("paypercall-events")
        # Replaced as a whole: who publishes needs no lock, which another thread might hold for ever in a forked child.
        self._subscribers: dict[EventKind, tuple[_Subscription, ...]] = {}
        self._lock = Lock()

    def subscribe(self, kind: EventKind | str, subscriber: Subscriber) -> Callable[[], None]:
        """Calls `subscriber` for every event of a kind from now on.

        Args:
            kind: An `EventKind` or its value, e.g. `"payment_received"`.
            subscriber: Called with the `Event`.

        Returns:
            A function that ends the subscription.

        Raises:
            ValueError: For an unknown kind.
        """
        kind = EventKind(kind)
        subscription = _Subscription(subscriber)
        with self._lock:
            self._subscribers[kind] = (*self._subscribers.get(kind, ()), subscription)

        def unsubscribe() -> None:
            with self._lock:
                remaining = (other for other in self._subscribers[kind] if other is not subscription)
                self._subscribers[kind] = tuple(remaining)

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Has the subscribers of the event's kind called, one after the other; does not wait for them."""
        subscriptions = self._subscribers.get(event.kind)
        if subscriptions:
            self._announcer.announce(self._tell, event, subscriptions)

    def flush(self, timeout: float) -> None:
        """Waits until the events are delivered that were published before, at most `timeout` seconds.

        A subscriber that calls it is not waited for.
        """
        self._announcer.flush(timeout)

    def _tell(self, event: Event, subscriptions: tuple[_Subscription, ...]) -> None:
        for subscription in subscriptions:
            if subscription not in self._subscribers[event.kind]:
                continue
            try:
                subscription.subscriber(event)
            except Exception:
                logger.exception("a subscriber of %s failed", event.kind.value)
