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

from paypercall.obyte.address import HASH_LENGTH, PUBLIC_KEY_LENGTH
from paypercall.obyte.canonical import (
    encode_text,
    hash_base64,
    hash_base64_json,
    json_source_string,
    size,
    source_string,
)
from paypercall.obyte.errors import InvalidUnit
from paypercall.obyte.keys import Key

Unit = dict[str, Any]

SIGNATURE_PATH = "r"  # where a single-signature definition expects its signature

_PARENT_UNITS_SIZE = 2 * HASH_LENGTH  # however many there are
_TEMP_DATA_PRICE = 0.5  # bytes of fee for a byte of temporary data
_TEMP_DATA_KEY_SIZE = len("data")
_OUTSIDE_OF_HASHES = frozenset(
    ("unit", "headers_commission", "payload_commission", "oversize_fee", "actual_tps_fee", "main_chain_index")
)
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


def single_signature_key(definition: Any) -> str | None:
    """Returns the public key of a definition of the form `["sig", {"pubkey": …}]`, or None for any other."""
    if not isinstance(definition, list) or len(definition) != 2 or definition[0] != "sig":
        return None
    arguments = definition[1]
    if not isinstance(arguments, dict) or set(arguments) != {"pubkey"}:
        return None
    public_key = arguments["pubkey"]
    return public_key if isinstance(public_key, str) and len(public_key) == PUBLIC_KEY_LENGTH else None


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
