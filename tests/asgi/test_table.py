"""The table of prices behind a real server: no way of writing a path passes it, and no rule of it is in vain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware, WrongUse
from tests.asgi.raw_request import WEB_SOCKET, status_of
from tests.asgi.running_app import serving
from tests.paywall.merchant import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


async def careless(scope: Any, receive: Any, send: Any) -> None:
    """Answers everybody, and opens every web socket."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"11")]})
    await send({"type": "http.response.body", "body": b"worth money"})


@pytest.fixture(scope="module")
def table(shop: Shop) -> Iterator[str]:
    prices = {"/api/{rest:path}": 100, "/all/{count:int}": 50, "/free": None}
    app = PaymentMiddleware(careless, Payment(None, shop.server, prices=prices))
    with serving(app, http="h11") as address:  # which leaves the absolute form as it is
        yield address


@pytest.mark.parametrize(
    "target, status",
    [
        ("/api/x", 402),
        ("/api/x%0Ay", 400),
        ("/api/x%0A", 400),
        ("/api/%0Ax", 400),
        ("/api/x%0D", 400),
        ("/api/x%00", 400),
        ("/api/x%C2%85y", 400),
        ("http://localhost/api/x", 400),
        ("//api/x", 404),
        ("/z/../api/x", 404),
        ("/all/3", 402),
        ("/all/3/", 404),
    ],
)
def test_no_way_of_writing_a_path_gets_its_answer_unpaid(table: str, target: str, status: int) -> None:
    assert status_of(table, target, "Connection: close") == status


@pytest.mark.parametrize("target", ["/api/x", "/api/x%0Ay", "//api/x", "/all/3/", "http://localhost/api/x"])
def test_no_way_of_writing_a_path_opens_a_web_socket_where_there_is_a_price(table: str, target: str) -> None:
    assert status_of(table, target, *WEB_SOCKET) == 403


def test_a_web_socket_opens_where_nothing_costs_anything(table: str) -> None:
    assert status_of(table, "/free", *WEB_SOCKET) == 101
    assert status_of(table, "/elsewhere", *WEB_SOCKET) == 101


def test_where_an_application_is_mounted_costs_what_its_root_costs(shop: Shop) -> None:
    app = PaymentMiddleware(careless, Payment(None, shop.server, prices={"/": 100}))
    with serving(app, root_path="/api") as address:
        # A server that is told of a proxy puts its path before the request's.
        assert requests.get(f"{address}/", timeout=20).status_code == 402

    async def mounting(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/api"}, receive, send)

    with serving(mounting) as address:
        assert requests.get(f"{address}/api", timeout=20).headers[wire.PRICE] == "100"
        assert status_of(address, "/api", *WEB_SOCKET) == 403


def test_without_a_table_the_application_sees_to_odd_paths_itself(shop: Shop) -> None:
    with serving(PaymentMiddleware(careless, Payment(None, shop.server))) as address:
        assert status_of(address, "/x%0Ay", "Connection: close") == 200


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "hello",
        "GET",
        "GET hello",
        "GET  /hello",
        " /hello",
        "/hello ",
        "/hello\n",
        "/hel lo",
        "GET,POST /hello",
        "PSOT /hello",
        "HEAD /hello",
        "OPTIONS /hello",
        "/hello?x=1",
        "/hello#top",
        "/caf%C3%A9",
        "https://x/hello",
        "/{a}/{a}",
        "/{a:number}",
        b"/hello",
        5,
    ],
)
def test_a_rule_that_no_request_can_fit_is_refused_when_it_is_written(shop: Shop, rule: Any) -> None:
    with pytest.raises(WrongUse):
        Payment(None, shop.server, prices={rule: 100})


@pytest.mark.parametrize("rule", ["/hello", "* /hello", "get /hello", "GET /hello"])
def test_a_rule_may_name_its_method_in_any_case_or_all_of_them(shop: Shop, rule: str) -> None:
    payment = Payment(None, shop.server, prices={rule: 100})
    with serving(PaymentMiddleware(careless, payment)) as address:
        assert requests.get(f"{address}/hello", timeout=20).headers[wire.PRICE] == "100"
        is_for_all = rule.startswith(("/", "*"))
        assert requests.post(f"{address}/hello", timeout=20).status_code == (402 if is_for_all else 200)
        [line] = requests.get(f"{address}/payment", timeout=20).json()["resources"]
        assert (line["method"], line["path"]) == ("*" if is_for_all else "GET", "/hello")


@pytest.mark.parametrize("endpoint", ["pay-up", "", 5, "/pay up", "/pay?", "https://x/pay", "/зап"])
def test_an_endpoint_that_no_request_can_ask_for_is_refused(shop: Shop, endpoint: Any) -> None:
    with pytest.raises(WrongUse, match="path"):
        Payment(None, shop.server, endpoint=endpoint)


def test_an_endpoint_is_where_its_path_in_the_terms_leads(shop: Shop) -> None:
    payment = Payment(None, shop.server, endpoint="/pay%20up", prices={"/hello": 100})
    with serving(PaymentMiddleware(careless, payment)) as address:
        path = requests.get(f"{address}/hello", timeout=20).headers[wire.ENDPOINT]
        assert requests.get(address + path, timeout=20).json()["address"] == shop.server.server.address
