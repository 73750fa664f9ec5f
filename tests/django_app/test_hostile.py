"""What else of Django comes between a payment and its answer: transactions, caches, forms that were read before."""

from __future__ import annotations

from contextlib import suppress

import pytest
import requests

from paypercall import wire
from paypercall.paywall.request import MAX_PAID_BODY
from tests.django_app.conftest import Site
from tests.django_app.project import REPORTED, RUNS
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


def test_a_client_that_goes_away_before_its_answer_cannot_have_the_view_run_again_and_again(
    asgi: Site,
) -> None:
    header, before = asgi.header(), RUNS.count("slow")
    for attempt in range(3):
        with suppress(requests.ReadTimeout):
            requests.get(f"{asgi.address}/slow", headers=header, timeout=0.3 if attempt else 0.4)
    wait_until(lambda: asgi.ask("slow", header).status_code == 200, "the answer is there")
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
