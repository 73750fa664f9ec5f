"""What a host gets wrong behind a real server: it is told so, and nothing is served for nothing or paid to another."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import requests
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

from paypercall import wire
from paypercall.asgi import Payment, PaymentMiddleware, WrongUse
from paypercall.asgi.charge import Charge
from paypercall.asgi.routes import require_payable
from paypercall.server import Server
from tests.asgi.raw_request import WEB_SOCKET, status_of
from tests.asgi.running_app import serving
from tests.parties import customer_on, merchant_on
from tests.paywall.merchant import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture(scope="module")
def other(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Another merchant."""
    with merchant_on(shop.net, tmp_path_factory.mktemp("other")) as merchant:
        yield merchant


def get(url: str, headers: dict[str, str] | None = None) -> requests.Response:
    return requests.get(url, headers=headers, timeout=20)


def header(shop: Shop, amount: int = 100) -> dict[str, str]:
    return {wire.PACKAGE: wire.encode_package(shop.pay(amount))}


# --- two Payments ----------------------------------------------------------------------------------------------------


def test_two_payments_in_one_application_are_each_paid_to_their_own_merchant(
    shop: Shop, other: Server, tmp_path: Path
) -> None:
    app = FastAPI()
    ours = Payment(app, shop.server)
    theirs = Payment(app, other, endpoint="/pay-them")

    @app.get("/ours", dependencies=[Depends(ours.dependency(100))])
    def of_ours() -> dict[str, int]:
        return {"paid": ours.amount}

    @app.get("/theirs", dependencies=[Depends(theirs.dependency(100))])
    def of_theirs() -> dict[str, int]:
        return {"paid": theirs.amount}

    @theirs.required(100)
    async def decorated(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(theirs.amount))

    app.add_route("/decorated", decorated)
    with serving(app) as url, customer_on(shop.net, tmp_path / "customer", other.address) as customer:
        addresses = {
            path: get(url + path).headers[wire.ADDRESS] for path in ("/ours", "/theirs", "/decorated")
        }
        us, them = shop.server.server.address, other.address
        assert addresses == {"/ours": us, "/theirs": them, "/decorated": them}
        for path, merchant in (("/payment", us), ("/pay-them", them)):
            told = get(url + path).json()
            assert told["address"] == merchant
            assert ("/theirs" in {line["path"] for line in told["resources"]}) == (merchant == them)
        assert get(f"{url}/ours", header(shop)).json() == {"paid": 100}
        for path in ("/theirs", "/decorated"):
            assert get(url + path, header(shop)).status_code in (400, 402), "it is signed to the other"
            headers = {wire.PACKAGE: wire.encode_package(customer.create_payment_package(100))}
            for _ in range(2):
                answer = get(url + path, headers)
                assert (answer.status_code, wire.decode_receipt(answer.headers[wire.RECEIPT])["amount"]) == (
                    200,
                    100,
                )
        customer.wallet.close()


def test_a_view_whose_payment_has_no_middleware_fails_and_serves_nobody(shop: Shop, other: Server) -> None:
    app = FastAPI()
    Payment(app, shop.server)
    elsewhere = Payment(None, other)

    @app.get("/theirs", dependencies=[Depends(elsewhere.dependency(100))])
    def of_theirs() -> str:
        raise AssertionError("nobody has paid")

    with serving(app) as url:
        assert get(f"{url}/theirs").status_code == 500


def test_a_request_is_not_charged_for_by_two_payments(shop: Shop, other: Server) -> None:
    app = FastAPI()
    theirs = Payment(app, other, endpoint="/pay-them")
    Payment(app, shop.server, prices={"/both": 100})

    @app.get("/both", dependencies=[Depends(theirs.dependency(100))])
    def both() -> str:
        raise AssertionError("it has two prices")

    with serving(app) as url:
        answer = get(f"{url}/both", header(shop))
        assert (answer.status_code, wire.decode_receipt(answer.headers[wire.RECEIPT])["refund"]) == (500, 100)


