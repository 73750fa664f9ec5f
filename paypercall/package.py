"""Payment packages: compose and sign, parse and check. Pure.

A package is accepted only in the exact shape that the channel agent honours and the network can carry; this module
decides on shape, signer and signature. Whether the money is there is decided in `channel.py`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paypercall.contract import MAX_SALT_LENGTH, ChannelParameters, is_printable_ascii
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.address import definition_address, is_valid_address
from paypercall.obyte.canonical import json_source_string
from paypercall.obyte.keys import Key, verify_signature
from paypercall.trigger_data import MAX_AGENT_AMOUNT

MAX_PACKAGE_BYTES = 2048
"""A larger package is refused: it has to fit, with room to spare, into the unit that closes the channel."""

_PUBLIC_KEY_LENGTH = 44
_SIGNATURE_BYTES = 64


@dataclass(frozen=True, slots=True)
class PaymentPackage:
    """A payment package of the right shape, signed by its `signer`.

    Attributes:
        aa_address: The channel.
        period: The period of the channel in which it counts.
        payment_amount: What it adds for this request.
        amount_spent: The total that the signer owes in this period.
        signer: The address whose key signed it.
        announced: The channel's parameters but the payee, where the package carries them.
        text: The package as JSON, as a close or a fraud proof shows it to the agent.
        digest: Hex sha256 of what is signed: two packages say the same if and only if their digests are equal.
    """

    aa_address: str
    period: int
    payment_amount: int
    amount_spent: int
    signer: str
    announced: AnnouncedChannel | None
    text: str = field(repr=False)
    digest: str


@dataclass(frozen=True, slots=True)
class AnnouncedChannel:
    """The `channel_parameters` of a package: all but the payee, who is whoever the package is sent to."""

    customer: str
    asset: str
    salt: str
    timeout: int
    version: str

    def parameters(self, payee: str) -> ChannelParameters:
        """The whole parameters of the channel in which the announcing customer pays `payee`.

        Raises:
            Refusal: With `wrong_agent_version` or `wrong_parameters`.
        """
        parameters = ChannelParameters(
            payee, self.customer, self.asset, self.salt, self.timeout, self.version
        )
        parameters.check()
        return parameters


def compose_package(
    key: Key,
    network_version: str,
    *,
    aa_address: str,
    period: int,
    payment_amount: int,
    amount_spent: int,
    announce: ChannelParameters | None,
) -> dict[str, Any]:
    """Composes and signs a package.

    Args:
        key: The signer's.
        network_version: The network's unit version, e.g. `4.0`.
        aa_address: The channel.
        period: The channel's current period.
        payment_amount: What this package adds.
        amount_spent: The total, `payment_amount` included.
        announce: The channel's parameters, until the peer is known to have the channel.

    Returns:
        The package, ready for `json.dumps`.
    """
    signed_message: dict[str, Any] = {
        "payment_amount": payment_amount,
        "amount_spent": amount_spent,
        "period": period,
        "aa_address": aa_address,
    }
    if announce is not None:
        signed_message["channel_parameters"] = {
            "timeout": announce.timeout,
            "asset": announce.asset,
            "salt": announce.salt,
            "address": announce.address_b,
            "version": announce.version,
        }
    package: dict[str, Any] = {
        "version": network_version,
        "signed_message": signed_message,
        "authors": [{"address": key.address, "definition": key.definition}],
    }
    signature = key.sign(hash_to_sign(package))
    package["authors"] = [
        {"address": key.address, "authentifiers": {"r": signature}, "definition": key.definition}
    ]
    return package


def hash_to_sign(package: Mapping[str, Any]) -> bytes:
    """The sha256 of the JSON source string of the package without its authentifiers (ocore signed_message)."""
    authors = [
        {name: value for name, value in author.items() if name != "authentifiers"}
        for author in package["authors"]
    ]
    return hashlib.sha256(json_source_string({**package, "authors": authors}).encode()).digest()


def parse_package(source: object, *, network_version: str) -> PaymentPackage:
    """Parses a package and checks its shape, signer and signature.

    Args:
        source: A dict, or JSON as str or bytes.
        network_version: The version that the package must have.

    Raises:
        Refusal: With the code that says what is wrong.
    """
    package = _decode(source)
    _require_fields(package, {"version", "signed_message", "authors"}, "the package")
    if package["version"] != network_version:
        raise Refusal(
            RefusalCode.WRONG_VERSION,
            f"the package is for another network: this one has version {network_version!r}",
        )
    message = package["signed_message"]
    _require_fields(
        message,
        {"payment_amount", "amount_spent", "period", "aa_address"},
        "signed_message",
        {"channel_parameters"},
    )
    payment_amount = _integer(message, "payment_amount")
    amount_spent = _integer(message, "amount_spent")
    period = _integer(message, "period")
    if payment_amount > amount_spent:
        raise Refusal(
            RefusalCode.WRONG_AMOUNT, "payment_amount is above amount_spent, the total that includes it"
        )
    aa_address = message["aa_address"]
    if not is_valid_address(aa_address):
        raise _wrong_shape("aa_address is not a valid Obyte address")
    signer, public_key, signature = _author(package["authors"])
    announced = parse_announcement(message["channel_parameters"]) if "channel_parameters" in message else None
    digest = hash_to_sign(package)
    if not verify_signature(digest, signature, public_key):
        raise Refusal(RefusalCode.WRONG_SIGNATURE, "the signature does not match the package and its key")
    # Every field is bounded by now, so that a dict is no larger than the text may be.
    text = json.dumps(package, separators=(",", ":"))
    return PaymentPackage(
        aa_address, period, payment_amount, amount_spent, signer, announced, text, digest.hex()
    )


def _decode(source: object) -> dict[str, Any]:
    if isinstance(source, dict):
        return source
    if isinstance(source, (bytes, bytearray)):
        if len(source) > MAX_PACKAGE_BYTES:
            raise _too_large()
        try:
            source = bytes(source).decode()
        except UnicodeDecodeError:
            raise Refusal(RefusalCode.NOT_JSON, "the package is not JSON: it is not UTF-8 text") from None
    if not isinstance(source, str):
        raise _wrong_shape(
            f"the package must be a dict, or JSON as str or bytes, not {type(source).__name__}"
        )
    if len(source) > MAX_PACKAGE_BYTES:
        raise _too_large()
    try:
        package = json.loads(source, object_pairs_hook=_without_repeated_names)
    except (ValueError, RecursionError):
        raise Refusal(RefusalCode.NOT_JSON, "the package is not JSON, or names a field twice") from None
    if not isinstance(package, dict):
        raise _wrong_shape("the package must be a JSON object")
    return package


def _without_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("repeated name")
    return fields


def _require_fields(
    value: object, names: set[str], where: str, optional: frozenset[str] | set[str] = frozenset()
) -> None:
    if not isinstance(value, dict):
        raise _wrong_shape(f"{where} must be an object")
    missing = sorted(names - value.keys())
    if missing:
        raise _wrong_shape(f"{where} lacks {', '.join(missing)}")
    if not value.keys() <= names | optional:
        allowed = ", ".join(sorted(names | optional))
        raise _wrong_shape(
            f"{where} has a field that the channel agent does not honour; it may have {allowed}"
        )


def _integer(message: Mapping[str, Any], name: str) -> int:
    value = message[name]
    if type(value) is not int or not 0 < value <= MAX_AGENT_AMOUNT:
        raise Refusal(RefusalCode.WRONG_AMOUNT, f"{name} must be an integer from 1 to {MAX_AGENT_AMOUNT}")
    return value


def _author(authors: object) -> tuple[str, str, str]:
    """Returns signer, public key and signature of the package's only author."""
    if not isinstance(authors, list) or len(authors) != 1:
        raise _wrong_shape("authors must be a list of one author")
    author = authors[0]
    _require_fields(author, {"address", "authentifiers", "definition"}, "the author")
    authentifiers = author["authentifiers"]
    _require_fields(authentifiers, {"r"}, "authentifiers")
    signature = authentifiers["r"]
    if not _is_canonical_base64(signature, _SIGNATURE_BYTES):
        raise Refusal(RefusalCode.WRONG_SIGNATURE, "the signature must be 64 bytes in canonical base64")
    definition = author["definition"]
    if not isinstance(definition, list) or len(definition) != 2 or definition[0] != "sig":
        raise _wrong_shape('the definition must be ["sig", {"pubkey": …}]')
    _require_fields(definition[1], {"pubkey"}, "the definition")
    public_key = definition[1]["pubkey"]
    if not _is_canonical_base64(public_key, 33) or len(public_key) != _PUBLIC_KEY_LENGTH:
        raise _wrong_shape("the public key must be 33 bytes in canonical base64")
    if author["address"] != definition_address(definition):
        raise Refusal(RefusalCode.WRONG_SIGNER, "the key is not the one of the author's address")
    return author["address"], public_key, signature


