"""Units, the transactions of Obyte: their hashes, sizes and signatures.

A unit is a plain dict, exactly as it travels. Nothing here changes one that is handed in, and nothing here
knows the ledger: whether coins exist or fees suffice is not for this module to say. Units of the versions
1.0 and 2.0 are read, too, because proofs reach back to them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import ceil
from re import Pattern
from re import compile as compile_pattern
from typing import Any

from paypercall.obyte.address import HASH_LENGTH, PUBLIC_KEY_LENGTH, definition_address, is_valid_base64
from paypercall.obyte.canonical import (
    encode_text,
    hash_base64,
    hash_base64_json,
    json_source_string,
    size,
    source_string,
)
from paypercall.obyte.errors import InvalidUnit
from paypercall.obyte.keys import Key, verify_signature

Unit = dict[str, Any]

SIGNATURE_PATH = "r"  # where a single-signature definition expects its signature

_PARENT_UNITS_SIZE = 2 * HASH_LENGTH  # however many there are
_TEMP_DATA_PRICE = 0.5  # bytes of fee for a byte of temporary data
_TEMP_DATA_KEY_SIZE = len("data")
_OUTSIDE_OF_HASHES = frozenset(
    ("unit", "headers_commission", "payload_commission", "oversize_fee", "actual_tps_fee", "main_chain_index")
)
_STRIPPED_FIELDS = frozenset(
    ("unit", "version", "alt", "timestamp", "authors", "witness_list_unit", "witnesses", "content_hash")
) | {"parent_units", "last_ball", "last_ball_unit", "main_chain_index", "actual_tps_fee"}
_version_1 = compile_pattern("1\\.0[a-z]*")
_version_without_key_sizes = compile_pattern("[12]\\.0[a-z]*")


def payload_hash(payload: Any) -> str:
    """Returns the hash of a message's payload, as in every version after 1.0."""
    return hash_base64_json(payload)


def message_payload_hash(message: Mapping[str, Any], version: Any) -> str:
    """Returns the hash of a message's payload in a unit of the given version, without temporary data.

    Raises:
        CanonicalError: The payload cannot be hashed.
    """
    payload = message.get("payload")
    if message.get("app") == "temp_data" and isinstance(payload, dict):
        payload = {name: value for name, value in payload.items() if name != "data"}
    return hash_base64(payload) if _matches(_version_1, version) else hash_base64_json(payload)


def content_hash(unit: Unit) -> str:
    """Returns the hash of everything in a unit but the payloads, whose hashes stand for them.

    Raises:
        InvalidUnit: The unit has no such shape.
        CanonicalError: It cannot be hashed.
    """
    return _hash(_naked(unit), unit)


def unit_hash(unit: Unit) -> str:
    """Returns the hash that names a unit, from the whole unit or from a stripped one.

    Raises:
        InvalidUnit: The unit has no such shape.
        CanonicalError: It cannot be hashed.
    """
    return _hash(_naked(unit) if unit.get("content_hash") else stripped_unit(unit), unit)


def stripped_unit(unit: Unit) -> Unit:
    """Returns what is left of a unit without its content: the part that the unit's hash is taken of.

    Raises:
        InvalidUnit: The unit has no such shape.
        CanonicalError: The content cannot be hashed.
    """
    stripped: Unit = {
        "content_hash": content_hash(unit),
        "version": unit.get("version"),
        "alt": unit.get("alt"),
        "authors": [{"address": author.get("address")} for author in _authors(unit)],
    }
    if unit.get("witness_list_unit"):
        stripped["witness_list_unit"] = unit["witness_list_unit"]
    elif unit.get("witnesses"):
        stripped["witnesses"] = unit["witnesses"]
    if unit.get("parent_units"):
        for name in ("parent_units", "last_ball", "last_ball_unit"):
            stripped[name] = unit.get(name)
    if not _is_version_1(unit):
        stripped["timestamp"] = unit.get("timestamp")
    return stripped


def hash_to_sign(unit: Unit) -> bytes:
    """Returns the 32-byte digest that the authors of a unit sign.

    Raises:
        InvalidUnit: The unit has no such shape.
        CanonicalError: It cannot be hashed.
    """
    unsigned = _naked(unit)
    unsigned["authors"] = [
        {name: value for name, value in author.items() if name != "authentifiers"}
        for author in _authors(unit)
    ]
    is_old = "version" not in unit or _is_version_1(unit)
    text = source_string(unsigned) if is_old else json_source_string(unsigned)
    return hashlib.sha256(encode_text(text)).digest()