def test_a_price_in_the_table_and_one_of_the_view_are_two_prices(shop: Shop) -> None:
    payment = Payment(None, shop.server, prices={"/both": 100})

    @payment.required(100)
    async def both(request: Request) -> PlainTextResponse:
        return PlainTextResponse("served at two prices")

    with serving(PaymentMiddleware(Starlette(routes=[Route("/both", both)]), payment)) as url:
        answer = get(f"{url}/both", header(shop))
        assert (answer.status_code, wire.decode_receipt(answer.headers[wire.RECEIPT])["refund"]) == (500, 100)


def test_a_view_has_one_price(shop: Shop) -> None:
    payment = Payment(None, shop.server)

    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse("served")

    with pytest.raises(WrongUse, match="payable already"):
        payment.required(1)(payment.required(2)(view))


@pytest.mark.parametrize("what", [None, 100, "view", Starlette])
def test_what_is_no_view_is_refused_when_it_is_decorated(shop: Shop, what: Any) -> None:
    with pytest.raises(WrongUse):
        Payment(None, shop.server).required(100)(what)


def hello() -> Starlette:
    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse("worth money")

    return Starlette(routes=[Route("/hello", view)])


def test_two_payments_with_one_endpoint_are_refused_but_not_where_one_is_mounted(
    shop: Shop, other: Server
) -> None:
    app = PaymentMiddleware(PaymentMiddleware(hello(), Payment(None, other)), Payment(None, shop.server))
    with serving(app) as url:
        assert get(f"{url}/hello").status_code == 500
    inner = PaymentMiddleware(hello(), Payment(None, other))
    app = PaymentMiddleware(Starlette(routes=[Mount("/inner", inner)]), Payment(None, shop.server))
    with serving(app) as url:
        assert get(f"{url}/inner/hello").text == "worth money"
        assert get(f"{url}/payment").json()["address"] == shop.server.server.address
        assert get(f"{url}/inner/payment").json()["address"] == other.address


def test_a_middleware_that_is_installed_twice_is_refused_and_a_payment_is_given_back(shop: Shop) -> None:
    payment = Payment(None, shop.server, prices={"/hello": 100})
    with serving(PaymentMiddleware(PaymentMiddleware(hello(), payment), payment)) as url:
        answer = get(f"{url}/hello", header(shop))
        assert (answer.status_code, wire.decode_receipt(answer.headers[wire.RECEIPT])["refund"]) == (500, 100)
        assert get(f"{url}/elsewhere").status_code == 500


def test_a_view_asks_what_was_paid_also_if_another_payment_stands_between(shop: Shop, other: Server) -> None:
    app = FastAPI()
    Payment(app, other, endpoint="/pay-them")
    ours = Payment(app, shop.server, prices={"/by-table": 100})

    @app.get("/by-table")
    def by_table() -> dict[str, int]:
        ours.refund(30)
        return {"paid": ours.amount}

    with serving(app) as url:
        answer = get(f"{url}/by-table", header(shop))
        assert (answer.status_code, answer.json()) == (200, {"paid": 100})
        assert wire.decode_receipt(answer.headers[wire.RECEIPT])["refund"] == 30


# --- views that would be free ----------------------------------------------------------------------------------------


def without_a_call(app: FastAPI, payments: Payment) -> None:
    @app.get("/", dependencies=[Depends(payments.dependency)])
    def view() -> str:
        return "worth money"


def with_a_decorator(app: FastAPI, payments: Payment) -> None:
    @app.get("/", dependencies=[Depends(payments.required(100))])
    def view() -> str:
        return "worth money"


def with_required_uncalled(app: FastAPI, payments: Payment) -> None:
    @app.get("/", dependencies=[Depends(payments.required)])
    def view() -> str:
        return "worth money"


def in_a_dependency_of_a_dependency(app: FastAPI, payments: Payment) -> None:
    def outer(inner: Annotated[Any, Depends(payments.dependency)]) -> None:
        pass

    @app.get("/", dependencies=[Depends(outer)])
    def view() -> str:
        return "worth money"


