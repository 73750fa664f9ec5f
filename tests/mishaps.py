"""What happens on a bad line between a party and its hub: frames get lost, cut, garbled, repeated and overtaken."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.hub_proxy import Arrival, Frame, HangUp, Late

KINDS = ("lose", "cut", "garble", "repeat", "repeat", "delay", "delay", "delay", "delay")
FREQUENCY = 0.3
DELAY_SECONDS = 0.05


class Mishaps:
    """A fault of a `HubProxy` that leaves most frames alone, and all of them once there was enough.

    What a real connection cannot lose without breaking is followed by its end.

    Args:
        seed: Decides what happens.
        count: How many frames something happens to.

    Attributes:
        happened: What happened so far.
    """

    def __init__(self, *, seed: int, count: int) -> None:
        self.happened: list[str] = []
        self._random = random.Random(seed)
        self._count = count

    def __call__(self, frame: Frame) -> Sequence[Arrival] | None:
        """Says what arrives in place of a frame."""
        if len(self.happened) >= self._count or self._random.random() > FREQUENCY:
            return None
        kind = self._random.choice(KINDS)
        self.happened.append(kind)
        text, place = frame.text, self._random.randrange(len(frame.text))
        garbled = text[:place] + self._random.choice('x0"]A') + text[place + 1 :]
        arrivals: dict[str, Sequence[Arrival]] = {
            "lose": [HangUp()],
            "cut": [text[: len(text) // 2], HangUp()],
            "garble": [garbled, HangUp()],
            "repeat": [text, text],
            "delay": [Late(text, DELAY_SECONDS)],
        }
        return arrivals[kind]
