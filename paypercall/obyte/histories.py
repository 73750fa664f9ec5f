"""Asks one hub for histories, as many questions as it takes, and verifies each answer before anyone sees it.

It keeps no state but the definitions of addresses, which prove themselves. It must not choose the hub (`hubs` does).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from paypercall.obyte.address import definition_address
from paypercall.obyte.errors import HubError, HubRefused, ObyteError
from paypercall.obyte.hub import Hub
from paypercall.obyte.network import Network
from paypercall.obyte.proof import History, HistoryUnit, earlier_first, verify_history

HISTORY_LIMIT = 2_000  # addresses, requested units, known units and units in an answer (ocore `light`)
MAX_KEPT_DEFINITIONS = 10_000
MAX_ASKED_DEFINITIONS = 20  # for one history: a flood of dust must not become a flood of requests

_TOO_LARGE = "your history is too large"


class Histories:
    """Reads histories of a network; safe to use from many threads.

    Args:
        network: The network whose order providers must vouch for them.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._definitions: dict[str, Any] = {}

    def read(
        self,
        hub: Hub,
        addresses: Sequence[str],
        units: Sequence[str],
        options: Mapping[str, Any],
        seconds: float,
    ) -> History:
        """Reads the units of addresses, and units by name, in parts if the hub takes or gives no more at once.

        Args:
            hub: The hub to ask.
            addresses: Each once.
            units: Each once.
            options: What else to say in each question, in the words of the protocol.
            seconds: How long to wait for each answer.

        Raises:
            HubRefused: The hub refused.
            HubError: The hub did not answer.
            ProofError: The answer does not prove what it must.
        """
        parts = [
            part
            for start in range(0, max(len(addresses), len(units)), HISTORY_LIMIT)
            for part in self._read(
                hub,
                addresses[start : start + HISTORY_LIMIT],
                units[start : start + HISTORY_LIMIT],
                options,
                seconds,
            )
        ]
        return merged(parts)

    def definition(self, hub: Hub, address: str) -> Any | None:
        """The definition that an address is the hash of, or None if the hub does not know it.

        Raises:
            HubError: The hub did not answer, or answered something else.
        """
        if address not in self._definitions:
            self._find_definition(hub, address)
        return self._definitions.get(address)

    def _read(
        self,
        hub: Hub,
        addresses: Sequence[str],
        units: Sequence[str],
        options: Mapping[str, Any],
        seconds: float,
    ) -> list[History]:
        params: dict[str, Any] = {"witnesses": list(self._network.order_providers), **options}
        if addresses:
            params["addresses"] = addresses
        if units:
            params["requested_joints"] = units
        try:
            response = hub.request("light/get_history", params, seconds)
        except HubRefused as refusal:
            if _TOO_LARGE not in str(refusal):
                raise
            if len(addresses) + len(units) < 2:
                return [History((), (), None, too_large=frozenset(addresses))]
            half_way, half_units = (len(addresses) + 1) // 2, len(units) // 2
            return [
                *self._read(hub, addresses[:half_way], units[:half_units], options, seconds),
                *self._read(hub, addresses[half_way:], units[half_units:], options, seconds),
            ]
        return [self._verified(hub, response)]

    def _verified(self, hub: Hub, response: Any) -> History:
        history = verify_history(response, self._network, known_definitions=self._definitions)
        for entry in history.units:
            for author in entry.unit["authors"]:
                self._keep_definition(author["address"], author.get("definition"))
        missing = _signers_without_definition(history.units) - self._definitions.keys()
        found = [self._find_definition(hub, address) for address in sorted(missing)[:MAX_ASKED_DEFINITIONS]]
        if any(found):
            return verify_history(response, self._network, known_definitions=self._definitions)
        return history

    def _find_definition(self, hub: Hub, address: str) -> bool:
        try:
            answer = hub.request("light/get_definition_for_address", {"address": address})
        except HubRefused:
            return False
        if not isinstance(answer, dict):
            raise HubError("the hub's answer about a definition is no object")
        return self._keep_definition(address, answer.get("definition"))

    def _keep_definition(self, address: str, definition: Any) -> bool:
        if definition is None or not _is_definition_of(address, definition):
            return False
        while len(self._definitions) >= MAX_KEPT_DEFINITIONS and address not in self._definitions:
            self._definitions.pop(next(iter(self._definitions)), None)
        self._definitions[address] = definition
        return True


def merged(parts: Sequence[History]) -> History:
    """Puts partial histories together, as if they were one answer."""
    if len(parts) == 1:
        return parts[0]
    entries: dict[str, HistoryUnit] = {}
    bounces: dict[tuple[str, str], dict[str, Any]] = {}
    reached: list[int] = []
    for part in parts:
        for entry in part.units:
            other = entries.get(entry.hash)
            if other is None or _knowledge(entry) > _knowledge(other):
                entries[entry.hash] = entry
        for bounce in part.bounces:
            bounces[bounce["trigger_unit"], bounce["aa_address"]] = bounce
        if part.last_ball_main_chain_index is not None:
            reached.append(part.last_ball_main_chain_index)
    return History(
        earlier_first(entries.values()),
        tuple(bounces.values()),
        min(reached, default=None),
        frozenset[str]().union(*(part.too_large for part in parts)),
        max((part.time for part in parts if part.time is not None), default=None),
    )


def _knowledge(entry: HistoryUnit) -> tuple[bool, bool, bool]:
    return entry.is_stable, not entry.is_stripped, entry.is_signature_checked


def _is_definition_of(address: str, definition: Any) -> bool:
    try:
        return definition_address(definition) == address
    except ObyteError:
        return False


def _signers_without_definition(units: Iterable[HistoryUnit]) -> set[str]:
    return {
        author["address"]
        for entry in units
        if not entry.is_signature_checked
        for author in entry.unit["authors"]
        if author.get("authentifiers") and "definition" not in author
    }
