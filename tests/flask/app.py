"""A Flask app whose views use what payable views can use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    jsonify,
    make_response,
    request,
    send_file,
    session,
    stream_with_context,
)
from flask.typing import ResponseReturnValue
from flask.views import MethodView, View
from werkzeug.exceptions import HTTPException

from paypercall import wire
from paypercall.flask import Payment
from tests.flask.site import Site

ASSET = "A" * 43 + "="


class Gate:
    """Keeps a view waiting, so that a test can do something meanwhile."""

    def __init__(self) -> None:
        self.is_inside = threading.Event()
        self.may_leave = threading.Event()
        self.is_closed = threading.Event()


class Unreadable(BytesIO):
    """A file on a disk that fails after its beginning."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 10_000:
            raise OSError("the disk fails")
        return super().read(size)


def events_that_break_off() -> Iterator[bytes]:
    yield b"data: 1\n\n"
    raise ValueError("a fault of the view")


def events_that_go_on(gate: Gate) -> Iterator[bytes]:
    """Fails when it is ended, which only a client that hangs up can bring about."""
    try:
        for _ in range(10_000):
            yield b"data: 1\n\n" * 1000
    except GeneratorExit:
        gate.is_closed.set()
        raise ValueError("there are more") from None


class Mended(Exception):
    """For which the app has an error handler that answers 200."""


