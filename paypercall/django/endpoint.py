"""The channel endpoint as a view, and the price list of the project's views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, get_resolver
from django.views.decorators.csrf import csrf_exempt

from paypercall.django import payment
from paypercall.django.exchange import request_of, response_of
from paypercall.django.project import endpoint_path
from paypercall.paywall import PriceTag
from paypercall.paywall.endpoint import MAX_BODY, Endpoint, Resource
from paypercall.wire import ANY_METHOD, ENDPOINT_PATH


@csrf_exempt  # a payment authorises itself, and no cookie does
def answer(request: HttpRequest) -> HttpResponse:
    """Answers at the channel endpoint."""
    endpoint = Endpoint(payment.project.server, _resources, endpoint_path() or ENDPOINT_PATH)
    return response_of(endpoint.answer(request_of(request, request.read(MAX_BODY + 1))))


def _resources() -> Iterator[Resource]:
    return _resources_in(get_resolver().url_patterns, "/")


def _resources_in(patterns: Iterable[URLPattern | URLResolver], prefix: str) -> Iterator[Resource]:
    for pattern in patterns:
        path = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from _resources_in(pattern.url_patterns, path)
            continue
        for method, tag in _tags_of(pattern.callback):
            yield Resource(method, path, tag)


def _tags_of(view: Any) -> Iterator[tuple[str, PriceTag]]:
    """The prices of a function, or of the methods of a class."""
    tag = getattr(view, "price_tag", None)
    if tag is not None:
        yield ANY_METHOD, tag
    view_class = getattr(view, "view_class", None)
    for name in getattr(view_class, "http_method_names", ()):
        tag = getattr(getattr(view_class, name, None), "price_tag", None)
        if tag is not None:
            yield name.upper(), tag
