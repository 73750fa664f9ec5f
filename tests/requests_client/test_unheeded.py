"""Answers that say nothing of the payment, such as a proxy's, cost one payment at most, however many calls get them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paypercall.requests import Session
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Seen

Honest = Callable[[], Reply]


@pytest.fixture
def url(market: Market, api: Session, request: pytest.FixtureRequest) -> str:
    """An address whose price is known."""
    url = f"{market.site.url}/{request.node.name}"
    assert api.get(url).ok
    market.site.seen.clear()
    return url


def packages(market: Market) -> int:
    return len({str(package) for package in market.site.packages})


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 502])
def test_calls_that_a_proxy_answers_are_paid_once_in_all(
    market: Market, api: Session, url: str, status: int
) -> None:
    before = market.spent()
    market.site.trick = lambda seen, honest: Reply(status, [], b"blocked")
    for number in range(5):
        assert api.get(f"{url}?{number}").status_code == status
    assert packages(market) == 1
    assert market.spent() - before == 100


def test_the_payment_of_a_call_that_a_proxy_answered_pays_for_the_next_one(
    market: Market, api: Session, url: str
) -> None:
    before = market.spent()
    market.site.trick = lambda seen, honest: Reply(429, [], b"slow") if seen.package else honest()
    for _ in range(4):
        assert api.get(url, params={"n": _}).status_code == 429
    market.site.trick = None
    assert api.get(url).ok
    assert packages(market) == 1
    assert market.spent() - before == 100


def test_a_payment_that_was_used_all_the_same_is_followed_by_one_of_the_calls_own(
    market: Market, api: Session, url: str
) -> None:
    def hide(seen: Seen, honest: Honest) -> Reply:
        return Reply(403, [], b"filtered") if honest().status == 200 else honest()

    before, served = market.spent(), market.site.served
    market.site.trick = hide
    assert api.post(url, data=b"one").status_code == 403
    market.site.trick = None
    assert api.post(url, data=b"two").json()["length"] == 3
    assert packages(market) == 2
    assert market.site.served - served == 2
    assert market.spent() - before == 200
    assert [row["state"] for row in market.rows()[-2:]] == ["given_up", "answered"]


def test_an_answer_that_was_hidden_is_given_to_nobody_else(market: Market, api: Session, url: str) -> None:
    def hide(seen: Seen, honest: Honest) -> Reply:
        return Reply(403, [], b"filtered") if honest().status == 200 else honest()

    market.site.view = lambda seen: Reply(200, [], (seen.headers.get("Authorization") or "").encode())
    market.site.trick = hide
    assert api.get(url, headers={"Authorization": "Bearer one"}).status_code == 403
    market.site.trick = None
    assert api.get(url, headers={"Authorization": "Bearer two"}).text == "Bearer two"
    assert api.get(url, headers={"Authorization": "Bearer one"}).text == "Bearer one"
    assert packages(market) == 2


def test_one_of_the_calls_own_is_bought_within_the_limits_only(market: Market, url: str) -> None:
    def hide(seen: Seen, honest: Honest) -> Reply:
        return Reply(403, [], b"filtered") if honest().status == 200 else honest()

    spent = market.spent()
    with Session(market.client, type(BUDGET)(500, spent + 150, 50_000)) as api:
        market.site.trick = hide
        assert api.post(url, data=b"one").status_code == 403
        market.site.trick = None
        with pytest.raises(Exception, match="50 of") as declined:
            api.post(url, data=b"two")
    assert declined.value.code == "above_per_hour"  # type: ignore[attr-defined]
    assert market.spent() - spent == 100
