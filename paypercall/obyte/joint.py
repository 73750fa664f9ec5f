"""Joints: units as a hub hands them over, each with what the hub adds to it.

Checks what a unit says of itself: its shape, its hashes, its sizes and, under a given key, its signatures.
What a hub can have changed is told apart from what only the authors can have written, because anybody may send
us a unit of a form that is not known here. Whether the unit is on the ledger, is stable or pays anybody is not
decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from paypercall.obyte.address import definition_address
from paypercall.obyte.canonical import hash_base64_json
from paypercall.obyte.errors import CanonicalError, ObyteError, ProofError
from paypercall.obyte.keys import verify_signature
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
)
from paypercall.obyte.unit import (
    SIGNATURE_PATH,
    Unit,
    headers_size,
    message_payload_hash,
    stripped_unit,
    total_payload_size,
    unit_hash,
)

# Limits of ocore `constants`; the genesis unit is exempt from the number of messages.
MOST_AUTHORS = 16
MOST_PARENTS = 16
MOST_MESSAGES = 128

_SUPPORTED_VERSIONS = ("1.0", "2.0", "3.0", "4.0")

_JOINT_FIELDS = {"unit", "ball", "skiplist_units"}
_HUB_FIELDS = {"main_chain_index", "actual_tps_fee"}  # added by the hub, covered by no hash
_KEPT_FIELDS = {"unit", "timestamp", *_HUB_FIELDS}
_LINK_FIELDS = {"parent_units", "last_ball", "last_ball_unit"}
_SIZE_FIELDS = {"headers_commission", "payload_commission"}
_IDENTITY_FIELDS = {"unit", "version", "alt", "timestamp", "authors", "witness_list_unit", "witnesses"}
_HEADER_FIELDS = _IDENTITY_FIELDS | _LINK_FIELDS | _HUB_FIELDS
_FULL_FIELDS = (
    _HEADER_FIELDS
    | _SIZE_FIELDS
    | {"messages", "earned_headers_commission_recipients"}
    | {"oversize_fee", "tps_fee", "burn_fee", "max_aa_responses"}
)
_STRIPPED_FIELDS = _HEADER_FIELDS | {"content_hash"}
_AUTHOR_FIELDS = {"address", "authentifiers", "definition"}
_INPUT_TYPES = ("transfer", "issue", "headers_commission", "witnessing")


@dataclass(frozen=True, slots=True)
class Joint:
    """A unit whose header and hash have been checked.

    Attributes:
        unit: The unit exactly as on the wire, unless its content was taken out.
        ball: What the hub says is the unit's ball, or None. No proof.
    """

    unit: Unit
    ball: str | None

    @property
    def hash(self) -> str:
        """The unit's hash."""
        return str(self.unit["unit"])

    @property
    def main_chain_index(self) -> int | None:
        """The hub's word on where the unit is in the main chain's order. No hash covers it."""
        index: int | None = self.unit.get("main_chain_index")
        return index

    @property
    def is_stripped(self) -> bool:
        """Whether the unit is without its messages, with only the hash of its content."""
        return "content_hash" in self.unit

    def without_content(self) -> Joint:
        """The joint as if the unit had come stripped, under the same hash."""
        kept = {name: self.unit[name] for name in _KEPT_FIELDS if name in self.unit}
        return replace(self, unit={**stripped_unit(self.unit), **kept})


def read_joint(value: object, network: Network) -> Joint:
    """Returns a joint whose unit has the header of this network's units and the hash it claims.

    The value must be plain JSON already. Payloads and fees are no part of the unit's hash: `check_payloads`
    and `check_sizes` are for them, and `check_content` for the form of the rest.

    Raises:
        ProofError: It is no such joint.
    """
    joint = read_object(value, "a joint is no object")
    require(joint.keys() <= _JOINT_FIELDS, "a joint has unknown fields")
    ball = joint.get("ball")
    require(ball is None or is_hash(ball), "a joint's ball is no hash")
    if "skiplist_units" in joint:
        require(is_hash_list(joint["skiplist_units"]), "a skiplist is no list of hashes")
        require(ball is not None, "a joint has a skiplist and no ball")
    unit = read_object(joint.get("unit"), "a joint without a unit")
    _check_header(unit, network)
    if "content_hash" in unit:
        _check_stripped(unit)
        require(ball is not None, "a unit without its messages has no ball")
    else:
        for field in sorted(_SIZE_FIELDS):
            require(is_natural(unit.get(field)), f"a unit has no {field}")
    require(_computed_hash(unit) == unit["unit"], f"unit {unit['unit']} has a wrong hash")
    return Joint(unit, ball)


