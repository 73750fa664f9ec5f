"""What an answer that was paid for says to caches: no shared one stores it, and nobody stores a refund."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware
from paypercall.paywall import Answer, Running
from paypercall.paywall.caching import cache_headers
from tests.asgi.running_app import serving
from tests.paywall.merchant import Shop, headers_of, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.mark.parametrize(
    "said, told",
    [
        ("", "no-store"),
        ("public, max-age=600", "private, max-age=600"),
        ("max-age=600", "private, max-age=600"),
        ("S-MaxAge=9, Public, Max-Age=600", "private, Max-Age=600"),
        ("s-maxage = 9,max-age=1", "private, max-age=1"),
        ("private", "private"),
        ('private="X-A, X-B", max-age=5', "private, max-age=5"),
        ('no-cache="Set-Cookie, public"', 'private, no-cache="Set-Cookie, public"'),
        ("no-cache", "private, no-cache"),
        ("public, no-store", "no-store"),
        ("must-understand, no-store", "no-store"),
        ("public", "private"),
    ],
)
def test_what_a_view_says_to_caches_holds_for_private_ones_only(said: str, told: str) -> None:
    headers = (("cache-control", said),) if said else ()
    assert dict(cache_headers(headers, has_refund=False)) == {"Cache-Control": told}
    assert dict(cache_headers(headers, has_refund=True)) == {"Cache-Control": "no-store"}


def test_several_headers_count_together_and_those_for_shared_caches_are_overruled() -> None:
    headers = (
        ("Cache-Control", "max-age=5"),
        ("Cache-Control", "no-store"),
        ("CDN-Cache-Control", "max-age=600"),
        ("Cloudflare-CDN-Cache-Control", "max-age=600"),
        ("Surrogate-Control", "max-age=600"),
        ("X-Accel-Expires", "600"),
    )
    assert cache_headers(headers, has_refund=False) == (
        ("Cache-Control", "no-store"),
        ("CDN-Cache-Control", "no-store"),
        ("Cloudflare-CDN-Cache-Control", "no-store"),
        ("Surrogate-Control", "no-store"),
        ("X-Accel-Expires", "0"),
    )


@pytest.mark.parametrize("amount, told", [(100, "private, max-age=600"), (130, "no-store")])
def test_an_answer_says_it_the_second_time_too(shop: Shop, amount: int, told: str) -> None:
    package = shop.pay(amount)
    running = shop.ask(package)
    assert isinstance(running, Running)
    ending = shop.paywall.finish(running, 200, [("cache-control", "public, max-age=600")], b"answer")
    assert headers_of(ending)["Cache-Control"] == told
    again = shop.ask(package)
    assert isinstance(again, Answer)
    assert [value for name, value in again.headers if name.lower() == "cache-control"] == [told]
    assert (wire.PACKAGE in headers_of(again)) is (amount > 100)


def test_the_headers_of_an_asgi_application_give_way(shop: Shop) -> None:
    payment = Payment(None, shop.server)

    @payment.required(100)
    async def view(request: Request) -> Response:
        headers = {"Cache-Control": "public, max-age=600", "CDN-Cache-Control": "max-age=600"}
        return PlainTextResponse("answer", headers=headers)

    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(PaymentMiddleware, payment=payment)
    with serving(app) as url:
        told = [
            requests.get(url, headers={wire.PACKAGE: wire.encode_package(shop.pay(amount))}, timeout=20)
            for amount in (100, 130)
        ]
    assert [answer.headers["Cache-Control"] for answer in told] == ["private, max-age=600", "no-store"]
    assert {answer.headers["CDN-Cache-Control"] for answer in told} == {"no-store"}
