"""Payable views of Django REST framework, wherever its decorators stand."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
import requests

from paypercall import wire
from paypercall.paid_call import RUN_SECONDS
from tests.django_app.conftest import Site
from tests.django_app.project import RUNS
from tests.parties import wait_until

EACH_PLACE = pytest.mark.parametrize("path", ["rest/method", "rest/below", "rest/above", "rest/class"])


@EACH_PLACE
def test_a_view_is_paid_for_and_answered_again_without_running(site: Site, path: str) -> None:
    assert site.ask(path).headers[wire.PRICE] == "100"
    before, header = len(RUNS), site.header(130)
    first, again = site.ask(path, header), site.ask(path, header)
    assert (first.status_code, first.json()["amount"]) == (200, 130)
    assert first.headers["X-Own"] == again.headers["X-Own"] == "yes"
    assert (again.content, again.headers["Content-Type"]) == (first.content, "application/json")
    assert (site.refund_in(first), again.headers[wire.PACKAGE]) == (30, first.headers[wire.PACKAGE])
    assert len(RUNS) == before + 1


@EACH_PLACE
@pytest.mark.parametrize(
    "how, status", [("missing", 404), ("error", 400), ("unrenderable", 500), ("reported", 200)]
)
def test_what_fails_is_refunded_also_when_middleware_answers_for_it(
    site: Site, path: str, how: str, status: int
) -> None:
    answer = site.paid(f"{path}?how={how}", 110)
    assert (answer.status_code, site.refund_in(answer)) == (status, 110)


@EACH_PLACE
def test_a_response_of_django_is_paid_for_as_well(site: Site, path: str) -> None:
    assert site.paid(f"{path}?how=django").json() == {"amount": 100}


@EACH_PLACE
def test_what_is_rendered_late_may_still_ask_what_was_paid(site: Site, path: str) -> None:
    assert site.paid(f"{path}?how=lazy").json() == {"amount": [100]}


@pytest.mark.parametrize("path", ["rest/method", "rest/below"])
def test_an_exception_is_refunded_by_its_own_status(
    site: Site, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paypercall.django import payment

    monkeypatch.setattr(payment.project.paywall, "_refunds", lambda status: status >= 500)
    assert wire.PACKAGE not in site.paid(f"{path}?how=missing").headers


def test_a_client_that_goes_away_before_its_response_is_rendered_gets_it_with_the_next_attempt(
    asgi: Site,
) -> None:
    header, path = asgi.header(), "rest/method?how=slow"
    with suppress(requests.ReadTimeout):
        requests.get(f"{asgi.address}/{path}", headers=header, timeout=0.2)
    wait_until(lambda: asgi.ask(path, header).status_code == 200, "it is answered", RUN_SECONDS / 2)


def test_a_price_may_depend_on_the_data_of_the_request(site: Site) -> None:
    assert site.ask("rest/method", method="POST", json={"text": "hello"}).headers[wire.PRICE] == "50"
    answer = site.paid("rest/method", 50, "POST", json={"text": "hello"})
    assert (answer.status_code, answer.json()["data"]) == (200, {"text": "hello"})
    form = {"text": "hello", wire.FIELD: json.dumps(site.client.create_payment_package(70))}
    answer = site.ask("rest/method", method="POST", data=form)
    assert (answer.status_code, site.refund_in(answer)) == (200, 20)
    assert answer.json()[wire.FIELD] == wire.decode_package(answer.headers[wire.PACKAGE])