def ball_hash(
    unit: str, parent_balls: Sequence[str], skiplist_balls: Sequence[str] = (), is_nonserial: bool = False
) -> str:
    """Returns the hash of a ball: a stable unit together with everything before it.

    Args:
        unit: The unit's hash.
        parent_balls: The balls of its parents, sorted; none for the genesis unit.
        skiplist_balls: The balls of its skiplist, sorted.
        is_nonserial: Whether the unit turned out bad.
    """
    ball: dict[str, Any] = {"unit": unit}
    if parent_balls:
        ball["parent_balls"] = list(parent_balls)
    if skiplist_balls:
        ball["skiplist_balls"] = list(skiplist_balls)
    if is_nonserial:
        ball["is_nonserial"] = True
    return hash_base64(ball)


def headers_size(unit: Unit) -> int:
    """Returns the headers commission in bytes: the size of everything but the messages.

    Raises:
        InvalidUnit: The unit is stripped of its content.
        CanonicalError: It holds what has no size.
    """
    _refuse_stripped(unit)
    with_keys = _counts_keys(unit)
    not_counted = _OUTSIDE_OF_HASHES | {"messages", "parent_units"}
    if _is_version_1(unit):
        not_counted |= {"timestamp"}
    headers = {name: value for name, value in unit.items() if name not in not_counted}
    key_size = len("parent_units") if with_keys else 0
    return size(headers, with_keys=with_keys) + _PARENT_UNITS_SIZE + key_size


def total_payload_size(unit: Unit) -> int:
    """Returns the payload commission in bytes: the size of the messages, temporary data at half the price.

    Raises:
        InvalidUnit: The unit is stripped of its content, or has no messages.
        CanonicalError: It holds what has no size.
    """
    _refuse_stripped(unit)
    messages = [_without_temp_data(message) for message in _messages(unit)]
    return paid_temp_data_fee(unit) + size({"messages": messages}, with_keys=_counts_keys(unit))


def temp_data_length(unit: Unit) -> float:
    """Returns how many bytes of temporary data the unit says it carries, their key included.

    Raises:
        InvalidUnit: The unit has no messages.
    """
    lengths: list[float] = [
        message["payload"]["data_length"] for message in _messages(unit) if _is_temp_data(message)
    ]
    return sum(length + _TEMP_DATA_KEY_SIZE for length in lengths)


def paid_temp_data_fee(unit: Unit) -> int:
    """Returns the part of the payload commission, in bytes, that pays for temporary data.

    Raises:
        InvalidUnit: The unit has no messages, or the length of its temporary data is not finite.
    """
    try:
        return ceil(temp_data_length(unit) * _TEMP_DATA_PRICE)
    except (OverflowError, ValueError):
        raise InvalidUnit("the length of the temporary data is not finite") from None


def sign_unit(unit: Unit, key: Key) -> Unit:
    """Returns a copy of a unit, signed by the author whose key is given and with the hash that names it.

    With several authors, sign one after the other: the last hash is the unit's. Commissions are not
    touched; they must count the signatures already.

    Raises:
        InvalidUnit: The key's address is no author.
        CanonicalError: The unit cannot be hashed.
    """
    authors = _authors(unit)
    if all(author.get("address") != key.address for author in authors):
        raise InvalidUnit("the key's address is not among the authors")
    authentifiers = {SIGNATURE_PATH: key.sign(hash_to_sign(unit))}
    signed = {name: value for name, value in unit.items() if name != "unit"}
    signed["authors"] = [
        {**author, "authentifiers": authentifiers} if author.get("address") == key.address else author
        for author in authors
    ]
    signed["unit"] = unit_hash(signed)
    return signed


def check_unit(unit: Any, definitions: Mapping[str, Any] | None = None) -> frozenset[str]:
    """Checks all that a unit says about itself: its hash, those of its payloads, its sizes and signatures.

    Of a stripped unit, only the hash can be checked.

    Args:
        unit: As it came from the hub.
        definitions: Known definitions by address, for authors that carry none.

    Returns:
        The authors whose single signature was verified. An agent, for one, does not sign: its units can
        only be proven.

    Raises:
        InvalidUnit: The unit contradicts itself, or a signature is wrong.
        CanonicalError: The unit cannot be hashed.
    """
    if not isinstance(unit, dict) or not isinstance(unit.get("unit"), str):
        raise InvalidUnit("there is no unit")
    if unit_hash(unit) != unit["unit"]:
        raise InvalidUnit("the unit's hash is wrong")
    if "content_hash" in unit:
        if not is_valid_base64(unit["content_hash"], HASH_LENGTH) or not _STRIPPED_FIELDS.issuperset(unit):
            raise InvalidUnit("the stripped unit has other fields than a stripped unit may have")
        return frozenset()
    for message in _messages(unit):
        _check_payload(message, unit.get("version"))
    if unit.get("headers_commission") != headers_size(unit):
        raise InvalidUnit("the headers commission is wrong")
    if unit.get("payload_commission") != total_payload_size(unit):
        raise InvalidUnit("the payload commission is wrong")
    return check_signatures(unit, definitions)


