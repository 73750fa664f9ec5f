"""When it is unknown what became of a payment, the same one is sent again, never a second one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest
import requests
from urllib3.util import Retry

from paypercall import wire
from paypercall.bought_call import let_go
from paypercall.httpx import PaymentTransport
from paypercall.paying import Budget, Limits, PaymentDeclined, PaymentRejected
from paypercall.paying.payer import Payer
from paypercall.requests import Session
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen, Site, call_of, full_port

Honest = Callable[[], Reply]


@pytest.fixture
def url(market: Market, api: Session, request: pytest.FixtureRequest) -> str:
    """An address whose price is known."""
    url = f"{market.site.url}/{request.node.name}"
    api.get_402_info(url)
    market.site.seen.clear()
    return url


def first_do(market: Market, *tricks: Callable[[Seen, Honest], Reply]) -> None:
    """Plays a trick on each of the first requests; further ones are answered honestly."""
    left = list(tricks)

    def play(seen: Seen, honest: Honest) -> Reply:
        return left.pop(0)(seen, honest) if left else honest()

    market.site.trick = play


def reset_before(seen: Seen, honest: Honest) -> Reply:
    raise Reset


def reset_after(seen: Seen, honest: Honest) -> Reply:
    honest()
    raise Reset


def hang(seen: Seen, honest: Honest) -> Reply:
    reply = honest()
    time.sleep(1.0)
    return reply


def break_off(seen: Seen, honest: Honest) -> Reply:
    reply = honest()
    return Reply(reply.status, [*reply.headers, ("Content-Length", "1000")], reply.body[:5])


def proxy_error(status: int) -> Callable[[Seen, Honest], Reply]:
    def fail(seen: Seen, honest: Honest) -> Reply:
        honest()
        return Reply(status, [("Content-Type", "text/html")], b"upstream")

    return fail


def not_now(status: int, wait: str) -> Callable[[Seen, Honest], Reply]:
    return lambda seen, honest: Reply(status, [("Retry-After", wait)], b"")


@pytest.mark.parametrize(
    "trick",
    [
        reset_before,
        reset_after,
        hang,
        proxy_error(502),
        proxy_error(503),
        proxy_error(504),
        proxy_error(520),
        proxy_error(524),
        not_now(409, "0"),
        not_now(503, "0"),
        not_now(402, "0"),
        not_now(409, "Wed, 21 Oct 2026 07:28:00 GMT"),
    ],
)
def test_the_same_package_is_sent_again_and_the_call_is_paid_once(
    market: Market, api: Session, url: str, trick: Callable[[Seen, Honest], Reply]
) -> None:
    before = market.spent()
    first_do(market, trick)
    assert api.get(url, timeout=0.5).ok
    first, second = market.site.packages
    assert first == second
    assert market.spent() - before == 100
    assert market.site.served == 1
    assert market.rows()[-1]["state"] == "answered"


@pytest.mark.parametrize("status", [409, 503])
def test_a_merchant_that_says_when_to_come_again_is_asked_until_the_patience_ends(
    market: Market, url: str, status: int
) -> None:
    before = market.spent()
    with Session(market.client, BUDGET) as patient:
        patient.get_402_info(url)
        first_do(market, *[not_now(status, "0")] * 4)
        assert patient.get(url).ok
    assert len(market.site.packages) == 5
    assert market.spent() - before == 100
    market.site.trick = not_now(status, "0")
    with Session(market.client, BUDGET, patience=0.3) as hasty:
        assert hasty.get(url).status_code == status
    assert len(market.site.packages) == 7
    assert market.rows()[-1]["state"] == "pending"


def test_an_answer_that_breaks_off_is_fetched_again(market: Market, api: Session, url: str) -> None:
    first_do(market, break_off)
    assert api.get(url, timeout=0.5).json() == {"method": "GET", "length": 0}
    assert market.site.served == 1
    assert len({str(package) for package in market.site.packages}) == 1


def test_when_all_sends_fail_the_next_call_goes_on_with_the_same_package(
    market: Market, api: Session, url: str
) -> None:
    before = market.spent()
    market.site.trick = reset_after
    with pytest.raises(requests.ConnectionError):
        api.get(url)
    assert len(market.site.packages) == 3
    assert market.rows()[-1]["state"] == "pending"
    market.site.trick = None
    with Session(market.client, BUDGET) as later:
        assert later.get(url).ok
    assert len({str(package) for package in market.site.packages}) == 1
    assert market.site.served == 1
    assert market.spent() - before == 100


def test_another_call_does_not_go_on_with_it(market: Market, api: Session, url: str) -> None:
    api.get_402_info(url, method="POST")
    market.site.trick = reset_before
    with pytest.raises(requests.ConnectionError):
        api.post(url, data=b"one")
    lost = market.site.packages[-1]
    market.site.trick = None
    assert api.post(url, data=b"two").ok
    assert api.post(url + "?x", data=b"one").ok
    assert lost not in market.site.packages[3:]
    assert api.post(url, data=b"one").ok
    assert market.site.packages[-1] == lost


@pytest.mark.parametrize(
    "budget, max_price",
    [
        (BUDGET, 99),
        (replace(BUDGET, per_call=99), None),
        (replace(BUDGET, origins=["https://other.example"]), None),
        (replace(BUDGET, asset="A" * 43 + "="), None),
    ],
)
def test_a_call_that_may_not_cost_so_much_does_not_go_on_with_it(
    market: Market, api: Session, url: str, budget: Budget, max_price: int | None
) -> None:
    market.site.trick = reset_before
    with pytest.raises(requests.ConnectionError):
        api.get(url)
    market.site.begin()
    with Session(market.client, budget) as thrifty, pytest.raises(PaymentDeclined):
        thrifty.get(url, max_price=max_price)
    assert market.site.packages == []
    assert api.get(url, max_price=100).ok
    assert len(market.site.packages) == 1


@pytest.mark.parametrize(
    "name", ["Authorization", "Cookie", "X-Api-Key", "Accept", "Accept-Language", "Range", "Host"]
)
def test_a_call_on_behalf_of_somebody_else_or_for_something_else_does_not_go_on_with_it(
    market: Market, api: Session, url: str, name: str
) -> None:
    market.site.view = lambda seen: Reply(200, [], (seen.headers.get(name) or "").encode())
    market.site.trick = reset_after
    with pytest.raises(requests.ConnectionError):
        api.get(url, headers={name: "one"})
    market.site.trick = None
    assert api.get(url, headers={name: "two"}).text == "two"
    assert api.get(url, headers={name: "one"}).text == "one"
    assert market.site.served == 2


@pytest.mark.parametrize(
    "name", ["User-Agent", "Accept-Encoding", "Connection", "X-Request-Id", "traceparent"]
)
def test_a_call_of_another_release_of_the_library_or_of_another_attempt_goes_on_with_it(
    market: Market, api: Session, url: str, name: str
) -> None:
    market.site.trick = reset_after
    with pytest.raises(requests.ConnectionError):
        api.get(url, headers={name: "one"})
    market.site.trick = None
    assert api.get(url, headers={name: "two"}).ok
    assert market.site.served == 1


def test_another_library_goes_on_with_it(market: Market, api: Session, url: str) -> None:
    market.site.trick = reset_after
    with pytest.raises(requests.ConnectionError):
        api.get(url)
    market.site.trick = None
    with httpx.Client(transport=PaymentTransport(market.client, BUDGET)) as other:
        assert other.get(url).is_success
    assert market.site.served == 1


@pytest.mark.parametrize(
    "status, headers", [(500, []), (503, [("Retry-After", "0")]), (429, [("Retry-After", "0")])]
)
def test_no_answer_with_its_refund_is_thrown_away_by_retries_of_urllib3(
    market: Market, url: str, status: int, headers: list[tuple[str, str]]
) -> None:
    owed = market.client.balance().owed_by_peer
    market.site.view = lambda seen: Reply(status, headers, b"broken")
    retries = Retry(total=2, backoff_factor=0, status_forcelist=[500], allowed_methods=None)
    with Session(market.client, BUDGET, max_retries=retries) as api:
        assert api.get(url).status_code == status
    assert len(market.site.packages) == 1
    assert market.client.balance().owed_by_peer - owed == 100
    assert market.rows()[-1]["state"] == "refunded"


def test_what_may_have_been_spent_counts_until_its_time_is_over(market: Market, url: str) -> None:
    spent = sum(row["amount"] - row["refund"] for row in market.rows())
    budget = type(BUDGET)(500, spent + 150, 500_000)
    with Session(market.client, budget) as api:
        api.get_402_info(url)
        market.site.trick = reset_before
        with pytest.raises(requests.ConnectionError):
            api.get(url)
        market.site.trick = None
        with pytest.raises(Exception, match="50 of") as declined:
            api.get(url + "?other")
    assert declined.value.code == "above_per_hour"  # type: ignore[attr-defined]


def test_a_call_whose_outcome_was_never_known_is_forgotten_after_an_hour(
    market: Market, api: Session, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.site.trick = reset_before
    with pytest.raises(requests.ConnectionError):
        api.get(url)
    market.site.trick = None
    lost = market.site.packages[-1]
    with monkeypatch.context() as later:
        now = int(time.time()) + 3700
        later.setattr("paypercall.paying.places.wall_clock", lambda: now)
        assert api.get(url).ok
    assert market.site.packages[-1] != lost


def test_a_payment_that_could_not_be_sent_pays_for_the_next_call_that_costs_the_same(
    market: Market, api: Session
) -> None:
    rows, site = len(market.rows()), Site(market.site.paywall)
    try:
        api.get_402_info(site.url)
    finally:
        site.close()
    for number in range(3):
        with pytest.raises(requests.ConnectionError):
            api.get(f"{site.url}?{number}")
    assert len(market.rows()) == rows + 1
    again = Site(market.site.paywall, urlsplit(site.url).port or 0)
    try:
        assert api.get(f"{again.url}?other").ok
        assert api.get(f"{again.url}?other").ok
        first, second = again.packages
    finally:
        again.close()
    assert first != second
    assert [(row["amount"], row["state"]) for row in market.rows()[rows:]] == [(100, "answered")] * 2


def test_a_time_out_of_the_connection_leaves_a_payment_unsent(market: Market, api: Session) -> None:
    rows, site = len(market.rows()), Site(market.site.paywall)
    try:
        for path in ("/one", "/two"):
            api.get_402_info(site.url + path)
    finally:
        site.close()
    with full_port(urlsplit(site.url).port or 0):
        for path in ("/one", "/two", "/one"):
            with pytest.raises(requests.ConnectTimeout):
                api.get(site.url + path, timeout=0.2)
    assert len(market.rows()) == rows + 1


def test_retries_of_urllib3_do_not_make_a_payment_unsent(market: Market) -> None:
    rows, site = len(market.rows()), Site(market.site.paywall)
    with Session(market.client, BUDGET, max_retries=1) as api:
        for path in ("/one", "/two"):
            api.get_402_info(site.url + path)

        def serve_and_die(seen: Seen, honest: Honest) -> Reply:
            honest()
            site.close()
            raise Reset

        site.trick = serve_and_die
        with pytest.raises(requests.ConnectionError):
            api.get(site.url + "/one")
        again = Site(market.site.paywall, urlsplit(site.url).port or 0)
        try:
            assert api.get(again.url + "/two").ok
            assert api.get(again.url + "/one").ok
        finally:
            again.close()
    assert [(row["amount"], row["state"]) for row in market.rows()[rows:]] == [(100, "answered")] * 2


def test_a_payment_that_may_have_been_sent_pays_for_no_other_call(market: Market, api: Session) -> None:
    rows, site = len(market.rows()), Site(market.site.paywall)
    try:
        api.get_402_info(site.url)
        site.trick = reset_before
        with pytest.raises(requests.ConnectionError):
            api.get(f"{site.url}?0")
    finally:
        site.close()
    for path in ("?0", "?1", "?2"):
        with pytest.raises(requests.ConnectionError):
            api.get(site.url + path)
    assert len(market.rows()) == rows + 2


def test_what_another_process_has_taken_over_meanwhile_is_left_to_it(
    market: Market, api: Session, url: str
) -> None:
    def take_over(seen: Seen, honest: Honest) -> Reply:
        with market.client.store.transaction() as books:
            row = call_of(books, market.rows()[-1])
            books.bought_calls.save(replace(row, run="0" * 32, runs_until=int(time.time())))
        raise Reset

    api.get_402_info(url)
    market.site.trick = take_over
    with pytest.raises(requests.ConnectionError):
        api.get(url)
    assert market.rows()[-1]["run"] == "0" * 32


def test_what_is_signed_long_after_it_was_reserved_counts_from_then_on(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing of the process runs any more."""

    def kill(*_: object, **__: object) -> None:
        raise Killed

    def wait_until(seconds: int) -> None:
        monkeypatch.setattr("paypercall.paying.places.wall_clock", lambda: began + seconds)

    began, rows, site = int(time.time()), len(market.rows()), Site(market.site.paywall)
    budget = replace(BUDGET, by_origin={site.url: Limits(per_hour=100)})
    with closing(site), Session(market.client, budget) as api:
        api.get_402_info(site.url)
        with monkeypatch.context() as dying:
            dying.setattr(Payer, "_packed", kill)
            with pytest.raises(Killed):
                api.get(site.url)
        with market.client.store.transaction() as books:
            books.bought_calls.save(let_go(call_of(books, market.rows()[-1])))
        wait_until(3590)
        assert api.get(site.url).ok
        wait_until(3660)
        with pytest.raises(PaymentDeclined) as declined:
            api.get(site.url + "/another")
    assert declined.value.code == "above_per_hour"
    [row] = market.rows()[rows:]
    assert (row["made_at"], row["state"]) == (began + 3590, "answered")


