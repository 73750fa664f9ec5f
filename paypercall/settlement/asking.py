"""Asks one hub about addresses, in whatever way it takes, has taken what comes, and tells what is still missing.

Anybody can send dust to an address, until it has more units than a hub gives at once. Then the wallet's history is read
in parts, and of an agent what it has answered, page by page. It does not decide what follows from what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import Enum

from paypercall.obyte.light import LightClient
from paypercall.obyte.proof import History

logger = logging.getLogger(__name__)

Take = Callable[[History, AbstractSet[str]], AbstractSet[str]]
"""Takes a history and the addresses that it shows from their beginning; tells which channels went on by it."""


class _Extent(Enum):
    """How much of an address was read."""

    WHOLE = "whole"
    UNPROVEN = "unproven"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question.

    Attributes:
        units: What the hub has shown, but for what was read otherwise because there is too much.
        changed: The channels that went on by it.
        proven: The index that all answers prove, or None if none says so.
        unproven: Agents whose answers are not all proven yet.
        incomplete: Addresses of which the hub could not give everything.
    """

    units: frozenset[str]
    changed: frozenset[str]
    proven: int | None
    unproven: frozenset[str]
    incomplete: frozenset[str]

    def completed_by(self, other: Asked) -> Asked:
        """The same with what another hub has told about what is incomplete here."""
        return replace(
            self,
            changed=self.changed | other.changed,
            proven=least(self.proven, other.proven),
            unproven=self.unproven | other.unproven,
            incomplete=self.incomplete & other.incomplete,
        )


def least(*indices: int | None) -> int | None:
    """The least of some indices, as far as they are known."""
    return min((index for index in indices if index is not None), default=None)


def ask(
    light: LightClient,
    wallet_address: str,
    addresses: Sequence[str],
    units: Sequence[str],
    since: int | None,
    take: Take,
) -> Asked:
    """Asks a hub about addresses, and for units by name.

    Args:
        light: The hub.
        wallet_address: Which of the addresses is no agent.
        addresses: The addresses.
        units: The units.
        since: Leave out what is stable below this index; None for whole histories.
        take: Takes what comes, and with it the addresses that it shows from their beginning; tells which channels
            went on by it.

    Raises:
        HubError: When the hub did not answer, or refused.
        ProofError: When its answer does not prove what it must.
        LeaseLost: When another process has taken over.
    """
    reading = _Reading(light, since, take)
    history = light.history(addresses, requested_units=units, min_main_chain_index=since)
    reading.take(history, of=frozenset(addresses) - history.too_large)
    extents: dict[str, _Extent] = {}
    for address in sorted(history.too_large):
        light.watch(address)
        extents[address] = (
            reading.read_wallet(address) if address == wallet_address else reading.read_agent(address)
        )
    return Asked(
        units=frozenset(entry.hash for entry in history.units),
        changed=frozenset(reading.changed),
        proven=least(*reading.proven),
        unproven=frozenset(address for address, extent in extents.items() if extent is _Extent.UNPROVEN),
        incomplete=frozenset(address for address, extent in extents.items() if extent is _Extent.INCOMPLETE),
    )


class _Reading:
    """One question, and the further ones that it takes."""

    def __init__(self, light: LightClient, since: int | None, take: Take) -> None:
        self._light = light
        self._since = since
        self._take = take
        self.changed: set[str] = set()
        self.proven: list[int | None] = []

    def take(self, history: History, of: AbstractSet[str] = frozenset()) -> History:
        """Has a history taken that shows all of some addresses from where the question begins."""
        self.changed |= self._take(history, frozenset() if self._since else of)
        self.proven.append(history.last_ball_main_chain_index)
        return history

    def read_wallet(self, address: str) -> _Extent:
        """Reads the wallet's history in parts."""
        history = self.take(self._light.long_history(address, self._since))
        return _Extent.INCOMPLETE if history.too_large else _Extent.WHOLE

    def read_agent(self, agent: str) -> _Extent:
        """Reads what an agent has answered; its history as well, where the pages may lack something.

        An answer has the index of its trigger in the pages, and is stable only later. So what is not proven yet must be
        asked for from the same index again.
        """
        logger.warning("channel %s: reading its agent's answers in pages, for dust fills its history", agent)
        answers = self._light.agent_answers(agent, self._since)
        history = self.take(self._light.history([], requested_units=answers.units), of={agent})
        is_proven = {entry.hash for entry in history.units if entry.is_stable}.issuperset(answers.units)
        if answers.crowded_index is not None:
            rest = self.take(self._light.long_history(agent, answers.crowded_index))
            # The agent numbers its answers: a later one shows whether any is missing.
            if rest.too_large and not answers.later_answers:
                return _Extent.INCOMPLETE
            is_proven = is_proven and all(
                entry.is_stable for entry in rest.units if entry.unit["authors"][0]["address"] == agent
            )
        return _Extent.WHOLE if is_proven else _Extent.UNPROVEN
