"""The project mounted twice, behind its WSGI and its ASGI interface; the channel endpoint included in many ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.urls import URLResolver, include, path, re_path
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from paypercall import wire
from paypercall.client import Client
from tests.asgi.running_app import serving
from tests.django_app.conftest import Site
from tests.http_server import running


def nothing_here(environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Length", "0")])
    return []


@pytest.fixture
def mounted_wsgi(customer: Client) -> Iterator[Site]:
    from django.core.wsgi import get_wsgi_application

    app = get_wsgi_application()
    server = make_server(
        "127.0.0.1", 0, DispatcherMiddleware(nothing_here, {"/v1": app, "/v2": app}), threaded=True
    )
    with running(server) as address:
        yield Site(customer, address)


@pytest.fixture
def mounted_asgi(customer: Client) -> Iterator[Site]:
    from django.core.asgi import get_asgi_application

    app = get_asgi_application()
    with serving(Starlette(routes=[Mount("/v1", app), Mount("/v2", app)])) as address:
        yield Site(customer, address)


@pytest.mark.parametrize("interface", ["mounted_wsgi", "mounted_asgi"])
def test_the_same_path_below_another_mount_is_another_request(
    interface: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(interface)
    header = site.header()
    first = site.ask("v1/by-length/100", header)
    assert (first.status_code, first.json()) == (200, {"length": 100})
    other = site.ask("v2/by-length/100", header)
    assert (other.status_code, other.json()["code"]) == (409, "payment_used")
    assert site.ask("v1/by-length/100", header).content == first.content


def no_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no page", status=404)


def plainly(endpoint: str) -> URLResolver:
    return path("pay", include(endpoint))


def in_a_namespace_of_its_own(endpoint: str) -> URLResolver:
    return path("pay", include((endpoint, "ns"), namespace="ns"))


def as_one_of_many(endpoint: str) -> URLResolver:
    return path("pay", include(endpoint, namespace="first"))


def without_a_namespace(endpoint: str) -> URLResolver:
    return path("pay", include(import_module(endpoint).urlpatterns))


def below_others(endpoint: str) -> URLResolver:
    inner = [re_path("^other$", no_page, name="endpoint"), path("pay", include((endpoint, "ns")))]
    return path("api/", include(([path("v1/", include((inner, "inner")))], "outer")))


def before_another_of_its_name(endpoint: str) -> URLResolver:
    inner = [
        path("pay", include(import_module(endpoint).urlpatterns)),
        path("other", no_page, name="endpoint"),
    ]
    return path("shop/", include((inner, "shop")))


def without_a_name_in_a_namespace(endpoint: str) -> URLResolver:
    [named] = import_module(endpoint).urlpatterns
    return path("shop/", include(([path("pay", named.callback)], "shop")))


def below_letters_of_a_language(endpoint: str) -> URLResolver:
    return path("geschäft/", include([path("pay", include(endpoint))]))


def where_another_stands_before_it_and_again(endpoint: str) -> URLResolver:
    out_of_reach = [re_path("^", no_page), path("pay", include(endpoint))]
    return path("", include([path("old/", include(out_of_reach)), path("pay", include(endpoint))]))


@pytest.mark.parametrize(
    "how",
    [
        plainly,
        in_a_namespace_of_its_own,
        as_one_of_many,
        without_a_namespace,
        below_others,
        before_another_of_its_name,
        without_a_name_in_a_namespace,
        below_letters_of_a_language,
        where_another_stands_before_it_and_again,
    ],
)
def test_a_402_names_the_endpoint_however_its_urls_are_included(
    wsgi: Site, how: Callable[[str], URLResolver]
) -> None:
    with payable_with(how("paypercall.django.urls")):
        named = wsgi.ask("answer").headers[wire.ENDPOINT]
        assert wsgi.ask(named.removeprefix("/")).json()["resources"][0]["path"] == "/answer"


def test_a_402_names_the_endpoint_below_the_mount(mounted_wsgi: Site) -> None:
    with payable_with(below_letters_of_a_language("paypercall.django.urls")):
        assert mounted_wsgi.ask("v1/answer").headers[wire.ENDPOINT] == "/v1/gesch%C3%A4ft/pay"


@contextmanager
def payable_with(endpoint: URLResolver) -> Iterator[None]:
    """Has the project consist of a payable view and the channel endpoint."""
    from django.conf import settings
    from django.test import override_settings

    from paypercall.django import Payment

    payment = Payment()
    answer = payment.required(100)(lambda request: HttpResponse("42"))
    settings_of_its_own = {name: value for name, value in settings.PAYPERCALL.items() if name != "methods"}
    urls = path("answer", answer), endpoint
    with override_settings(ROOT_URLCONF=urls, PAYPERCALL=settings_of_its_own), closing(payment):
        yield