def test_a_clock_that_is_put_back_keeps_nobody_waiting(market: Market, api: Session, url: str) -> None:
    market.site.trick = reset_before
    with pytest.raises(requests.ConnectionError):
        api.get(url)
    market.site.trick = None
    with market.client.store.transaction() as books:
        lost = call_of(books, market.rows()[-1])
        books.bought_calls.save(replace(lost, run="0" * 32, runs_until=int(time.time()) + 86_400))
    assert api.get(url).ok
    assert len({str(package) for package in market.site.packages}) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 407, 413, 429, 431, 500])
def test_an_error_that_says_nothing_of_the_payment_is_handed_on_and_gone_on_with_next_time(
    market: Market, api: Session, url: str, status: int
) -> None:
    first_do(market, lambda seen, honest: Reply(status, [], b"?"))
    assert api.get(url).status_code == status
    assert market.rows()[-1]["state"] == "pending"
    assert api.get(url).ok
    first, second = market.site.packages
    assert first == second


def test_a_merchant_that_says_later_for_ever_is_not_waited_for_longer_than_allowed(
    market: Market, api: Session, url: str
) -> None:
    market.site.trick = not_now(409, "0")
    assert api.get(url).status_code == 409
    assert 2 <= len(market.site.packages) <= 5
    assert len({str(package) for package in market.site.packages}) == 1
    market.site.trick = not_now(402, "9999")
    with pytest.raises(PaymentRejected) as rejected:
        api.get(url)
    assert rejected.value.code == "not_yet_accepted"
    assert len({str(package) for package in market.site.packages}) == 1