def _is_canonical_base64(value: object, length: int) -> bool:
    if not isinstance(value, str) or not value.isascii():
        return False
    try:
        decoded = base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return len(decoded) == length and base64.b64encode(decoded).decode() == value


def parse_announcement(claimed: object) -> AnnouncedChannel:
    """Reads the `channel_parameters` of a package, or of a channel that is announced without one.

    Raises:
        Refusal: With `wrong_shape`.
    """
    _require_fields(claimed, {"timeout", "asset", "salt", "address", "version"}, "channel_parameters")
    assert isinstance(claimed, dict)
    announced = AnnouncedChannel(
        claimed["address"], claimed["asset"], claimed["salt"], claimed["timeout"], claimed["version"]
    )
    if type(announced.timeout) is not int or not 0 < announced.timeout <= MAX_AGENT_AMOUNT:
        raise _wrong_shape("the timeout in channel_parameters must be a positive integer of seconds")
    for name in ("address", "asset", "salt", "version"):
        text = claimed[name]
        if not isinstance(text, str) or not is_printable_ascii(text) or not 0 < len(text) <= MAX_SALT_LENGTH:
            raise _wrong_shape(
                f"{name} in channel_parameters must be 1 to {MAX_SALT_LENGTH} printable ASCII characters"
            )
    return announced


def _wrong_shape(message: str) -> Refusal:
    return Refusal(RefusalCode.WRONG_SHAPE, message)


def _too_large() -> Refusal:
    return Refusal(RefusalCode.TOO_LARGE, f"the package is larger than {MAX_PACKAGE_BYTES} bytes")
