"""Merchants that cheat, where the library is a part of it; what all libraries do alike is in `tests/paying`."""

from __future__ import annotations

import pickle

import pytest
import requests

from paypercall.errors import PaypercallError
from paypercall.paying import NotYetAccepted, PaymentDeclined, PaymentRejected, PeriodOver, RefundMissing
from paypercall.requests import Session
from tests.paying.merchant import Market, Reply


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return f"{market.site.url}/{request.node.name}"


def test_too_many_headers_are_no_answer_and_the_payment_stays_the_same(
    market: Market, api: Session, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.paying.exchange._SHORTEST_PAUSE", 0.01)
    api.get_402_info(url)
    market.site.trick = lambda seen, honest: Reply(200, [("X", "y")] * 200, b"")
    with pytest.raises(requests.RequestException):
        api.get(url)
    assert len(market.site.packages) == 3
    assert len({str(package) for package in market.site.packages}) == 1


@pytest.mark.parametrize(
    "kind", [PaymentRejected, NotYetAccepted, RefundMissing, PeriodOver, PaymentDeclined]
)
def test_what_a_call_raises_can_be_sent_to_another_process(kind: type[PaypercallError]) -> None:
    error = PaymentDeclined("text", code="x") if kind is PaymentDeclined else kind("text")
    if kind is not PaymentDeclined:
        error.response = requests.Response()  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.code) == (kind, "text", error.code)
    assert kind is PaymentDeclined or again.response is not None


def test_a_redirection_to_nowhere_is_the_librarys_own_error(market: Market, api: Session, url: str) -> None:
    nowhere = [("Location", "http://127.0.0.1:99999/")]
    market.site.view = lambda seen: Reply(302, nowhere, b"")
    with pytest.raises(requests.exceptions.InvalidURL):
        api.get(url)
    assert market.rows()[-1]["state"] == "answered"


def test_an_unpaid_redirection_to_another_origin_that_the_program_follows_gets_nothing(
    market: Market, api: Session, url: str
) -> None:
    terms = market.site.ask()
    market.other.trick = lambda seen, honest: terms
    market.site.trick = lambda seen, honest: Reply(302, [("Location", market.other.url + "/take")], b"")
    response = api.get(url, allow_redirects=False)
    assert response.next is not None
    assert api.send(response.next).status_code == 402
    assert market.other.packages == []