def above_the_route(app: FastAPI, payments: Payment) -> None:
    @payments.required(100)
    @app.get("/")
    def view(request: Request) -> str:
        return "worth money"


def with_a_decorator_without_brackets(app: FastAPI, payments: Payment) -> None:
    @app.get("/")
    @payments.required
    def view(request: Request) -> str:
        return "worth money"


def logged(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    async def wrapper(request: Request) -> Any:
        return await view(request)

    return wrapper


async def worth_money(request: Request) -> PlainTextResponse:
    return PlainTextResponse("worth money")


def above_a_decorator_above_the_route(app: FastAPI, payments: Payment) -> None:
    payments.required(100)(logged(app.get("/")(worth_money)))


def beside_a_decorated_view(app: FastAPI, payments: Payment) -> None:
    app.add_route("/", logged(worth_money))
    payments.required(100)(worth_money)


def beside_a_partial(app: FastAPI, payments: Payment) -> None:
    app.add_route("/", functools.partial(worth_money))
    payments.required(100)(worth_money)


def in_a_router(app: FastAPI, payments: Payment) -> None:
    router = APIRouter(dependencies=[Depends(payments.dependency)])

    @router.get("/")
    def view() -> str:
        return "worth money"

    app.include_router(router, prefix="/router")


def above_the_route_in_a_mounted_application(app: FastAPI, payments: Payment) -> None:
    inner = FastAPI()
    app.mount("/router", inner)
    above_the_route(inner, payments)


@pytest.mark.parametrize(
    "mistake",
    [
        without_a_call,
        with_a_decorator,
        with_required_uncalled,
        above_a_decorator_above_the_route,
        beside_a_decorated_view,
        beside_a_partial,
        in_a_dependency_of_a_dependency,
        above_the_route,
        with_a_decorator_without_brackets,
        in_a_router,
        above_the_route_in_a_mounted_application,
    ],
)
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_view_that_would_be_free_by_mistake_is_not_served(
    shop: Shop, mistake: Callable[[FastAPI, Payment], None], is_wrapped: bool
) -> None:
    app: Any = FastAPI()
    payments = Payment(None if is_wrapped else app, shop.server)
    mistake(app, payments)
    with pytest.raises(WrongUse, match="/ would be free: "):
        require_payable(app.routes, payments.unpaid)
    with serving(PaymentMiddleware(app, payments) if is_wrapped else app) as url:
        for path in ("/", "/router/"):
            for query in ("", "?price=0&view=x&inner=1"):
                answer = get(f"{url}{path}{query}")
                assert (answer.status_code, "worth money" in answer.text) == (500, False)


def test_a_view_that_would_be_free_is_noticed_also_when_its_route_comes_later(shop: Shop) -> None:
    app = FastAPI()
    payments = Payment(app, shop.server)
    with serving(app) as url:
        assert get(f"{url}/").status_code == 404
        above_the_route(app, payments)
        assert get(f"{url}/").status_code == 500


def test_a_web_socket_is_not_opened_for_nothing_by_mistake(shop: Shop) -> None:
    app = FastAPI()
    payments = Payment(app, shop.server)

    @app.websocket("/feed", dependencies=[Depends(payments.dependency)])
    async def feed(socket: Any) -> None:
        raise AssertionError("nobody has paid")

    with serving(app) as url:
        assert status_of(url, "/feed", *WEB_SOCKET) == 500


def test_a_dependency_has_annotations_that_every_fastapi_can_read() -> None:
    assert inspect.signature(Charge.__call__).parameters["request"].annotation is Request


# --- the endpoint's path ---------------------------------------------------------------------------------------------


async def of_the_host(request: Any) -> PlainTextResponse:
    return PlainTextResponse("of the host")


def routed(payments: Payment) -> Any:
    return Starlette(routes=[Route("/payment", of_the_host, methods=["DELETE"])])


def mounted_at_the_root(payments: Payment) -> Any:
    return Starlette(
        routes=[Mount("/pay", routes=[]), Mount("", Starlette(routes=[Route("/payment", of_the_host)]))]
    )


def mounted_in_parts(payments: Payment) -> Any:
    app, router = FastAPI(), APIRouter()
    router.get("ment")(of_the_host)
    app.include_router(router, prefix="/pay")
    return app


@pytest.mark.parametrize("make", [routed, mounted_at_the_root, mounted_in_parts])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_route_of_the_host_does_not_disappear_behind_the_endpoint(
    shop: Shop, make: Callable[[Payment], Any], is_wrapped: bool
) -> None:
    payments = Payment(None, shop.server)
    app = make(payments)
    wrapped = PaymentMiddleware(app, payments)
    if not is_wrapped:
        app.add_middleware(PaymentMiddleware, payment=payments)
    with serving(wrapped if is_wrapped else app) as url:
        for path in ("/payment", "/elsewhere"):
            assert get(url + path).status_code == 500
    with pytest.raises(
        WrongUse, match="/payment is the path of the channel endpoint and of a route of yours"
    ):
        asyncio.run(wrapped({"type": "http"}, None, None))  # type: ignore[arg-type]


def test_the_table_of_prices_has_not_the_endpoints_path(shop: Shop) -> None:
    with pytest.raises(WrongUse, match="channel endpoint"):
        Payment(None, shop.server, prices={"GET /payment": 100})


@pytest.mark.parametrize("endpoint", [None, "/pay-up"])
def test_a_route_of_the_host_is_served_where_the_endpoint_is_elsewhere(
    shop: Shop, endpoint: str | None
) -> None:
    app = routed(payments := Payment(None, shop.server, endpoint=endpoint))
    with serving(PaymentMiddleware(app, payments)) as url:
        assert requests.delete(f"{url}/payment", timeout=20).text == "of the host"


def test_what_has_the_endpoints_path_further_out_or_in_or_for_web_sockets_is_no_mistake(
    shop: Shop, other: Server
) -> None:
    async def plain(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse(scope["path"])(scope, receive, send)

    inner = PaymentMiddleware(plain, Payment(None, other))
    routes = [
        Route("/payment", of_the_host),
        Mount("/inner", inner),
        Mount("/pay-up", Starlette(routes=[Route("/", of_the_host)])),
        WebSocketRoute("/pay-up", of_the_host),
        Route("/{anything:path}", of_the_host),
    ]
    app = PaymentMiddleware(Starlette(routes=routes), Payment(None, shop.server, endpoint="/pay-up"))
    with serving(app) as url:
        assert [get(url + path).text for path in ("/payment", "/pay-up/", "/else")] == ["of the host"] * 3
        assert get(f"{url}/pay-up").json()["address"] == shop.server.server.address
        assert get(f"{url}/inner/payment").json()["address"] == other.address
        assert get(f"{url}/inner/view").text == "/inner/view"


# --- the price list --------------------------------------------------------------------------------------------------


def test_the_price_list_has_routers_what_is_mounted_and_what_is_wrapped_from_outside(shop: Shop) -> None:
    app, router, mounted = FastAPI(), APIRouter(), Starlette()
    payments = Payment(None, shop.server)

    @router.get("/routed", dependencies=[Depends(payments.dependency(1))])
    def routed() -> str:
        return "1"

    @payments.required(2)
    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse("2")

    mounted.add_route("/view", view)
    app.include_router(router, prefix="/prefix")
    app.include_router(APIRouter(), prefix="/empty", dependencies=[Depends(payments.dependency(9))])
    app.mount("/mounted", mounted)
    with serving(PaymentMiddleware(app, payments)) as url:
        assert get(f"{url}/prefix/routed").headers[wire.PRICE] == "1"
        lines = get(f"{url}/payment").json()["resources"]
        document = get(f"{url}/openapi.json").json()["paths"]
    assert {line["path"]: line["price"] for line in lines} == {"/prefix/routed": 1, "/mounted/view": 2}
    assert document["/prefix/routed"]["get"]["x-payment-info"] == {"price": 1, "asset": "base"}
