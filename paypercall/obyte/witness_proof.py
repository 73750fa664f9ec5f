"""The witness proof of a history: which balls a majority of the order providers vouches for.

A hub shows the newest units of the main chain, from the tip down. Each names its parents, so whoever wrote
one of them built on all that come after it in the list; once a majority of the order providers is among the
authors, what the further units name as their last balls is final. Only signatures count here: no word of the
hub does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paypercall.obyte.joint import Joint, address_of, check_content, check_payloads, is_signed, read_joint
from paypercall.obyte.network import Network
from paypercall.obyte.order_providers import REMEDY
from paypercall.obyte.shape import is_address, read_filled_list, read_object, require
from paypercall.obyte.unit import Unit, hash_to_sign, single_signature_key


@dataclass(frozen=True, slots=True)
class WitnessProof:
    """What a witness proof shows.

    Attributes:
        last_balls: The proven balls by the hash of their units, newest first; all are on the main chain.
        joints: The joints that the proof was read from. Their own place on the ledger is not proven by it.
        last_ball_main_chain_index: The hub's word on where the newest proven ball is, or None.
        time: Seconds. A majority of the order providers has signed units that are as late or later, so that no
            unit that is made now can be earlier on the ledger.
    """

    last_balls: Mapping[str, str]
    joints: tuple[Joint, ...]
    last_ball_main_chain_index: int | None
    time: int


def verify_witness_proof(
    unstable_joints: object, definition_joints: Iterable[object], network: Network
) -> WitnessProof:
    """Checks the witness proof of a history (ocore `processWitnessProof`).

    Args:
        unstable_joints: The field `unstable_mc_joints`: main-chain joints, from the tip down.
        definition_joints: The field `witness_change_and_definition_joints`: where the order providers
            published and changed their definitions, oldest first.
        network: Whose order providers must have signed.

    Raises:
        ProofError: The proof does not hold.
    """
    chain = _read_chain(unstable_joints, network)
    providers = _OrderProviders(network)
    definitions = tuple(_read_definition_joint(element, network) for element in definition_joints)
    for joint in definitions:
        providers.learn(joint)
    # Definitions can be in the chain itself, so it is read in the order in which it was written.
    signers = {joint.hash: providers.signers(joint.unit) for joint in reversed(chain)}
    last_balls: dict[str, str] = {}
    seen: set[str] = set()
    for joint in chain:
        seen |= signers[joint.hash]
        if len(seen) >= network.majority_of_order_providers:
            last_balls.setdefault(joint.unit["last_ball_unit"], joint.unit["last_ball"])
    require(bool(last_balls), f"too few order providers have signed the newest units; {REMEDY}")
    newest = next(iter(last_balls))
    return WitnessProof(
        last_balls,
        definitions + chain,
        _find_main_chain_index(newest, chain),
        _time_of_majority(chain, signers, network),
    )


class _OrderProviders:
    """What a proof has shown so far of the order providers' definitions.

    An address is the hash of its first definition, and only a unit signed under the definition in force can
    change it: so nobody but the provider can introduce a key. A provider whose definition is more than one
    key cannot be checked here and counts for nothing from then on.
    """

    def __init__(self, network: Network) -> None:
        self._addresses = frozenset(network.order_providers)
        self._definition_hashes = {address: address for address in network.order_providers}
        self._public_keys: dict[str, str] = {}

    def learn(self, joint: Joint) -> None:
        """Takes the definitions and definition changes of providers from one of their units.

        Raises:
            ProofError: No provider is among the authors, or one's signature is wrong.
        """
        authors = {author["address"] for author in joint.unit["authors"]}
        require(bool(authors & self._addresses), "a joint with definitions is of no order provider")
        for address in self.signers(joint.unit):
            for changed_to in _definition_changes(joint.unit, address):
                self._definition_hashes[address] = changed_to

    def signers(self, unit: Unit) -> frozenset[str]:
        """Returns the order providers that signed a unit.

        Raises:
            ProofError: A provider is among the authors and its signature is wrong, or its definition unknown.
        """
        providers = [author for author in unit["authors"] if author["address"] in self._definition_hashes]
        signers = set()
        for author in providers:
            public_key = self._find_public_key(author)
            if public_key is None:
                del self._definition_hashes[author["address"]]
                continue
            is_genuine = is_signed(author, hash_to_sign(unit), public_key)
            require(is_genuine, f"unit {unit['unit']} has a bad signature of an order provider")
            signers.add(author["address"])
        return frozenset(signers)

    def _find_public_key(self, author: dict[str, Any]) -> str | None:
        definition_hash = self._definition_hashes[author["address"]]
        definition = author.get("definition")
        if definition is None:
            require(definition_hash in self._public_keys, "an order provider's definition is missing")
            return self._public_keys[definition_hash]
        is_own = address_of(definition) == definition_hash
        require(is_own, "an order provider's definition is not the one in force")
        public_key = single_signature_key(definition)
        if public_key is not None:
            self._public_keys[definition_hash] = public_key
        return public_key


def _read_chain(unstable_joints: object, network: Network) -> tuple[Joint, ...]:
    chain: list[Joint] = []
    for element in read_filled_list(unstable_joints, "the history has no unstable main-chain joints"):
        fields = read_object(element, "an unstable joint is no object")
        require("ball" not in fields, "an unstable joint has a ball")
        # Its skiplist stays when the hub takes the ball off; neither is needed.
        joint = read_joint({"unit": fields.get("unit")}, network)
        require("last_ball_unit" in joint.unit, "an unstable joint has no last ball")
        is_linked = not chain or joint.hash in chain[-1].unit["parent_units"]
        require(is_linked, "the unstable main-chain joints are no chain")
        chain.append(joint)
    return tuple(chain)


def _read_definition_joint(element: object, network: Network) -> Joint:
    joint = read_joint(element, network)
    require(not joint.is_stripped, "a joint with definitions is without its messages")
    check_payloads(joint)
    check_content(joint, network)
    return joint


def _definition_changes(unit: Unit, address: str) -> Iterator[str]:
    for message in unit["messages"]:
        if message["app"] != "address_definition_change" or "payload" not in message:
            continue
        payload = read_object(message["payload"], "a definition change is no object")
        if len(unit["authors"]) == 1 or payload.get("address") == address:
            require(is_address(payload.get("definition_chash")), "a definition change names no definition")
            yield payload["definition_chash"]


def _time_of_majority(chain: Sequence[Joint], signers: Mapping[str, frozenset[str]], network: Network) -> int:
    """The latest time that a majority of the order providers has signed; a minority alone can claim any."""
    latest: dict[str, int] = {}
    for joint in chain:
        # In units of the first version no hash covers the time, and a hub can show a chain of any age.
        time = joint.unit["timestamp"] if joint.unit["version"] == network.version else 0
        for provider in signers[joint.hash]:
            latest[provider] = max(time, latest.get(provider, 0))
    return sorted(latest.values(), reverse=True)[network.majority_of_order_providers - 1]


def _find_main_chain_index(last_ball_unit: str, chain: Sequence[Joint]) -> int | None:
    """The last ball is a joint of the chain, or the one just before it."""
    for joint in chain:
        if joint.hash == last_ball_unit:
            return joint.main_chain_index
    lowest = chain[-1]
    if last_ball_unit not in lowest.unit["parent_units"] or not lowest.main_chain_index:
        return None
    return lowest.main_chain_index - 1
