"""A refund in an answer's JSON, for a payer of pay-per-call-API, which looks for it there. Pure.

It changes nothing else: it is put into the text of the object, and what is no JSON object in UTF-8 stays as it is. The
refund is in a header in any case.
"""

from __future__ import annotations

import json
from dataclasses import replace

from paypercall import wire
from paypercall.paywall.answer import Answer, value_of

_WHITE = b" \t\r\n"


def is_json(content_type: str | None) -> bool:
    """Whether a content type is one of JSON."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def with_refund_in_body(answer: Answer) -> Answer:
    """An answer with the refund that is in its headers also in its body, if that is JSON."""
    if not is_json(value_of("content-type", answer.headers)):
        return answer
    body = with_refund(answer.body, value_of(wire.PACKAGE.lower(), answer.headers))
    return answer if body is None else replace(answer, body=body)


def with_refund(body: bytes, package: str | None) -> bytes | None:
    """A JSON object with the refund as its last field, which is the one that counts; None if it is none.

    Args:
        body: The answer's.
        package: The refund, as a header has it; None if nothing goes back.
    """
    text = body.rstrip(_WHITE)
    if package is None or not text.endswith(b"}"):
        return None
    try:
        content = json.loads(text.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    field = json.dumps({wire.FIELD: wire.decode_package(package)}).encode()
    return text[:-1] + (b", " if content else b"") + field[1:] + body[len(text) :]
