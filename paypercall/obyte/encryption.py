"""Encrypts a text with a passphrase: scrypt makes the key, AES-256-GCM seals the text and everything beside it.

A sealed text is a JSON object. Its parameters may come from a tampered file, so they are held to limits before any
memory is taken. Neither the text nor the passphrase appears in an error. Needs the extra `encryption`, so it is
imported only where a text is to be sealed or opened.
"""

from __future__ import annotations

import json
import secrets
import unicodedata
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from paypercall.obyte.errors import SealBroken, WrongPassphrase

KEY_DERIVATION = "scrypt"
CIPHER = "AES-256-GCM"

# 128 MiB and about half a second: what OWASP advises for scrypt.
COST, BLOCK_SIZE, PARALLELISM = 2**17, 8, 1
MAX_MEMORY = 256 * 1024 * 1024
MAX_BLOCK_SIZE = 32
MAX_PARALLELISM = 4

_KEY_BYTES = 32
_SALT_BYTES = 16
_NONCE_BYTES = 12
_MAX_CIPHERTEXT_BYTES = 4096


def seal(text: str, passphrase: str, beside: Mapping[str, str | int]) -> dict[str, str | int]:
    """Seals a text.

    Args:
        text: What nobody shall read.
        passphrase: Opens it again.
        beside: What stands beside it for everyone to read; it cannot be changed without breaking the seal.

    Returns:
        `beside`, with the ciphertext and all that is needed to open it but the passphrase.
    """
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    header: dict[str, str | int] = {
        **beside,
        "kdf": KEY_DERIVATION,
        "n": COST,
        "r": BLOCK_SIZE,
        "p": PARALLELISM,
        "salt": b64encode(salt).decode(),
        "cipher": CIPHER,
        "nonce": b64encode(nonce).decode(),
    }
    key = _derive_key(passphrase, salt, COST, BLOCK_SIZE, PARALLELISM)
    ciphertext = AESGCM(key).encrypt(nonce, text.encode(), _canonical(header))
    return {**header, "ciphertext": b64encode(ciphertext).decode()}


def unseal(sealed: Mapping[str, str | int], passphrase: str) -> str:
    """Opens what `seal` has sealed.

    Raises:
        SealBroken: Something is missing, malformed, or beyond the limits.
        WrongPassphrase: It does not open: another passphrase, or something was changed.
    """
    header = {name: value for name, value in sealed.items() if name != "ciphertext"}
    if (header.get("kdf"), header.get("cipher")) != (KEY_DERIVATION, CIPHER):
        raise SealBroken("the key derivation or the cipher is unknown")
    salt, nonce = _read_bytes(header, "salt"), _read_bytes(header, "nonce")
    ciphertext = _read_bytes(sealed, "ciphertext")
    if (len(salt), len(nonce)) != (_SALT_BYTES, _NONCE_BYTES) or len(ciphertext) > _MAX_CIPHERTEXT_BYTES:
        raise SealBroken("the salt, the nonce or the ciphertext has a wrong length")
    key = _derive_key(passphrase, salt, *_read_cost(header))
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, _canonical(header)).decode()
    except InvalidTag:
        raise WrongPassphrase("the passphrase is wrong, or the file was tampered with") from None


def _derive_key(passphrase: str, salt: bytes, cost: int, block_size: int, parallelism: int) -> bytes:
    # The same passphrase comes as different characters from different keyboards.
    secret = unicodedata.normalize("NFKD", passphrase).encode("utf-8", "surrogatepass")
    return Scrypt(salt=salt, length=_KEY_BYTES, n=cost, r=block_size, p=parallelism).derive(secret)


def _read_cost(header: Mapping[str, Any]) -> tuple[int, int, int]:
    cost, block_size, parallelism = (header.get(name) for name in ("n", "r", "p"))
    if type(cost) is not int or type(block_size) is not int or type(parallelism) is not int:
        raise SealBroken("the parameters of scrypt are no integers")
    is_power_of_two = cost > 1 and not cost & (cost - 1)
    is_usual = BLOCK_SIZE <= block_size <= MAX_BLOCK_SIZE and 1 <= parallelism <= MAX_PARALLELISM
    if not is_power_of_two or not is_usual or 128 * cost * block_size > MAX_MEMORY:
        raise SealBroken("the parameters of scrypt are beyond what is ever used")
    return cost, block_size, parallelism


def _read_bytes(fields: Mapping[str, Any], name: str) -> bytes:
    try:
        return b64decode(fields[name], validate=True)
    except (KeyError, TypeError, ValueError):
        raise SealBroken(f"{name} is missing or no base64") from None


def _canonical(header: Mapping[str, str | int]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