def test_the_time_that_a_merchant_takes_to_say_later_counts(market: Market, api: Session, url: str) -> None:
    def say_later_slowly(seen: Seen, honest: Honest) -> Reply:
        time.sleep(0.6)
        return not_now(409, "0")(seen, honest)

    market.site.trick = say_later_slowly
    assert api.get(url).status_code == 409
    assert len(market.site.packages) <= 2


def test_a_payment_is_not_sent_more_than_ten_times(
    market: Market, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paypercall.paying.exchange._LONGEST_PAUSE", 0.01)
    with Session(market.client, BUDGET, patience=1000.0) as patient:
        patient.get_402_info(url)
        market.site.trick = not_now(503, "0")
        assert patient.get(url).status_code == 503
    assert len(market.site.packages) == 10


def test_an_answer_that_is_not_kept_any_more_ends_the_call(market: Market, api: Session, url: str) -> None:
    market.site.trick = reset_after
    with pytest.raises(requests.ConnectionError):
        api.get(url)
    market.site.trick = None
    with market.server.server.store.transaction() as books:
        books.paid_calls.drop_answers(2**40, 0)
    told: list[object] = []
    end = market.client.subscribe("refund_missing", told.append)
    assert api.get(url).status_code == 409
    market.client.events.flush(5.0)
    end()
    assert told == []
    assert market.rows()[-1]["state"] == "answered"
    assert api.get(url).ok


def test_two_calls_at_once_are_two_payments(market: Market, api: Session, url: str) -> None:
    def call_meanwhile(seen: Seen, honest: Honest) -> Reply:
        assert api.get(url).ok
        return honest()

    first_do(market, call_meanwhile)
    assert api.get(url).ok
    first, second = market.site.packages
    assert first != second
    assert market.site.served == 2


def test_a_refund_that_comes_with_a_repeated_answer_is_booked_once(
    market: Market, api: Session, url: str
) -> None:
    market.site.view = lambda seen: Reply(404, [], b"")
    first_do(market, break_off)
    response = api.get(url, timeout=0.5)
    assert response.status_code == 404
    assert wire.PACKAGE in response.headers
    assert market.site.served == 1
    assert (market.rows()[-1]["state"], market.rows()[-1]["refund"]) == ("refunded", 100)
