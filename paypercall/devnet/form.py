"""What can be said about a posted unit without the ledger: its shape, hashes, sizes and time.

The order of the checks and the texts of the refusals are those of ocore's validation, as far as clients see
them. A unit that passed has every field of the right type, so that the later checks need not ask again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from re import compile as compile_pattern
from typing import Any

from paypercall.devnet.fees import MAX_AGENT_RESPONSES
from paypercall.errors import PaypercallError
from paypercall.obyte.address import HASH_LENGTH, is_valid_address
from paypercall.obyte.network import Network
from paypercall.obyte.unit import headers_size, payload_hash, total_payload_size, unit_hash

MAX_MESSAGES = 128
MAX_UNIT_BYTES = 5_000_000
MAX_NESTING = 100
MAX_SECONDS_AHEAD = 5

_UNIT_FIELDS = {
    "unit",
    "version",
    "alt",
    "timestamp",
    "authors",
    "messages",
    "earned_headers_commission_recipients",
    "last_ball",
    "last_ball_unit",
    "parent_units",
    "headers_commission",
    "payload_commission",
    "oversize_fee",
    "tps_fee",
    "burn_fee",
    "max_aa_responses",
}
_malformed_character = compile_pattern("[\0\ud800-\udfff]")
_INPUT_TYPES = {"transfer", "issue", "headers_commission", "witnessing"}

# What a hash raises for a unit of the wrong shape: it may be anything that JSON can say.
_MALFORMED = (PaypercallError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Refused(PaypercallError):
    """A unit that the network does not take, with ocore's text where it has one."""

    code = "unit_refused"


def require(condition: bool, message: str) -> None:
    """Refuses a unit unless a condition holds.

    Raises:
        Refused: With the message.
    """
    if not condition:
        raise Refused(message)


def check_form(joint: dict[str, Any], network: Network, now: int) -> None:
    """Checks a joint, `{"unit": …}`, as far as possible by itself.

    Args:
        joint: From the wire, with a text in `unit.unit` and in `unit.version`.
        network: Whose versions and alt count.
        now: The network's time in seconds.

    Raises:
        Refused: With the text for the client.
    """
    unit = joint["unit"]
    suffix = network.version.removeprefix("4.0")
    require(unit["version"] not in {f"{number}.0{suffix}" for number in (1, 2, 3)}, "version is too old")
    _check_hash(unit)
    authors = unit[
        "authors"
    ]  # objects with texts as addresses, and messages are objects: else there is no hash
    if len(authors) == 1:
        require(bool(authors[0].get("authentifiers")), "possible AA")
    _check_depth_and_texts(joint)
    require(set(joint) <= {"unit"}, "unknown fields in unit-joint")
    require(set(unit) <= _UNIT_FIELDS, "unknown fields in unit")
    _check_fees(unit)
    _check_messages(unit)
    _check_sizes(unit)
    _check_version_and_time(unit, network, now)
    _check_references(unit)
    require(all(is_valid_address(author.get("address")) for author in authors), "invalid author address")


def is_integer(value: Any) -> bool:
    """Tells whether a JSON value is an integer; true and false are none."""
    return type(value) is int


def is_positive(value: Any) -> bool:
    """Tells whether a JSON value is an integer above 0."""
    return type(value) is int and value > 0


def is_natural(value: Any) -> bool:
    """Tells whether a JSON value is an integer from 0 up."""
    return type(value) is int and value >= 0


def is_text_of(length: int, value: Any) -> bool:
    """Tells whether a JSON value is a text of a length."""
    return isinstance(value, str) and len(value) == length


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(element, kind) for element in value)


def _check_hash(unit: dict[str, Any]) -> None:
    require(is_text_of(HASH_LENGTH, unit["unit"]), "wrong unit length")
    try:
        actual = unit_hash(unit)
    except _MALFORMED as error:
        raise Refused(f"failed to calc unit hash: Error: {error}") from error
    require(actual == unit["unit"], f"wrong unit hash: {actual} != {unit['unit']}")


def _check_depth_and_texts(joint: dict[str, Any]) -> None:
    for depth, value in _walk(joint, 0):
        require(depth <= MAX_NESTING, "unit is too deeply nested")
        if isinstance(value, str):
            is_well_formed = _malformed_character.search(value) is None
            require(is_well_formed, "unit contains invalid string (lone surrogate or null byte)")


