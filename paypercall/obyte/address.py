"""Obyte addresses: a checksummed hash of the definition of who may sign.

An address is a *chash160*: 128 bits of a RIPEMD-160 and 32 checksum bits, mixed at positions that the
digits of pi give, in base32. This module makes and checks addresses; it must not know what a definition
means.
"""

from __future__ import annotations

import hashlib
from base64 import b32decode, b32encode, b64encode
from binascii import Error as InvalidEncoding
from binascii import a2b_base64
from functools import lru_cache
from itertools import accumulate
from re import compile as compile_pattern
from typing import Any

from paypercall.obyte.canonical import encode_text, json_source_string, source_string
from paypercall.obyte.ripemd160 import ripemd160

ADDRESS_LENGTH = 32
HASH_LENGTH = 44
PUBLIC_KEY_LENGTH = 44

_CHASH_BITS = 160
_PI_DECIMALS = "14159265358979323846264338327950288419716939937510"
_CACHED_TEXT_LENGTH = 256  # enough for single signatures; with longer texts strangers could fill the memory


def _checksum_positions() -> tuple[int, ...]:
    positions = accumulate(int(digit) for digit in _PI_DECIMALS if digit != "0")
    return tuple(position for position in positions if position < _CHASH_BITS)


_CHECKSUM_POSITIONS = _checksum_positions()
_CLEAN_POSITIONS = tuple(i for i in range(_CHASH_BITS) if i not in _CHECKSUM_POSITIONS)
_address_shape = compile_pattern(f"[A-Z2-7]{{{ADDRESS_LENGTH}}}")


def chash160(text_or_bytes: str | bytes) -> str:
    """Returns the 32-character checksummed hash of raw text or bytes (ocore `chash`)."""
    if len(text_or_bytes) <= _CACHED_TEXT_LENGTH:
        return _cached_chash160(text_or_bytes)
    return _chash160(text_or_bytes)


def definition_address(definition: Any) -> str:
    """Returns the address of a definition, such as `["sig", {"pubkey": …}]` or an agent's.

    Only a two-element array that starts with "autonomous agent" is hashed by its JSON source string, every
    other definition by its source string (ocore `object_hash`).

    Raises:
        CanonicalError: The definition has no canonical form.
    """
    is_agent = isinstance(definition, list) and len(definition) == 2 and definition[0] == "autonomous agent"
    return chash160(json_source_string(definition) if is_agent else source_string(definition))


def device_address(public_key: str) -> str:
    """Returns a device's address: 0, which no payment address can start with, and the chash of its key."""
    return "0" + chash160("s\x00" + public_key)


def is_valid_address(candidate: Any) -> bool:
    """Tells whether something is a payment or agent address with a correct checksum."""
    if not isinstance(candidate, str) or not _address_shape.fullmatch(candidate):
        return False
    bits = _to_bits(b32decode(candidate))
    clean = _to_bytes("".join([bits[i] for i in _CLEAN_POSITIONS]))
    return _checksum(clean) == _to_bytes("".join([bits[i] for i in _CHECKSUM_POSITIONS]))


def is_valid_device_address(candidate: Any) -> bool:
    """Tells whether something is a device address with a correct checksum."""
    return isinstance(candidate, str) and candidate[:1] == "0" and is_valid_address(candidate[1:])


def is_valid_base64(candidate: Any, length: int | None = None) -> bool:
    """Tells whether something is canonical base64 (padded, standard alphabet, no stray bits).

    Args:
        candidate: Anything.
        length: The number of characters it must have.
    """
    if not isinstance(candidate, str) or (length is not None and len(candidate) != length):
        return False
    try:
        return b64encode(a2b_base64(candidate)).decode() == candidate
    except (InvalidEncoding, ValueError):
        return False


def _chash160(text_or_bytes: str | bytes) -> str:
    data = encode_text(text_or_bytes) if isinstance(text_or_bytes, str) else text_or_bytes
    clean = ripemd160(data)[4:]
    mixed = list(_to_bits(clean))
    for position, bit in zip(_CHECKSUM_POSITIONS, _to_bits(_checksum(clean)), strict=True):
        mixed.insert(position, bit)
    return b32encode(_to_bytes("".join(mixed))).decode()


_cached_chash160 = lru_cache(maxsize=4096)(_chash160)


def _checksum(clean: bytes) -> bytes:
    digest = hashlib.sha256(clean).digest()
    return bytes((digest[5], digest[13], digest[21], digest[29]))


def _to_bits(data: bytes) -> str:
    return format(int.from_bytes(data, "big"), f"0{8 * len(data)}b")


def _to_bytes(bits: str) -> bytes:
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
