"""Django's requests and responses as the paywall's, and the other way round."""

from __future__ import annotations

import io

from django.http import HttpRequest, HttpResponse, QueryDict

from paypercall.paywall import Answer, Request
from paypercall.wire import FIELD

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a paid request's body: what is paid for is held in memory, to be told from other requests."""


def request_of(request: HttpRequest, body: bytes = b"") -> Request:
    """A request as the paywall sees it.

    Args:
        request: Django's.
        body: What is to be seen of its body.
    """
    asked = Request(
        request.method or "GET",
        request.path_info,
        request.META.get("QUERY_STRING", ""),
        request.headers,
        body,
    )
    if not asked.has_form or FIELD.encode() not in body:
        return asked
    fields = request.POST if hasattr(request, "_body") else QueryDict(body, encoding=request.encoding)
    return Request(
        asked.method, asked.path, asked.query, asked.headers, body, tuple(map(str, fields.getlist(FIELD)))
    )


def read_body(request: HttpRequest) -> bool:
    """Reads the whole body, to be read again by the view; false if it is too large.

    `request.body` refuses what is above DATA_UPLOAD_MAX_MEMORY_SIZE, which files that are uploaded need not obey.
    """
    if hasattr(request, "_body"):
        return True
    body = request.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        return False
    request._body = body
    request._stream = io.BytesIO(body)
    request._read_started = False  # type: ignore[attr-defined]
    return True


def response_of(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status)
    del response["Content-Type"]
    for name, value in answer.headers:
        if name == "Set-Cookie":
            response.cookies.load(value)
        else:
            response[name] = value
    return response
