"""Payable views of Django, behind its WSGI and its ASGI interface, on real sockets."""

from __future__ import annotations

import gc
import json
from contextlib import suppress
from typing import Any

import pytest
import requests
import sqlalchemy
from asgiref.sync import async_to_sync
from django.http import HttpRequest
from django.urls import resolve

from paypercall import wire
from paypercall.paywall import WrongPrice, WrongUse
from paypercall.store import Store
from tests.django_app.conftest import Site
from tests.django_app.project import ENDED, IS_DJANGO_5, RUNS


def test_a_view_is_paid_for_and_answered_again_without_running(site: Site) -> None:
    unpaid = site.ask("temperature")
    assert (unpaid.status_code, unpaid.headers[wire.PRICE]) == (402, "100")
    assert unpaid.headers["Content-Type"] == "application/problem+json"
    assert unpaid.headers["Cache-Control"] == "no-store"
    before, header = len(RUNS), site.header()
    first = site.ask("temperature", header)
    assert (first.status_code, first.json()) == (200, {"celsius": 21})
    again = site.ask("temperature", header)
    assert (again.status_code, again.content) == (200, first.content)
    assert dict(first.cookies) == dict(again.cookies) == {"a": "1", "b": "2"}
    assert again.headers[wire.RECEIPT] == first.headers[wire.RECEIPT]
    assert len(RUNS) == before + 1
    other = site.ask("async", header)
    assert (other.status_code, other.json()["code"]) == (409, "payment_used")


def test_a_price_is_asked_for_with_the_request_and_the_views_arguments(site: Site) -> None:
    assert site.ask("by-length/7?factor=10").headers[wire.PRICE] == "70"
    assert site.paid("by-length/7?factor=10", 70).json() == {"length": 7}


def test_async_views_and_prices_are_paid_for(site: Site) -> None:
    assert site.paid("async").json() == {"answer": 42}
    assert site.ask("async-price").headers[wire.PRICE] == "70"
    assert site.paid("async-price", 70).json() == {"answer": 42}


def test_a_view_that_is_not_async_may_have_an_async_price(site: Site) -> None:
    assert site.ask("with-async-price").headers[wire.PRICE] == "70"
    answer = site.paid("with-async-price", 80)
    assert (answer.json(), site.refund_in(answer)) == ({"answer": 42}, 10)


@pytest.mark.parametrize(
    "path, price", [("async-report", 100), *([("async-method", 70)] if IS_DJANGO_5 else [])]
)
def test_a_class_with_async_methods_is_paid_for(site: Site, path: str, price: int) -> None:
    unpaid = site.ask(path)
    assert (unpaid.status_code, unpaid.headers[wire.PRICE]) == (402, str(price))
    answer = site.paid(path, 110)
    assert (answer.json(), site.refund_in(answer)) == ({"paid": 110}, 110 - price)
    free = site.ask(path, method="HEAD")
    assert (free.status_code, free.content, wire.RECEIPT in free.headers) == (200, b"", False)


def test_what_fails_in_a_class_with_async_methods_is_refunded(site: Site) -> None:
    answer = site.paid("async-report?fails=1")
    assert (answer.status_code, site.refund_in(answer)) == (404, 100)


def test_a_method_of_a_class_is_paid_for_and_the_others_are_free(site: Site) -> None:
    assert site.ask("echo").text == "free"
    assert site.ask("echo", method="POST", data={"text": "x"}).status_code == 402


@pytest.mark.parametrize("is_multipart", [True, False])
def test_a_form_arrives_whole_with_the_payment_in_a_header_or_in_it(site: Site, is_multipart: bool) -> None:
    large = {"file": ("large", b"x" * 3_000_000)} if is_multipart else None
    answer = site.paid("echo", method="POST", data={"text": "ä"}, files=large)
    assert answer.json() == {"text": "ä", "files": {"file": 3_000_000} if is_multipart else {}}
    package = json.dumps(site.client.create_payment_package(100))
    small = {"file": ("small", b"x")} if is_multipart else None
    answer = site.ask("echo", method="POST", data={"text": "ö", "payment_package": package}, files=small)
    assert (answer.status_code, answer.json()["text"]) == (200, "ö")


