"""What a light node asks its hub, in the words of the protocol, and how much of the answers it believes.

Histories are verified before anyone sees them, an asset's definition is checked against the asset's id, and
every other answer has the right shape or is refused. It keeps no state but the definitions of addresses,
which prove themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from paypercall.obyte.address import definition_address
from paypercall.obyte.composer import Parents
from paypercall.obyte.errors import HubError, HubRefused, ObyteError, ProofError
from paypercall.obyte.hub import Hub
from paypercall.obyte.hub_answers import (
    RESPONSES_IN_PAGE,
    read_agent_responses,
    read_agents,
    read_asset_definition,
    read_order_providers,
    read_parents,
)
from paypercall.obyte.hubs import Hubs
from paypercall.obyte.network import Network
from paypercall.obyte.proof import History, HistoryUnit, earlier_first, verify_history
from paypercall.obyte.shape import is_hash
from paypercall.obyte.unit import Unit

HISTORY_LIMIT = 2_000  # addresses, requested units, known units and units in an answer (ocore `light`)
MAX_AA_RESPONSES = 10  # ocore `MAX_RESPONSES_PER_PRIMARY_TRIGGER`
HISTORY_SECONDS = 120.0
OTHER_HUB_SECONDS = 20.0  # nothing waits for a second opinion
AGENTS_SECONDS = 30.0
POST_SECONDS = 60.0
MAX_KEPT_DEFINITIONS = 10_000
MAX_ASKED_DEFINITIONS = 20  # for one history: a flood of dust must not become a flood of requests
MAX_PAGES = 10_000  # of one agent's responses: a hub that always has more must not hold its asker for ever

_ANSWERED = ("trigger_unit", "response_unit")
_TOO_LARGE = "your history is too large"
_KNOWN = "known"
_NEWS = ("light/have_updates", "joint", "light/aa_response", "light/sequence_became_bad")


class LightClient:
    """Asks a hub on behalf of a light node; safe to use from many threads.

    Of several hubs it asks one at a time, and goes on to the next when that one is silent, refuses to serve or
    gives an answer that does not prove what it must. The call that met the fault fails all the same.

    Args:
        hub: The connection to the preferred hub.
        network: The network whose order providers must vouch for histories.
        others: Connections to further hubs of the same network.
    """

    def __init__(self, hub: Hub, network: Network, *, others: Sequence[Hub] = ()) -> None:
        self.network = network
        self._hubs = Hubs((hub, *others))
        self._definitions: dict[str, Any] = {}

    def finds_other_hub(self) -> bool:
        """Tells whether another hub is connected, which can be asked for what this one leaves out."""
        return self._hubs.find_other() is not None

    @property
    def session(self) -> tuple[str, int]:
        """Which connection to which hub is in use; a new one means that the hub does not know what we watch."""
        hub = self._hubs.current
        return hub.url, hub.connections

    def find_connection(self) -> bool:
        """Tells whether there is a connection now, so that a request need not wait for one.

        A hub that has been out of reach for a while is left for the next one.
        """
        return self._hubs.find_connection()

    def close(self) -> None:
        """Closes the connections to the hubs."""
        self._hubs.close()

    @contextmanager
    def _leaving_if_useless(self, hub: Hub, *, may_refuse: bool = False) -> Iterator[None]:
        """Leaves a hub that does not answer, refuses to serve, or gives an answer that proves nothing."""
        try:
            yield
        except (HubError, ProofError) as error:
            is_right_to_refuse = may_refuse or _TOO_LARGE in str(error)
            if not (isinstance(error, HubRefused) and is_right_to_refuse):
                self._hubs.leave(hub, error)
            raise

    def on_news(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        """Calls back when a hub hints at something new, and after each new connection.

        Only what `history` has named since the connection was made is watched by the hub, so a good reaction
        to each call is to ask for it again. The callback gets the unit that the hint shows, which may be the hub's
        invention and of any shape, or None. It must not raise and must not take long.

        Returns:
            A function that ends this.
        """

        def tell(body: Any) -> None:
            callback(body.get("unit") if isinstance(body, dict) else None)

        ends = [end for subject in _NEWS for end in self._hubs.subscribe(subject, tell)]
        ends += self._hubs.on_connect(lambda: callback(None))
        self._hubs.current.start()

        def end_all() -> None:
            for end in ends:
                end()

        return end_all

    def history(
        self,
        addresses: Iterable[str],
        *,
        requested_units: Iterable[str] = (),
        known_stable_units: Iterable[str] = (),
        min_main_chain_index: int | None = None,
        of_another_hub: bool = False,
    ) -> History:
        """Asks for the units from and to addresses, and verifies the answer.

        More than a hub takes or gives at once is asked for in parts. From then on the hub watches the
        addresses and the requested units and says so when something happens, until the connection ends.

        A unit that reaches the hub while it answers can be missing although the proof reaches beyond it. So
        who asks again and again must not ask from the last answer's `last_ball_main_chain_index` on, but from
        that of the answer before.

        Args:
            addresses: Agents may be among them.
            requested_units: Units to give in any case, stable or not, unless they conflict with others.
            known_stable_units: Units to leave out; only so many are named as a hub accepts.
            min_main_chain_index: Leave out what is stable below it.
            of_another_hub: Ask another hub, if one is connected, to find what the one in use leaves out.

        Raises:
            HubRefused: The hub refused.
            HubError: The hub did not answer.
            ProofError: The answer does not prove what it must.
        """
        known = list(dict.fromkeys(known_stable_units))[-HISTORY_LIMIT:]
        options: dict[str, Any] = {"known_stable_units": known} if known else {}
        if min_main_chain_index:
            options["min_mci"] = min_main_chain_index
        seconds = OTHER_HUB_SECONDS if of_another_hub else HISTORY_SECONDS
        all_addresses, all_units = list(dict.fromkeys(addresses)), list(dict.fromkeys(requested_units))
        other = self._hubs.find_other() if of_another_hub else None
        hub = other or self._hubs.current
        with self._leaving_if_useless(hub):
            parts = [
                part
                for start in range(0, max(len(all_addresses), len(all_units)), HISTORY_LIMIT)
                for part in self._history(
                    hub,
                    all_addresses[start : start + HISTORY_LIMIT],
                    all_units[start : start + HISTORY_LIMIT],
                    options,
                    seconds,
                )
            ]
        return parts[0] if len(parts) == 1 else _merged(parts)

    def _history(
        self, hub: Hub, addresses: list[str], units: list[str], options: dict[str, Any], seconds: float
    ) -> list[History]:
        params: dict[str, Any] = {"witnesses": list(self.network.order_providers), **options}
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
                *self._history(hub, addresses[:half_way], units[:half_units], options, seconds),
                *self._history(hub, addresses[half_way:], units[half_units:], options, seconds),
            ]
        return [self._verified(hub, response)]

    def _verified(self, hub: Hub, response: Any) -> History:
        history = verify_history(response, self.network, known_definitions=self._definitions)
        for entry in history.units:
            for author in entry.unit["authors"]:
                self._keep_definition(author["address"], author.get("definition"))
        missing = _signers_without_definition(history.units) - self._definitions.keys()
        found = [self._find_definition(hub, address) for address in sorted(missing)[:MAX_ASKED_DEFINITIONS]]
        if any(found):
            return verify_history(response, self.network, known_definitions=self._definitions)
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

    def watch(self, address: str) -> None:
        """Has the hub say so when a unit concerns an address whose history is too large for it to give.

        Raises:
            HubError: The hub is out of reach.
        """
        self._hubs.current.say("light/new_address_to_watch", address)

    def answered_units(self, agent: str, min_main_chain_index: int | None = None) -> list[str]:
        """Asks, page by page, for the units that an agent has answered, and its answers; what bounced is left out.

        That is the hub's word. Ask for the units by name to have them proven.

        Args:
            agent: Its address.
            min_main_chain_index: Leave out what it answered before.

        Raises:
            HubError: The hub did not answer, refused, answered something else, or comes to no end.
        """
        units: dict[str, None] = {}
        since = max(min_main_chain_index or 1, 1)
        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            for _ in range(MAX_PAGES):
                params = {"aa": agent, "min_mci": since, "order": "ASC"}
                page = read_agent_responses(hub.request("light/get_aa_responses", params), since)
                taken = (row for row in page if not row["bounced"])
                units |= dict.fromkeys(
                    unit for row in taken for unit in map(row.get, _ANSWERED) if is_hash(unit)
                )
                if len(page) < RESPONSES_IN_PAGE:
                    return list(units)
                # A page begins again where the last one ended, unless that would be the same page.
                first, last = page[0]["mci"], page[-1]["mci"]
                since = last if first < last else last + 1
            raise HubError(f"the hub's answers about the responses of {agent} come to no end")

    def agents(self, base_agents: Iterable[str], parameters: Mapping[str, str]) -> list[Any]:
        """Asks for the agents made of base agents that have certain parameters, of whoever defined them.

        An agent's address follows from its definition; agents can be left out by the hub.

        Returns:
            Their definitions.

        Raises:
            HubError: The hub did not answer, refused, or answered something else.
        """
        params = {"base_aas": sorted(base_agents), "params": dict(parameters)}
        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            return read_agents(hub.request("light/get_aas_by_base_aas", params, AGENTS_SECONDS))

    def order_providers(self) -> frozenset[str]:
        """Asks for the addresses that order the ledger now, which is the hub's word.

        Raises:
            HubError: The hub did not answer, refused, or answered something else.
        """
        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            return read_order_providers(hub.request("get_witnesses"))

    def parents(
        self,
        from_addresses: Sequence[str],
        output_addresses: Sequence[str],
        max_aa_responses: int | None = None,
    ) -> Parents:
        """Asks where a unit belongs that is composed now.

        Args:
            from_addresses: The authors.
            output_addresses: Everyone who is paid; without the agent among them, the fee comes out too low.
            max_aa_responses: As in the unit; None if the unit will not say it.

        Raises:
            HubError: The hub did not answer, refused, or answered something else.
        """
        params = {
            "witnesses": list(self.network.order_providers),
            "from_addresses": sorted(set(from_addresses)),
            "output_addresses": sorted(set(output_addresses)),
            "max_aa_responses": MAX_AA_RESPONSES if max_aa_responses is None else max_aa_responses,
        }
        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            answer = hub.request("light/get_parents_and_last_ball_and_witness_list_unit", params)
            return read_parents(answer)

    def post(self, unit: Unit, *, to_all_hubs: bool = False) -> None:
        """Posts a signed unit; that a hub has it already is success.

        A hub that refuses it, or falls silent, must not keep it from the network: the other hubs are asked, too.

        Args:
            unit: The same as before, if it was posted before.
            to_all_hubs: Whether to go on to the others after one has taken it.

        Raises:
            HubRefused: All hubs refused the unit; the text is the preferred one's own.
            HubError: No hub took it, and one gave no answer, or one that says nothing: whether the unit was taken
                is unknown. Post the same unit again.
        """
        failures: list[HubError] = []
        is_taken = False
        for hub in (self._hubs.current, *self._hubs.others):
            try:
                with self._leaving_if_useless(hub, may_refuse=True):
                    _post(hub, unit)
            except HubError as error:
                failures.append(error)
                continue
            is_taken = True
            if not to_all_hubs:
                return
        if not is_taken:
            raise next((error for error in failures if not isinstance(error, HubRefused)), failures[0])

    def asset_definition(self, asset: str) -> dict[str, Any] | None:
        """Returns how an asset was defined, or None if the hub has no such asset.

        An asset's id is the hash of the unit that defined it, so the definition proves itself.

        Raises:
            HubError: The hub did not answer, refused, or gave another unit than asked for.
        """
        if not is_hash(asset):
            return None
        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            return read_asset_definition(hub.request("get_joint", asset), asset)


def _post(hub: Hub, unit: Unit) -> None:
    try:
        answer = hub.request("post_joint", {"unit": unit}, POST_SECONDS)
    except HubRefused as refusal:
        if str(refusal) == _KNOWN:
            return
        raise
    if answer != "accepted":
        raise HubError("the hub's answer to a posted unit is neither acceptance nor refusal")


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


def _merged(parts: Sequence[History]) -> History:
    """Puts partial histories together, as if they were one answer."""
    entries: dict[str, HistoryUnit] = {}
    bounces: dict[tuple[str, str], dict[str, Any]] = {}
    reached: list[int] = []
    for part in parts:
        for entry in part.units:
            other = entries.get(entry.hash)
            if other is None or _knows_more(entry, other):
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
    )


def _knows_more(entry: HistoryUnit, other: HistoryUnit) -> bool:
    return _knowledge(entry) > _knowledge(other)


def _knowledge(entry: HistoryUnit) -> tuple[bool, bool, bool]:
    return entry.is_stable, not entry.is_stripped, entry.is_signature_checked
