"""What a merchant's close puts on the ledger: the last package of the period, which strangers can send from then on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from flask import Flask, session
from flask.typing import ResponseReturnValue

from paypercall.flask import Payment
from paypercall.paid_call import Attempt
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Request
from tests.flask.site import Site, code_in, open_site, receipt_in, served
from tests.parties import wait_until, wait_until_open

Package = dict[str, Any]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    app = Flask(__name__)
    app.secret_key = "of a test"
    with open_site(tmp_path_factory.mktemp("site")) as site:
        payment = Payment(app, site.merchant)

        @app.get("/report")
        @payment.required(lambda request: 1 // site.runs["can tell prices"])
        def report() -> ResponseReturnValue:
            site.runs["report"] += 1
            session["user"] = "alice"
            return {"secret": "alice's"}

        site.runs["can tell prices"] = 1
        with served(app) as site.url:
            yield site


def published(site: Site) -> Package:
    """The merchant settles the period; gives the package that the ledger shows then."""
    aa_address = site.client.aa_address
    assert aa_address is not None
    wait_until_open(site.client, site.merchant)
    site.merchant.sweep(aa_address)
    shown = [
        message["payload"]["sentByPeer"]
        for joint in site.net.units()
        for message in joint["unit"].get("messages", [])
        if message["app"] == "data" and "sentByPeer" in message["payload"]
    ]
    (package,) = shown
    assert isinstance(package, dict)
    return package


def until_period_is_over(site: Site) -> None:
    wait_until(lambda: site.client.balance().period == 2, "the period is over")


def leave_behind(site: Site, package: Package) -> None:
    """Has a worker begin with a request, and die some time ago."""
    attempt = Attempt(Request("GET", "/report", "", {}).digest(), "of the dead", 1, "base", int(time.time()))
    call = PaymentServer(site.merchant).redeem(package, attempt)
    with site.merchant.store.transaction() as books:
        books.paid_calls.save(replace(call, runs_until=0))


def put(site: Site, package: Package) -> requests.Response:
    return site.ask("/payment", method="PUT", json={"payment_package": package})


@pytest.mark.parametrize("is_over", [False, True])
def test_a_stranger_gets_no_answer_that_was_given_before(site: Site, is_over: bool) -> None:
    before, last = site.pay(1), site.pay(1)
    assert [site.ask("/report", package).json() for package in (before, last)] == [{"secret": "alice's"}] * 2
    package = published(site)
    if is_over:
        until_period_is_over(site)
    for again in (package, last):
        answer = site.ask("/report", again)
        assert code_in(answer) == (409, "answer_not_kept")
        assert "Set-Cookie" not in answer.headers
    assert site.ask("/report", before).json() == {"secret": "alice's"}, "of which only its payer knows"
    assert site.runs["report"] == 2


def test_a_stranger_gets_none_either_where_the_price_cannot_be_told_any_more(site: Site) -> None:
    assert site.ask("/report", site.pay(1)).ok
    site.runs["can tell prices"] = 0
    assert code_in(site.ask("/report", published(site))) == (409, "answer_not_kept")


@pytest.mark.parametrize("is_over", [False, True])
def test_a_payment_that_waits_for_its_request_is_not_a_strangers(site: Site, is_over: bool) -> None:
    given = put(site, site.pay(50_000))
    package = published(site)
    if is_over:
        until_period_is_over(site)
    assert code_in(put(site, package)) == (409, "package_published")
    assert code_in(site.ask("/report", package)) == (409, "package_published")
    bought = site.ask("/report", headers={"Payment-Token": given.json()["token"]})
    assert bought.json() == {"secret": "alice's"}
    assert receipt_in(bought)["amount"] == 50_000
    assert site.runs["report"] == 1


def test_what_a_worker_left_behind_is_not_run_for_a_stranger(site: Site) -> None:
    leave_behind(site, site.pay(1))
    package = published(site)
    answers = [site.ask("/report", package) for _ in range(2)]
    assert [code_in(answer) for answer in answers] == [(402, "refunded")] * 2
    assert [receipt_in(answer)["refund"] for answer in answers] == [1, 1]
    assert site.runs["report"] == 0


def test_a_used_token_is_not_given_to_a_stranger(site: Site) -> None:
    given = put(site, site.pay(1))
    used = {"Payment-Token": given.json()["token"]}
    assert site.ask("/report", headers=used).ok
    assert code_in(put(site, published(site))) == (409, "package_published")
    assert site.ask("/report", headers=used).json() == {"secret": "alice's"}, "whose holder is its payer"


def test_what_a_token_has_bought_is_kept_for_its_holder_whoever_sends_the_package(site: Site) -> None:
    given = put(site, site.pay(50_000))
    used = {"Payment-Token": given.json()["token"]}
    assert site.ask("/report", headers=used).ok
    package = published(site)
    for _ in range(2):
        assert code_in(site.ask("/report", package)) == (409, "package_published")
        assert site.ask("/report", headers=used).json() == {"secret": "alice's"}
    assert site.runs["report"] == 1


def test_a_customer_that_closes_by_itself_publishes_nothing_and_is_answered(site: Site) -> None:
    answered, left_behind = site.pay(1), site.pay(30_000)
    assert site.ask("/report", answered).ok
    leave_behind(site, left_behind)
    wait_until_open(site.client, site.merchant)
    site.client.close()
    wait_until(lambda: bool(site.merchant.channels()[0].is_frozen), "the merchant confirms")
    for package in (answered, left_behind):
        assert site.ask("/report", package).json() == {"secret": "alice's"}
    until_period_is_over(site)
    for package in (answered, left_behind):
        assert site.ask("/report", package).json() == {"secret": "alice's"}
    assert site.runs["report"] == 2
