"""The hubs that are not in use: what the one in use leaves out, another one may show.

Whatever another hub says, the one in use must not be left for it, and nothing waits for it for long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from paypercall.obyte.errors import HubError, ProofError
from paypercall.obyte.light import LightClient
from paypercall.settlement.following import INDICES_BETWEEN_HUBS
from paypercall.settlement.lease import LeaseLost

logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

USELESS_SECONDS = 300
"""How long another hub is left alone that was of no use."""


class OtherHubs:
    """Asks one of them at a time, until it is the next one's turn.

    Args:
        light: The hub in use, which knows the others.
        wallet_address: The wallet's.
    """

    def __init__(self, light: LightClient, wallet_address: str) -> None:
        self._light = light
        self._wallet_address = wallet_address

    def go_on(self) -> None:
        """Lets it be the next one's turn."""
        self._light.go_on_to_next_other()

    def ask(self, question: Callable[[LightClient], _Answer]) -> _Answer | None:
        """Asks another hub; one that is of no use is left alone for a while.

        Returns:
            What comes of the question, or None if no other hub is there, or the one asked is of no use.

        Raises:
            LeaseLost: When another process has taken over.
        """
        other = self._light.another()
        if other is None:
            return None
        try:
            return question(other)
        except (HubError, ProofError) as error:
            logger.warning("another hub was to be asked what this one leaves out, in vain: %s", error)
        except LeaseLost:
            raise
        except Exception:
            # Whatever it says, the hub in use must not be left for it.
            logger.exception("another hub was to be asked what this one leaves out, in vain")
        self._light.let_rest(other, USELESS_SECONDS)
        return None

    def index_at(self, other: LightClient, since: int | None) -> int | None:
        """From where another hub must be asked, because the index that was reached is only one hub's word.

        Args:
            other: The other hub.
            since: From where the one in use would be asked.

        Returns:
            The index, or None for whole histories.

        Raises:
            HubError: The other hub did not answer, refused, or answered something else.
        """
        if since is None:
            return None
        reached = other.parents([self._wallet_address], [self._wallet_address]).last_ball_mci
        if reached < since - INDICES_BETWEEN_HUBS:
            logger.warning(
                "one of two hubs lies about the length of the main chain: all is asked of the other"
            )
            return None
        return max(0, min(since, reached) - INDICES_BETWEEN_HUBS)
