"""How a Flask app is set up to charge: factories, settings, mistakes; and what outlives a failure or a restart."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, Request, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.middleware.proxy_fix import ProxyFix

from paypercall import wire
from paypercall.call_book import AnswerLimits
from paypercall.errors import Refusal
from paypercall.flask import Payment, WrongUse
from paypercall.methods import Channel, Order, PaymentMethod
from paypercall.paid_call import PaidCall
from paypercall.payment_server import PaymentServer
from paypercall.paywall import WrongPrice
from paypercall.paywall.request import MAX_PAID_BODY
from paypercall.server import Server
from tests.flask.site import Site, code_in, open_site, receipt_in, served
from tests.gunicorn import Keys
from tests.parties import conf_for


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def app() -> Flask:
    return Flask(__name__)


def view() -> ResponseReturnValue:
    return "served"


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["7", 1.0, -1, True, 2**60, [1]])
def test_a_price_that_makes_no_sense_fails_when_it_is_written_down(price: Any) -> None:
    with pytest.raises(WrongPrice):
        Payment().required(price)


def test_an_asset_that_is_none_fails_when_it_is_written_down() -> None:
    with pytest.raises(Refusal, match="asset"):
        Payment().required(1, "bytes")


def test_a_view_that_is_routed_without_its_price_is_refused_at_once(site: Site, app: Flask) -> None:
    payment = Payment(app, site.merchant)
    with pytest.raises(WrongUse, match="below the route"):

        @payment.required(100)
        @app.get("/answer")
        def answer() -> ResponseReturnValue:
            return "for nothing"


def logged(view: Any) -> Any:
    """A decorator as hosts have them."""

    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


def test_a_view_that_is_routed_without_its_price_is_refused_whatever_is_wrapped_around_it(
    site: Site, app: Flask
) -> None:
    payment = Payment(app, site.merchant)
    app.add_url_rule("/plain", "plain", view)
    with pytest.raises(WrongUse, match="below the route"):
        payment.required(100)(logged(view))
    app.add_url_rule("/wrapped", "wrapped", logged(priced := logged(view)))
    with pytest.raises(WrongUse, match="below the route"):
        payment.required(100)(priced)


def test_a_view_may_have_decorators_below_and_above_its_price(site: Site, app: Flask) -> None:
    payment = Payment(app, site.merchant)
    app.add_url_rule("/answer", view_func=logged(payment.required(100)(logged(view))))
    with served(app) as site.url:
        assert code_in(site.ask("/answer")) == (402, "payment_required")
        assert site.ask("/answer", site.pay()).text == "served"


def test_a_view_of_a_blueprint_that_is_routed_without_its_price_is_never_served(
    site: Site, app: Flask
) -> None:
    payment, blueprint = Payment(), Blueprint("part", __name__)

    @payment.required(100)
    @blueprint.get("/answer")
    def answer() -> ResponseReturnValue:
        return "for nothing"

    app.register_blueprint(blueprint)
    payment.init_app(app, site.merchant)
    with served(app) as site.url:
        assert [site.ask("/answer").status_code for _ in range(2)] == [500, 500]


def test_a_view_has_one_price(site: Site) -> None:
    payment = Payment()
    with pytest.raises(WrongUse, match="payable already"):
        payment.required(1)(payment.required(2)(view))


def test_a_class_is_no_view() -> None:
    with pytest.raises(WrongUse, match="decorators"):
        Payment().required(1)(Site)


@pytest.mark.parametrize("what", [None, 100, "view"])
def test_what_is_no_view_is_refused_when_it_is_decorated(what: Any) -> None:
    with pytest.raises(WrongUse, match="with a price"):
        Payment().required(1)(what)


def test_a_decorator_without_brackets_is_told_so_with_the_next_price_and_with_the_first_request(
    site: Site, app: Flask
) -> None:
    payment = Payment(app, site.merchant)

    @app.get("/<city>")
    @payment.required
    def temperature(city: str) -> ResponseReturnValue:
        return "for nothing"

    with pytest.raises(WrongUse, match=r"required\(price\) below the route"):
        payment.required(100)(view)
    app.testing = True
    with pytest.raises(WrongUse, match=r"required\(price\) below the route"):
        app.test_client().get("/elsewhere")


@pytest.mark.parametrize("is_first", [True, False])
def test_a_route_of_the_app_where_the_endpoint_is_does_not_disappear(
    site: Site, app: Flask, is_first: bool
) -> None:
    if is_first:
        app.add_url_rule("/payment", view_func=view)
    Payment(app, site.merchant)
    if not is_first:
        app.add_url_rule("/payment", view_func=view)
    app.testing = True
    for path in ("/payment", "/elsewhere"):
        with pytest.raises(WrongUse, match="/payment is the path of the channel endpoint"):
            app.test_client().get(path)


def test_a_route_of_the_app_is_served_beside_the_endpoint(site: Site) -> None:
    for endpoint, methods in ((None, ["GET"]), ("/pay-up", ["GET"]), ("/payment", ["PATCH"])):
        app = Flask(__name__)
        Payment(app, site.merchant, endpoint)
        app.add_url_rule("/payment", view_func=view, methods=methods)
        app.add_url_rule("/<path:anything>", "anything", lambda anything: "served")
        with app.test_client() as client:
            assert client.open("/payment", method=methods[0]).text == "served"
            assert client.get("/elsewhere").text == "served"


def test_an_app_that_was_not_announced_is_told_so(app: Flask) -> None:
    app.add_url_rule("/answer", view_func=Payment().required(100)(view))
    app.testing = True
    with pytest.raises(WrongUse, match="init_app"):
        app.test_client().get("/answer")


def test_a_payment_server_keeps_its_own_answers(site: Site, app: Flask) -> None:
    with pytest.raises(WrongUse, match="PaymentServer"):
        Payment(app, PaymentServer(site.merchant), answers=AnswerLimits())


@pytest.mark.parametrize(
    "path",
    ["pay-up", "", 5, True, "//elsewhere.example", "/pay up", "/pay?x", "/pay#x", "/<way>", "/p\n", "/ä"],
)
def test_an_endpoint_that_no_client_would_find_fails_when_it_is_written_down(path: Any) -> None:
    with pytest.raises(WrongUse, match="like /payment"):
        Payment(endpoint=path)


@pytest.mark.parametrize("path", ["/", "/payment", "/v1/pay-up", "/payment/"])
def test_an_endpoint_may_be_anywhere_below_the_root(path: str) -> None:
    Payment(endpoint=path)


# --- settings --------------------------------------------------------------------------------------------------------


def test_one_payment_serves_several_apps_of_a_factory_and_any_decorator_above_it(site: Site) -> None:
    payment = Payment()
    payable = payment.required(100)(view)

    def make() -> Flask:
        app = Flask(__name__)
        payment.init_app(app, site.merchant)
        app.add_url_rule("/answer", view_func=payable)
        return app

    for app in (make(), make()):
        with served(app) as site.url:
            assert code_in(site.ask("/answer")) == (402, "payment_required")
            assert site.ask("/answer", site.pay()).text == "served"
            assert len(site.ask("/payment").json()["resources"]) == 1


def test_apps_without_a_server_of_their_own_share_one_that_is_made_of_the_settings(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = Keys(site.net, site.folder / "default")
    for name, value in keys.environment().items():
        monkeypatch.setenv(name, value)
    payment = Payment()
    apps = [Flask(__name__), Flask(__name__)]
    for app in apps:
        payment.init_app(app)
    try:
        assert [app.test_client().get("/payment").get_json()["address"] for app in apps] == [keys.address] * 2
        assert len({id(app.extensions["paypercall"][payment]._calls) for app in apps}) == 1
    finally:
        assert payment._made_server is not None
        payment._made_server.server.close_node()


def test_the_endpoint_takes_a_multipart_form(site: Site, app: Flask) -> None:
    Payment(app, site.merchant)
    form = {wire.FIELD: wire.encode_package(site.pay())}
    with served(app) as site.url:
        response = site.ask("/payment", method="PUT", data=form, files={"file": b""})
    assert response.json()["token"]


@pytest.mark.parametrize(
    "read", [Request.get_data, lambda request: request.form, lambda request: request.stream.read()]
)
def test_the_endpoint_takes_a_payment_that_a_hook_of_the_app_has_read(
    site: Site, app: Flask, read: Callable[[Request], object]
) -> None:
    Payment(app, site.merchant)

    @app.before_request
    def look() -> None:
        read(request._get_current_object())  # type: ignore[attr-defined]

    with served(app) as site.url:
        assert site.ask("/payment", method="PUT", json=site.pay()).json()["token"]
        form = {wire.FIELD: wire.encode_package(site.pay())}
        assert site.ask("/payment", method="PUT", data=form).json()["token"]
        assert code_in(site.ask("/payment", method="PUT", data=bytes(20_000))) == (413, "too_large")
        app.config["MAX_CONTENT_LENGTH"] = 10_000
        assert code_in(site.ask("/payment", method="PUT", data=bytes(10_001))) == (413, "body_too_large")


def test_a_body_above_the_limit_charges_nothing_though_the_app_sets_none(site: Site, app: Flask) -> None:
    payment = Payment(app, site.merchant)
    app.add_url_rule("/answer", view_func=payment.required(100)(view), methods=["POST"])
    package = site.pay()

    def parts() -> Iterator[bytes]:
        for _ in range(MAX_PAID_BODY // 2**20 + 1):
            yield bytes(2**20)

    with served(app) as site.url:
        assert code_in(site.ask("/answer", package, "POST", data=parts())) == (413, "body_too_large")
        too_long = {"data": b"", "headers": {"Content-Length": str(MAX_PAID_BODY + 1)}}
        assert code_in(site.ask("/answer", package, "POST", **too_long)) == (413, "body_too_large")
        assert site.ask("/answer", package, "POST", data=bytes(MAX_PAID_BODY)).status_code == 200


def test_an_app_may_have_no_endpoint(site: Site, app: Flask) -> None:
    payment = Payment(app, site.merchant, endpoint=None)
    app.add_url_rule("/answer", view_func=payment.required(100)(view))
    with served(app) as site.url:
        assert wire.ENDPOINT not in site.ask("/answer").headers
        assert site.ask("/payment").status_code == 404


def test_two_merchants_of_one_app_take_their_own_payments(site: Site, app: Flask) -> None:
    one = Payment(app, site.merchant)
    two = Payment(app, site.merchant, endpoint="/second")
    app.add_url_rule("/one", "one", view_func=one.required(1)(view))
    app.add_url_rule("/two", "two", view_func=two.required(2)(view))
    with served(app) as site.url:
        assert site.ask("/one").headers[wire.ENDPOINT] == "/payment"
        assert site.ask("/two").headers[wire.ENDPOINT] == "/second"
        assert [line["path"] for line in site.ask("/second").json()["resources"]] == ["/two"]
        assert site.refund_in(site.ask("/two", site.pay(5))) == 3


def test_the_owner_decides_which_answers_are_refunded(site: Site, app: Flask) -> None:
    payment = Payment(app, site.merchant, refunds=lambda status: status >= 500)

    @app.get("/status/<int:status>")
    @payment.required(100)
    def answer(status: int) -> ResponseReturnValue:
        return "as asked", status

    with served(app) as site.url:
        refunds = [site.refund_in(site.ask(f"/status/{status}", site.pay())) for status in (200, 404, 500)]
    assert refunds == [0, 0, 100]


def test_answers_that_are_too_large_are_not_kept(site: Site, app: Flask) -> None:
    payment = Payment(app, site.merchant, answers=AnswerLimits(max_bytes=10))

    @app.get("/answer/<int:size>")
    @payment.required(100)
    def answer(size: int) -> ResponseReturnValue:
        return "x" * size

    with served(app) as site.url:
        small, large = site.pay(), site.pay()
        assert [site.ask("/answer/10", small).status_code for _ in range(2)] == [200, 200]
        assert site.ask("/answer/11", large).status_code == 200
        assert code_in(site.ask("/answer/11", large)) == (409, "answer_not_kept")


class Coupon(PaymentMethod):
    """A method of the host's own: a coupon pays for anything, once."""

    name: ClassVar[str] = "coupon"
    payment_headers: ClassVar[tuple[str, ...]] = ("Coupon",)

    def get_402_headers(self, price: int, asset: str) -> Mapping[str, str]:
        return {"Coupon-Accepted": "yes"}

    def redeem_payment(self, payment: Mapping[str, Any], order: Order) -> PaidCall:
        return order.take(payment["Coupon"], order.price)


