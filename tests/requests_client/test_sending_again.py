"""A request that the program sends again is a call of its own, which uses first what the one before it has left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.requests import Session
from tests.paying.merchant import Market, Reply, Reset, Seen
from tests.requests_client.test_following_requests import NEW, distinct, resend

Honest = Callable[[], Reply]
Again = Callable[[requests.PreparedRequest], requests.PreparedRequest]


@pytest.fixture
def prepared(market: Market, api: Session, request: pytest.FixtureRequest) -> requests.PreparedRequest:
    """A request whose price is known."""
    url = f"{market.site.url}/{request.node.name}"
    api.get_402_info(url)
    market.site.seen.clear()
    return api.prepare_request(requests.Request("GET", url))


def refuse(code: str | None, status: int = 409) -> Callable[[Seen, Honest], Reply]:
    """Refuses every payment, and asks for one where there is none."""
    headers = [] if code is None else [(wire.CODE, code)]
    return lambda seen, honest: honest() if seen.package is None else Reply(status, headers, b"")


def raise_price(market: Market) -> None:
    market.site.price = 110


def change(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The same request with other headers, as of a program that numbers what it sends."""
    request.headers["X-Number"] = str(int(request.headers.get("X-Number", "0")) + 1)
    return request


@pytest.mark.parametrize("again", [lambda request: request, requests.PreparedRequest.copy])
@pytest.mark.parametrize("code", ["uneconomic", "deposit_too_young", None])
@pytest.mark.parametrize("happens", [raise_price, Market.forget_what_is_left])
def test_it_is_paid_anew_when_what_was_left_cannot_be_used_any_more(
    market: Market,
    api: Session,
    prepared: requests.PreparedRequest,
    again: Again,
    code: str | None,
    happens: Callable[[Market], None],
) -> None:
    market.site.trick = refuse(code)
    assert [api.send(again(prepared)).status_code for _ in range(2)] == [409, 409]
    assert distinct(market) == 1
    market.site.trick = None
    happens(market)
    assert [api.send(again(prepared)).status_code for _ in range(2)] == [200, 200]
    assert distinct(market) == 3


@pytest.mark.parametrize("again", [lambda request: request, requests.PreparedRequest.copy, change])
def test_it_uses_what_was_left(
    market: Market, api: Session, prepared: requests.PreparedRequest, again: Again
) -> None:
    market.site.trick = refuse("uneconomic")
    assert api.send(again(prepared)).status_code == 409
    market.site.trick = None
    assert api.send(again(prepared)).ok
    assert distinct(market) == 1


@pytest.mark.parametrize("again", [lambda request: request, requests.PreparedRequest.copy])
def test_it_is_paid_anew_when_the_payment_before_it_was_lost(
    market: Market, api: Session, prepared: requests.PreparedRequest, again: Again
) -> None:
    market.site.trick = refuse("payment_used")
    assert api.send(again(prepared)).status_code == 409
    market.site.trick = None
    assert [api.send(again(prepared)).status_code for _ in range(2)] == [200, 200]
    assert distinct(market) == 3


@pytest.mark.parametrize("code", ["uneconomic", "payment_used"])
def test_one_whose_headers_change_each_time_is_served_in_the_end(
    market: Market, api: Session, prepared: requests.PreparedRequest, code: str
) -> None:
    market.site.trick = refuse(code)
    assert api.send(change(prepared)).status_code == 409
    market.site.trick = None
    raise_price(market)
    # A hook might have sent the second one for the same call.
    assert [api.send(change(prepared)).status_code for _ in range(3)] == [402, 200, 200]


def test_it_uses_what_a_hook_has_left_that_renewed_a_token(
    market: Market, api: Session, prepared: requests.PreparedRequest
) -> None:
    market.site.trick = refuse("uneconomic")
    prepared.register_hook("response", resend(api, 409))
    assert api.send(prepared).status_code == 409
    market.site.trick = None
    assert api.send(prepared).ok
    assert [seen.headers.get("Authorization") for seen in market.site.seen if seen.package] == [
        None,
        NEW["Authorization"],
        None,
    ]
    assert distinct(market) == 1


def test_it_is_paid_where_a_redirection_leads_that_costs_something_else(
    market: Market, api: Session, prepared: requests.PreparedRequest
) -> None:
    def move(seen: Seen, honest: Honest) -> Reply:
        market.site.price = 150
        is_new = seen.path.endswith("/new")
        return honest() if is_new else Reply(308, [("Location", f"{prepared.url}/new")], b"")

    market.site.trick = move
    assert [api.send(prepared).status_code for _ in range(3)] == [402, 200, 200]


def test_it_is_paid_anew_after_a_redirection_that_is_not_followed(
    market: Market, api: Session, prepared: requests.PreparedRequest
) -> None:
    market.site.trick = lambda seen, honest: Reply(302, [("Location", "/login")], b"")
    assert [api.send(prepared, allow_redirects=False).status_code for _ in range(2)] == [302, 302]
    assert distinct(market) == 1
    market.site.trick = None
    raise_price(market)
    assert api.send(prepared).ok
    assert distinct(market) == 2


def test_it_goes_on_with_a_payment_that_was_not_answered(
    market: Market, api: Session, prepared: requests.PreparedRequest
) -> None:
    def hang_up(seen: Seen, honest: Honest) -> Reply:
        raise Reset

    market.site.trick = hang_up
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            api.send(prepared)
    market.site.trick = None
    assert api.send(prepared).ok
    assert distinct(market) == 1


@pytest.mark.parametrize("code", ["uneconomic", None])
@pytest.mark.parametrize("status", [401, 403, 409])
def test_what_a_hook_sends_is_not_paid_besides_what_was_left(
    market: Market, api: Session, prepared: requests.PreparedRequest, code: str | None, status: int
) -> None:
    def refuse_and_raise(seen: Seen, honest: Honest) -> Reply:
        if seen.package is None:
            return honest()
        raise_price(market)
        return Reply(status, [] if code is None else [(wire.CODE, code)], b"")

    def renew(response: requests.Response, **_: Any) -> requests.Response | None:
        if response.status_code != status:
            return None
        response.request.headers.update(NEW)
        return response.connection.send(response.request)

    market.site.trick = refuse_and_raise
    prepared.register_hook("response", renew)
    api.send(prepared)
    assert distinct(market) == 1


def test_a_hook_that_tries_again_where_a_redirection_led_pays_nothing_there(
    market: Market, api: Session, prepared: requests.PreparedRequest
) -> None:
    terms = market.site.honestly(Seen("GET", "/terms", {}, b""))  # type: ignore[arg-type]
    replies = [terms, terms, Reply(503, [], b""), Reply(503, [], b"")]
    market.other.trick = lambda seen, honest: replies.pop()
    market.site.trick = lambda seen, honest: Reply(302, [("Location", market.other.url)], b"")

    def again(response: requests.Response, **_: Any) -> requests.Response | None:
        return response.connection.send(response.request) if response.status_code == 503 else None

    prepared.register_hook("response", again)
    response = api.send(prepared)
    assert api.send(response.request).status_code == 402
    assert market.other.packages == []
