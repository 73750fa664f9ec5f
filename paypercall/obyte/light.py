"""What a light node asks its hub, in the words of the protocol, and how much of the answers it believes.

Histories are verified (`histories`), an asset's definition is checked against the asset's id, and every other answer
has the right shape or is refused. It remembers how far the ledger's time is proven to have got.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from time import monotonic
from typing import Any

from paypercall.obyte.agent_answers import AgentAnswers, read_agent_answers
from paypercall.obyte.composer import Parents
from paypercall.obyte.errors import HubError, HubRefused, ProofError
from paypercall.obyte.histories import HISTORY_LIMIT, Histories
from paypercall.obyte.hub import Hub
from paypercall.obyte.hub_answers import (
    read_agents,
    read_asset_definition,
    read_index,
    read_order_providers,
    read_parents,
    read_whether_known,
)
from paypercall.obyte.hubs import Hubs, Session
from paypercall.obyte.long_history import read_in_parts
from paypercall.obyte.network import Network
from paypercall.obyte.order_providers import REMEDY
from paypercall.obyte.proof import History
from paypercall.obyte.shape import is_hash
from paypercall.obyte.unit import Unit

MAX_AA_RESPONSES = 10  # ocore `MAX_RESPONSES_PER_PRIMARY_TRIGGER`
HISTORY_SECONDS = 120.0
OTHER_HUB_SECONDS = 20.0  # nothing waits for a second opinion
AGENTS_SECONDS = 30.0
POST_SECONDS = 60.0

_LIST_REFUSED = "your witness list"  # "… might be too much off", "please change …" (ocore `witness_proof`)
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
        self._histories = Histories(network)
        self._has_time = True
        self._known_connections: dict[Hub, int] = {}
        self._ledger_ahead: float | None = None

    def another(self) -> LightClient | None:
        """Returns a client of another hub that is connected, to be asked for what the one in use leaves out.

        It is the same one until `go_on_to_next_other`, unless that is gone or rests. It is not to be closed: the
        connection is this one's.
        """
        hub = self._hubs.find_other()
        if hub is None:
            return None
        other = copy(self)
        other._hubs = Hubs((hub,))
        other._has_time = False
        return other

    def go_on_to_next_other(self) -> None:
        """Lets `another` return the next of the other hubs from now on."""
        self._hubs.go_on_to_next_other()

    def let_rest(self, other: LightClient, seconds: float) -> None:
        """Lets `another` pass over a hub for a while that was of no use; of the other ones each may be asked."""
        self._hubs.let_rest(other._hubs.current, seconds)

    @property
    def session(self) -> Session:
        """Which connection to which hub is in use."""
        return self._hubs.session

    def find_connection(self) -> bool:
        """Tells whether there is a connection now, so that a request need not wait for one.

        A hub that has been out of reach for a while is left for the next one.
        """
        return self._hubs.find_connection()

    @property
    def least_time(self) -> int:
        """Seconds that the ledger's time has reached for sure, whatever a hub says; 0 before the first proof.

        It is what the order providers have signed, and what has passed since by this machine's own clock: a quiet
        ledger has no new units that would tell the time.
        """
        return 0 if self._ledger_ahead is None else int(monotonic() + self._ledger_ahead)

    def leave_hub(self, reason: object) -> None:
        """Goes on to the next hub, if there is one, because what this one says cannot be taken."""
        self._hubs.leave(self._hubs.current, reason)

    def close(self) -> None:
        """Closes the connections to the hubs."""
        self._hubs.close()

    @contextmanager
    def _leaving_if_useless(self, hub: Hub, *, may_refuse: bool = False) -> Iterator[None]:
        """Leaves a hub that does not answer, refuses to serve, or gives an answer that proves nothing."""
        try:
            self._require_network(hub)
            yield
        except (HubError, ProofError) as error:
            if not (may_refuse and isinstance(error, HubRefused)):
                self._hubs.leave(hub, error)
            if isinstance(error, HubRefused) and _LIST_REFUSED in str(error):
                raise HubRefused(f"{error}; {REMEDY}") from error
            raise

    def _require_network(self, hub: Hub) -> None:
        """Makes sure, once in each connection, that a hub is on our network: all private ones look the same.

        Raises:
            HubError: The hub did not answer, refused, or is on another network.
        """
        if hub.connections and self._known_connections.get(hub) == hub.connections:
            return
        genesis_unit = self.network.genesis_unit
        if not read_whether_known(hub.request("get_joint", genesis_unit), genesis_unit):
            raise HubError(
                f"{hub.url} is on another network, which does not begin with the unit {genesis_unit}"
            )
        self._known_connections[hub] = hub.connections

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
            known_stable_units: Units to leave out, which do not count toward what a hub gives at once either; only so
                many are named as a hub accepts.
            min_main_chain_index: Leave out what is stable below it.

        Raises:
            HubRefused: The hub refused.
            HubError: The hub did not answer.
            ProofError: The answer does not prove what it must.
        """
        known = list(dict.fromkeys(known_stable_units))[-HISTORY_LIMIT:]
        options: dict[str, Any] = {"known_stable_units": known} if known else {}
        if min_main_chain_index:
            options["min_mci"] = min_main_chain_index
        seconds = HISTORY_SECONDS if self._has_time else OTHER_HUB_SECONDS
        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            history = self._histories.read(
                hub,
                list(dict.fromkeys(addresses)),
                list(dict.fromkeys(requested_units)),
                options,
                seconds,
            )
        self._hubs.note_use()
        if history.time is not None:
            ahead = history.time - monotonic()
            self._ledger_ahead = ahead if self._ledger_ahead is None else max(ahead, self._ledger_ahead)
        return history

    def long_history(self, address: str, min_main_chain_index: int | None = None) -> History:
        """Asks in parts for a history that is too large for one answer: as many of the newest units as can be had.

        Args:
            address: One that `history` has found too large.
            min_main_chain_index: Leave out what is stable below it.

        Returns:
            A history without a gap. Unless it is whole, the address is among those that are `too_large`.

        Raises:
            HubRefused: The hub refused.
            HubError: The hub did not answer, or answered something else.
            ProofError: The answer does not prove what it must.
        """

        def ask(index: int, known: Sequence[str]) -> History:
            return self.history([address], known_stable_units=known, min_main_chain_index=index)

        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            newest = read_index(hub.request("get_last_mci"))
        return read_in_parts(ask, address, min_main_chain_index or 0, newest)

    def definition(self, address: str) -> Any | None:
        """Returns the definition that an address is the hash of, or None if the hub does not know it.

        Raises:
            HubError: The hub did not answer, or answered something else.
        """
        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            return self._histories.definition(hub, address)

    def watch(self, address: str) -> None:
        """Has the hub say so when a unit concerns an address whose history is too large for it to give.

        Raises:
            HubError: The hub is out of reach.
        """
        self._hubs.current.say("light/new_address_to_watch", address)

    def agent_answers(self, agent: str, min_main_chain_index: int | None = None) -> AgentAnswers:
        """Asks, page by page, for what an agent has answered, on the hub's word.

        Args:
            agent: Its address.
            min_main_chain_index: Leave out what it answered before.

        Raises:
            HubError: The hub did not answer, refused, answered something else, or comes to no end.
        """
        hub = self._hubs.current
        with self._leaving_if_useless(hub):
            return read_agent_answers(hub, agent, min_main_chain_index or 0)

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
