"""Transfers between accounts at a third party, as 21's two1 library has them: written, signed, read, checked. Pure.

A transfer says who pays whom how much, signed by the payer. Payer, payee and third party use this module, and each
checks all that it can. Whether the payer has an account with that key, and money in it, only the third party knows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from paypercall import wire
from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.address import PUBLIC_KEY_LENGTH, is_valid_base64
from paypercall.obyte.amounts import MAX_CAP
from paypercall.obyte.keys import Key, verify_signature

MAX_TRANSFER = 2 * 1024
"""Characters of a transfer."""

MAX_TEXT = 500
"""Characters of the longest field, the description."""

MAX_NAME = 64
"""Characters of a username or an address."""

SIGNATURE_LENGTH = 88

_PURPOSE = "paypercall: transfer between accounts"
_LATEST = 1 << 53


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a payer signs.

    Attributes:
        payer: The username of who pays.
        payer_pubkey: The public key that signs, 44 characters of base64.
        payee_address: The payee's address.
        payee_username: The payee's username at the third party.
        amount: What is paid, in the third party's unit.
        timestamp: When, in seconds.
        description: What for, as the payer sees it.
    """

    payer: str
    payer_pubkey: str
    payee_address: str
    payee_username: str
    amount: int
    timestamp: int
    description: str


_FIELDS = tuple(field.name for field in fields(Transfer))


@dataclass(frozen=True, slots=True)
class SignedTransfer:
    """A transfer as it travels: the text that was signed, and the signature.

    Attributes:
        transfer: What the text says.
        text: JSON in ASCII.
        signature: 64 bytes r||s, in base64.
    """

    transfer: Transfer
    text: str
    signature: str

    @property
    def id(self) -> str:
        """Identifies the transfer, whatever the signature: a second one of the same text is easily made."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send with the request; to be sent again as they are when the outcome is unknown."""
        return {wire.TRANSFER: self.text, wire.TRANSFER_SIGNATURE: self.signature}


def sign_transfer(transfer: Transfer, key: Key) -> SignedTransfer:
    """Signs a transfer.

    Raises:
        Refusal: When no third party would take it.
    """
    text = json.dumps(asdict(transfer), separators=(",", ":"))
    return read_transfer(text, key.sign(_digest(text)))


def read_transfer(text: str, signature: str) -> SignedTransfer:
    """Reads a transfer, and checks that it was signed with the key that it names.

    Raises:
        Refusal: With `too_large`, `not_json`, `wrong_shape`, `wrong_amount` or `wrong_signature`.
    """
    if len(text) > MAX_TRANSFER:
        raise Refusal(RefusalCode.TOO_LARGE, f"the transfer is larger than {MAX_TRANSFER} characters")
    try:
        values = json.loads(text, object_pairs_hook=_without_repeated_names)
    except (ValueError, RecursionError):
        raise Refusal(RefusalCode.NOT_JSON, "the transfer is no JSON") from None
    transfer = _read(values, text)
    is_signed = is_valid_base64(signature, SIGNATURE_LENGTH) and verify_signature(
        _digest(text), signature, transfer.payer_pubkey
    )
    if not is_signed:
        raise Refusal(RefusalCode.WRONG_SIGNATURE, "the transfer is not signed with its payer_pubkey")
    return SignedTransfer(transfer, text, signature)


def _read(values: object, text: str) -> Transfer:
    is_whole = isinstance(values, dict) and values.keys() == set(_FIELDS) and text.isascii()
    if not is_whole:
        raise Refusal(
            RefusalCode.WRONG_SHAPE, f"a transfer is a JSON object in ASCII that has {', '.join(_FIELDS)}"
        )
    assert isinstance(values, dict)
    transfer = Transfer(**values)
    if type(transfer.amount) is not int or not 0 < transfer.amount <= MAX_CAP:
        raise Refusal(RefusalCode.WRONG_AMOUNT, f"the amount must be an integer from 1 to {MAX_CAP}")
    if type(transfer.timestamp) is not int or not 0 < transfer.timestamp < _LATEST:
        raise Refusal(RefusalCode.WRONG_SHAPE, "the timestamp must be a number of whole seconds")
    if not is_valid_base64(transfer.payer_pubkey, PUBLIC_KEY_LENGTH):
        raise Refusal(RefusalCode.WRONG_SHAPE, "payer_pubkey must be a public key in base64")
    names = (transfer.payer, transfer.payee_username, transfer.payee_address)
    if not all(map(is_name, names)) or not _is_text(transfer.description, 0, MAX_TEXT):
        raise Refusal(RefusalCode.WRONG_SHAPE, "a name or the description is no short printable text")
    return transfer


def is_name(value: object) -> bool:
    """Whether something can be a username or an address."""
    return _is_text(value, 1, MAX_NAME)


def _is_text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most and (value.isprintable() or not value)


def _without_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("repeated name")
    return values


def _digest(text: str) -> bytes:
    return hashlib.sha256(f"{_PURPOSE}\0{text}".encode()).digest()
