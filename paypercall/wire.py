"""Names and forms of what travels in HTTP headers: payments, terms, receipts. Pure; both sides use it.

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

CODE = "Payment-Code"
"""Why a paywall answers in place of the view: the `code` of its body, for who does not read that."""

UNIT = "Payment-Unit"
"""A signed unit that pays on the ledger, with the secret that it is bound to."""

UNIT_TERMS = "Payment-Unit-Terms"
TRANSFER = "Payment-Transfer"
"""A transfer between accounts at a third party, as JSON."""

TRANSFER_SIGNATURE = "Payment-Transfer-Signature"
TRANSFER_ADDRESS = "Payment-Transfer-Address"
TRANSFER_USERNAME = "Payment-Transfer-Username"
TRANSFER_TERMS = "Payment-Transfer-Terms"
PRICE = "Payment-Price"
ASSET = "Payment-Asset"
ADDRESS = "Payment-Address"
NETWORK = "Payment-Network"
METHODS = "Payment-Methods"
ENDPOINT = "Payment-Endpoint"
AGENT_VERSIONS = "Payment-Agent-Versions"
CHANNEL_TIMEOUTS = "Payment-Channel-Timeouts"
UNCONFIRMED = "Payment-Unconfirmed"

PREFIX = "payment-"
"""All of these begin so, and those of methods of a host's own should: with a request they are worth money."""

OF_ONE_ATTEMPT = frozenset(
    {
        "b3",
        "baggage",
        "cf-ray",
        "date",
        "sentry-trace",
        "traceparent",
        "tracestate",
        "x-amz-cf-id",
        "x-amzn-trace-id",
        "x-b3-spanid",
        "x-b3-traceid",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-datadog-parent-id",
        "x-datadog-trace-id",
        "x-queue-start",
        "x-request-id",
        "x-request-start",
    }
)
"""Headers, in small letters, that are new with every attempt, also of the same request."""

FIELD = "payment_package"
"""A package's name in a form, a JSON body or a query, as the JavaScript library has it."""

PARAMETERS_FIELD = "channel_parameters"
"""The name of a channel that is announced, in a JSON body and in a package."""

ENDPOINT_PATH = "/payment"
"""Where a merchant's channel endpoint is, unless a 402 says otherwise."""

ANY_METHOD = "*"
"""In a price list in place of a method, for a resource that costs the same by all of them."""

MAX_HEADER = 4 * 1024
"""Characters of a package in a header; the largest package takes about 2,800."""

MAX_UNIT_HEADER = 8_000
"""Characters of a unit in a header: web servers take headers of 8 KB, and a unit with few coins takes 2,000."""

_COMPACT = json.JSONEncoder(separators=(",", ":"))
_MOST_FIELDS = 16
_MOST_FIELDS_OF_UNIT = 32
_MOST_ELEMENTS_OF_UNIT = 128


def encode_package(package: Mapping[str, Any]) -> str:
    """A package in the compact form for a header."""
    packed: bytes = msgpack.packb(package)
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode_package(text: str) -> dict[str, Any] | str:
    """Reads a package out of a header, a form field or a query: a dict of the compact form, or the JSON as it is.

    Raises:
        Refusal: With `too_large`, `not_json` or `wrong_shape`.
    """
    _require_size(text, MAX_HEADER, "package")
    if text.lstrip()[:1] == "{":
        return text
    return _unpack(text, "package", max_map_len=_MOST_FIELDS, max_array_len=_MOST_FIELDS)


def encode_unit(payment: Mapping[str, Any]) -> str:
    """A unit with its secret in the compact form for a header."""
    return encode_package(payment)


def decode_unit(text: str) -> dict[str, Any]:
    """Reads a unit with its secret out of a header, in the compact form or in JSON.

    Raises:
        Refusal: With `too_large`, `not_json` or `wrong_shape`.
    """
    _require_size(text, MAX_UNIT_HEADER, "unit")
    if text.lstrip()[:1] != "{":
        return _unpack(text, "unit", max_map_len=_MOST_FIELDS_OF_UNIT, max_array_len=_MOST_ELEMENTS_OF_UNIT)
    try:
        payment: dict[str, Any] = json.loads(text, object_pairs_hook=_without_repeated_names)
    except (ValueError, RecursionError):
        raise _unreadable("unit") from None
    return payment


def _require_size(text: str, most: int, what: str) -> None:
    if len(text) > most:
        raise Refusal(RefusalCode.TOO_LARGE, f"the {what} is larger than {most} characters")


def _unpack(text: str, what: str, **limits: int) -> dict[str, Any]:
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        content = msgpack.unpackb(packed, object_pairs_hook=_without_repeated_names, **limits)
    except (ValueError, binascii.Error, msgpack.UnpackException, RecursionError):
        raise _unreadable(what) from None
    if not isinstance(content, dict):
        raise Refusal(RefusalCode.WRONG_SHAPE, f"the {what} must be an object")
    return content


def _unreadable(what: str) -> Refusal:
    return Refusal(RefusalCode.NOT_JSON, f"the {what} is neither JSON nor MessagePack in base64url")


def encode_receipt(receipt: Mapping[str, Any]) -> str:
    """A receipt for a header: JSON in ASCII."""
    return _COMPACT.encode(receipt)


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
    if len(fields) != len(pairs) or not {str}.issuperset(map(type, fields)):
        raise ValueError("repeated or wrong name")
    return fields
