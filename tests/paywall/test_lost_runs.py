"""A worker that comes to its answer too late: another has taken over, so that the answer would be for nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from typing import Any

import pytest
import requests
from flask import Flask, Response, send_file
from flask.typing import ResponseReturnValue
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from paypercall import asgi, flask, wire
from paypercall.paid_call import answer
from paypercall.paywall import Running
from paypercall.paywall.current import CURRENT
from paypercall.store import StoredAnswer
from tests.asgi.running_app import serving
from tests.flask.site import served
from tests.paywall.merchant import Shop, headers_of, open_shop, refund_elsewhere, take_over

SECRET = b"worth money"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def run(outcome: object) -> Running:
    assert isinstance(outcome, Running), outcome
    return outcome


def instead(shop: Shop, running: Running, body: bytes | None = SECRET) -> tuple[int, str]:
    """What is sent in place of the answer of a lost run."""
    ending = shop.paywall.finish(running, 200, (), body)
    assert (ending.headers, ending.body) == ((), None)
    assert ending.instead is not None
    return ending.instead.status, json.loads(ending.instead.body)["code"]


@pytest.mark.parametrize("body", [SECRET, None])
def test_the_answer_of_a_lost_run_is_not_given_while_another_is_at_it(shop: Shop, body: bytes | None) -> None:
    running = run(shop.ask(shop.pay()))
    take_over(shop.server.calls, running)
    assert instead(shop, running, body) == (409, "payment_in_progress")


def test_the_answer_of_a_lost_run_is_not_given_for_a_payment_that_was_refunded(shop: Shop) -> None:
    running = run(shop.ask(shop.pay()))
    refund_elsewhere(shop.server.calls, running)
    assert instead(shop, running) == (402, "refunded")


def test_in_place_of_the_answer_of_a_lost_run_that_of_the_other_is_given(shop: Shop) -> None:
    running = run(shop.ask(shop.pay()))
    taken = take_over(shop.server.calls, running)
    shop.server.calls.finish(answer(taken, "another", 0), StoredAnswer(200, (), b"the other"))
    ending = shop.paywall.finish(running, 200, (), SECRET)
    assert ending.instead is not None
    assert (ending.instead.status, ending.instead.body) == (200, b"the other")
    assert wire.RECEIPT in headers_of(ending.instead)


def test_a_run_that_ends_twice_gives_its_answer_once(shop: Shop) -> None:
    running = run(shop.ask(shop.pay()))
    assert shop.paywall.finish(running, 500, (), b"").instead is None
    assert shop.paywall.finish(running, 200, (), SECRET).instead is not None


# --- in the adapters -------------------------------------------------------------------------------------------------


def asked(shop: Shop, url: str) -> requests.Response:
    header = {wire.PACKAGE: wire.encode_package(shop.pay())}
    return requests.get(url, headers=header, timeout=20)


def is_refused(response: requests.Response) -> bool:
    return (
        response.json()["code"] == "refunded"
        and response.status_code == 402
        and SECRET not in response.content
        and "X-Secret" not in response.headers
    )


def lose(shop: Shop) -> None:
    """Called by a view, whose request is taken over and refunded meanwhile."""
    refund_elsewhere(shop.server.calls, run(CURRENT.get()))


@pytest.mark.parametrize("path", ["whole", "stream", "file"])
def test_flask_does_not_give_the_answer_of_a_lost_run(shop: Shop, path: str) -> None:
    app = Flask("lost")
    payment = flask.Payment(app, shop.server)

    @app.get("/<path>")
    @payment.required(100)
    def view(path: str) -> ResponseReturnValue:
        refund_elsewhere(shop.server.calls, run(payment._current()))
        if path == "file":
            return send_file(BytesIO(SECRET), "text/plain")
        return Response(SECRET if path == "whole" else iter([SECRET]), headers={"X-Secret": "yes"})

    with served(app) as url:
        assert is_refused(asked(shop, f"{url}/{path}"))


async def without_end() -> AsyncIterator[bytes]:
    while True:
        yield SECRET


@pytest.mark.parametrize("path", ["whole", "stream", "failure"])
def test_asgi_does_not_give_the_answer_of_a_lost_run(shop: Shop, path: str) -> None:
    payment = asgi.Payment(None, shop.server)

    @payment.required(100)
    async def view(request: Request) -> Any:
        lose(shop)
        if path == "failure":
            raise ValueError("a fault of the view")
        secret = {"X-Secret": "yes"}
        if path == "stream":
            return StreamingResponse(without_end(), headers=secret)
        return PlainTextResponse(SECRET, headers=secret)

    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(asgi.PaymentMiddleware, payment=payment)
    with serving(app) as url:
        assert is_refused(asked(shop, url))