def test_a_host_may_add_a_method_of_its_own_and_a_request_is_paid_by_one_of_them(
    site: Site, app: Flask
) -> None:
    server = PaymentServer(site.merchant)
    payment = Payment(app, server, methods=[Channel(server, "/payment"), Coupon()])
    app.add_url_rule("/answer", "answer", view_func=payment.required(100)(view))
    app.add_url_rule("/other", "other", view_func=payment.required(100)(view))
    with served(app) as site.url:
        asked = site.ask("/answer")
        assert asked.headers[wire.METHODS] == "channel, coupon"
        assert asked.headers["Coupon-Accepted"] == "yes"
        package = site.pay()
        assert code_in(site.ask("/answer", package, headers={"Coupon": "mixed"})) == (400, "several_payments")
        assert site.ask("/answer", package).status_code == 200
        responses = [site.ask("/answer", headers={"Coupon": "one"}) for _ in range(2)]
        assert [response.text for response in responses] == ["served", "served"]
        assert receipt_in(responses[0])["payment_id"] == "coupon-one"
        assert code_in(site.ask("/other", headers={"Coupon": "one"})) == (409, "payment_used")


def test_nothing_depends_on_the_address_that_a_proxy_makes_of_a_request(site: Site, app: Flask) -> None:
    payment, runs = Payment(app, site.merchant), []

    @app.get("/answer")
    @payment.required(100)
    def answer() -> ResponseReturnValue:
        runs.append(request.url)
        return "served"

    package = site.pay()
    with served(app) as site.url:
        direct = site.ask("/answer", package)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    forwarded = {
        "X-Forwarded-Host": "api.example.org",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/v1",
    }
    with served(app) as site.url:
        again = site.ask("/answer", package, headers=forwarded)
        assert site.ask("/answer", site.pay(), headers=forwarded).status_code == 200
    assert (again.content, again.headers[wire.RECEIPT]) == (direct.content, direct.headers[wire.RECEIPT])
    assert len(runs) == 2 and runs[1] == "https://api.example.org/v1/answer"


