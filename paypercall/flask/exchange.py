"""Flask's requests and responses as the paywall's, and the other way round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from io import BytesIO
from typing import IO, cast

from flask import Response, abort, current_app, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.wsgi import LimitedStream

from paypercall.paywall import Answer, Paywall, PriceTag, Request
from paypercall.paywall.answer import body_too_large, problem
from paypercall.paywall.endpoint import MAX_BODY
from paypercall.paywall.request import MAX_PAID_BODY
from paypercall.wire import FIELD

_BODY = "paypercall.body"


def body_of(paywall: Paywall, tag: PriceTag | None = None) -> bytes:
    """The body, as far as the paywall needs it; the view can still read it in every way.

    Raises:
        HTTPException: With a 413, when it is above the app's limit, or ours if the app has none.
    """
    if not paywall.needs_body(request_of(), tag):
        return b""
    with _telling_what_is_too_large():
        if request.max_content_length is None:
            if (request.content_length or 0) > MAX_PAID_BODY:
                raise RequestEntityTooLarge
            limited = LimitedStream(request.stream, MAX_PAID_BODY + 1, is_max=True)
            request.stream = cast(IO[bytes], limited)
        body = request.get_data()
        request.stream.read(1)  # one without a length is cut at the limit, and only who reads on is told so
    request.stream = request.environ["wsgi.input"] = BytesIO(body)
    return body


def read_for_endpoint() -> None:
    """Reads the body, as far as the channel endpoint takes one, before a hook of the app does; see `endpoint_body`.

    Raises:
        HTTPException: With a 413, when it is above the app's limit.
    """
    with _telling_what_is_too_large():
        body = request.stream.read(MAX_BODY + 1)
    request.environ[_BODY] = body
    request.stream = request.environ["wsgi.input"] = BytesIO(body)


def endpoint_body() -> bytes:
    """What `read_for_endpoint` has read."""
    body: bytes = request.environ.pop(_BODY)
    return body


@contextmanager
def _telling_what_is_too_large() -> Iterator[None]:
    """Answers as the paywall does, and not with a page of Flask's."""
    try:
        yield
    except RequestEntityTooLarge:
        abort(
            response_of(body_too_large() if request.max_content_length is None else _above_the_apps_limit())
        )


def _above_the_apps_limit() -> Answer:
    detail = "the body is larger than what this application takes; nothing was charged"
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", detail)


def request_of(body: bytes = b"") -> Request:
    """The request as the paywall sees it, with what is to be seen of its body."""
    query = request.query_string.decode("utf-8", "surrogateescape")
    return Request(request.method, _mount() + request.path, query, request.headers, body)


def _mount() -> str:
    """Where the application is mounted, without what a proxy in front of it says to have taken off the path."""
    root = request.root_path
    before_proxy = request.environ.get("werkzeug.proxy_fix.orig")
    if before_proxy is None:
        return root
    prefixes = (
        prefix.strip().rstrip("/") for prefix in request.headers.get("X-Forwarded-Prefix", "").split(",")
    )
    taken_off = next((prefix for prefix in prefixes if prefix and f"{root}/".startswith(f"{prefix}/")), None)
    if taken_off is None:
        return root
    mount: str = before_proxy["SCRIPT_NAME"] + root.removeprefix(taken_off)
    return mount


def request_with_form(body: bytes) -> Request:
    """The request as the paywall sees it, with the packages in a form.

    Raises:
        HTTPException: With a 413, when the form is above the app's limits.
    """
    seen = request_of(body)
    if not seen.has_form or not seen.may_hold_package:
        return seen
    with _telling_what_is_too_large():
        return replace(seen, form_packages=tuple(request.form.getlist(FIELD)))


def response_of(answer: Answer) -> Response:
    """The paywall's own answer as the app's response."""
    response = current_app.response_class()
    take_over(response, answer)
    return response


def is_stream(response: Response) -> bool:
    """Whether a response is sent while it is made."""
    # Flask turns an HTTPException into a response whose body is an iterator, but of known length.
    is_whole_error = (
        response.status_code >= HTTPStatus.MULTIPLE_CHOICES and response.content_length is not None
    )
    return response.direct_passthrough or (response.is_streamed and not is_whole_error)


def take_over(response: Response, answer: Answer) -> None:
    """Puts an answer in the place of all that a response says."""
    response.status_code = answer.status
    response.headers = Headers(list(answer.headers))
    response.set_data(answer.body)


def status_of(error: Exception) -> int:
    """The status that an exception stands for."""
    if not isinstance(error, HTTPException):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    return error.get_response().status_code