def check_payloads(joint: Joint) -> None:
    """Checks that the payloads are the ones that the unit's hash covers.

    Raises:
        ProofError: A payload is missing or foreign.
    """
    for message in joint.unit.get("messages", ()):
        location = message.get("payload_location")
        is_uri_given = "payload_uri" in message  # like the payload, the unit's hash leaves it out
        require(location == "uri" or not is_uri_given, f"unit {joint.hash} has a stray uri")
        if location in ("none", "uri"):
            require("payload" not in message, f"unit {joint.hash} has a payload where there should be none")
        if location == "inline":
            _check_payload(message, joint.unit)


def check_content(joint: Joint, network: Network) -> None:
    """Checks that the content has a form that is known here.

    After `check_payloads`, all that is looked at is covered by hashes: what fails here was written so by the
    authors, and no hub can bring it about.

    Raises:
        ProofError: The content cannot be read.
    """
    unit = joint.unit
    if joint.is_stripped:
        return
    require(unit.keys() <= _FULL_FIELDS, "a unit has unknown fields")
    for author in unit["authors"]:
        require(author.keys() <= _AUTHOR_FIELDS, "an author has unknown fields")
    for field in ("tps_fee", "max_aa_responses"):
        require(is_natural(unit.get(field, 0)), f"a unit's {field} is no integer")
    require(is_positive(unit.get("burn_fee", 1)), "a unit's burn_fee is no positive integer")
    messages = read_filled_list(unit.get("messages"), "a unit has no messages")
    is_genesis = joint.hash == network.genesis_unit
    require(is_genesis or len(messages) <= MOST_MESSAGES, "a unit has too many messages")
    for message in messages:
        require(isinstance(message.get("app"), str), "a message has no app")
        require(message.get("payload_location") in ("inline", "none", "uri"), "a payload is nowhere")
        require(is_hash(message.get("payload_hash")), "a message has no payload hash")
        if message["app"] == "payment" and "payload" in message:
            _check_payment(message["payload"])
        if message["app"] == "temp_data" and "payload" in message:
            payload = read_object(message["payload"], "temporary data is no object")
            require(is_positive(payload.get("data_length")), "temporary data has no length")


def check_sizes(joint: Joint) -> None:
    """Checks the two fees for size, which no hash covers.

    Raises:
        ProofError: A fee is not what the unit's size demands.
    """
    unit = joint.unit
    if joint.is_stripped:
        return
    try:
        sizes = (headers_size(unit), total_payload_size(unit))
    except ObyteError as error:
        raise ProofError(f"unit {joint.hash} has no size: {error}") from None
    require(sizes[0] == unit["headers_commission"], f"unit {joint.hash} has a wrong headers commission")
    require(sizes[1] == unit["payload_commission"], f"unit {joint.hash} has a wrong payload commission")


def address_of(definition: object) -> str:
    """Returns the address that a definition hashes to.

    Raises:
        ProofError: The definition has no hash.
    """
    try:
        return definition_address(definition)
    except CanonicalError as error:
        raise ProofError(f"a definition has no hash: {error}") from None


def is_signed(author: dict[str, Any], digest: bytes, public_key: str) -> bool:
    """Tells whether an author's only authentifier is a signature of the digest with the key."""
    authentifiers = author.get("authentifiers", {})
    return authentifiers.keys() == {SIGNATURE_PATH} and verify_signature(
        digest, authentifiers[SIGNATURE_PATH], public_key
    )