# --- what goes wrong, and what lasts ---------------------------------------------------------------------------------


def test_a_hook_that_fails_leaves_a_payment_that_is_refunded_when_it_is_sent_again(
    site: Site, app: Flask
) -> None:
    payment = Payment(app, site.merchant)
    app.add_url_rule("/answer", view_func=payment.required(100)(view))

    @app.after_request
    def fail(response: Response) -> Response:
        if response.status_code in (200, 500):
            raise ValueError("a fault of the hook")
        return response

    package = site.pay()
    with served(app) as site.url:
        assert site.ask("/answer", package).status_code == 500
        again = site.ask("/answer", package)
    assert code_in(again) == (402, "refunded")
    assert site.refund_in(again) == 100


def test_an_exception_that_the_app_passes_on_is_refunded_when_the_payment_is_sent_again(
    site: Site, app: Flask
) -> None:
    payment = Payment(app, site.merchant)
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @app.get("/answer")
    @payment.required(100)
    def answer() -> ResponseReturnValue:
        raise ValueError("a fault of the view")

    package = site.pay()
    header = {wire.PACKAGE: wire.encode_package(package)}
    with pytest.raises(ValueError, match="a fault of the view"):
        app.test_client().get("/answer", headers=header)
    with served(app) as site.url:
        assert site.refund_in(site.ask("/answer", package)) == 100


