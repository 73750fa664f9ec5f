"""What follows from a request by what was answered, as a digest does, goes with the same payment, and pays once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import requests
from requests.auth import HTTPDigestAuth

from paypercall import wire
from paypercall.requests import Session
from tests.paying.merchant import Market, Reply

NEW = {"Authorization": "Bearer new"}


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return f"{market.site.url}/{request.node.name}"


def resend(
    api: Session, status: int, times: int = 1, **changes: Any
) -> Callable[..., requests.Response | None]:
    """A hook that sends a request again with changes, as those do that renew tokens."""
    left = count(times, -1)

    def again(response: requests.Response, *_: Any, **__: Any) -> requests.Response | None:
        if response.status_code != status or next(left) <= 0:
            return None
        request = response.request.copy()
        request.headers.update(NEW)
        for name, value in changes.items():
            setattr(request, name, value)
        return api.send(request)

    return again


def distinct(market: Market) -> int:
    return len({str(package) for package in market.site.packages})


@pytest.mark.parametrize("is_known", [False, True])
def test_with_a_digest_the_payment_of_the_request_that_was_refused_goes_along(
    market: Market, api: Session, url: str, is_known: bool
) -> None:
    if is_known:
        api.get_402_info(url)
    market.site.guard_with_digest()
    before = market.spent()
    api.auth = HTTPDigestAuth("user", "secret")
    for _ in range(3):
        assert api.get(url).ok
    assert (distinct(market), market.site.served, market.spent() - before) == (3, 3, 300)
    assert {row["state"] for row in market.rows()[-3:]} == {"answered"}


def test_with_a_digest_a_payment_that_came_back_is_made_again(market: Market, api: Session, url: str) -> None:
    market.site.view_with_digest()
    before = market.spent()
    for calls in (1, 2):
        assert api.get(url, auth=HTTPDigestAuth("user", "secret")).ok
        assert market.spent() - before == 100 * calls


@pytest.mark.parametrize("status", [401, 403])
def test_a_hook_that_renews_a_token_gets_the_answer_for_the_same_payment(
    market: Market, api: Session, url: str, status: int
) -> None:
    api.get(url)
    market.site.trick = lambda seen, honest: (
        honest() if seen.headers.get("Authorization") == NEW["Authorization"] else Reply(status, [], b"")
    )
    response = api.get(url, headers={"Authorization": "Bearer old"}, hooks={"response": resend(api, status)})
    assert response.ok
    assert (distinct(market), market.site.served) == (2, 2)


@pytest.mark.parametrize("status, sends", [(401, 5), (403, 1), (429, 1)])
def test_a_merchant_that_refuses_for_ever_gets_one_payment(
    market: Market, api: Session, url: str, status: int, sends: int
) -> None:
    api.get_402_info(url)
    market.site.trick = lambda seen, honest: Reply(status, [], b"")
    response = api.get(url, hooks={"response": resend(api, status, times=4)})
    assert response.status_code == status
    assert len(market.site.packages) == sends
    assert distinct(market) == 1


@pytest.mark.parametrize(
    "code, status, sends",
    [("payment_used", 402, 1), ("several_payments", 409, 5), (None, 409, 5)],
)
def test_what_follows_a_payment_that_was_refused_is_offered_the_same_one_or_none(
    market: Market, api: Session, url: str, code: str | None, status: int, sends: int
) -> None:
    api.get_402_info(url)
    headers = [] if code is None else [(wire.CODE, code)]
    market.site.trick = lambda seen, honest: honest() if seen.package is None else Reply(409, headers, b"")
    response = api.get(url, hooks={"response": resend(api, 409, times=4)})
    assert response.status_code == status
    assert (len(market.site.packages), distinct(market)) == (sends, 1)


def test_what_follows_a_payment_that_was_refused_is_not_paid_another_price(
    market: Market, api: Session, url: str
) -> None:
    api.get_402_info(url)
    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else Reply(409, [(wire.CODE, "underpaid")], b"")
    )
    again = resend(api, 409)

    def raise_price(response: requests.Response, **settings: Any) -> requests.Response | None:
        market.site.price = 150
        return again(response, **settings)

    assert api.get(url, hooks={"response": raise_price}).status_code == 402
    assert len(market.site.packages) == 1


def test_a_payment_that_is_not_taken_yet_goes_along_to_no_other_address(
    market: Market, api: Session, url: str
) -> None:
    for path in ("", "/other"):
        api.get_402_info(url + path)
    market.site.trick = lambda seen, honest: honest() if seen.path.endswith("/other") else Reply(401, [], b"")
    response = api.get(url, hooks={"response": resend(api, 401, url=url + "/other")})
    assert response.status_code == 402
    assert len(market.site.packages) == 1


def test_a_copy_of_a_request_that_was_answered_is_a_call_of_its_own(
    market: Market, api: Session, url: str
) -> None:
    request = api.prepare_request(requests.Request("GET", url))
    assert [api.send(request.copy()).status_code for _ in range(3)] == [200, 200, 200]
    assert (distinct(market), market.site.served) == (3, 3)
