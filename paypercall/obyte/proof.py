"""Histories of addresses, checked: what a light node may believe of the answer to `light/get_history`.

The order providers vouch for last balls, balls prove those that came before them, and a unit is stable only
if its ball is among the proven ones. Everything else in the answer is the hub's word: it is passed on as
such, and nothing here turns it into a fact. Pure: no clock, no connection, no memory of earlier answers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from paypercall.obyte.errors import ProofError
from paypercall.obyte.joint import (
    Joint,
    address_of,
    check_content,
    check_payloads,
    check_sizes,
    is_signed,
    read_joint,
)
from paypercall.obyte.network import Network
from paypercall.obyte.shape import (
    is_address,
    is_hash,
    is_hash_list,
    is_natural,
    is_positive,
    read_filled_list,
    read_object,
    require,
    require_plain_json,
)
from paypercall.obyte.unit import Unit, ball_hash, hash_to_sign, single_signature_key
from paypercall.obyte.witness_proof import verify_witness_proof

__all__ = ["History", "HistoryUnit", "ProofError", "earlier_first", "verify_history"]

_logger = logging.getLogger(__name__)

_NO_DEFINITIONS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class HistoryUnit:
    """A unit of a history. Its hash, payloads and sizes are right; whether it counts is told by the flags.

    Attributes:
        unit: The unit as on the wire, without its content where that is not known. Its `main_chain_index`,
            `actual_tps_fee` and `oversize_fee` are the hub's word.
        hash: The unit's hash.
        is_stable: Proven to be final. False also for units that are final but not proven yet.
        is_final_bad: Proven to be final and void: it lost against a conflicting unit.
        main_chain_index: The hub's word, also for stable units: no ball covers it. None before the main chain
            has reached the unit.
        is_signature_checked: Whether the authors are known to have signed it: verified here or, where the
            unit is stable, by the network. Any other unit may be the hub's invention, an agent's response
            included, which nobody signs: it counts for nothing.
        is_stripped: It came without its messages, or with content of a form that is not known here: what it
            pays is unknown, not nothing.
    """

    unit: Unit
    hash: str
    is_stable: bool
    is_final_bad: bool
    main_chain_index: int | None
    is_signature_checked: bool
    is_stripped: bool

    @property
    def addresses(self) -> set[str]:
        """The addresses that it is from or pays to."""
        addresses = {author["address"] for author in self.unit["authors"]}
        for message in self.unit.get("messages", []):
            if message.get("app") == "payment":
                addresses.update(
                    output["address"] for output in message.get("payload", {}).get("outputs", [])
                )
        return addresses


@dataclass(frozen=True, slots=True)
class History:
    """What a hub's answer proves, and what it merely says.

    Attributes:
        units: Parents and spent units before the units that build on them.
        bounces: The hub's word on triggers that an agent bounced, as on the wire (`aa_responses`): `response`
            is a JSON text. Their triggers are among the units.
        last_ball_main_chain_index: The hub's word on how far the proof reaches, or None if it says nothing.
        too_large: Addresses that were asked for and have more units than a hub gives at once: none of theirs are
            here but those that concern others, too.
        time: Seconds, as a majority of the order providers has signed it: the ledger has got at least so far. None
            for an empty answer.
    """

    units: tuple[HistoryUnit, ...]
    bounces: tuple[dict[str, Any], ...]
    last_ball_main_chain_index: int | None
    too_large: frozenset[str] = frozenset()
    time: int | None = None

    def by_address(self) -> dict[str, list[HistoryUnit]]:
        """The units that each address is an author or a payee of, in the same order."""
        found: dict[str, list[HistoryUnit]] = {}
        for entry in self.units:
            for address in entry.addresses:
                found.setdefault(address, []).append(entry)
        return found


def verify_history(
    response: object, network: Network, *, known_definitions: Mapping[str, Any] = _NO_DEFINITIONS
) -> History:
    """Checks an answer to `light/get_history`.

    Args:
        response: The answer as parsed from JSON; `{}` means that there is nothing new.
        network: The network that it must be of.
        known_definitions: Definitions by address, for the signatures of unconfirmed units that carry none.

    Raises:
        ProofError: The answer is malformed or does not prove what it must; nothing of it may be used.
    """
    require_plain_json(response)
    answer = read_object(response, "the history is no object")
    if not answer:
        return History((), (), None)
    elements = read_filled_list(answer.get("joints"), "the history has no joints")
    witness_proof = verify_witness_proof(
        answer.get("unstable_mc_joints"),
        _read_optional_list(answer, "witness_change_and_definition_joints"),
        network,
    )
    balls = _read_optional_list(answer, "proofchain_balls")
    is_nonserial = _prove_balls(balls, witness_proof.last_balls.values())
    joints = [_read_content(element, network) for element in elements]
    by_hash = {joint.hash: joint for joint in joints}
    require(len(by_hash) == len(joints), "the history has a joint twice")
    signers = _Signers([*witness_proof.joints, *joints], known_definitions)
    units = [_judge(joint, is_nonserial.get(joint.hash), signers) for joint in joints]
    return History(
        units=earlier_first(units),
        bounces=_read_bounces(_read_optional_list(answer, "aa_responses"), by_hash),
        last_ball_main_chain_index=witness_proof.last_ball_main_chain_index,
        time=witness_proof.time,
    )


def earlier_first(units: Iterable[HistoryUnit]) -> tuple[HistoryUnit, ...]:
    """Orders units so that each comes after those among them that are its parents or that it spends."""
    by_hash = {entry.hash: entry for entry in units}
    ordered: dict[str, HistoryUnit] = {}
    # The hub's order, newest first, settles what the links leave open.
    pending = sorted(by_hash.values(), key=_hub_order)
    while pending:
        entry = pending[-1]
        earlier = [
            by_hash[hash_] for hash_ in _builds_on(entry.unit) if hash_ in by_hash and hash_ not in ordered
        ]
        if earlier:
            pending += earlier
            continue
        ordered[entry.hash] = pending.pop()
    return tuple(ordered.values())


def _hub_order(entry: HistoryUnit) -> tuple[bool, int]:
    index = entry.main_chain_index
    return (index is not None, -(index or 0))


def _builds_on(unit: Unit) -> list[str]:
    hashes = list(unit.get("parent_units", ()))
    for message in unit.get("messages", ()):
        if message["app"] == "payment" and "payload" in message:
            inputs = message["payload"]["inputs"]
            hashes += [spent["unit"] for spent in inputs if spent.get("type", "transfer") == "transfer"]
    return hashes


class _Signers:
    """The keys under which unconfirmed units are checked, by address."""

    def __init__(self, joints: Iterable[Joint], known_definitions: Mapping[str, Any]) -> None:
        definitions = dict(known_definitions)
        for joint in joints:
            for author in joint.unit["authors"]:
                if "definition" in author and address_of(author["definition"]) == author["address"]:
                    definitions.setdefault(author["address"], author["definition"])
        self._public_keys = {
            address: single_signature_key(definition) for address, definition in definitions.items()
        }

    def have_signed(self, joint: Joint) -> bool:
        """Tells whether all authors of a unit are known to have signed it.

        A signature that fails under a definition that the unit does not carry itself shows nothing: the
        address may have changed its definition since. To refuse the history for it would let any payer blind
        us with dust.

        Raises:
            ProofError: A signature is wrong under the definition that comes with it.
        """
        digest = hash_to_sign(joint.unit)
        verdicts = [self._has_signed(author, digest, joint) for author in joint.unit["authors"]]
        return all(verdicts)

    def _has_signed(self, author: dict[str, Any], digest: bytes, joint: Joint) -> bool:
        address = author["address"]
        carried = author.get("definition")
        if carried is None:
            public_key = self._public_keys.get(address)
            return public_key is not None and is_signed(author, digest, public_key)
        if address_of(carried) != address:
            return False
        public_key = single_signature_key(carried)
        if public_key is None:
            return False
        require(is_signed(author, digest, public_key), f"unit {joint.hash} has a bad signature")
        return True


def _read_optional_list(answer: dict[str, Any], field: str) -> list[Any]:
    elements = answer.get(field, [])
    if not isinstance(elements, list):
        raise ProofError(f"{field} is no list")
    return elements


def _read_content(element: object, network: Network) -> Joint:
    """Reads a joint, without its content if the authors wrote what is not known here.

    To refuse the history for it would let anybody blind us with dust.
    """
    joint = read_joint(element, network)
    check_payloads(joint)
    try:
        check_content(joint, network)
    except ProofError as error:
        _logger.info("the content of unit %s counts as unknown: %s", joint.hash, error)
        return joint.without_content()
    check_sizes(joint)
    return joint


def _prove_balls(elements: Iterable[object], last_balls: Iterable[str]) -> dict[str, bool]:
    """Follows the proof chain back from the last balls (ocore `processHistory`).

    Returns:
        The proven units, each with whether it is void.
    """
    known = set(last_balls)
    proven: dict[str, bool] = {}
    for element in elements:
        ball = read_object(element, "a ball is no object")
        _check_ball(ball)
        require(ball["ball"] in known, "a ball is not connected to the last balls")
        known.update(ball.get("parent_balls", ()))
        known.update(ball.get("skiplist_balls", ()))
        proven[ball["unit"]] = ball.get("is_nonserial", False)
    return proven


def _check_ball(ball: dict[str, Any]) -> None:
    require(is_hash(ball.get("unit")) and is_hash(ball.get("ball")), "a ball without hashes")
    for field in ("parent_balls", "skiplist_balls"):
        require(field not in ball or is_hash_list(ball[field]), f"{field} are no hashes")
    require(ball.get("is_nonserial", True) is True, "is_nonserial is not true")
    parents, skiplist = ball.get("parent_balls", ()), ball.get("skiplist_balls", ())
    expected = ball_hash(ball["unit"], parents, skiplist, "is_nonserial" in ball)
    require(ball["ball"] == expected, f"the ball of unit {ball['unit']} is wrong")


def _judge(joint: Joint, is_nonserial: bool | None, signers: _Signers) -> HistoryUnit:
    is_stable = is_nonserial is not None
    return HistoryUnit(
        unit=joint.unit,
        hash=joint.hash,
        is_stable=is_stable,
        is_final_bad=is_nonserial is True,
        main_chain_index=joint.main_chain_index,
        is_signature_checked=is_stable or signers.have_signed(joint),
        is_stripped=joint.is_stripped,
    )


def _read_bounces(elements: Iterable[object], by_hash: Mapping[str, Joint]) -> tuple[dict[str, Any], ...]:
    answers = [read_object(element, "an agent's response is no object") for element in elements]
    for answer in answers:
        _check_agent_response(answer, by_hash)
    return tuple(answer for answer in answers if answer["bounced"])


def _check_agent_response(answer: dict[str, Any], by_hash: Mapping[str, Joint]) -> None:
    require(is_positive(answer.get("mci")), "an agent's response has no main chain index")
    require(is_address(answer.get("trigger_address")), "an agent's response has no trigger address")
    require(is_address(answer.get("aa_address")), "an agent's response has no agent")
    trigger = answer.get("trigger_unit")
    require(is_hash(trigger) and trigger in by_hash, "an agent's response is to a foreign trigger")
    is_told = is_natural(answer.get("bounced")) and answer["bounced"] <= 1
    require(is_told, "an agent's response neither bounced nor did not")
    has_unit = "response_unit" in answer
    require(not has_unit or is_hash(answer["response_unit"]), "an agent's response has a malformed unit")
    text = answer.get("response")
    try:
        json.loads(text if isinstance(text, str) else "")
    except (ValueError, RecursionError):
        raise ProofError("an agent's response is no JSON") from None
