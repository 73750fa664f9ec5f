"""FastAPI, Starlette and a plain ASGI application charge for requests, behind a real server."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from fastapi import Depends, FastAPI, HTTPException
from fastapi.openapi.utils import get_openapi
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware
from paypercall.call_book import AnswerLimits
from paypercall.devnet import Devnet
from paypercall.paying import Budget
from paypercall.paywall import WrongPrice
from paypercall.paywall.request import MAX_PAID_BODY
from paypercall.requests import Session
from tests.asgi.fastapi_app import Runs, make_fastapi
from tests.asgi.running_app import serving
from tests.parties import merchant_on, wait_until
from tests.paywall.merchant import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def paid(shop: Shop, url: str, amount: int = 100, method: str = "GET", **options: Any) -> requests.Response:
    headers = {wire.PACKAGE: wire.encode_package(shop.pay(amount)), **options.pop("headers", {})}
    return requests.request(method, url, headers=headers, timeout=20, **options)


def refund_in(shop: Shop, answer: requests.Response) -> int:
    payment = shop.client.verify_payment_package(wire.decode_package(answer.headers[wire.PACKAGE]))
    assert payment.error is None
    return payment.amount


# --- FastAPI ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs() -> Runs:
    return []


@pytest.fixture(scope="module")
def fastapi(shop: Shop, runs: Runs) -> Iterator[str]:
    with serving(make_fastapi(shop, runs)) as address:
        yield address


def test_a_view_of_fastapi_is_paid_for_and_answered_again_without_running(
    shop: Shop, fastapi: str, runs: Runs
) -> None:
    unpaid = requests.get(f"{fastapi}/temperature", timeout=20)
    assert unpaid.status_code == 402
    assert unpaid.headers[wire.PRICE] == "100"
    assert unpaid.headers["Content-Type"] == "application/problem+json"
    before = len(runs)
    headers = {wire.PACKAGE: wire.encode_package(shop.pay())}
    first = requests.get(f"{fastapi}/temperature", headers=headers, timeout=20)
    assert (first.status_code, first.json()) == (200, {"celsius": 21, "paid": 100})
    assert json.loads(first.headers[wire.RECEIPT])["amount"] == 100
    assert first.headers["Cache-Control"] == "no-store"
    again = requests.get(f"{fastapi}/temperature", headers=headers, timeout=20)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers[wire.RECEIPT] == first.headers[wire.RECEIPT]
    assert len(runs) == before + 1
    other = requests.get(f"{fastapi}/async", headers=headers, timeout=20)
    assert (other.status_code, other.json()["code"]) == (409, "payment_used")


def test_an_async_view_and_an_async_price_are_paid_for(shop: Shop, fastapi: str) -> None:
    assert paid(shop, f"{fastapi}/async").json() == {"answer": 42}
    assert requests.get(f"{fastapi}/by-length/7?factor=10", timeout=20).headers[wire.PRICE] == "70"
    answer = paid(shop, f"{fastapi}/by-length/7?factor=10", 70)
    assert answer.json() == {"length": 7}
    assert wire.PACKAGE not in answer.headers


@pytest.mark.parametrize(
    "framework, path", [("fastapi", "priced-json"), ("starlette", "priced"), ("table", "priced")]
)
def test_a_price_may_depend_on_the_body_which_still_arrives_whole(
    shop: Shop, framework: str, path: str, request: pytest.FixtureRequest
) -> None:
    url, content = f"{request.getfixturevalue(framework)}/{path}", {"text": "x" * 70}
    assert requests.post(url, json=content, timeout=20).headers[wire.PRICE] == "70"
    answer = paid(shop, url, 70, "POST", json=content)
    assert (answer.status_code, answer.json()) == (200, content)


def test_too_little_is_refused_and_refunded(shop: Shop, fastapi: str) -> None:
    answer = paid(shop, f"{fastapi}/temperature", 40)
    assert (answer.status_code, answer.json()["code"]) == (402, "underpaid")
    assert refund_in(shop, answer) == 40


def test_what_fails_is_refunded_whoever_makes_the_answer(shop: Shop, fastapi: str) -> None:
    teapot = paid(shop, f"{fastapi}/teapot")
    assert (teapot.status_code, teapot.json()) == (418, {"detail": "short and stout"})
    assert refund_in(shop, teapot) == 100
    broken = paid(shop, f"{fastapi}/broken")
    assert (broken.status_code, broken.json()["code"]) == (500, "internal_error")
    assert refund_in(shop, broken) == 100


@pytest.mark.parametrize("framework", ["fastapi", "starlette"])
def test_what_fails_is_refunded_also_when_an_error_handler_answers_200(
    shop: Shop, framework: str, request: pytest.FixtureRequest
) -> None:
    answer = paid(shop, f"{request.getfixturevalue(framework)}/mended", 110)
    assert (answer.status_code, answer.json()) == (200, {"mended": True})
    assert refund_in(shop, answer) == 110


def test_a_view_gives_a_part_back(shop: Shop, fastapi: str) -> None:
    assert refund_in(shop, paid(shop, f"{fastapi}/nothing-found", 110)) == 70
    assert requests.get(f"{fastapi}/unpaid", timeout=20).json() == "wrong_use"


@pytest.mark.parametrize("is_multipart", [True, False])
def test_a_form_arrives_whole_with_the_payment_in_a_header_or_in_it(
    shop: Shop, fastapi: str, is_multipart: bool
) -> None:
    text = "ä" * 100_000
    form: dict[str, Any] = {"files": {"text": (None, text)}} if is_multipart else {"data": {"text": text}}
    assert paid(shop, f"{fastapi}/form", method="POST", **form).json() == {"text": text}
    text = "ä" * 5_000
    package = json.dumps(shop.pay())
    form = (
        {"files": {"text": (None, text), "payment_package": (None, package)}}
        if is_multipart
        else {"data": {"text": text, "payment_package": package}}
    )
    answer = requests.post(f"{fastapi}/form", timeout=20, **form)
    assert (answer.status_code, answer.json()) == (200, {"text": text})


def test_a_package_in_a_json_body_pays_and_its_refund_is_in_the_answer(shop: Shop, fastapi: str) -> None:
    content = {"text": "hello", "payment_package": shop.pay(120)}
    answer = requests.post(f"{fastapi}/json", json=content, timeout=20)
    assert answer.json()["text"] == "hello"
    refund = shop.client.verify_payment_package(answer.json()["payment_package"])
    assert (refund.error, refund.amount) == (None, 20)


def test_what_is_free_needs_no_payment(fastapi: str) -> None:
    assert requests.get(f"{fastapi}/free", timeout=20).json() == {"amount": 0, "asset": None}
    preflight = requests.options(f"{fastapi}/temperature", timeout=20)
    assert preflight.status_code == 405


@pytest.mark.parametrize("framework", ["fastapi", "table"])
def test_a_payment_for_what_is_free_goes_back_as_a_whole(
    shop: Shop, framework: str, request: pytest.FixtureRequest
) -> None:
    url, headers = (
        f"{request.getfixturevalue(framework)}/free",
        {wire.PACKAGE: wire.encode_package(shop.pay())},
    )
    first, again = (requests.get(url, headers=headers, timeout=20) for _ in range(2))
    assert (first.status_code, first.content) == (200, again.content)
    assert wire.decode_receipt(again.headers[wire.RECEIPT])["refund"] == 100 == refund_in(shop, first)


def overlooked(shop: Shop) -> int:
    """What the customer has signed and the merchant has not accepted."""
    balance = shop.server.server.channel(shop.client.aa_address or "")
    accepted = 0 if balance is None else balance.accepted_from_peer
    return shop.client.balance().owed_by_me - accepted


def test_our_client_that_pays_for_what_is_free_by_now_has_all_of_it_back(shop: Shop, fastapi: str) -> None:
    url, budget = f"{fastapi}/by-length/7", Budget(per_call=100, per_hour=100, per_day=100)
    overlooked_before = overlooked(shop)
    with Session(shop.client, budget, strict=True) as api:
        assert api.get(f"{url}?factor=10").json() == {"length": 7}
        assert api.get(f"{url}?factor=1").json() == {"length": 7}, "which is cheaper"
        for _ in range(2):
            assert api.get(f"{url}?factor=0").json() == {"length": 7}
    assert overlooked(shop) == overlooked_before


def test_what_is_free_by_one_price_and_not_by_another_is_paid_for(shop: Shop, fastapi: str) -> None:
    answer = paid(shop, f"{fastapi}/free-first", 110)
    assert (answer.status_code, answer.json()) == (200, {"paid": 110})
    assert refund_in(shop, answer) == 10
    both = paid(shop, f"{fastapi}/free-twice", 110)
    assert (both.json(), refund_in(shop, both)) == ({"paid": 110}, 110)


@pytest.mark.parametrize("path", ["odd", "twice"])
def test_a_price_that_makes_no_sense_charges_nothing(shop: Shop, fastapi: str, runs: Runs, path: str) -> None:
    package = shop.pay(100)
    headers = {wire.PACKAGE: wire.encode_package(package)}
    before = list(runs)
    assert requests.get(f"{fastapi}/{path}", headers=headers, timeout=20).status_code == 500
    assert runs == before
    if path == "odd":
        assert requests.get(f"{fastapi}/async", headers=headers, timeout=20).status_code == 200


def test_two_package_headers_are_refused(shop: Shop, fastapi: str) -> None:

    text = wire.encode_package(shop.pay())
    connection = http.client.HTTPConnection(fastapi.removeprefix("http://"), timeout=20)
    connection.putrequest("GET", "/temperature")
    connection.putheader(wire.PACKAGE, text)
    connection.putheader(wire.PACKAGE, text)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 400
    connection.close()


def test_the_openapi_document_tells_the_prices(fastapi: str) -> None:
    paths = requests.get(f"{fastapi}/openapi.json", timeout=20).json()["paths"]
    assert paths["/temperature"]["get"]["x-payment-info"] == {"price": 100, "asset": "base"}
    assert paths["/by-length/{length}"]["get"]["x-payment-info"] == {"price": "varies", "asset": "base"}
    assert "402" in paths["/temperature"]["get"]["responses"]
    assert "x-payment-info" not in paths["/unpaid"]["get"]
    by_table = paths["/by-table/{name}"]
    assert by_table["delete"]["x-payment-info"] == {"price": 30, "asset": "base"}
    assert "x-payment-info" not in by_table["get"]


@pytest.mark.parametrize("is_own_document", [False, True])
def test_the_document_has_the_prices_however_the_payments_are_installed(
    shop: Shop, is_own_document: bool
) -> None:
    app = FastAPI()
    payments = Payment(app if is_own_document else None, shop.server)

    @app.get("/answer", dependencies=[Depends(payments.dependency(100))])
    def answer() -> int:
        return 42

    if is_own_document:
        document = get_openapi(title="of the host's own", version="1", routes=app.routes)
        app.openapi = lambda: document  # type: ignore[method-assign]
    else:
        app.add_middleware(PaymentMiddleware, payment=payments)
    with serving(app) as url:
        for _ in range(2):
            paths = requests.get(f"{url}/openapi.json", timeout=20).json()["paths"]
            assert paths["/answer"]["get"]["x-payment-info"] == {"price": 100, "asset": "base"}


def test_the_price_list_has_the_methods_of_classes(shop: Shop) -> None:
    payment = Payment(None, shop.server)

    class Report(HTTPEndpoint):
        @payment.required(100)
        async def get(self, request: Request) -> Response:
            return Response("paid")

        async def post(self, request: Request) -> Response:
            return Response("free")

    app = Starlette(routes=[Route("/report", Report)])
    with serving(PaymentMiddleware(app, payment)) as url:
        lines = requests.get(f"{url}/payment", timeout=20).json()["resources"]
        assert [(line["method"], line["path"], line["price"]) for line in lines] == [("GET", "/report", 100)]


@pytest.mark.parametrize("status", [303, 404])
def test_a_redirect_that_is_raised_is_no_failure(shop: Shop, status: int) -> None:
    app = FastAPI()
    payments = Payment(app, shop.server)

    @app.get("/moved", dependencies=[Depends(payments.dependency(100))])
    def moved() -> None:
        raise HTTPException(status, headers={"Location": "/elsewhere"})

    with serving(app) as url:
        answer = paid(shop, f"{url}/moved", allow_redirects=False)
        assert (answer.status_code, wire.PACKAGE in answer.headers) == (status, status == 404)


@pytest.mark.parametrize("price", ["100", 1.5, -1, True, 10**16, [100]])
def test_a_wrong_price_fails_when_it_is_said(shop: Shop, price: Any) -> None:
    with pytest.raises(WrongPrice):
        Payment(None, shop.server).dependency(price)


async def price_of_text(request: Request) -> int:
    return len((await request.json())["text"])


# --- Starlette -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def starlette(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = tmp_path_factory.mktemp("files") / "large"
    file.write_bytes(bytes(range(256)) * 4096)
    payment = Payment(None, shop.server)

    @payment.required(100)
    async def cookies(request: Request) -> JSONResponse:
        answer = JSONResponse({"body": (await request.body()).decode()})
        answer.set_cookie("a", "1")
        answer.set_cookie("b", "2")
        return answer

    @payment.required(lambda request, name: 10 * len(name))
    def named(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.path_params["name"])

    @payment.required(100)
    async def events(request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            for number in range(3):
                yield f"data: {number}\n\n"

        return StreamingResponse(parts(), media_type="text/event-stream")

    @payment.required(100)
    async def download(request: Request) -> FileResponse:
        return FileResponse(file)

    @payment.required(lambda request: 0 if "member" in request.headers else 100)
    async def for_members(request: Request) -> FileResponse:
        return FileResponse(file, headers=dict(request.query_params))

    @payment.required(price_of_text)
    async def priced(request: Request) -> JSONResponse:
        return JSONResponse(await request.json())

    @payment.required(100)
    async def mended(request: Request) -> JSONResponse:
        raise LookupError

    @payment.required(lambda request: 0 if "member" in request.headers else 50)
    async def both(request: Request) -> JSONResponse:
        one, other = await asyncio.gather(first(request), second(request))
        return JSONResponse([bytes(one.body).decode(), bytes(other.body).decode()])

    @payment.required(100)
    async def first(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"first of {payment.amount}")

    @payment.required(200)
    def second(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"second of {payment.amount}")

    async def one_after_the_other(request: Request) -> PlainTextResponse:
        await first(request)
        return await second(request)

    async def beside_each_other(request: Request) -> JSONResponse:
        inside = asyncio.Event()

        @payment.required(100)
        async def slow(request: Request) -> None:
            inside.set()
            await asyncio.sleep(0.1)

        running = asyncio.ensure_future(slow(request))
        await inside.wait()
        try:
            return await cookies(request)
        finally:
            await running

    def mend(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"mended": True})

    routes = [
        Route("/mended", mended),
        Route("/priced", priced, methods=["POST"]),
        Route("/cookies", cookies, methods=["GET", "POST"]),
        Route("/events", events),
        Route("/download", download),
        Route("/for-members", for_members),
        Route("/both", both),
        Route("/one-after-the-other", one_after_the_other),
        Route("/beside-each-other", beside_each_other),
        Mount("/inner", routes=[Route("/named/{name}", named)]),
    ]
    app = Starlette(routes=routes, exception_handlers={LookupError: mend})

    async def in_parts(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)  # of known length, but never in one message

    app.add_middleware(BaseHTTPMiddleware, dispatch=in_parts)
    app.add_middleware(PaymentMiddleware, payment=payment)
    with serving(app) as address:
        yield address


def test_several_cookies_survive_and_are_given_again(shop: Shop, starlette: str) -> None:
    headers = {wire.PACKAGE: wire.encode_package(shop.pay())}
    for _ in range(2):
        answer = requests.post(f"{starlette}/cookies", data=b"hello", headers=headers, timeout=20)
        assert answer.json() == {"body": "hello"}
        assert dict(answer.cookies) == {"a": "1", "b": "2"}
    changed = requests.post(f"{starlette}/cookies", data=b"hellO", headers=headers, timeout=20)
    assert changed.json()["code"] == "payment_used"


def test_a_mounted_view_is_asked_for_its_price_with_the_paths_parameters(shop: Shop, starlette: str) -> None:
    assert requests.get(f"{starlette}/inner/named/abc", timeout=20).headers[wire.PRICE] == "30"
    assert paid(shop, f"{starlette}/inner/named/abc", 30).text == "abc"


def test_a_payable_view_that_calls_others_is_paid_once(shop: Shop, starlette: str) -> None:
    answer = paid(shop, f"{starlette}/both", 50)
    assert answer.json() == ["first of 50", "second of 50"]
    assert (json.loads(answer.headers[wire.RECEIPT])["amount"], wire.PACKAGE in answer.headers) == (50, False)
    free = requests.get(f"{starlette}/both", headers={"Member": "yes"}, timeout=20)
    assert free.json() == ["first of 0", "second of 0"]
    assert requests.get(f"{starlette}/both", timeout=20).headers[wire.PRICE] == "50"


@pytest.mark.parametrize("path", ["one-after-the-other", "beside-each-other"])
def test_a_view_without_a_price_calls_no_second_payable_view_for_nothing(
    shop: Shop, starlette: str, path: str
) -> None:
    answer = paid(shop, f"{starlette}/{path}")
    assert (answer.status_code, refund_in(shop, answer)) == (500, 100)


def test_a_stream_passes_with_a_receipt_and_is_not_kept(shop: Shop, starlette: str) -> None:
    headers = {wire.PACKAGE: wire.encode_package(shop.pay())}
    answer = requests.get(f"{starlette}/events", headers=headers, timeout=20)
    assert answer.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert wire.RECEIPT in answer.headers
    again = requests.get(f"{starlette}/events", headers=headers, timeout=20)
    assert (again.status_code, again.json()["code"]) == (409, "answer_not_kept")


def test_a_file_arrives_whole(shop: Shop, starlette: str) -> None:
    answer = paid(shop, f"{starlette}/download")
    assert answer.content == bytes(range(256)) * 4096
    assert wire.RECEIPT in answer.headers


@pytest.mark.parametrize(
    "said, told",
    [
        ({}, {"Cache-Control": "no-store"}),
        (
            {"Cache-Control": "public, max-age=600", "CDN-Cache-Control": "max-age=600"},
            {"Cache-Control": "private, max-age=600", "Cdn-Cache-Control": "no-store"},
        ),
    ],
)
def test_what_is_free_for_some_is_kept_by_no_shared_cache(
    starlette: str, said: dict[str, str], told: dict[str, str]
) -> None:
    answer = requests.get(f"{starlette}/for-members", said, headers={"Member": "yes"}, timeout=20)
    assert (answer.status_code, len(answer.content)) == (200, 256 * 4096)
    of_caches = {name.title(): value for name, value in answer.headers.items() if "cache-control" in name}
    assert of_caches == told
    assert requests.get(f"{starlette}/for-members", said, timeout=20).status_code == 402


def test_what_is_free_for_all_is_left_to_caches_as_its_view_says(fastapi: str, table: str) -> None:
    for url in (f"{fastapi}/free", f"{table}/free"):
        assert "Cache-Control" not in requests.get(url, timeout=20).headers


def test_an_answer_that_is_too_large_to_be_kept_passes_in_its_parts(shop: Shop, starlette: str) -> None:
    headers = {wire.PACKAGE: wire.encode_package(shop.pay())}
    assert AnswerLimits().max_bytes < 256 * 4096
    assert requests.get(f"{starlette}/download", headers=headers, timeout=20).status_code == 200
    again = requests.get(f"{starlette}/download", headers=headers, timeout=20)
    assert (again.status_code, again.json()["code"]) == (409, "answer_not_kept")


def test_a_body_that_is_too_large_is_refused_and_charges_nothing(shop: Shop, starlette: str) -> None:
    headers = {wire.PACKAGE: wire.encode_package(shop.pay())}

    def parts() -> Iterator[bytes]:
        for _ in range(MAX_PAID_BODY // 2**20 + 1):
            yield bytes(2**20)

    answer = requests.post(f"{starlette}/cookies", data=parts(), headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert requests.post(f"{starlette}/cookies", data=b"", headers=headers, timeout=20).status_code == 200


# --- any application -------------------------------------------------------------------------------------------------


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """An application without a framework, which answers with what it was sent."""
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    body += message.get("body", b"")
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def table(shop: Shop) -> Iterator[str]:
    prices = {
        "POST /echo": 100,
        "POST /priced": price_of_text,
        "/items/{number:int}": lambda request, number: number * 10,
        "/free": None,
    }
    app = PaymentMiddleware(plain, Payment(None, shop.server, prices=prices))
    with serving(app, root_path="/behind/a/proxy") as address:
        yield address


def test_a_table_of_paths_charges_for_any_application(shop: Shop, table: str) -> None:
    assert requests.get(f"{table}/echo", timeout=20).status_code == 200
    assert requests.get(f"{table}/free", timeout=20).status_code == 200
    assert requests.get(f"{table}/elsewhere", timeout=20).status_code == 200
    assert requests.get(f"{table}/items/12", timeout=20).headers[wire.PRICE] == "120"
    assert requests.post(f"{table}/echo", timeout=20).status_code == 402
    headers = {wire.PACKAGE: wire.encode_package(shop.pay())}
    for _ in range(2):
        answer = requests.post(f"{table}/echo", data=b"x" * 200_000, headers=headers, timeout=20)
        assert (answer.status_code, answer.content) == (200, b"x" * 200_000)
        assert wire.RECEIPT in answer.headers


def test_the_ledger_is_watched_before_the_first_payment_comes(tmp_path: Path) -> None:
    with Devnet() as net:
        merchant = merchant_on(net, tmp_path)

        def has_looked() -> bool:
            with merchant.store.reading() as books:
                return books.node.health().synced_at is not None

        assert not has_looked()
        Payment(None, merchant)
        wait_until(has_looked, "the merchant has looked at the ledger")
        merchant.close_node()
        merchant.wallet.close()


# --- the channel endpoint --------------------------------------------------------------------------------------------


def test_the_endpoint_tells_terms_and_prices(shop: Shop, fastapi: str, table: str) -> None:
    told = requests.get(f"{fastapi}/payment", timeout=20)
    assert told.status_code == 200
    assert told.json()["address"] == shop.server.server.address
    prices = {(line["method"], line["path"]): line["price"] for line in told.json()["resources"]}
    assert prices["GET", "/temperature"] == 100
    assert prices["GET", "/by-length/{length}"] == "varies"
    assert ("GET", "/unpaid") not in prices
    prices = {
        (line["method"], line["path"]): line["price"]
        for line in requests.get(f"{table}/payment", timeout=20).json()["resources"]
    }
    assert prices["POST", "/echo"] == 100


def test_a_token_of_the_endpoint_pays_for_a_request(shop: Shop, fastapi: str) -> None:
    paid_before = requests.put(
        f"{fastapi}/payment", headers={wire.PACKAGE: wire.encode_package(shop.pay())}, timeout=20
    )
    token = paid_before.json()["token"]
    answer = requests.get(f"{fastapi}/temperature", headers={wire.TOKEN: token}, timeout=20)
    assert answer.json() == {"celsius": 21, "paid": 100}
    form = requests.put(f"{fastapi}/payment", data={"payment_package": json.dumps(shop.pay())}, timeout=20)
    assert form.json()["token"]


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=b", "multipart/form-data"])
def test_a_multipart_form_that_cannot_be_read_holds_no_payment(
    fastapi: str, table: str, content_type: str
) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="payment_package" \x00'
    options: dict[str, Any] = {"data": body, "headers": {"Content-Type": content_type}, "timeout": 20}
    for answer in (
        requests.put(f"{fastapi}/payment", **options),
        requests.put(f"{table}/payment", **options),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "wrong_shape")
    charged = requests.post(f"{table}/echo", **options)
    assert (charged.status_code, charged.json()["code"]) == (402, "payment_required")


def test_the_endpoint_refuses_a_large_body_unread(fastapi: str) -> None:
    answer = requests.post(f"{fastapi}/payment", data=b"x" * 1_000_000, timeout=20)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert requests.patch(f"{fastapi}/payment", timeout=20).status_code == 405
