"""Requests that a payable view must refuse, the same in every framework."""

from __future__ import annotations

from typing import Any

from paypercall import wire

NO_PACKAGES = [
    "",
    "x",
    "{",
    "{}",
    "[1]",
    "null",
    "gaFh",
    "=" * 10,
    "A" * 5000,
    '{"version": 1, "version": 2}',
    "\xe9",
]
"""Headers that are no package."""

NO_PACKAGE_CODES = {"not_json", "wrong_shape", "too_large"}

BODIES_WITHOUT_A_PACKAGE = [
    (b"payment_package=", "application/x-www-form-urlencoded"),
    (b"payment_package=%00%ff", "application/x-www-form-urlencoded"),
    (b'{"payment_package": 1}', "application/json"),
    (b'{"payment_package": null}', "application/json"),
    (b'{"payment_package": {"version": []}}', "application/vnd.x+json"),
    (
        b'--x\r\nContent-Disposition: form-data; name="payment_package"\r\n\r\n{}\r\n--x--\r\n',
        "multipart/form-data; boundary=x",
    ),
]
"""Bodies, and their types, that have something else where a package is to be."""

UNREADABLE_BODIES = [
    (b'{"payment_package": ', "application/json"),
    (b"[" * 10_000 + b"payment_package", "application/json"),
    (b"payment_package", "text/plain"),
    (b"payment_package=1", "multipart/form-data"),
]
"""Bodies, and their types, that cannot be read, and so hold no payment."""


def requests_with_two_payments(one: str, other: str) -> list[dict[str, Any]]:
    """What `requests.request` is to be given besides the address, for each way to put two payments into a request."""
    in_header = {"headers": {wire.PACKAGE: one}}
    field = {wire.FIELD: other}
    twice = [*field.items(), *field.items()]
    return [
        {"method": "GET", **in_header, "params": field},
        {"method": "GET", "headers": {wire.PACKAGE: one, wire.TOKEN: "token"}},
        {"method": "GET", "params": twice},
        {"method": "POST", **in_header, "data": field},
        {"method": "POST", **in_header, "json": field},
        {"method": "POST", **in_header, "files": {wire.FIELD: (None, other)}},
        {"method": "POST", "data": field, "params": field},
        {"method": "POST", "data": twice},
    ]
