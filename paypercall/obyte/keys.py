"""Keys and signatures: secp256k1 keys derived from a mnemonic, as the Obyte wallets derive them.

Verification is on the path of every paid call. It tells what ocore's verification tells for the same texts,
nothing more: base64 is read as leniently as there, so whoever needs one spelling per signature checks that
first. No private key or mnemonic leaves this module in an error or a repr.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from binascii import a2b_base64
from dataclasses import dataclass, field
from functools import lru_cache
from re import compile as compile_pattern
from typing import Any

from coincurve import PrivateKey, PublicKey

from paypercall.obyte.address import PUBLIC_KEY_LENGTH, definition_address
from paypercall.obyte.errors import InvalidPrivateKey
from paypercall.obyte.mnemonics import mnemonic_seed

__all__ = [
    "Key",
    "decode_base64",
    "derive_key",
    "device_key_from_mnemonic",
    "key_from_mnemonic",
    "verify_signature",
]

WALLET_PATH = "m/44'/0'/0'/0/0"  # on every network, as headless-obyte has it
DEVICE_PATH = "m/1'"

_PRIVATE_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_HARDENED = 1 << 31
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_FOREIGN = bytes(byte for byte in range(256) if byte not in _ALPHABET + b"-_")
_plain_base64 = compile_pattern("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@dataclass(frozen=True, slots=True)
class Key:
    """A private key with what follows from it.

    Attributes:
        private_key: 32 bytes, secret.
        public_key: The compressed public key, base64, 44 characters.
        address: The single-signature address.

    Raises:
        InvalidPrivateKey: The bytes are no private key.
    """

    private_key: bytes = field(repr=False)
    public_key: str = field(init=False)
    address: str = field(init=False)
    _signer: PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        signer = _read_private_key(self.private_key)
        object.__setattr__(self, "_signer", signer)
        object.__setattr__(self, "public_key", b64encode(signer.public_key.format()).decode())
        object.__setattr__(self, "address", definition_address(self.definition))

    @property
    def definition(self) -> list[Any]:
        """The definition of the address, a new list each time."""
        return ["sig", {"pubkey": self.public_key}]

    def sign(self, digest: bytes) -> str:
        """Signs a 32-byte digest.

        Returns:
            64 bytes r||s in base64, with a low s and the nonce of RFC 6979.

        Raises:
            ValueError: The digest is not 32 bytes long.
        """
        compact_and_recovery_id = self._signer.sign_recoverable(digest, hasher=None)
        return b64encode(compact_and_recovery_id[:_SIGNATURE_BYTES]).decode()

    def secret_for(self, purpose: str) -> bytes:
        """A secret that only this key gives, 32 bytes; it tells nothing of the key, or of those for other purposes."""
        return hmac.new(self.private_key, purpose.encode(), hashlib.sha256).digest()


def verify_signature(digest: bytes, signature: str, public_key: str) -> bool:
    """Tells whether a signature is the key's over the digest; false, never an error, for anything malformed.

    A high s is refused, as is everything that is not text: ocore's verification reads arrays of bytes, too,
    but no unit and no signed message may carry them.

    Args:
        digest: What was signed, 32 bytes.
        signature: 64 bytes r||s, base64.
        public_key: Base64 of any of the usual forms of a public key.
    """
    if not isinstance(signature, str) or not isinstance(public_key, str):
        return False
    compact = decode_base64(signature)
    if len(compact) != _SIGNATURE_BYTES:
        return False
    try:
        return _public_key(public_key).verify(_to_der(compact), digest, hasher=None)
    except ValueError:
        return False


def decode_base64(text: str) -> bytes:
    """Decodes base64 as Node does, which ocore uses for signatures and keys.

    It stops at the first "=", skips foreign characters, takes "-" and "_" as "+" and "/", ignores missing
    padding and stray bits, and reads a character beyond Latin-1 as the low byte of its UTF-16 code units.
    """
    if _plain_base64.fullmatch(text):
        return a2b_base64(text)
    low_bytes = text.encode("utf-16-le", "surrogatepass")[::2]
    symbols = low_bytes.partition(b"=")[0].translate(_URL_SAFE_TO_STANDARD, _FOREIGN)
    if len(symbols) % 4 == 1:
        symbols = symbols[:-1]
    return a2b_base64(symbols + b"=" * (-len(symbols) % 4))


def key_from_mnemonic(mnemonic: str, passphrase: str = "") -> Key:
    """Returns the key of the wallet's first address.

    Raises:
        InvalidMnemonic: The wallets would refuse the mnemonic, too.
    """
    return derive_key(mnemonic, WALLET_PATH, passphrase)


def device_key_from_mnemonic(mnemonic: str, passphrase: str = "") -> Key:
    """Returns the key that the wallet's device logs in to hubs with.

    Raises:
        InvalidMnemonic: The wallets would refuse the mnemonic, too.
    """
    return derive_key(mnemonic, DEVICE_PATH, passphrase)


def derive_key(mnemonic: str, path: str, passphrase: str = "") -> Key:
    """Returns the key at a path such as "m/44'/0'/0'/0/0".

    This is BIP32 but for one thing: where the wallets (bitcore) take a hardened step, they hash the
    parent's private key without its leading zero bytes, so one wallet in about 85 has other addresses than
    BIP32 gives.

    Raises:
        InvalidMnemonic: The wallets would refuse the mnemonic, too.
    """
    digest = _hmac_sha512(b"Bitcoin seed", mnemonic_seed(mnemonic, passphrase))
    private_key, chain_code = digest[:_PRIVATE_KEY_BYTES], digest[_PRIVATE_KEY_BYTES:]
    for step in path.split("/")[1:]:
        number = int(step.rstrip("'"))
        if step.endswith("'"):
            parent, number = b"\x00" + private_key.lstrip(b"\x00"), number + _HARDENED
        else:
            parent = PrivateKey(private_key).public_key.format()
        digest = _hmac_sha512(chain_code, parent + number.to_bytes(4, "big"))
        private_key = PrivateKey(private_key).add(digest[:_PRIVATE_KEY_BYTES]).secret
        chain_code = digest[_PRIVATE_KEY_BYTES:]
    return Key(private_key)


def _hmac_sha512(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha512).digest()


def _read_private_key(private_key: bytes) -> PrivateKey:
    if len(private_key) == _PRIVATE_KEY_BYTES:
        try:
            return PrivateKey(private_key)
        except ValueError:
            pass  # told below, without the library's words about the value
    raise InvalidPrivateKey("the bytes are no private key")


def _public_key(public_key: str) -> PublicKey:
    if len(public_key) == PUBLIC_KEY_LENGTH:
        return _cached_public_key(public_key)
    return _parse_public_key(public_key)  # never cached: a stranger chooses its length


def _parse_public_key(public_key: str) -> PublicKey:
    return PublicKey(decode_base64(public_key))


_cached_public_key = lru_cache(maxsize=4096)(_parse_public_key)


def _to_der(compact: bytes) -> bytes:
    integers = _der_integer(compact[:32]) + _der_integer(compact[32:])
    return b"\x30" + bytes((len(integers),)) + integers


def _der_integer(number: bytes) -> bytes:
    shortest = number.lstrip(b"\x00")
    if not shortest or shortest[0] >= 0x80:
        shortest = b"\x00" + shortest
    return b"\x02" + bytes((len(shortest),)) + shortest