def _walk(value: Any, depth: int) -> Iterator[tuple[int, Any]]:
    stack: list[tuple[int, Any]] = [(depth, value)]
    while stack:
        depth, value = stack.pop()
        yield depth, value
        children: Iterable[Any] = ()
        if isinstance(value, dict):
            children = [*value, *value.values()]
        elif isinstance(value, list):
            children = value
        stack.extend((depth + 1, child) for child in children)


def _check_fees(unit: dict[str, Any]) -> None:
    require(type(unit.get("headers_commission")) in (int, float), "no headers_commission")
    require(type(unit.get("payload_commission")) in (int, float), "no payload_commission")
    require(is_positive(unit.get("oversize_fee", 1)), "bad oversize_fee")
    require(is_natural(unit.get("tps_fee", 0)), "bad tps_fee")
    require(is_positive(unit.get("burn_fee", 1)), "bad burn_fee")
    responses = unit.get("max_aa_responses", 1)
    require(is_natural(responses), "bad max_aa_responses")
    require(responses <= MAX_AGENT_RESPONSES, "max_aa_responses too large")
    require(responses > 0, "max_aa_responses=0 not allowed in new units")


def _check_messages(unit: dict[str, Any]) -> None:
    messages: Any = unit.get("messages")
    require(bool(messages), "missing or empty messages array")
    require(len(messages) <= MAX_MESSAGES, "too many messages")
    for message in messages:
        _check_payload_hash(message)
    is_sound = all(_is_sound_payment(m.get("payload")) for m in messages if m.get("app") == "payment")
    require(is_sound, "invalid payment message")


def _check_payload_hash(message: dict[str, Any]) -> None:
    location = message.get("payload_location")
    require(isinstance(location, str), "bad payload_location")
    require(location in ("inline", "none", "uri"), f"invalid payload_location: {location}")
    require(is_text_of(HASH_LENGTH, message.get("payload_hash")), "wrong payload hash size")
    require(location == "inline", "the local network carries inline payloads only")
    require(message.get("payload") is not None, "missing payload")
    try:
        expected = payload_hash(message["payload"])
    except _MALFORMED as error:
        raise Refused(f"failed to calc payload hash: Error: {error}") from error
    actual = message["payload_hash"]
    require(expected == actual, f"wrong payload hash: expected {expected}, got {actual}")


def _is_sound_payment(payload: Any) -> bool:
    if not isinstance(payload, dict):
        return False
    if "asset" in payload and not is_text_of(HASH_LENGTH, payload["asset"]):
        return False
    outputs: Any = payload.get("outputs")
    inputs: Any = payload.get("inputs")
    return (
        _is_list_of(dict, outputs)
        and all(is_valid_address(o.get("address")) and is_positive(o.get("amount")) for o in outputs)
        and _is_list_of(dict, inputs)
        and all(source.get("type", "issue") in _INPUT_TYPES for source in inputs)
    )


def _check_sizes(unit: dict[str, Any]) -> None:
    headers, payload = headers_size(unit), total_payload_size(unit)
    require(unit["headers_commission"] == headers, f"wrong headers commission, expected {headers}")
    require(
        unit["payload_commission"] == payload,
        f"wrong payload commission, unit {unit['unit']}, expected {payload}",
    )
    require(headers + payload <= MAX_UNIT_BYTES, "unit too large")


def _check_version_and_time(unit: dict[str, Any], network: Network, now: int) -> None:
    require(unit["version"] == network.version, "wrong version")
    require(unit.get("alt") == network.alt, "wrong alt")
    require(is_positive(unit.get("timestamp")), f"timestamp required in version {unit['version']}")
    require(unit["timestamp"] <= now + MAX_SECONDS_AHEAD, "timestamp is too far into the future")


def _check_references(unit: dict[str, Any]) -> None:
    parents: Any = unit.get("parent_units")
    require(isinstance(parents, list) and bool(parents), "missing or empty parent units array")
    require(all(is_text_of(HASH_LENGTH, parent) for parent in parents), "wrong length of parent unit")
    require(is_text_of(HASH_LENGTH, unit.get("last_ball")), "wrong length of last ball")
    require(is_text_of(HASH_LENGTH, unit.get("last_ball_unit")), "wrong length of last ball unit")