def _check_header(unit: Unit, network: Network) -> None:
    require(is_hash(unit.get("unit")), "a unit's hash is none")
    suffix = network.version.lstrip("0123456789.")
    version = unit.get("version")
    require(version in [number + suffix for number in _SUPPORTED_VERSIONS], "a unit is of another version")
    require(unit.get("alt") == network.alt, "a unit is of another ledger")
    require(is_positive(unit.get("timestamp")), "a unit has no timestamp")
    for field in sorted(_HUB_FIELDS):
        require(unit.get(field) is None or is_natural(unit[field]), f"a unit's {field} is no integer")
    require(is_positive(unit.get("oversize_fee", 1)), "a unit's oversize_fee is no positive integer")
    _check_links(unit, network)
    authors = read_filled_list(unit.get("authors"), "a unit has no list of authors")
    require(len(authors) <= MOST_AUTHORS, "a unit has too many authors")
    for author in authors:
        _check_author(author)
    addresses = [author["address"] for author in authors]
    require(len(set(addresses)) == len(addresses), "a unit names an author twice")


def _check_links(unit: Unit, network: Network) -> None:
    if unit["unit"] == network.genesis_unit:
        require(unit.keys().isdisjoint(_LINK_FIELDS), "the first unit has parents")
        return
    require(is_hash_list(unit.get("parent_units")), "a unit's parents are no list of hashes")
    require(len(unit["parent_units"]) <= MOST_PARENTS, "a unit has too many parents")
    require(is_hash(unit.get("last_ball")) and is_hash(unit.get("last_ball_unit")), "a unit has no last ball")


def _check_author(value: object) -> None:
    author = read_object(value, "an author is no object")
    require(is_address(author.get("address")), "an author has no address")
    if "authentifiers" in author:
        authentifiers = read_object(author["authentifiers"], "authentifiers are no object")
        require(all(isinstance(text, str) for text in authentifiers.values()), "an authentifier is no text")
    if "definition" in author:
        read_filled_list(author["definition"], "a definition is no list")


def _check_stripped(unit: Unit) -> None:
    require(unit.keys() <= _STRIPPED_FIELDS, "a unit without its messages has unknown fields")
    require(is_hash(unit["content_hash"]), "a unit's content hash is none")
    is_unsigned = all(author.keys() == {"address"} for author in unit["authors"])
    require(is_unsigned, "a unit without its messages is signed")


def _computed_hash(unit: Unit) -> str:
    try:
        return unit_hash(unit)
    except ObyteError as error:
        raise ProofError(f"unit {unit['unit']} cannot be hashed: {error}") from None


def _check_payload(message: dict[str, Any], unit: Unit) -> None:
    payload = message.get("payload")
    require(payload is not None, f"unit {unit['unit']} lacks a payload")
    is_its_own = _computed_payload_hash(message, unit) == message.get("payload_hash")
    require(is_its_own, f"unit {unit['unit']} has a wrong payload hash")
    if message.get("app") != "temp_data" or not isinstance(payload, dict) or "data" not in payload:
        return
    # The data itself, while it is kept, is not part of the payload's hash but has one of its own.
    try:
        data_hash = hash_base64_json(payload["data"])
    except CanonicalError as error:
        raise ProofError(f"temporary data cannot be hashed: {error}") from None
    require(data_hash == payload.get("data_hash"), "temporary data has a wrong hash")


def _computed_payload_hash(message: dict[str, Any], unit: Unit) -> str:
    try:
        return message_payload_hash(message, unit["version"])
    except CanonicalError as error:
        raise ProofError(f"unit {unit['unit']} has a payload that cannot be hashed: {error}") from None


def _check_payment(value: object) -> None:
    payload = read_object(value, "a payment is no object")
    require("asset" not in payload or is_hash(payload["asset"]), "a payment's asset is none")
    for element in read_filled_list(payload.get("outputs"), "a payment has no outputs"):
        output = read_object(element, "an output is no object")
        require(is_address(output.get("address")), "an output has no address")
        require(is_positive(output.get("amount")), "an output has no amount")
    for element in read_filled_list(payload.get("inputs"), "a payment has no inputs"):
        spent = read_object(element, "an input is no object")
        # A transfer is mostly left unsaid, but may be said (ocore validation).
        input_type = spent.get("type", "transfer")
        require(input_type in _INPUT_TYPES, "an input is of an unknown type")
        if input_type != "transfer":
            continue
        require(is_hash(spent.get("unit")), "an input has no unit")
        indices = (spent.get("message_index"), spent.get("output_index"))
        require(all(map(is_natural, indices)), "an input has no index")