def make_app(site: Site, payment: Payment, gate: Gate) -> Flask:
    """The app; `site.runs` counts how often each view runs."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="secret of the test", MAX_CONTENT_LENGTH=300_000)
    payment.init_app(app, site.merchant)
    runs = site.runs

    @app.before_request
    def look_into_the_form() -> None:
        request.form.get("csrf")

    @app.after_request
    def mark(response: Response) -> Response:
        response.headers.add("X-Hook", str(runs["hook"]))
        return response

    @app.get("/answer")
    @payment.required(100)
    def answer() -> ResponseReturnValue:
        runs["answer"] += 1
        return {"celsius": 21, "run": runs["answer"]}

    @app.get("/resold")
    @payment.required(100)
    def resold() -> ResponseReturnValue:
        return "resold", {wire.RECEIPT: "of somebody else", wire.PACKAGE: "of somebody else"}

    @app.get("/other")
    @payment.required(100)
    def other() -> ResponseReturnValue:
        return "other"

    @app.get("/free")
    @payment.required(0)
    def free() -> ResponseReturnValue:
        payment.refund(5)
        return jsonify(
            amount=payment.amount,
            asset=payment.asset,
            payment_id=payment.payment_id,
            channel=payment.aa_address,
        )

    @app.get("/unpaid")
    def unpaid() -> ResponseReturnValue:
        return jsonify(amount=payment.amount)

    @app.route("/by-name/<name>", methods=["GET", "POST"])
    @payment.required(lambda request, name: len(name) * 10 if request.args.get("free") is None else None)
    def by_name(name: str) -> ResponseReturnValue:
        return jsonify(
            amount=payment.amount,
            asset=payment.asset,
            payment_id=payment.payment_id,
            channel=payment.aa_address,
        )

    async def async_price(request: Any) -> int:
        return int(request.args["price"])

    @app.get("/async")
    @payment.required(async_price)
    async def asynchronous() -> ResponseReturnValue:
        payment.refund(1)
        return jsonify(amount=payment.amount)

    @app.get("/nonsense")
    @payment.required(
        lambda request: {"none": None, "text": "7", "negative": -1, "true": True}[request.args["kind"]]
    )
    def nonsense() -> ResponseReturnValue:
        runs["nonsense"] += 1
        return "never paid"

    def price_of_what_is_left(request: Any, kind: str) -> int | None:
        if not runs[f"sold {kind}"]:
            return 100
        if kind == "gone":
            abort(404)
        if kind == "free":
            return None
        raise LookupError(kind)

    @app.post("/one-of-each/<kind>")
    @payment.required(price_of_what_is_left)
    def one_of_each(kind: str) -> ResponseReturnValue:
        runs[f"sold {kind}"] += 1
        if kind == "fails":
            raise ValueError("a fault of the view")
        if kind == "interrupted":
            raise KeyboardInterrupt  # the worker is told to end
        return jsonify(run=runs[f"sold {kind}"])

    @app.get("/other-asset")
    @payment.required(100, ASSET)
    def other_asset() -> ResponseReturnValue:
        runs["other asset"] += 1
        return "never paid"

    @app.get("/slow")
    @payment.required(100)
    def slow() -> ResponseReturnValue:
        runs["slow"] += 1
        gate.is_inside.set()
        assert gate.may_leave.wait(60)
        return jsonify(run=runs["slow"])

    @app.get("/refund/<int:amount>")
    @payment.required(100)
    def refund(amount: int) -> ResponseReturnValue:
        payment.refund(amount)
        return "a part of it"

    @app.get("/fail/<kind>")
    @payment.required(100)
    def fail(kind: str) -> ResponseReturnValue:
        runs[f"fail {kind}"] += 1
        if kind == "raise":
            raise ValueError("a fault of the view")
        if kind == "abort":
            abort(418)
        if kind == "response":
            abort(Response("gone", 410))
        if kind == "mended":
            raise Mended
        if kind == "nothing":
            return None  # type: ignore[return-value]
        if kind == "elsewhere":
            abort(Response("", 303, {"Location": "/answer"}))
        return {"error": "returned"}, 422

    @app.errorhandler(Mended)
    def mend(error: Mended) -> ResponseReturnValue:
        return {"mended": True}

    @app.errorhandler(418)
    def teapot(error: HTTPException) -> ResponseReturnValue:
        return {"handled": error.code}, 418

    @app.get("/stream")
    @payment.required(100)
    def stream() -> ResponseReturnValue:
        runs["stream"] += 1

        def events() -> Iterator[bytes]:
            yield b"data: 1\n\n"
            assert gate.may_leave.wait(60)
            yield b"data: 2\n\n"

        return Response(stream_with_context(events()), mimetype="text/event-stream")

    @app.get("/breaks-off/<kind>")
    @payment.required(100)
    def breaks_off(kind: str) -> ResponseReturnValue:
        if kind == "file":
            return send_file(Unreadable(b"data: 1\n\n" * 10_000), "text/plain")
        if kind == "too late":
            return Response(events_that_go_on(gate), mimetype="text/event-stream")
        return Response(stream_with_context(events_that_break_off()), mimetype="text/event-stream")

    @app.get("/file")
    @payment.required(100)
    def file() -> ResponseReturnValue:
        return send_file(__file__)

    @app.get("/file-for-caches")
    @payment.required(lambda request: 100 if request.args.get("free") is None else 0)
    def file_for_caches() -> ResponseReturnValue:
        return send_file(__file__, max_age=600)

    @app.get("/cookies")
    @payment.required(100)
    def cookies() -> ResponseReturnValue:
        session["seen"] = True
        response = Response("with cookies", headers={"Cache-Control": "private"})
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    @app.post("/post")
    @payment.required(100)
    def post() -> ResponseReturnValue:
        runs["post"] += 1
        files = {name: file.read().decode() for name, file in request.files.items()}
        if request.is_json:
            return jsonify(json=sorted(request.get_json()))
        if request.form:
            return jsonify(form=sorted(request.form), files=files)
        return jsonify(size=len(request.stream.read()))

    @app.post("/through")
    def through() -> ResponseReturnValue:
        """Has no price of its own."""
        return post()

    class Function(View):
        decorators = [payment.required(100)]  # noqa: RUF012

        def dispatch_request(self) -> ResponseReturnValue:
            return "a class view"

    class Methods(MethodView):
        @payment.required(100)
        def get(self) -> ResponseReturnValue:
            return "a method of a class view"

        def put(self) -> ResponseReturnValue:
            return "free"

    class Whole(MethodView):
        @payment.required(100)
        def dispatch_request(self, **kwargs: Any) -> ResponseReturnValue:
            return super().dispatch_request(**kwargs)

        def post(self) -> ResponseReturnValue:
            return jsonify(form=sorted(request.form))

    app.add_url_rule("/whole", view_func=Whole.as_view("whole"))
    app.add_url_rule("/class", view_func=Function.as_view("class"))
    app.add_url_rule("/methods", view_func=Methods.as_view("methods"))

    blueprint = Blueprint("part", __name__, url_prefix="/part")

    @blueprint.get("/answer")
    @payment.required(100)
    def part() -> ResponseReturnValue:
        return "of a blueprint"

    @blueprint.get("/both")
    @payment.required(50)
    def both() -> ResponseReturnValue:
        return jsonify(text=part())

    @app.get("/one-after-the-other/<first>")
    def one_after_the_other(first: str) -> ResponseReturnValue:
        """Has no price of its own."""
        make_response({"answer": answer, "free": free}[first]())
        return other()

    @app.get("/in-a-stream")
    def in_a_stream() -> ResponseReturnValue:
        """Has no price of its own."""
        return Response(stream_with_context(str(part()) for part in [answer]))

    app.register_blueprint(blueprint)
    return app