def check_signatures(unit: Unit, definitions: Mapping[str, Any] | None = None) -> frozenset[str]:
    """Checks the signatures of the authors that have a single-signature definition, carried or known.

    Args:
        unit: The whole unit.
        definitions: Known definitions by address, for authors that carry none.

    Returns:
        The authors whose signature was verified.

    Raises:
        InvalidUnit: A signature is missing or wrong, or a carried definition is not the address's own.
        CanonicalError: The unit cannot be hashed.
    """
    known = definitions or {}
    digest = hash_to_sign(unit)
    verified = set()
    for author in _authors(unit):
        address = author.get("address")
        definition = author["definition"] if "definition" in author else known.get(str(address))
        if definition is None:
            continue
        if definition_address(definition) != address:
            raise InvalidUnit("an author's definition is not that of the address")
        public_key = single_signature_key(definition)
        if public_key is None:
            continue
        if not _is_signed(author.get("authentifiers"), digest, public_key):
            raise InvalidUnit("an author's signature is missing or wrong")
        verified.add(address)
    return frozenset(verified)


def single_signature_key(definition: Any) -> str | None:
    """Returns the public key of a definition of the form `["sig", {"pubkey": …}]`, or None for any other."""
    if not isinstance(definition, list) or len(definition) != 2 or definition[0] != "sig":
        return None
    arguments = definition[1]
    if not isinstance(arguments, dict) or set(arguments) != {"pubkey"}:
        return None
    public_key = arguments["pubkey"]
    return public_key if isinstance(public_key, str) and len(public_key) == PUBLIC_KEY_LENGTH else None


def _is_signed(authentifiers: Any, digest: bytes, public_key: str) -> bool:
    if not isinstance(authentifiers, dict) or set(authentifiers) != {SIGNATURE_PATH}:
        return False
    return verify_signature(digest, authentifiers[SIGNATURE_PATH], public_key)


def _check_payload(message: dict[str, Any], version: Any) -> None:
    if message.get("payload_location") != "inline":
        if "payload" in message:
            raise InvalidUnit("a message has a payload that it says is elsewhere")
        return
    if message_payload_hash(message, version) != message.get("payload_hash"):
        raise InvalidUnit("the hash of a payload is wrong")
    payload = message["payload"]
    if message.get("app") != "temp_data" or "data" not in payload:
        return
    if hash_base64_json(payload["data"]) != payload.get("data_hash"):
        raise InvalidUnit("the hash of temporary data is wrong")


def _naked(unit: Unit) -> Unit:
    naked = {name: value for name, value in unit.items() if name not in _OUTSIDE_OF_HASHES}
    if _is_version_1(unit):
        naked.pop("timestamp", None)
    if naked.get("messages") is not None:
        naked["messages"] = [
            {name: value for name, value in message.items() if name not in ("payload", "payload_uri")}
            for message in _messages(unit)
        ]
    return naked


def _hash(value: Any, unit: Unit) -> str:
    return hash_base64(value) if _is_version_1(unit) else hash_base64_json(value)


def _is_version_1(unit: Unit) -> bool:
    return _matches(_version_1, unit.get("version"))


def _counts_keys(unit: Unit) -> bool:
    return not _matches(_version_without_key_sizes, unit.get("version"))


def _matches(pattern: Pattern[str], version: Any) -> bool:
    return isinstance(version, str) and pattern.fullmatch(version) is not None


def _authors(unit: Unit) -> list[dict[str, Any]]:
    return _dicts(unit, "authors")


def _messages(unit: Unit) -> list[dict[str, Any]]:
    return _dicts(unit, "messages")


def _dicts(unit: Unit, name: str) -> list[dict[str, Any]]:
    values = unit.get(name)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise InvalidUnit(f"the unit has no proper {name}")
    return values


def _refuse_stripped(unit: Unit) -> None:
    if unit.get("content_hash"):
        raise InvalidUnit("a stripped unit has no size")


def _is_temp_data(message: dict[str, Any]) -> bool:
    payload = message.get("payload")
    if message.get("app") != "temp_data" or not isinstance(payload, dict):
        return False
    length = payload.get("data_length")
    return isinstance(length, (int, float)) and not isinstance(length, bool)


def _without_temp_data(message: dict[str, Any]) -> dict[str, Any]:
    # Data that JavaScript takes for false is not taken out, and so is paid in full (ocore `extractTempData`).
    if not _is_temp_data(message) or message["payload"].get("data") in (None, False, 0, ""):
        return message
    payload = {name: value for name, value in message["payload"].items() if name != "data"}
    return {**message, "payload": payload}
