"""Tells the owner when hubs name other order providers than ours: each hub when it comes in use, and then once a day.

That is all a light node can do about an election (`obyte.order_providers`); it must not change the list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from paypercall.obyte.light import LightClient
from paypercall.obyte.order_providers import find_other_lists

logger = logging.getLogger(__name__)

DAY_SECONDS = 24 * 3600


class Elections:
    """Compares lists of order providers.

    Args:
        light: Asks the hub in use.
        clock: Seconds.
    """

    def __init__(self, light: LightClient, clock: Callable[[], int]) -> None:
        self._light = light
        self._clock = clock
        self._told: dict[str, frozenset[str]] = {}
        self._looked_at = 0

    def look(self, hub: str, *, is_new: bool) -> None:
        """Asks for the list that a hub knows, if it is time, and warns if a hub has told another one than ours.

        Args:
            hub: That is in use.
            is_new: Whether it has come in use.

        Raises:
            HubError: When the hub is out of reach.
        """
        if not is_new and self._clock() - self._looked_at < DAY_SECONDS:
            return
        self._told[hub] = self._light.order_providers()
        self._looked_at = self._clock()
        for other in find_other_lists(self._light.network, self._told):
            logger.log(logging.ERROR if other.ends_proofs else logging.WARNING, "%s", other)
