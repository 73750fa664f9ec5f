"""Answers that say nothing of the payment, such as a proxy's, cost one payment at most, however many calls get them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from paypercall import wire
from paypercall.httpx import PaymentTransport
from paypercall.paying import PaymentRejected, places
from paypercall.paying.refusals import DOUBT_SECONDS
from paypercall.requests import Session
from paypercall.settled import Standing
from paypercall.settlement.node import wall_clock
from tests.parties import customer_on
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Seen, rows_of

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


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 502])
def test_calls_that_a_proxy_answers_are_paid_once_in_all(
    market: Market, api: Session, url: str, status: int
) -> None:
    before = market.spent()
    market.site.trick = lambda seen, honest: Reply(status, [], b"blocked")
    for number in range(5):
        assert api.get(f"{url}?{number}").status_code == status
    assert packages(market) == 1
    assert market.spent() - before == 100


@pytest.mark.parametrize(
    "status, code",
    [(400, None), (409, None), (431, None), (402, "payment_required"), (503, "ledger_unreachable")],
)
def test_calls_whose_payments_alone_are_refused_are_paid_once_in_all(
    market: Market, url: str, status: int, code: str | None
) -> None:
    before, headers = market.spent(), [] if code is None else [(wire.CODE, code)]
    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else Reply(status, headers, b"no")
    )
    with Session(market.client, BUDGET, patience=0.0) as api:
        for number in range(4):
            with contextlib.suppress(PaymentRejected):
                assert api.get(f"{url}?{number}").status_code == status
        assert (packages(market), market.spent() - before) == (1, 100)
        market.site.trick = None
        assert api.get(url).ok
    assert (packages(market), market.spent() - before) == (1, 100)


def test_a_payment_with_which_the_headers_are_too_long_for_a_server_is_made_once(
    market: Market, api: Session, url: str
) -> None:
    def limit(seen: Seen, honest: Honest) -> Reply:
        size = sum(len(name) + len(value) + 4 for name, value in seen.headers.items())
        return honest() if size < 8192 else Reply(400, [], b"Request Header Or Cookie Too Large")

    before, long = market.spent(), {"X-Request-Id": "a" * 7900}
    market.site.trick = limit
    for number in range(4):
        assert api.get(f"{url}?{number}", headers=long).status_code == 400
    assert (packages(market), market.spent() - before) == (1, 100)
    assert api.get(url, headers={"X-Request-Id": "a"}).ok
    assert (packages(market), market.spent() - before) == (1, 100)


def test_a_channel_that_is_too_small_for_the_merchant_costs_one_payment(
    market: Market, url: str, tmp_path: Path
) -> None:
    payee = market.client.peer_address
    with (
        customer_on(market.net, tmp_path, payee, deposit_amount=10_500, refill_threshold=500) as small,
        Session(small, BUDGET) as api,
    ):
        for number in range(4):
            with pytest.raises(PaymentRejected) as rejected:
                api.get(f"{url}?{number}")
            assert rejected.value.response.json()["code"] == "uneconomic"
        assert small.balance().owed_by_me == 100
        assert [(row["amount"], row["state"]) for row in rows_of(small.store)] == [(100, "pending")]


def test_a_payment_that_is_refused_for_what_it_is_gives_way_to_another_one_in_a_minute(
    market: Market, api: Session, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad: list[object] = []

    def refuse(seen: Seen, honest: Honest) -> Reply:
        if seen.package is None:
            return honest()
        bad[1:] = []
        bad.append(seen.package)
        return Reply(400, [(wire.CODE, "wrong_shape")], b"") if bad[0] == seen.package else honest()

    before, market.site.trick = market.spent(), refuse
    for number in range(3):
        assert api.get(f"{url}?{number}").status_code == 400
    assert (packages(market), market.spent() - before) == (1, 100)
    now = wall_clock() + DOUBT_SECONDS
    monkeypatch.setattr("paypercall.paying.payer.wall_clock", lambda: now)
    assert api.get(url).ok
    assert (packages(market), market.spent() - before) == (2, 200)
    assert [row["state"] for row in market.rows()[-2:]] == ["given_up", "answered"]


@pytest.mark.parametrize("code", ["conflicting_package", "no_credit"])
def test_a_payment_that_is_lost_gives_way_to_another_one_with_the_next_call(
    market: Market, api: Session, url: str, code: str
) -> None:
    left = [Reply(409, [(wire.CODE, code)], b"")]
    market.site.trick = lambda seen, honest: left.pop() if seen.package and left else honest()
    assert api.get(url).status_code == 409
    assert api.get(url).ok
    assert packages(market) == 2


@pytest.mark.parametrize("code", ["uneconomic", "deposit_too_young", "wrong_shape"])
def test_a_payment_that_is_refused_in_a_period_that_has_ended_gives_way_to_another_one_with_the_next_call(
    market: Market, url: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [Reply(409, [(wire.CODE, code)], b"")]
    market.site.trick = lambda seen, honest: left.pop() if seen.package and left else honest()
    with Session(market.client, BUDGET, patience=0) as api:
        with monkeypatch.context() as in_next_period:
            in_next_period.setattr(places, "standing_within", lambda channel, **payment: Standing.UNCLAIMED)
            assert api.get(url).status_code == 409
        assert market.rows()[-1]["state"] == "given_up"
        assert api.get(url).ok
    assert packages(market) == 2


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
    with Session(market.client, type(BUDGET)(500, spent + 150, 500_000)) as api:
        market.site.trick = hide
        assert api.post(url, data=b"one").status_code == 403
        market.site.trick = None
        with pytest.raises(Exception, match="50 of") as declined:
            api.post(url, data=b"two")
    assert declined.value.code == "above_per_hour"  # type: ignore[attr-defined]
    assert market.spent() - spent == 100


def to_login(seen: Seen, honest: Honest) -> Reply:
    """A front that wants a login first."""
    if seen.path.endswith("/login"):
        return Reply(200, [], b"log in")
    return Reply(302, [("Location", f"{seen.path.partition('?')[0]}/login")], b"")


def test_the_payment_of_a_call_that_was_led_to_a_login_pays_for_the_next_one(
    market: Market, api: Session, url: str
) -> None:
    before = market.spent()
    for _ in range(3):
        market.site.trick = to_login
        assert api.get(url).text == "log in"
        assert market.rows()[-1]["state"] == "pending"
        market.site.trick = None
        assert api.get(url).ok
    assert market.spent() - before == 300
    assert [seen.path for seen in market.site.seen if seen.package and "/login" in seen.path] == []


def test_a_payment_whose_answer_was_lost_before_a_login_was_wanted_is_not_given_to_the_login(
    market: Market, api: Session, url: str
) -> None:
    sends: list[Seen] = []

    def lose_first(seen: Seen, honest: Honest) -> Reply:
        sends.append(seen)
        return Reply(502, [], b"") if len(sends) == 1 else to_login(seen, honest)

    before, market.site.trick = market.spent(), lose_first
    assert api.get(url).text == "log in"
    assert [seen.package is not None for seen in sends] == [True, True, False]
    market.site.trick = None
    assert api.get(url).ok
    assert market.spent() - before == 100


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_payment_of_a_call_that_is_led_to_another_path_is_taken_there(
    market: Market, api: Session, url: str, status: int
) -> None:
    def move(seen: Seen, honest: Honest) -> Reply:
        return honest() if seen.path.endswith("/new") else Reply(status, [("Location", url + "/new")], b"")

    before, market.site.trick = market.spent(), move
    for calls in (1, 2):
        assert api.get(url).ok
        assert market.spent() - before == 100 * calls
    with Session(market.client, BUDGET) as next_program:
        assert next_program.get(url).ok
    assert (packages(market), market.spent() - before) == (3, 300)
    assert {row["state"] for row in market.rows()[-3:]} == {"answered"}


def test_a_call_that_is_led_to_another_path_with_another_price_is_served_the_next_time(
    market: Market, api: Session, url: str
) -> None:
    def move(seen: Seen, honest: Honest) -> Reply:
        market.site.price = 150
        return honest() if seen.path.endswith("/new") else Reply(308, [("Location", url + "/new")], b"")

    before, market.site.trick = market.spent(), move
    assert api.get(url).status_code == 402
    with Session(market.client, BUDGET) as next_program:
        assert next_program.get(url).ok
    assert market.spent() - before == 250


def test_a_payment_that_was_taken_and_led_on_unseen_is_followed_by_one_of_the_next_calls_own(
    market: Market, api: Session, url: str
) -> None:
    def take(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        return reply if "/new" in seen.path else Reply(302, [("Location", url + "/new")], b"")

    market.site.trick = take
    assert api.get(url).status_code == 409
    assert packages(market) == 1
    market.site.trick = None
    assert api.get(url).ok
    assert packages(market) == 2


def test_with_httpx_a_call_that_is_led_to_another_path_pays_there(market: Market, url: str) -> None:
    def move(seen: Seen, honest: Honest) -> Reply:
        return honest() if seen.path.endswith("/new") else Reply(308, [("Location", url + "/new")], b"")

    before, market.site.trick = market.spent(), move
    transport = PaymentTransport(market.client, BUDGET)
    with httpx.Client(transport=transport, follow_redirects=True) as api:
        transport.get_402_info(url)
        for _ in range(2):
            assert api.get(url).is_success
    assert (packages(market), market.spent() - before) == (2, 200)
