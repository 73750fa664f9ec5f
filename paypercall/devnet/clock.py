"""The network's clock: the machine's, moved ahead at will, so that tests need not wait for time-outs."""

from __future__ import annotations

import time

LONGEST_LEAP = 10 * 365 * 86_400  # seconds


class Clock:
    """Tells the network's time.

    Args:
        ahead: Seconds by which it is ahead of the machine's clock.
    """

    def __init__(self, ahead: int = 0) -> None:
        self._ahead = ahead

    @property
    def ahead(self) -> int:
        """Seconds by which the network is ahead of the machine."""
        return self._ahead

    def now(self) -> int:
        """Seconds since 1970."""
        return int(time.time()) + self._ahead

    def milliseconds(self) -> int:
        """Milliseconds since 1970."""
        return int(1000 * (time.time() + self._ahead))

    def advance(self, seconds: int) -> None:
        """Moves the clock ahead.

        Raises:
            ValueError: The time would go back or very far, or is no integer.
        """
        if type(seconds) is not int or not 0 <= seconds <= LONGEST_LEAP:
            raise ValueError("the clock goes ahead by whole seconds, at most by ten years")
        self._ahead += seconds