@pytest.mark.parametrize("path", ["priced-form", "async-priced-form"])
@pytest.mark.parametrize("is_multipart", [True, False])
def test_a_price_may_depend_on_a_form(site: Site, path: str, is_multipart: bool) -> None:
    text = "x" * 70
    form = {"files": {"text": (None, text)}} if is_multipart else {"data": {"text": text}}
    assert site.ask(path, method="POST", **form).headers[wire.PRICE] == "70"
    assert site.paid(path, 70, "POST", **form).json() == {"text": text}


def test_a_body_arrives_whole(site: Site) -> None:
    body = bytes(range(256)) * 4000
    assert site.paid("raw", method="POST", data=body).content == body


@pytest.mark.parametrize(
    "path, status",
    [
        ("missing", 404),
        ("forbidden", 403),
        ("broken", 500),
        ("async-broken", 500),
        ("bad-template", 500),
        ("async-bad-template", 500),
        ("mended", 200),
        ("async-mended", 200),
    ],
)
def test_what_fails_is_refunded(site: Site, path: str, status: int) -> None:
    answer = site.paid(path, 110)
    assert answer.status_code == status
    assert site.refund_in(answer) == 110


def test_a_payment_is_kept_when_the_views_transaction_is_rolled_back_and_the_views_own_writes_are_not(
    site: Site,
) -> None:
    from django.contrib.auth.models import User

    header = site.header()
    assert site.ask("broken", header).status_code == 500
    assert not User.objects.filter(username="rolled back").exists()
    again = site.ask("broken", header)
    assert (again.status_code, again.headers[wire.PACKAGE] is not None) == (500, True)
    User.objects.filter(username="kept").delete()
    assert site.paid("writes").text == "written"
    assert User.objects.filter(username="kept").exists()


def test_a_free_request_has_nothing_to_refund_and_one_to_another_view_has_no_payment(site: Site) -> None:
    assert site.ask("free").json() == {"amount": 0, "asset": None}
    assert site.ask("unpaid").text == "wrong_use"


@pytest.mark.parametrize("path", ["free", "by-length/0", "async-free"])
def test_a_payment_for_what_is_free_goes_back_as_a_whole(site: Site, path: str) -> None:
    header = site.header()
    first, again = site.ask(path, header), site.ask(path, header)
    assert (first.status_code, first.content) == (200, again.content)
    assert json.loads(again.headers[wire.RECEIPT])["refund"] == 100 == site.refund_in(first)
    assert site.ask(path, site.header(), "HEAD").headers.get(wire.RECEIPT) is None


def test_a_payable_view_that_calls_another_is_paid_once(site: Site) -> None:
    answer = site.paid("both")
    assert json.loads(answer.json()["text"]) == {"celsius": 21}
    assert json.loads(answer.headers[wire.RECEIPT])["amount"] == 100


def test_a_view_gives_a_part_back(site: Site) -> None:
    assert site.refund_in(site.paid("nothing-found", 110)) == 70


