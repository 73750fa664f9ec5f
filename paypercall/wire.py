"""Names and forms of what travels in HTTP headers: packages, terms, receipts. Pure; both sides use it.

A package in a header is MessagePack in base64url without padding, or JSON. Both are bounded and read strictly.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import msgpack

from paypercall.errors import Refusal, RefusalCode

PACKAGE = "Payment-Package"
"""A payment with a request, or a refund with its answer."""

TOKEN = "Payment-Token"
"""Stands for a payment that was made at the channel endpoint."""

SIGNATURE = "Payment-Signature"
"""Authorises a close at the channel endpoint."""

RECEIPT = "Payment-Receipt"
"""What was paid, as JSON."""

PRICE = "Payment-Price"
ASSET = "Payment-Asset"
ADDRESS = "Payment-Address"
NETWORK = "Payment-Network"
METHODS = "Payment-Methods"
ENDPOINT = "Payment-Endpoint"
AGENT_VERSIONS = "Payment-Agent-Versions"
CHANNEL_TIMEOUTS = "Payment-Channel-Timeouts"
UNCONFIRMED = "Payment-Unconfirmed"

FIELD = "payment_package"
"""A package's name in a form, a JSON body or a query, as the JavaScript library has it."""

PARAMETERS_FIELD = "channel_parameters"
"""The name of a channel that is announced, in a JSON body and in a package."""

MAX_HEADER = 4 * 1024
"""Characters of a package in a header; the largest package takes about 2,800."""


def encode_package(package: Mapping[str, Any]) -> str:
    """A package in the compact form for a header."""
    packed: bytes = msgpack.packb(package)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_package(text: str) -> dict[str, Any] | str:
    """Reads a package out of a header, a form field or a query: a dict of the compact form, or the JSON as it is.

    Raises:
        Refusal: With `too_large`, `not_json` or `wrong_shape`.
    """
    if len(text) > MAX_HEADER:
        raise Refusal(RefusalCode.TOO_LARGE, f"the package is larger than {MAX_HEADER} characters")
    if text.lstrip()[:1] == "{":
        return text
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        package = msgpack.unpackb(
            packed,
            object_pairs_hook=_without_repeated_names,
            max_map_len=16,
            max_array_len=16,
        )
    except (ValueError, binascii.Error, msgpack.UnpackException, RecursionError):
        raise Refusal(
            RefusalCode.NOT_JSON, "the package is neither JSON nor MessagePack in base64url"
        ) from None
    if not isinstance(package, dict):
        raise Refusal(RefusalCode.WRONG_SHAPE, "the package must be an object")
    return package


def encode_receipt(receipt: Mapping[str, Any]) -> str:
    """A receipt for a header: JSON in ASCII."""
    return json.dumps(receipt, separators=(",", ":"))


def decode_receipt(text: str) -> dict[str, Any]:
    """Reads a receipt.

    Raises:
        ValueError: When it is no JSON object.
    """
    receipt = json.loads(text)
    if not isinstance(receipt, dict):
        raise ValueError("a receipt must be a JSON object")
    return receipt


def _without_repeated_names(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs) or not all(isinstance(name, str) for name in fields):
        raise ValueError("repeated or wrong name")
    return fields
