"""Payable views of a Flask app, through Flask's real server and real sockets, on a local network."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask, Response, request
from flask.typing import ResponseReturnValue

from paypercall import wire
from paypercall.flask import Payment
from paypercall.package import compose_package
from tests.flask import app as app_module
from tests.flask.app import Gate, make_app
from tests.flask.site import Site, code_in, open_site, receipt_in, served
from tests.parties import customer_on, wait_until
from tests.paywall.bad_requests import (
    BODIES_WITHOUT_A_PACKAGE,
    NO_PACKAGE_CODES,
    NO_PACKAGES,
    UNREADABLE_BODIES,
    requests_with_two_payments,
)

payment = Payment(endpoint="/pay-up")
gate = Gate()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as site, served(make_app(site, payment, gate)) as url:
        site.url = url
        yield site


# --- price and terms -------------------------------------------------------------------------------------------------


def test_without_a_payment_the_terms_are_told_and_the_view_does_not_run(site: Site) -> None:
    before = site.runs["answer"]
    response = site.ask("/answer")
    assert code_in(response) == (402, "payment_required")
    told = {name: value for name, value in response.headers.items() if name.startswith("Payment-")}
    assert told == {
        "Payment-Code": "payment_required",
        "Payment-Price": "100",
        "Payment-Asset": "base",
        "Payment-Address": site.merchant.address,
        "Payment-Network": site.net.network.version,
        "Payment-Endpoint": "/pay-up",
        "Payment-Agent-Versions": "1.1",
        "Payment-Channel-Timeouts": "60-604800",
        "Payment-Unconfirmed": "max-by-channel=500000, max-by-asset=1000000, minimum-seconds=0",
        "Payment-Methods": "channel",
    }
    assert site.runs["answer"] == before


def test_a_paid_call_is_answered_with_a_receipt(site: Site) -> None:
    before = site.accepted()
    response = site.ask("/answer", site.pay())
    assert (response.status_code, response.json()["celsius"]) == (200, 21)
    assert response.headers["Cache-Control"] == "no-store"
    receipt = receipt_in(response)
    assert receipt["amount"] == 100 and receipt["asset"] == "base"
    assert receipt["aa_address"] == site.client.aa_address
    assert receipt["accepted"] == before + 100 == site.accepted()
    assert {"payment_id", "credit", "remaining", "time"} <= receipt.keys()
    assert site.refund_in(response) == 0


def test_a_price_may_depend_on_the_request_and_the_arguments_of_the_view(site: Site) -> None:
    assert site.ask("/by-name/abc").headers[wire.PRICE] == "30"
    assert site.ask("/by-name/abcdef").headers[wire.PRICE] == "60"
    paid = site.ask("/by-name/abc", site.pay(30))
    assert paid.json()["amount"] == 30
    assert paid.json()["asset"] == "base" and paid.json()["channel"] == site.client.aa_address
    assert paid.json()["payment_id"] == receipt_in(paid)["payment_id"]
    free = site.ask("/by-name/abc?free")
    assert (free.json()["amount"], free.headers["Cache-Control"]) == (0, "no-store"), "others have to pay"


def test_an_async_price_and_an_async_view_are_awaited(site: Site) -> None:
    assert site.ask("/async?price=0").json() == {"amount": 0}
    assert site.ask("/async?price=70").headers[wire.PRICE] == "70"
    response = site.ask("/async?price=70", site.pay(70))
    assert response.json() == {"amount": 70}
    assert site.refund_in(response) == 1


def test_a_free_request_runs_without_a_payment_and_has_nothing_to_refund(site: Site) -> None:
    response = site.ask("/free")
    assert response.json() == {"amount": 0, "asset": None, "payment_id": None, "channel": None}
    assert wire.RECEIPT not in response.headers


@pytest.mark.parametrize("path", ["/free", "/by-name/abc?free"])
def test_a_payment_for_what_is_free_goes_back_as_a_whole(site: Site, path: str) -> None:
    package = site.pay()
    for _ in range(2):
        response = site.ask(path, package)
        assert (response.status_code, response.json()["amount"]) == (200, 100)
        assert receipt_in(response)["refund"] == 100 == site.refund_in(response)
    assert wire.RECEIPT not in site.ask("/free", site.pay(), "HEAD").headers


def test_head_and_options_are_free_and_do_not_run_the_view(site: Site) -> None:
    package, runs = site.pay(), site.runs["answer"]
    head = site.ask("/answer", package, method="HEAD")
    assert (head.status_code, head.headers[wire.PRICE], wire.RECEIPT in head.headers) == (200, "100", False)
    by_price_function = site.ask("/by-name/abc", method="HEAD")
    assert (by_price_function.status_code, wire.PRICE in by_price_function.headers) == (200, False)
    options = site.ask("/answer", method="OPTIONS")
    assert options.status_code == 200
    assert "GET" in options.headers["Allow"]
    assert site.runs["answer"] == runs
    assert site.ask("/answer", package).json()["run"] == runs + 1


def test_what_a_view_says_of_payments_of_others_is_replaced(site: Site) -> None:
    package = site.pay()
    for _ in range(2):
        answer = site.ask("/resold", package)
        assert (answer.text, receipt_in(answer)["amount"]) == ("resold", 100)
        assert wire.PACKAGE not in answer.headers


@pytest.mark.parametrize("query", ["", "?kind=text", "?kind=negative", "?kind=true", "?kind=unknown"])
def test_a_price_that_fails_or_makes_no_sense_is_the_hosts_fault_and_charges_nothing(
    site: Site, query: str
) -> None:
    package, before = site.pay(), site.accepted()
    assert site.ask(f"/nonsense{query}", package).status_code == (400 if query == "" else 500)
    assert (site.accepted(), site.runs["nonsense"]) == (before, 0)
    assert site.ask("/answer", package).status_code == 200


@pytest.mark.parametrize(("kind", "status"), [("gone", 404), ("free", 200)])
def test_what_was_bought_is_answered_again_though_its_price_cannot_be_told_any_more(
    site: Site, kind: str, status: int
) -> None:
    def ask(package: dict[str, Any]) -> requests.Response:
        if kind == "gone":
            return site.ask(f"/one-of-each/{kind}", package, "POST")
        form = {wire.FIELD: wire.encode_package(package)}
        return site.ask(f"/one-of-each/{kind}", method="POST", data=form)

    package = site.pay()
    first, again = ask(package), ask(package)
    assert first.status_code == 200
    assert (again.status_code, again.content) == (200, first.content)
    assert receipt_in(again) == receipt_in(first)
    before, late = site.accepted(), ask(site.pay())
    assert (late.status_code, wire.RECEIPT in late.headers, site.accepted()) == (status, False, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is interrupted
@pytest.mark.parametrize("kind", ["fails", "interrupted"])
def test_what_failed_or_was_left_behind_is_refunded_though_its_price_cannot_be_told_any_more(
    site: Site, kind: str
) -> None:
    package = site.pay()
    with suppress(requests.ConnectionError):
        assert site.ask(f"/one-of-each/{kind}", package, "POST").status_code == 500
    again = [site.ask(f"/one-of-each/{kind}", package, "POST") for _ in range(2)]
    assert [site.refund_in(response) for response in again] == [100, 100]
    assert [response.status_code for response in again] == [500 if kind == "fails" else 409] * 2
    assert site.runs[f"sold {kind}"] == 1


def test_a_payment_in_another_asset_than_the_price_is_refused(site: Site) -> None:
    package, before = site.pay(), site.accepted()
    assert code_in(site.ask("/other-asset", package)) == (402, "wrong_asset")
    assert (site.accepted(), site.runs["other asset"]) == (before, 0)


# --- too little, too much, refunds -----------------------------------------------------------------------------------


def test_too_little_is_refunded_as_a_whole_and_the_view_does_not_run(site: Site) -> None:
    package, before = site.pay(40), site.runs["answer"]
    response = site.ask("/answer", package)
    assert code_in(response) == (402, "underpaid")
    assert response.headers[wire.PRICE] == "100"
    assert receipt_in(response)["refund"] == 40 == site.refund_in(response)
    assert site.runs["answer"] == before
    again = site.ask("/answer", package)
    assert again.headers[wire.PACKAGE] == response.headers[wire.PACKAGE]


def test_of_too_much_the_difference_is_refunded(site: Site) -> None:
    response = site.ask("/answer", site.pay(150))
    assert response.status_code == 200
    assert receipt_in(response)["refund"] == 50 == site.refund_in(response)


@pytest.mark.parametrize(
    "kind, status, text",
    [
        ("raise", 500, "Internal Server Error"),
        ("abort", 418, '{"handled":418}'),
        ("response", 410, "gone"),
        ("mended", 200, '{"mended":true}'),
        ("nothing", 500, "Internal Server Error"),
        ("return", 422, '{"error":"returned"}'),
    ],
)
def test_a_view_that_fails_gives_everything_back_and_the_apps_error_handlers_answer(
    site: Site, kind: str, status: int, text: str
) -> None:
    package = site.pay(150)
    response = site.ask(f"/fail/{kind}", package)
    assert response.status_code == status
    assert text in response.text
    assert receipt_in(response)["refund"] == 150 == site.refund_in(response)
    again = site.ask(f"/fail/{kind}", package)
    assert (again.status_code, again.content) == (response.status_code, response.content)
    assert again.headers[wire.PACKAGE] == response.headers[wire.PACKAGE]
    assert site.runs[f"fail {kind}"] == 1


def test_a_redirect_that_is_raised_is_no_failure(site: Site) -> None:
    response = site.ask("/fail/elsewhere", site.pay(), allow_redirects=False)
    assert (response.status_code, site.refund_in(response)) == (303, 0)
    assert receipt_in(response)["amount"] == 100


@pytest.mark.parametrize("amount, refunded", [(0, 0), (30, 30), (100, 100)])
def test_a_view_may_give_back_any_part_of_the_price(site: Site, amount: int, refunded: int) -> None:
    assert site.refund_in(site.ask(f"/refund/{amount}", site.pay())) == refunded


def test_a_view_that_gives_back_more_than_the_price_fails_and_is_refunded(site: Site) -> None:
    response = site.ask("/refund/101", site.pay())
    assert (response.status_code, site.refund_in(response)) == (500, 100)


def test_a_payment_outside_of_a_payable_view_is_one_clear_error(site: Site) -> None:
    assert site.ask("/unpaid").status_code == 500
    for use in (payment.refund, lambda: payment.amount):
        with pytest.raises(RuntimeError, match="inside of a payable view only"):
            use()


# --- once, and answered again ----------------------------------------------------------------------------------------


def test_the_same_package_for_the_same_request_is_answered_again_without_charge_or_run(site: Site) -> None:
    package = site.pay()
    site.runs["hook"] += 1
    first, charged, runs = site.ask("/answer?x=1", package), site.accepted(), site.runs["answer"]
    site.runs["hook"] += 1
    again = site.ask("/answer?x=1", package)
    kept = {name: value for name, value in first.headers.items() if name not in ("Date", "Server")}
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert {name: value for name, value in again.headers.items() if name in kept} == kept
    assert (site.accepted(), site.runs["answer"]) == (charged, runs)


@pytest.mark.parametrize(
    "path, method, body",
    [
        ("/other", "GET", None),
        ("/answer?y=1", "GET", None),
        ("/post", "POST", b"a"),
        ("/answer", "GET", b"a"),
    ],
)
def test_the_same_package_for_another_request_is_a_conflict(
    site: Site, path: str, method: str, body: bytes | None
) -> None:
    package = site.pay()
    assert site.ask("/answer", package).status_code == 200
    charged = site.accepted()
    assert code_in(site.ask(path, package, method, data=body)) == (409, "payment_used")
    assert site.accepted() == charged


def test_another_package_with_the_same_total_is_a_conflict(site: Site) -> None:
    package = site.pay()
    assert site.ask("/answer", package).status_code == 200
    other = another_package_like(site, package)
    assert code_in(site.ask("/answer", other)) == (409, "conflicting_package")


def another_package_like(site: Site, package: dict[str, Any]) -> dict[str, Any]:
    """A package with the same total, signed for another amount."""
    message = package["signed_message"]
    return compose_package(
        site.client.wallet.key,
        package["version"],
        aa_address=message["aa_address"],
        period=message["period"],
        payment_amount=message["payment_amount"] - 1,
        amount_spent=message["amount_spent"],
        announce=None,
    )


def test_of_the_same_package_many_times_at_once_one_runs_and_the_others_wait_or_get_its_answer(
    site: Site,
) -> None:
    gate.is_inside.clear()
    gate.may_leave.clear()
    package, charged = site.pay(), site.accepted()
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(site.ask, "/slow", package)
        assert gate.is_inside.wait(30)
        meanwhile = [threads.submit(site.ask, "/slow", package) for _ in range(6)]
        assert [code_in(call.result()) for call in meanwhile] == [(409, "payment_in_progress")] * 6
        assert meanwhile[0].result().headers["Retry-After"] == "1"
        assert site.ask("/answer", site.pay()).status_code == 200, "nothing is locked while a view runs"
        gate.may_leave.set()
        assert first.result().json() == {"run": 1}
    assert site.ask("/slow", package).json() == {"run": 1}
    assert site.accepted() == charged + 200


# --- streams, cookies, views of every kind ---------------------------------------------------------------------------


def test_a_stream_passes_through_while_it_is_made_and_is_not_kept(site: Site) -> None:
    gate.may_leave.clear()
    package = site.pay(120)
    response = site.ask("/stream", package, stream=True)
    lines = response.iter_content(None)
    assert next(lines) == b"data: 1\n\n"
    assert receipt_in(response)["refund"] == 20 == site.refund_in(response)
    gate.may_leave.set()
    assert b"".join(lines) == b"data: 2\n\n"
    again = site.ask("/stream", package)
    assert code_in(again) == (409, "answer_not_kept")
    assert again.headers[wire.PACKAGE] == response.headers[wire.PACKAGE]
    assert site.runs["stream"] == 1


@pytest.mark.parametrize("kind", ["generator", "file"])
def test_a_stream_whose_view_fails_in_the_middle_is_refunded_to_the_same_package_sent_again(
    site: Site, kind: str
) -> None:
    package = site.pay(120)
    with site.ask(f"/breaks-off/{kind}", package, stream=True) as response:
        parts = response.iter_content(9)
        assert next(parts) == b"data: 1\n\n"
        assert receipt_in(response)["refund"] == 20 == site.refund_in(response)
        with pytest.raises(requests.RequestException):
            list(parts)
    again = site.ask(f"/breaks-off/{kind}", package)
    assert code_in(again) == (402, "refunded")
    assert (receipt_in(again)["refund"], site.refund_in(again)) == (120, 100)


def test_a_client_that_hangs_up_before_the_end_gets_nothing_back_whatever_the_view_then_raises(
    site: Site,
) -> None:
    gate.is_closed.clear()
    package = site.pay()
    with site.ask("/breaks-off/too late", package, stream=True) as response:
        assert next(response.iter_content(9)) == b"data: 1\n\n"
    assert gate.is_closed.wait(60)
    assert site.ask("/other", site.pay()).status_code == 200, "whatever was to happen has happened"
    again = site.ask("/breaks-off/too late", package)
    assert code_in(again) == (409, "answer_not_kept")
    assert site.refund_in(again) == 0


def test_a_file_passes_through(site: Site) -> None:
    response = site.ask("/file", site.pay())
    assert response.content == Path(app_module.__file__).read_bytes()
    assert receipt_in(response)["amount"] == 100


def test_a_file_that_caches_may_keep_is_kept_by_no_shared_one_and_by_nobody_with_a_refund(site: Site) -> None:
    assert site.ask("/file-for-caches", site.pay()).headers["Cache-Control"] == "private, max-age=600"
    assert site.ask("/file-for-caches", site.pay(130)).headers["Cache-Control"] == "no-store"
    assert site.ask("/file-for-caches?free").headers["Cache-Control"] == "private, max-age=600"


def test_several_cookies_and_the_session_survive_also_the_second_time(site: Site) -> None:
    package = site.pay()
    first, again = site.ask("/cookies", package), site.ask("/cookies", package)
    assert first.cookies.keys() == again.cookies.keys() == ["a", "b", "session"]
    assert first.headers["Cache-Control"] == again.headers["Cache-Control"] == "private"


@pytest.mark.parametrize("path", ["/class", "/methods", "/part/answer"])
def test_class_views_and_blueprints_are_payable(site: Site, path: str) -> None:
    assert code_in(site.ask(path)) == (402, "payment_required")
    assert site.ask(path, site.pay()).status_code == 200


def test_a_method_without_a_price_is_free_beside_one_that_has_one(site: Site) -> None:
    assert site.ask("/methods", method="PUT").text == "free"


def test_a_payable_view_that_calls_another_is_paid_once(site: Site) -> None:
    charged = site.accepted()
    assert site.ask("/part/both", site.pay(50)).json() == {"text": "of a blueprint"}
    assert site.accepted() == charged + 50


def test_a_view_without_a_price_cannot_charge_twice_nor_call_a_second_payable_view_for_nothing(
    site: Site,
) -> None:
    package = site.pay()
    assert site.ask("/one-after-the-other/answer").status_code == 500
    paid = site.ask("/one-after-the-other/answer", package)
    assert (paid.status_code, site.refund_in(paid)) == (500, 100)
    assert code_in(site.ask("/one-after-the-other/free")) == (402, "payment_required")
    taken_by_the_free_one = site.ask("/one-after-the-other/free", site.pay())
    assert (taken_by_the_free_one.status_code, site.refund_in(taken_by_the_free_one)) == (500, 100)


def test_a_stream_cannot_call_a_payable_view_when_its_response_has_begun(site: Site) -> None:
    package, runs = site.pay(), site.runs["answer"]
    assert site.ask("/in-a-stream", package).status_code == 500
    assert site.runs["answer"] == runs
    assert site.ask("/answer", package).status_code == 200


@pytest.fixture(scope="module")
def polite(site: Site) -> Iterator[Site]:
    """An app that answers its own faults with 200, and compresses."""
    app = Flask(__name__)
    payment = Payment(app, site.merchant, endpoint=None)

    @app.errorhandler(500)
    def apologize(error: Exception) -> ResponseReturnValue:
        return "sorry", 200

    @app.after_request
    def finish(response: Response) -> Response:
        if request.path == "/hook" and response.get_data() != b"sorry":
            raise RuntimeError("a fault of a hook")
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.set_data(gzip.compress(response.get_data()))
            response.headers["Content-Encoding"] = "gzip"
        return response

    @app.get("/hook")
    @app.get("/nothing")
    @app.get("/no-json")
    @app.post("/answer")
    @payment.required(100)
    def answer() -> Any:
        return {"/nothing": None, "/no-json": {"x": object()}}.get(request.path, {"answer": 42})

    with served(app) as url:
        yield replace(site, url=url)


@pytest.mark.parametrize("path", ["/nothing", "/no-json", "/hook"])
def test_what_fails_after_its_view_is_refunded_though_the_app_answers_200(polite: Site, path: str) -> None:
    response = polite.ask(path, polite.pay())
    assert (response.status_code, response.text, polite.refund_in(response)) == (200, "sorry", 100)


def test_a_refund_goes_into_the_answer_to_a_payment_in_the_body_though_the_app_compresses(
    polite: Site,
) -> None:
    answer = polite.ask("/answer", None, "POST", json={wire.FIELD: polite.pay(130)})
    assert (answer.json()["answer"], polite.refund_in(answer)) == (42, 30)
    assert wire.encode_package(answer.json()[wire.FIELD]) == answer.headers[wire.PACKAGE]
    assert polite.ask("/answer", polite.pay(), "POST").headers["Content-Encoding"] == "gzip"


# --- where a payment is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encode", [wire.encode_package, json.dumps])
def test_a_package_comes_in_a_form_a_json_body_or_the_query(site: Site, encode: Any) -> None:
    def packed() -> dict[str, str]:
        return {wire.FIELD: encode(site.pay())}

    urlencoded = site.ask("/post", method="POST", data={**packed(), "city": "Zug"})
    assert urlencoded.json() == {"form": ["city", "payment_package"], "files": {}}
    multipart = site.ask("/post", method="POST", data=packed(), files={"file": b"content"})
    assert multipart.json() == {"form": ["payment_package"], "files": {"file": "content"}}
    assert site.ask("/post", method="POST", json=packed()).json() == {"json": ["payment_package"]}
    assert site.ask("/answer", params=packed()).status_code == 200


def test_a_json_body_may_hold_the_package_as_an_object(site: Site) -> None:
    response = site.ask("/post", method="POST", json={wire.FIELD: site.pay(130), "city": "Zug"})
    assert response.json()["json"] == ["city", "payment_package"]


def test_who_pays_in_the_body_finds_the_refund_there_too_every_time(site: Site) -> None:
    def refund(response: requests.Response) -> Any:
        assert wire.decode_package(response.headers[wire.PACKAGE]) == response.json()[wire.FIELD]
        return response.json()[wire.FIELD]

    for amount, status in ((130, 200), (40, 402)):
        form = {wire.FIELD: json.dumps(site.pay(amount))}
        first = site.ask("/post", method="POST", data=form)
        again = site.ask("/post", method="POST", data=form)
        assert (first.status_code, again.status_code) == (status, status)
        assert refund(first) == refund(again)


def test_a_body_of_any_kind_arrives_whole_and_is_part_of_what_was_paid_for(site: Site) -> None:
    package = site.pay()
    assert site.ask("/post", package, "POST", data=b"x" * 200_000).json() == {"size": 200_000}
    other = site.ask("/post", package, "POST", data=b"x" * 199_999 + b"y")
    assert code_in(other) == (409, "payment_used")


@pytest.mark.parametrize("path", ["/post", "/through", "/whole"])
def test_a_form_that_a_hook_reads_is_part_of_what_was_paid_for(site: Site, path: str) -> None:
    package = site.pay()
    assert site.ask(path, package, "POST", data={"city": "Zug"}).json()["form"] == ["city"]
    assert code_in(site.ask(path, package, "POST", data={"city": "Bern"})) == (409, "payment_used")


def test_a_body_above_the_apps_limit_charges_nothing(site: Site) -> None:
    package, charged, runs = site.pay(), site.accepted(), site.runs["post"]
    too_large = site.ask("/post", package, "POST", data=b"x" * 300_001)
    assert code_in(too_large) == (413, "body_too_large")
    parts = iter([b"x" * 200_000, b"x" * 200_000])
    assert code_in(site.ask("/post", package, "POST", data=parts)) == (413, "body_too_large")
    assert (site.accepted(), site.runs["post"]) == (charged, runs)
    assert site.ask("/answer", package).status_code == 200


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", NO_PACKAGES)
def test_a_header_that_is_no_package_is_refused(site: Site, value: str) -> None:
    response = site.ask("/answer", headers={wire.PACKAGE: value.encode("latin-1")})
    status, code = code_in(response)
    assert (status, code in NO_PACKAGE_CODES) == (400, True)


@pytest.mark.parametrize("data, content_type", BODIES_WITHOUT_A_PACKAGE)
def test_a_body_with_what_is_no_package_is_refused(site: Site, data: bytes, content_type: str) -> None:
    response = site.ask("/post", method="POST", data=data, headers={"Content-Type": content_type})
    assert code_in(response)[0] == 400


@pytest.mark.parametrize("data, content_type", UNREADABLE_BODIES)
def test_a_body_that_cannot_be_read_holds_no_payment(site: Site, data: bytes, content_type: str) -> None:
    response = site.ask("/post", method="POST", data=data, headers={"Content-Type": content_type})
    assert code_in(response) == (402, "payment_required")


def test_two_payments_in_one_request_are_refused_and_neither_is_taken(site: Site) -> None:
    one, other, charged = site.pay(), site.pay(), site.accepted()
    for parts in requests_with_two_payments(wire.encode_package(one), wire.encode_package(other)):
        path = "/post" if parts["method"] == "POST" else "/answer"
        assert code_in(site.ask(path, **parts)) == (400, "several_payments"), parts
    assert site.accepted() == charged
    assert site.ask("/answer", one).status_code == site.ask("/answer", other).status_code == 200


def raw(site: Site, *headers: str) -> int:
    """Sends a GET with headers that no HTTP library would send; the status of the answer."""
    address = urlsplit(site.url)
    lines = ("GET /answer HTTP/1.1", "Host: x", "Connection: close", *headers, "", "")
    with socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        return int(connection.recv(100).split()[1])


def test_a_header_that_comes_twice_is_refused(site: Site) -> None:
    charged = site.accepted()
    lines = [f"{wire.PACKAGE}: {wire.encode_package(site.pay())}" for _ in range(2)]
    assert raw(site, *lines) == 400
    assert site.accepted() == charged


def test_a_header_above_the_servers_limit_charges_nothing(site: Site) -> None:
    charged = site.accepted()
    package = f"{wire.PACKAGE}: {wire.encode_package(site.pay())}"
    assert raw(site, package, "X-Padding: " + "x" * 70_000) in (400, 431)
    assert raw(site, f"{wire.PACKAGE}: {'A' * 70_000}") in (400, 431)
    assert site.accepted() == charged


def test_a_wrong_method_charges_nothing(site: Site) -> None:
    package, charged = site.pay(), site.accepted()
    assert site.ask("/answer", package, "POST").status_code == 405
    assert site.ask("/nowhere", package).status_code == 404
    assert site.accepted() == charged


def test_a_package_for_another_merchant_is_refused(site: Site) -> None:
    with customer_on(site.net, site.folder / "stranger", site.client.address) as stranger:
        response = site.ask("/answer", stranger.create_payment_package(100))
    assert code_in(response) == (400, "wrong_parameters")


# --- the channel endpoint --------------------------------------------------------------------------------------------


def test_the_endpoint_has_the_prices_of_all_routes(site: Site) -> None:
    told = {
        (line["method"], line["path"]): (line["price"], line["asset"])
        for line in site.ask("/pay-up").json()["resources"]
    }
    assert told[("GET", "/answer")] == (100, "base")
    assert told[("GET", "/free")] == (0, "base")
    assert told[("POST", "/by-name/<name>")] == ("varies", "base")
    assert told[("POST", "/whole")] == (100, "base")
    assert told[("GET", "/other-asset")] == (100, app_module.ASSET)
    assert (
        told[("GET", "/class")] == told[("GET", "/methods")] == told[("GET", "/part/answer")] == (100, "base")
    )
    assert ("PUT", "/methods") not in told and ("GET", "/unpaid") not in told
    assert not {method for method, _ in told} & {"HEAD", "OPTIONS"}


def test_a_token_from_the_endpoint_pays_for_one_request(site: Site) -> None:
    package = site.pay()
    told = site.ask("/pay-up", package, "PUT").json()
    assert site.ask("/pay-up", package, "PUT").json() == told
    headers = {wire.TOKEN: told["token"]}
    first, again = site.ask("/answer", headers=headers), site.ask("/answer", headers=headers)
    assert first.status_code == 200 and first.content == again.content
    assert receipt_in(first) == told["receipt"]
    assert code_in(site.ask("/other", headers=headers)) == (409, "payment_used")
    assert code_in(site.ask("/answer", headers={wire.TOKEN: "x" * 43})) == (402, "unknown_token")


def test_the_endpoint_takes_a_package_that_is_too_long_for_a_header_in_a_body(site: Site) -> None:
    assert site.ask("/pay-up", method="PUT", json=site.pay()).status_code == 200
    form = {wire.FIELD: json.dumps(site.pay())}
    tokens = [
        site.ask("/pay-up", method="PUT", data=form).json()["token"],
        site.ask("/pay-up", method="PUT", data=form, files={"file": b""}).json()["token"],
    ]
    assert tokens[0] == tokens[1]


def test_the_endpoint_refuses_other_methods_and_bodies_that_are_too_large(site: Site) -> None:
    response = site.ask("/pay-up", method="PATCH")
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"}
    assert code_in(site.ask("/pay-up", method="PUT", data=b" " * 20_000)) == (413, "too_large")
    assert site.ask("/pay-up", method="HEAD").status_code == 200
    assert site.ask("/pay-up", method="OPTIONS").status_code == 204


def test_the_endpoint_tells_of_a_channel_and_closes_it_for_its_customer(site: Site) -> None:
    payee = site.merchant.address
    with customer_on(site.net, site.folder / "leaver", payee, deposit_amount=200_000) as leaver:
        assert site.ask("/pay-up", leaver.create_payment_package(125_000), "PUT").status_code == 200
        query = {"aa_address": str(leaver.aa_address)}
        wait_until(
            lambda: site.ask("/pay-up", params=query).json()["status"] == "open", "the channel is open"
        )
        assert code_in(site.ask("/pay-up", method="DELETE", params=query))[0] == 400
        headers = {wire.SIGNATURE: leaver.close_request()}
        response = site.ask("/pay-up", method="DELETE", params=query, headers=headers)
        assert (response.status_code, response.json()["accepts_payments"]) in ((200, False), (202, False))


def test_many_requests_on_one_channel_are_in_flight_at_once_and_each_is_charged_once(site: Site) -> None:
    packages, charged = [site.pay() for _ in range(40)], site.accepted()
    with ThreadPoolExecutor(20) as threads:
        responses = list(threads.map(lambda package: site.ask("/answer", package), packages * 2))
    codes = [response.status_code for response in responses]
    assert set(codes) <= {200, 409} and codes.count(200) >= 40
    runs = {response.json()["run"] for response in responses if response.status_code == 200}
    assert (len(runs), site.accepted()) == (40, charged + 4000)