def test_a_worker_that_is_told_to_end_leaves_a_payment_that_runs_again_at_once(
    site: Site, app: Flask
) -> None:
    payment, ends = Payment(app, site.merchant), [True, False]

    @app.get("/answer")
    @payment.required(100)
    def answer() -> ResponseReturnValue:
        if ends.pop(0):
            raise SystemExit
        return "served"

    headers = {wire.PACKAGE: wire.encode_package(site.pay())}
    with pytest.raises(SystemExit):
        app.test_client().get("/answer", headers=headers)
    with served(app) as site.url:
        assert site.ask("/answer", headers=headers).text == "served"
    assert ends == []


def test_the_same_package_is_answered_again_after_a_restart_of_the_merchant(site: Site) -> None:
    def make(server: Server) -> Flask:
        app = Flask(__name__)
        payment = Payment(app, server)

        @app.get("/answer")
        @payment.required(100)
        def answer() -> ResponseReturnValue:
            runs.append(1)
            return {"run": len(runs)}

        return app

    runs: list[int] = []
    package, unfinished = site.pay(), site.pay()
    with served(make(site.merchant)) as site.url:
        first = site.ask("/answer", package)
    paid_before = PaymentServer(site.merchant).receive_payment(unfinished)
    site.merchant.close_node()
    with (
        Server(wallet=site.merchant.wallet, conf=conf_for(site.net, site.folder / "merchant")) as restarted,
        served(make(restarted)) as site.url,
    ):
        again = site.ask("/answer", package)
        assert site.ask("/payment", unfinished, "PUT").json()["token"] == paid_before.token
        assert site.ask("/answer", headers={wire.TOKEN: paid_before.token}).json() == {"run": 2}
    assert (again.json(), again.headers[wire.RECEIPT]) == ({"run": 1}, first.headers[wire.RECEIPT])
