"""What else of Django comes between a payment and its answer: transactions, caches, forms that were read before."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.paid_call import RUN_SECONDS
from paypercall.paywall.request import MAX_PAID_BODY
from tests.django_app.conftest import Site
from tests.django_app.project import IS_DJANGO_5, REPORTED, RUNS
from tests.parties import wait_until


def test_a_method_of_a_class_that_writes_is_paid_for_within_the_transaction_of_its_class(site: Site) -> None:
    from django.contrib.auth.models import User

    User.objects.filter(username="ordered").delete()
    header = site.header(110)
    answer = site.ask("order", header, method="POST")
    assert (answer.status_code, answer.text) == (200, "ordered")
    assert site.refund_in(answer) == 10
    assert User.objects.filter(username="ordered").count() == 1
    assert site.ask("order", header, method="POST").text == "ordered"
    assert User.objects.filter(username="ordered").count() == 1


def test_a_method_of_a_class_that_writes_and_fails_is_refunded_and_has_written_nothing(site: Site) -> None:
    from django.contrib.auth.models import User

    User.objects.filter(username="ordered").delete()
    answer = site.paid("order?fails=1", method="POST")
    assert (answer.status_code, site.refund_in(answer)) == (500, 100)
    assert not User.objects.filter(username="ordered").exists()


def test_no_cache_of_django_keeps_what_was_paid_for(site: Site) -> None:
    header = site.header()
    for _ in range(2):
        answer = site.ask("cached", header)
        assert (answer.text, wire.decode_receipt(answer.headers[wire.RECEIPT])["amount"]) == (
            "worth money",
            100,
        )
        assert answer.headers["Cache-Control"] == "private, max-age=60"
    assert site.ask("cached").status_code == 402


@pytest.mark.parametrize(
    "path", ["free-for-members", *(["async-free-for-members"] if IS_DJANGO_5 else []), "site-wide"]
)
def test_what_is_free_for_some_is_kept_from_the_others_by_every_cache(site: Site, path: str) -> None:
    for _ in range(2):
        free = site.ask(path, {"X-Member": "yes"})
        assert (free.status_code, free.text) == (200, "worth money")
    assert free.headers["Cache-Control"] in ("no-store", "private, max-age=60")
    assert site.ask(path).status_code == 402
    assert site.paid(path).text == "worth money"
    assert site.ask(path).status_code == 402


def test_a_cache_below_the_price_saves_the_work_and_not_the_price(site: Site) -> None:
    site.paid("site-wide")
    before = len(RUNS)
    answer = site.paid("site-wide")
    assert (answer.text, answer.headers["Cache-Control"]) == ("worth money", "private, max-age=60")
    assert len(RUNS) == before


def test_a_form_with_a_file_that_was_read_before_is_part_of_the_request_that_is_paid_for(site: Site) -> None:
    header, before = site.header(50), len(RUNS)

    def post(content: str, headers: dict[str, str] | None = header) -> tuple[int, object]:
        answer = site.ask(
            "by-form", headers, method="POST", data={"text": "hello"}, files={"file": ("file", content)}
        )
        return answer.status_code, answer.json()

    status, code = post("first")
    assert (status, code) == (200, {"text": "hello", "file": "first"})
    status, _ = post("first")
    assert status == 200
    status, _ = post("other")
    assert status == 409
    assert len(RUNS) == before + 1
    unpaid = site.ask("by-form", method="POST", data={"text": "hello"}, files={"file": ("file", "x")})
    assert unpaid.headers[wire.PRICE] == "50"


def test_a_package_in_a_form_that_was_read_before_is_found(site: Site) -> None:
    form = {"text": "hello", wire.FIELD: site.header(50)[wire.PACKAGE]}
    answer = site.ask("by-form", method="POST", data=form, files={"file": ("file", "x")})
    assert (answer.status_code, answer.json()["text"]) == (200, "hello")


@pytest.mark.parametrize("path", ["priced-form", "async-priced-form"])
def test_a_form_above_the_limit_is_refused_before_its_price_is_asked_for(site: Site, path: str) -> None:
    large = {"text": (None, "x"), "file": ("file", bytes(MAX_PAID_BODY))}
    answer = site.ask(path, method="POST", files=large)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("path", ["form-for-members", "async-form-for-members"])
def test_who_pays_nothing_sends_no_more_than_django_takes_into_memory(site: Site, path: str) -> None:
    form = {"text": "x" * 3_000_000}
    member = {"X-Member": "yes"}
    assert site.ask(path, member, "POST", data={"text": "x" * 2_000_000}).json() == {"size": 2_000_000}
    assert site.ask(path, member, "POST", data=form).status_code == 400
    coupon = {"Coupon": "which cannot be given back, so that nobody looks at it where nothing is to be paid"}
    for free in (path, "free-form"):
        assert site.ask(free, {**member, **coupon}, "POST", data=form).status_code == 400
    assert site.ask(path, method="POST", data=form).status_code == 402
    assert site.paid(path, method="POST", data=form).json() == {"size": 3_000_000}


def test_a_price_that_depends_on_a_form_reads_no_more_than_django_takes_for_who_pays_nothing(
    site: Site,
) -> None:
    form = {"text": "x" * 3_000_000}
    assert site.ask("priced-form", method="POST", data=form).status_code == 400
    files = {"file": ("file", bytes(3_000_000))}
    assert site.ask("free-form", method="POST", data={"text": "x" * 70}, files=files).json() == {"size": 70}
    in_full = "form-for-members?raw"
    assert site.ask(in_full, {"X-Member": "yes"}, "POST", data={"text": "x"}, files=files).status_code == 400
    assert site.ask("priced-form", method="POST", data={"text": "x" * 70}, files=files).status_code == 402


def test_a_client_that_goes_away_before_its_answer_cannot_have_the_view_run_again_and_again(
    asgi: Site,
) -> None:
    header, before = asgi.header(), RUNS.count("slow")
    for attempt in range(3):
        with suppress(requests.ReadTimeout):
            requests.get(f"{asgi.address}/slow", headers=header, timeout=0.3 if attempt else 0.4)
    wait_until(lambda: asgi.ask("slow", header).status_code == 200, "the answer is there")
    assert RUNS.count("slow") == before + 1


def test_a_client_that_goes_away_while_its_payment_is_taken_leaves_it_to_the_next_attempt(
    asgi: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paypercall.django import payment
    from paypercall.django.middleware import Visit

    paywall, header, before = payment.project.paywall, asgi.header(), RUNS.count("slow")
    begin, take, has_gone = paywall.begin, Visit.take, threading.Event()

    def slow_begin(*args: Any) -> Any:
        outcome = begin(*args)
        has_gone.wait(2)  # Django 4.2 does not notice, and has the view run to its end
        return outcome

    def noted_take(visit: Visit) -> Any:
        outcome = take(visit)
        has_gone.set()
        return outcome

    with monkeypatch.context() as patched:
        patched.setattr(paywall, "begin", slow_begin)
        patched.setattr(Visit, "take", noted_take)
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{asgi.address}/slow", headers=header, timeout=0.3)
        assert has_gone.wait(5)
    wait_until(lambda: asgi.ask("slow", header).status_code == 200, "the view runs", RUN_SECONDS / 2)
    assert RUNS.count("slow") == before + 1


def test_a_client_that_goes_away_before_its_view_fails_gets_its_refund_when_it_asks_again(asgi: Site) -> None:
    header, before = asgi.header(), RUNS.count("slowly-broken")
    with suppress(requests.ReadTimeout):
        requests.get(f"{asgi.address}/slowly-broken", headers=header, timeout=0.3)
    wait_until(lambda: asgi.ask("slowly-broken", header).status_code != 409, "the view has failed")
    assert asgi.refund_in(asgi.ask("slowly-broken", header)) == 100
    assert RUNS.count("slowly-broken") == before + 1


@pytest.mark.parametrize("path", ["broken", "async-broken", "reported", "async-reported"])
def test_middleware_sees_the_exception_of_a_paid_view_and_may_answer_and_it_is_refunded(
    site: Site, path: str
) -> None:
    before = len(REPORTED)
    answer = site.paid(path, 110)
    assert len(REPORTED) == before + 1
    assert REPORTED[-1].startswith(f"/{path}: ")
    if path.endswith("reported"):
        assert (answer.status_code, answer.text) == (200, "answered by middleware")
    else:
        assert answer.status_code == 500
    assert site.refund_in(answer) == 110


@pytest.mark.parametrize("path", ["bad-template", "async-bad-template"])
def test_middleware_sees_what_fails_when_the_response_of_a_paid_view_is_rendered(
    site: Site, path: str
) -> None:
    before = len(REPORTED)
    assert site.refund_in(site.paid(path)) == 100
    assert [report.partition(":")[0] for report in REPORTED[before:]] == [f"/{path}"]


@pytest.mark.parametrize("path", ["late?fails=1", "async-late", "fault-of-a-middleware"])
def test_what_fails_around_a_payable_view_after_it_is_refunded_each_time_it_is_asked_for(
    site: Site, path: str
) -> None:
    from django.contrib.auth.models import User

    header, before = site.header(150), RUNS.count("late")
    first, again = site.ask(path, header), site.ask(path, header)
    assert (first.status_code, site.refund_in(first)) == (500, 150)
    assert json.loads(first.headers[wire.RECEIPT])["refund"] == 150
    assert (again.status_code, again.content) == (500, first.content)
    assert again.headers[wire.PACKAGE] == first.headers[wire.PACKAGE]
    assert not User.objects.filter(username="late").exists()
    assert RUNS.count("late") <= before + 2  # what is not payable in a class runs again


def test_what_fails_after_a_payable_view_is_refunded_though_the_project_passes_exceptions_on(
    wsgi: Site,
) -> None:
    from django.test import Client, override_settings

    header = wsgi.header()
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True), pytest.raises(RuntimeError, match="the class"):
        Client().get("/late?fails=1", headers=header)
    wait_until(lambda: wsgi.ask("late?fails=1", header).status_code != 409, "the payment has ended")
    assert wsgi.refund_in(wsgi.ask("late", header, params={"fails": "1"})) == 100


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_stream_cannot_call_a_payable_view_when_its_response_has_begun(wsgi: Site) -> None:
    header, before = wsgi.header(), len(RUNS)
    with suppress(requests.RequestException):
        wsgi.ask("in-a-stream", header)
    assert len(RUNS) == before
    assert wsgi.ask("temperature", header).status_code == 200


def test_a_client_that_goes_away_after_its_view_gets_no_refund_for_what_is_made_of_that(asgi: Site) -> None:
    header, before = asgi.header(), RUNS.count("left-early")
    with suppress(requests.ReadTimeout):
        requests.get(f"{asgi.address}/left-early", headers=header, timeout=0.3)
    wait_until(lambda: asgi.ask("left-early", header).status_code != 409, "the view has ended")
    again = asgi.ask("left-early", header)
    assert (again.status_code, again.text, wire.PACKAGE in again.headers) == (200, "done", False)
    assert RUNS.count("left-early") == before + 1


def test_a_response_that_middleware_puts_in_place_of_the_views_has_the_receipt_and_the_refund_each_time(
    site: Site,
) -> None:
    header = {**site.header(250), "If-None-Match": '"v1"'}
    for _ in range(2):
        answer = site.ask("report", header)
        assert (answer.status_code, answer.content) == (304, b"")
        assert json.loads(answer.headers[wire.RECEIPT])["refund"] == 150
        assert answer.headers[wire.PACKAGE]
    assert site.refund_in(answer) == 150
    header = site.header(250)
    for _ in range(2):
        answer = site.ask("replaced", header)
        assert (answer.status_code, answer.text) == (200, "a flat page")
        assert json.loads(answer.headers[wire.RECEIPT])["refund"] == 150


def test_a_view_that_answers_an_error_is_refunded_whatever_middleware_puts_in_its_place(site: Site) -> None:
    header = site.header(110)
    for _ in range(2):
        answer = site.ask("flat-page", header)
        assert (answer.status_code, answer.text) == (200, "a flat page")
        assert json.loads(answer.headers[wire.RECEIPT])["refund"] == 110


def test_what_is_given_again_passes_middleware_unchanged(site: Site) -> None:
    header = site.header()
    first = site.ask("report", header)
    again = site.ask("report", {**header, "If-None-Match": '"v1"'})
    assert (again.status_code, again.content) == (first.status_code, first.content) == (200, b"report")


def test_who_pays_in_the_body_finds_the_refund_there_though_the_project_compresses(site: Site) -> None:
    form = {wire.FIELD: json.dumps(site.client.create_payment_package(130))}
    first, again = (
        site.ask("long-json", method="POST", data=form),
        site.ask("long-json", method="POST", data=form),
    )
    assert first.json() == again.json()
    assert site.refund_in(first) == 30
    assert wire.decode_package(first.headers[wire.PACKAGE]) == first.json()[wire.FIELD]
    assert site.paid("long-json", method="POST").headers["Content-Encoding"] == "gzip"


def test_a_view_without_a_price_cannot_charge_twice(site: Site) -> None:
    answer = site.paid("one-after-the-other?first=temperature", 110)
    assert (answer.status_code, site.refund_in(answer)) == (500, 110)
    assert site.ask("one-after-the-other?first=temperature").status_code == 500
    assert site.ask("one-after-the-other?first=free").status_code == 402


PAYMENT_HEADERS = (wire.PACKAGE, wire.TOKEN, wire.UNIT, wire.TRANSFER, wire.TRANSFER_SIGNATURE)


@pytest.mark.parametrize("is_debug", [True, False])
@pytest.mark.parametrize("path", ["never-payable", "no-price", "nowhere"])
@pytest.mark.parametrize("where", [*PAYMENT_HEADERS, "form", "multipart"])
def test_a_payment_that_was_not_used_is_in_no_mail_to_the_owners_and_on_no_error_page(
    site: Site, where: str, path: str, is_debug: bool
) -> None:
    from django.core import mail
    from django.test import override_settings

    secret = "c2VjcmV0" * 10
    form = {wire.FIELD: secret, "shown": "in the report"}
    mail.outbox = []
    with override_settings(DEBUG=is_debug, ADMINS=[("owner", "owner@example.org")]), mails_of_errors():
        if where == "form":
            answer = site.ask(path, method="POST", data=form)
        elif where == "multipart":
            answer = site.ask(path, method="POST", data=form, files={"file": b""})
        else:
            answer = site.ask(path, {where: secret, "X-Shown": "in the report"}, method="POST")
    assert answer.status_code == (404 if path == "nowhere" else 500)
    assert secret not in answer.text
    if path == "nowhere":
        return
    [sent] = mail.outbox
    texts = [sent.body, *(str(content) for content, _ in sent.alternatives)]
    if is_debug:
        texts.append(answer.text)
    assert len(texts) == 2 + is_debug
    assert all("in the report" in text and secret not in text for text in texts)


@contextmanager
def mails_of_errors() -> Iterator[None]:
    """As Django's own logging does without DEBUG, and with pages in the mails."""
    from django.test import override_settings
    from django.utils.log import AdminEmailHandler

    handler, logger = AdminEmailHandler(include_html=True), logging.getLogger("django.request")
    backend = "django.core.mail.backends.locmem.EmailBackend"
    logger.addHandler(handler)
    try:
        with override_settings(EMAIL_BACKEND=backend):
            yield
    finally:
        logger.removeHandler(handler)


def test_a_view_does_not_see_the_headers_that_pay_for_it(site: Site) -> None:
    seen = site.paid("seen-headers").json()
    assert "Accept" in seen["headers"] and "HTTP_ACCEPT" in seen["meta"]
    assert not [name for name in (*seen["headers"], *seen["meta"]) if "PAYMENT" in name.upper()]
