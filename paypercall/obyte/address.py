"""Obyte addresses: a checksummed hash of the definition of who may sign.

An address is a *chash160*: 128 bits of a RIPEMD-160 and 32 checksum bits, mixed at positions that the
digits of pi give, in base32. This module makes and checks addresses; it must not know what a definition
means.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode, b64encode
from binascii import Error as InvalidEncoding
from binascii import a2b_base64
from functools import lru_cache
from itertools import accumulate
from operator import itemgetter
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

_steps = accumulate(int(digit) for digit in _PI_DECIMALS if digit != "0")
_CHECKSUM_POSITIONS = [position for position in _steps if position < _CHASH_BITS]
_CLEAN_POSITIONS = [position for position in range(_CHASH_BITS) if position not in _CHECKSUM_POSITIONS]
_PLACES = {position: place for place, position in enumerate(_CLEAN_POSITIONS + _CHECKSUM_POSITIONS)}
_pick_clean = itemgetter(*_CLEAN_POSITIONS)
_pick_checksum = itemgetter(*_CHECKSUM_POSITIONS)
_mix = itemgetter(*(_PLACES[position] for position in range(_CHASH_BITS)))
_BASE32_TO_DIGITS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdefghijklmnopqrstuv")
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
    bits = format(int(candidate.translate(_BASE32_TO_DIGITS), 32), f"0{_CHASH_BITS}b")
    return _checksum(_to_bytes("".join(_pick_clean(bits)))) == _to_bytes("".join(_pick_checksum(bits)))


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
    bits = _to_bits(clean + _checksum(clean))
    return b32encode(_to_bytes("".join(_mix(bits)))).decode()


_cached_chash160 = lru_cache(maxsize=4096)(_chash160)


def _checksum(clean: bytes) -> bytes:
    digest = hashlib.sha256(clean).digest()
    return bytes((digest[5], digest[13], digest[21], digest[29]))


def _to_bits(data: bytes) -> str:
    return format(int.from_bytes(data, "big"), f"0{8 * len(data)}b")


def _to_bytes(bits: str) -> bytes:
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
