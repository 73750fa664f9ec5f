"""Several hubs of one network, of which one is asked at a time: which one that is, and when to go on to the next.

It knows only whether a hub is there and what others say of it; it must not judge answers (`light` does) or
send anything by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from paypercall.obyte.hub import Hub

PATIENCE_SECONDS = 5.0  # without a connection, before the next hub is tried

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Session:
    """Which connection to which hub is in use; in a new one the hub does not know what we watch.

    Attributes:
        hub: The hub's address.
        connections: How many connections to it there have been.
        switches: How often one hub was left for another: after two switches it may be the same hub again.
    """

    hub: str
    connections: int
    switches: int

    def is_of_same_hub(self, other: Session) -> bool:
        """Whether no other hub was in use between the two."""
        return (self.hub, self.switches) == (other.hub, other.switches)


class Hubs:
    """A list of hubs, the preferred one first; safe to use from many threads.

    Args:
        hubs: At least one.
    """

    def __init__(self, hubs: Sequence[Hub]) -> None:
        self._hubs = tuple(hubs)
        self._current = self._hubs[0]
        self._current_since = monotonic()
        self._switches = 0
        self._other = self._hubs[0]
        self._rests_until: dict[Hub, float] = {}
        self._failures: dict[Hub, object] = {}

    @property
    def session(self) -> Session:
        """Which connection is in use."""
        switches = self._switches  # before the hub: a switch in between is noticed at the latest next time
        hub = self._current
        return Session(hub.url, hub.connections, switches)

    @property
    def current(self) -> Hub:
        """The hub to ask now."""
        return self._current

    @property
    def others(self) -> tuple[Hub, ...]:
        """The other hubs, beginning with the one after the current."""
        return self._after(self._current)

    def _after(self, hub: Hub) -> tuple[Hub, ...]:
        place = self._hubs.index(hub)
        return self._hubs[place + 1 :] + self._hubs[:place]

    def find_other(self) -> Hub | None:
        """Returns the other hub whose turn it is, or the first after it that is connected and need not rest."""
        now = monotonic()
        candidates = (self._other, *self._after(self._other))
        return next(
            (
                hub
                for hub in candidates
                if hub.is_connected and hub is not self._current and self._rests_until.get(hub, now) <= now
            ),
            None,
        )

    def go_on_to_next_other(self) -> None:
        """Ends the turn of the other hub: what two leave out a third may show."""
        self._other = (*self._after(self.find_other() or self._other), self._other)[0]

    def let_rest(self, hub: Hub, seconds: float) -> None:
        """Leaves a hub alone for a while, when another hub than the one in use is to be asked."""
        self._rests_until[hub] = monotonic() + seconds

    def find_connection(self) -> bool:
        """Tells whether the current hub is connected; goes on to the next one if it has not been for a while."""
        # All of them: another one is asked for what this one leaves out, and must be there by then.
        for hub in self._hubs:
            hub.start()
        hub = self._current
        if hub.is_connected:
            return True
        if monotonic() - max(hub.unconnected_since, self._current_since) > PATIENCE_SECONDS:
            self.leave(hub, "there is no connection")
        return False

    def note_use(self) -> None:
        """Notes that a hub was of use."""
        self._failures.clear()

    def leave(self, hub: Hub, reason: object) -> None:
        """Goes on to the next hub, unless that has happened already; with a single hub it stays.

        One that is connected is preferred. When each has failed since any was of use, the log says so.
        """
        if hub is not self._current or len(self._hubs) == 1:
            return
        self._failures[hub] = reason
        following = next((other for other in self.others if other.is_connected), self.others[0])
        _logger.warning("going on from %s to %s: %s", hub.url, following.url, reason)
        # All who leave the same hub come to the same next one.
        self._current, self._current_since = following, monotonic()
        self._switches += 1
        if len(self._failures) == len(self._hubs):
            self._tell_failures()

    def _tell_failures(self) -> None:
        failures, self._failures = self._failures, {}
        reasons = "; ".join(f"{hub.url}: {reason}" for hub, reason in failures.items())
        _logger.error("none of the %d hubs is of use: %s", len(self._hubs), reasons)

    def subscribe(self, subject: str, callback: Callable[[Any], None]) -> list[Callable[[], None]]:
        """Calls back with whatever any hub says under that subject.

        Returns:
            The functions that end the subscriptions.
        """
        return [hub.subscribe(subject, callback) for hub in self._hubs]

    def on_connect(self, callback: Callable[[], None]) -> list[Callable[[], None]]:
        """Calls back after each new connection to any hub.

        Returns:
            The functions that end the subscriptions.
        """
        return [hub.on_connect(callback) for hub in self._hubs]

    def close(self) -> None:
        """Closes the connections for good."""
        for hub in self._hubs:
            hub.close()