@pytest.mark.parametrize("path", ["stream", "async-stream"])
def test_a_stream_passes_with_a_receipt(site: Site, path: str) -> None:
    answer = site.paid(path)
    assert answer.text == "data: 0\n\ndata: 1\n\n"
    assert wire.RECEIPT in answer.headers


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
@pytest.mark.parametrize("path", ["whole-file", "async-whole-file"])
def test_a_file_arrives_whole_with_a_receipt(site: Site, path: str, encoding: str) -> None:
    from tests.django_app.urls import FILE

    answer = site.ask(path, {**site.header(), "Accept-Encoding": encoding})
    assert answer.headers.get("Content-Encoding", "identity") == encoding
    assert answer.content == FILE
    assert wire.RECEIPT in answer.headers


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("path", ["breaks-off", "async-breaks-off", "broken-file"])
def test_a_stream_whose_view_fails_in_the_middle_is_refunded_to_the_same_package_sent_again(
    site: Site, path: str
) -> None:
    header = site.header(110)
    with suppress(requests.RequestException):  # Django's own server ends it as if it were whole
        site.ask(path, header)
    gc.collect()  # Django leaves the request's body open when a stream breaks off behind its ASGI interface
    again = site.ask(path, header)
    assert (again.status_code, again.json()["code"]) == (402, "refunded")
    assert json.loads(again.headers[wire.RECEIPT])["refund"] == 110
    assert site.refund_in(again) == 100, "10 went back with the beginning"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "interface, path", [("wsgi", "endless"), *([("asgi", "async-endless")] if IS_DJANGO_5 else [])]
)
def test_a_client_that_hangs_up_gets_nothing_back_whatever_the_view_then_raises(
    interface: str, path: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(interface)
    ENDED.clear()
    header = {**site.header(), "Accept-Encoding": "identity"}
    with site.ask(path, header, stream=True) as answer:
        assert next(answer.iter_content(9)) == b"data: 0\n\n"
    assert ENDED.wait(60)
    gc.collect()
    assert site.paid("temperature").status_code == 200, "whatever was to happen has happened"
    again = site.ask(path, header)
    assert (again.status_code, again.json()["code"]) == (409, "answer_not_kept")


def test_a_template_is_rendered_before_its_answer_is_kept(site: Site) -> None:
    header = site.header()
    assert site.ask("template", header).text == "rendered"
    assert site.ask("template", header).text == "rendered"


@pytest.mark.parametrize("path", ["odd"])
def test_a_price_that_makes_no_sense_charges_nothing(site: Site, path: str) -> None:
    before, header = list(RUNS), site.header()
    assert site.ask(path, header).status_code == 500
    assert before == RUNS
    assert site.ask("temperature", header).status_code == 200


@pytest.mark.parametrize("path", ["one-of-each", "async-one-of-each"])
@pytest.mark.parametrize(("kind", "status"), [("gone", 404), ("free", 200)])
def test_what_was_bought_is_answered_again_though_its_price_cannot_be_told_any_more(
    site: Site, path: str, kind: str, status: int
) -> None:
    def ask(package: dict[str, Any]) -> requests.Response:
        address, packed = f"{path}/{kind}?{site.address}", wire.encode_package(package)
        if kind == "gone":
            return site.ask(address, {wire.PACKAGE: packed}, "POST")
        return site.ask(address, method="POST", data={wire.FIELD: packed})

    package = site.client.create_payment_package(100)
    first, again = ask(package), ask(package)
    assert first.status_code == 200
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers[wire.RECEIPT] == first.headers[wire.RECEIPT]
    late = ask(site.client.create_payment_package(100))
    assert (late.status_code, wire.RECEIPT in late.headers) == (status, False)


@pytest.mark.parametrize("path", ["one-of-each", "async-one-of-each"])
def test_a_refund_can_be_fetched_though_the_price_cannot_be_told_any_more(site: Site, path: str) -> None:
    address, header = f"{path}/fails?{site.address}", site.header()
    first, again = site.ask(address, header, "POST"), site.ask(address, header, "POST")
    assert (first.status_code, again.status_code) == (500, 500)
    assert first.headers[wire.PACKAGE] == again.headers[wire.PACKAGE]
    assert site.refund_in(again) == 100


@pytest.mark.parametrize("path", ["temperature", "async"])
def test_a_payable_view_that_the_middleware_has_not_seen_charges_nobody(site: Site, path: str) -> None:
    from django.test import AsyncRequestFactory, RequestFactory

    before, header = list(RUNS), site.header()
    factory = RequestFactory() if path == "temperature" else AsyncRequestFactory()
    request = factory.get(f"/{path}", headers=header)
    view = resolve(f"/{path}").func
    with pytest.raises(WrongUse, match="MIDDLEWARE"):
        async_to_sync(view)(request) if path == "async" else view(request)
    assert before == RUNS
    assert site.ask(path, header).status_code == 200


def test_the_check_of_a_project_tells_that_the_middleware_is_missing_or_not_the_first(site: Site) -> None:
    from django.core.checks import run_checks
    from django.test import override_settings

    assert [message for message in run_checks() if message.id.startswith("paypercall")] == []
    with override_settings(MIDDLEWARE=[]):
        assert [message.id for message in run_checks()] == ["paypercall.E001"]
    others = "django.middleware.common.CommonMiddleware"
    with override_settings(MIDDLEWARE=[others, "paypercall.django.middleware.PaymentMiddleware"]):
        assert [message.id for message in run_checks()] == ["paypercall.W001"]


def test_a_project_whose_endpoint_no_client_would_find_is_not_opened(site: Site) -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.urls import get_script_prefix, set_script_prefix

    from paypercall.django.project import open_project

    before = get_script_prefix()
    set_script_prefix("shop")  # as FORCE_SCRIPT_NAME does
    try:
        with pytest.raises(ImproperlyConfigured, match="like /payment"):
            open_project()
    finally:
        set_script_prefix(before)


def test_a_wrong_price_fails_when_it_is_said(site: Site) -> None:
    from paypercall.django import payment

    with pytest.raises(WrongPrice):
        payment.required("100")  # type: ignore[arg-type]


def test_what_is_no_view_is_refused_as_is_a_request_where_the_brackets_of_the_decorator_are_missing() -> None:
    from paypercall.django import payment

    for what in (None, 100, HttpRequest(), Site):
        with pytest.raises(WrongUse):
            payment.required(100)(what)  # type: ignore[type-var]
    with pytest.raises(WrongUse, match="with a price"):
        payment.required(lambda request: None)(HttpRequest())  # type: ignore[type-var]


def test_the_endpoint_tells_terms_and_prices_and_takes_payments(site: Site) -> None:
    assert site.ask("temperature").headers[wire.ENDPOINT] == "/payment"
    told = site.ask("payment").json()
    prices = {(line["method"], line["path"]): line["price"] for line in told["resources"]}
    assert prices["*", "/temperature"] == prices["POST", "/echo"] == 100
    assert prices["*", "/by-length/<int:length>"] == "varies"
    token = site.ask("payment", site.header(), "PUT").json()["token"]
    assert site.ask("temperature", {wire.TOKEN: token}).json() == {"celsius": 21}
    package = json.dumps(site.client.create_payment_package(100))
    assert site.ask("payment", method="PUT", data={"payment_package": package}).json()["token"]
    form = {"payment_package": (None, json.dumps(site.client.create_payment_package(100)))}
    assert site.ask("payment", method="PUT", files=form).json()["token"]
    assert site.ask("payment", method="POST", data=b"x" * 100_000).status_code == 413


@pytest.mark.parametrize("path", ["payment", "raw"])
def test_a_multipart_form_that_cannot_be_read_holds_no_payment(site: Site, path: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="payment_package"'
    answer = site.ask(path, headers, "PUT", data=body)
    assert answer.json()["code"] == ("wrong_shape" if path == "payment" else "payment_required")


def test_the_tables_are_those_that_our_own_migrations_make(site: Site, tmp_path: object) -> None:
    from paypercall.django import payment
    from paypercall.store.schema import metadata

    ours = Store(f"sqlite:///{tmp_path}/ours.sqlite")
    ours.migrate()
    schemas = [
        schema_of(url, set(metadata.tables)) for url in (ours.url, payment.project.server.server.store.url)
    ]
    ours.close()
    assert schemas[0] == schemas[1]
    assert set(schemas[0]) == set(metadata.tables) | {"paypercall_version"}


def schema_of(url: str, tables: set[str]) -> dict[str, object]:
    """The statements that made the tables and indexes of a database."""
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT tbl_name, type, name, sql FROM sqlite_master ORDER BY 1, 2, 3"
        ).all()
        [version] = connection.exec_driver_sql("SELECT version_num FROM paypercall_version").all()
    engine.dispose()
    schema: dict[str, object] = {}
    for table, *rest in rows:
        if table in tables:
            schema.setdefault(table, []).append([rest[0], rest[1], " ".join((rest[2] or "").split())])  # type: ignore[attr-defined]
    return {**schema, "paypercall_version": version[0]}


@pytest.mark.parametrize("path", ["temperature", "async"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_what_is_not_charged_does_not_reach_the_view_and_tells_the_terms(
    site: Site, method: str, path: str
) -> None:
    before = list(RUNS)
    answer = site.ask(path, method=method)
    assert (answer.status_code, answer.content, answer.headers[wire.PRICE]) == (200, b"", "100")
    assert before == RUNS
    assert "Set-Cookie" not in answer.headers
