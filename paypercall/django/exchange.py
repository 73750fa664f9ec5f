"""Django's requests and responses as the paywall's, and the other way round."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import urlencode

from django.conf import settings
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict, StreamingHttpResponse
from django.http.multipartparser import MultiPartParser, MultiPartParserError

from paypercall.django.reports import Headers
from paypercall.paywall import Answer, Request
from paypercall.paywall.answer import body_too_large, problem
from paypercall.paywall.caching import cache_headers
from paypercall.paywall.gate import MONEY_HEADERS
from paypercall.paywall.request import MAX_PAID_BODY
from paypercall.wire import FIELD

_LENGTH_REQUIRED = problem(
    HTTPStatus.LENGTH_REQUIRED,
    "length_required",
    "this server cannot read a body without a length: send a Content-Length; nothing was charged",
)


def request_of(request: HttpRequest, body: bytes = b"") -> Request:
    """A request as the paywall sees it.

    Args:
        request: Django's.
        body: What is to be seen of its body.
    """
    asked = Request(
        request.method or "GET",
        request.path,
        request.META.get("QUERY_STRING", ""),
        Headers(request),
        body,
    )
    if FIELD.encode() not in body or not asked.has_form or not asked.may_hold_package:
        return asked
    return replace(asked, form_packages=tuple(map(str, _fields(request, body).getlist(FIELD))))


def _fields(request: HttpRequest, body: bytes) -> QueryDict:
    """The fields of a form, by whatever method it came: `request.POST` has only those of a POST."""
    if hasattr(request, "_post") and not hasattr(request, "_body"):
        return request.POST  # see `_form_read_before`
    if not _is_multipart(request):
        return QueryDict(body, encoding=request.encoding)
    meta = {**request.META, "CONTENT_LENGTH": str(len(body))}
    try:
        fields, _ = MultiPartParser(meta, io.BytesIO(body), [MemoryFileUploadHandler(request)]).parse()
    except MultiPartParserError:
        return QueryDict()  # the view's business
    return fields


def whole_body(request: HttpRequest, *, is_paid: bool) -> bytes | Answer:
    """Reads the whole body, to be read again by the view; gives what to answer if it is too large, or has no length.

    `request.body` refuses what is above DATA_UPLOAD_MAX_MEMORY_SIZE, which files that are uploaded need not obey, nor
    who pays. Any other body above it is left alone, as if it were empty: who reads it is told so by Django.

    Args:
        request: Django's.
        is_paid: Whether a header carries a payment.
    """
    if hasattr(request, "_body"):
        return request.body
    if not is_paid and not _is_multipart(request) and _is_above_limit(request):
        return b""
    if request._read_started:  # type: ignore[attr-defined]
        return _form_read_before(request)
    is_chunked = _is_chunked(request)
    if is_chunked and not request.META.get("wsgi.input_terminated"):
        return _LENGTH_REQUIRED
    # Django takes a body without a length for none, even of a server that tells where it ends.
    source = request.META["wsgi.input"] if is_chunked else request
    body: bytes = source.read(MAX_PAID_BODY + 1)
    if len(body) > MAX_PAID_BODY:
        return body_too_large()
    if body and not request.META.get("CONTENT_LENGTH"):
        request.META["CONTENT_LENGTH"] = str(len(body))  # without which no multipart form is read
    request._stream.close()  # Django 4.2 closes only the stream that is there in the end, and uploads may be in a file
    request._body = body
    request._stream = io.BytesIO(body)
    request._read_started = False  # type: ignore[attr-defined]
    return body


def keep_to_limit(request: HttpRequest) -> None:
    """Has who pays nothing after all read the body as in any other view, within DATA_UPLOAD_MAX_MEMORY_SIZE."""
    if not hasattr(request, "_body") or not _is_above_limit(request):
        return
    request._stream = io.BytesIO(request._body)
    request._read_started = False  # type: ignore[attr-defined]
    del request._body
    if hasattr(request, "_post") and not _is_multipart(
        request
    ):  # the parts of that obey a limit of their own
        del request._post
        del request._files  # type: ignore[attr-defined]


def _is_chunked(request: HttpRequest) -> bool:
    return (
        "wsgi.input" in request.META
        and not request.META.get("CONTENT_LENGTH")
        and ("chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower())
    )


def _is_multipart(request: HttpRequest) -> bool:
    return request.content_type == "multipart/form-data"


def _is_above_limit(request: HttpRequest) -> bool:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return limit is not None and int(request.META.get("CONTENT_LENGTH") or 0) > limit


def _form_read_before(request: HttpRequest) -> bytes:
    """What tells a form from others whose body is not there any more: middleware has taken it apart."""
    if not hasattr(request, "_files"):
        return request.body  # which raises, since it was read as no form
    fields = [(name, value) for name, values in request.POST.lists() for value in values]
    for name, files in request.FILES.lists():
        for file in files:
            digest = hashlib.sha256(f"{file.name}\n{file.content_type}\n".encode())
            for chunk in file.chunks():
                digest.update(chunk)
            file.seek(0)
            fields.append((name, digest.hexdigest()))
    return urlencode(fields).encode()


def keep_from_caches(request: HttpRequest) -> None:
    """Has Django's own caches pass on what not everybody gets for nothing, and not give it to those who pay nothing.

    To be asked for after the view again: a `cache_page` below the price has the cache of the whole site keep it.
    """
    request._cache_update_cache = False  # type: ignore[attr-defined]


def keep_from_proxies(response: HttpResponseBase) -> HttpResponseBase:
    """Has caches on the way to the client not give a response to those who must pay for it."""
    for name, value in cache_headers(response.items(), has_refund=False):
        response[name] = value
    return response


def pairs_of(response: HttpResponseBase) -> list[tuple[str, str]]:
    """The headers of a response, cookies included."""
    cookies = [("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values()]
    return [*response.items(), *cookies]


def put_money_on(response: HttpResponseBase, headers: Iterable[tuple[str, str]]) -> None:
    """Puts receipt and refund on a response, in place of what others say of them."""
    for name in MONEY_HEADERS:
        del response[name]
    for name, value in headers:
        response[name] = value


def response_of(answer: Answer) -> HttpResponse:
    response = HttpResponse()
    take_over(response, answer)
    return response


def take_over(response: HttpResponseBase, answer: Answer) -> None:
    """Has a response say what the paywall answers, and nothing of what it said before."""
    response.status_code = answer.status
    for name in list(response.headers):
        del response[name]
    response.cookies.clear()
    for name, value in answer.headers:
        if name == "Set-Cookie":
            response.cookies.load(value)
        else:
            response[name] = value
    if isinstance(response, HttpResponse):
        response.content = answer.body
    elif isinstance(response, StreamingHttpResponse):
        response.streaming_content = [answer.body]
