"""Clients of httpx, blocking or not, pay as the session of requests does: the decisions are the same code."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from paypercall import wire
from paypercall.httpx import PaymentTransport
from paypercall.paying import PaymentDeclined, RefundMissing, WrongOffer
from tests.httpx_client.conftest import Api, ApiMaker
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen, Site, changed, full_port

CONTENT = bytes(range(256)) * 1000
Honest = Callable[[], Reply]


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return f"{market.site.url}/{request.node.name}"


def first_do(market: Market, trick: Callable[[Seen, Honest], Reply]) -> None:
    """Plays a trick on the first payment; further ones are answered honestly."""

    def play(seen: Seen, honest: Honest) -> Reply:
        if seen.package is None:
            return honest()
        market.site.trick = None
        return trick(seen, honest)

    market.site.trick = play


def test_the_first_call_asks_for_the_price_and_further_ones_pay_at_once(
    market: Market, api: Api, url: str
) -> None:
    before = market.spent()
    for calls in (1, 2, 3):
        assert api.request("GET", url).json() == {"method": "GET", "length": 0}
        assert len(market.site.seen) == calls + 1
    assert market.spent() - before == 300


def test_the_terms_are_told_without_paying(market: Market, api: Api, url: str) -> None:
    offer = api.terms(url)
    assert offer is not None and offer.price == 100
    assert api.terms(market.site.url + "/free") is None
    assert market.site.packages == []
    assert api.request("GET", url).status_code == 200
    assert [seen.package is not None for seen in market.site.seen] == [False, False, True]


def test_terms_are_told_at_the_end_of_redirections(market: Market, api: Api, url: str) -> None:
    market.site.trick = lambda seen, honest: (
        honest() if seen.path.endswith("/on") else Reply(302, [("Location", url + "/on")], b"")
    )
    offer = api.terms(url)
    assert offer is not None and offer.price == 100


@pytest.mark.parametrize("status", [304, 401, 404, 500, 503])
def test_an_answer_that_says_nothing_of_the_price_is_not_taken_for_free(
    market: Market, api: Api, url: str, status: int
) -> None:
    market.site.trick = lambda seen, honest: Reply(status, [], b"")
    with pytest.raises(httpx.HTTPStatusError, match=str(status)):
        api.terms(url)


def test_a_402_without_terms_is_not_taken_for_free(market: Market, api: Api, url: str) -> None:
    market.site.trick = lambda seen, honest: Reply(402, [], b"")
    with pytest.raises(WrongOffer):
        api.terms(url)


def test_a_merchant_that_tells_no_terms_is_left_after_httpxs_own_time(market: Market, url: str) -> None:
    may_go = threading.Event()

    def hang_on(seen: Seen, honest: Honest) -> Reply:
        may_go.wait(20.0)
        return honest()

    market.site.trick = hang_on
    transport = PaymentTransport(market.client, BUDGET)
    try:
        with pytest.raises(httpx.ReadTimeout):
            transport.get_402_info(url, timeout=0.2)
        with pytest.raises(httpx.ReadTimeout):
            transport.get_402_info(url)
    finally:
        may_go.set()
        transport.close()


def test_a_call_and_the_budget_limit_what_is_paid(market: Market, make_api: ApiMaker, url: str) -> None:
    api = make_api(replace(BUDGET, per_call=100))
    with pytest.raises(PaymentDeclined, match="this call may cost 99"):
        api.request("GET", url, extensions={"max_price": 99})
    assert api.request("GET", url, extensions={"max_price": 100}).status_code == 200
    market.site.price = 101
    with pytest.raises(PaymentDeclined, match="per_call"):
        api.request("GET", url)
    assert market.rows()[-1]["state"] == "refunded"


def parts() -> Iterator[bytes]:
    for start in range(0, len(CONTENT), 10_000):
        yield CONTENT[start : start + 10_000]


@pytest.mark.parametrize("content", [lambda: CONTENT, parts, lambda: io.BytesIO(CONTENT)])
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_body_arrives_whole_also_when_it_got_lost_before(
    market: Market, api: Api, url: str, content: Callable[[], Any], is_lost: bool
) -> None:
    market.site.view = lambda seen: Reply(200, [], hashlib.sha256(seen.body).hexdigest().encode())
    for _ in range(2):
        if is_lost:
            first_do(market, reset)
        response = api.request("POST", url, content=content())
        assert response.text == hashlib.sha256(CONTENT).hexdigest()
    assert market.site.served == 2
    assert len({str(package) for package in market.site.packages}) == 2


@pytest.mark.parametrize("content", [lambda: CONTENT * 30, lambda: iter([CONTENT] * 30)])
def test_a_large_body_is_uploaded_once_to_a_merchant_that_lists_the_price_and_would_hang_up_unpaid(
    market: Market, api: Api, url: str, content: Callable[[], Any]
) -> None:
    market.site.is_hasty = True
    market.list_price("PUT", urlsplit(url).path)
    assert api.request("PUT", url, content=content(), timeout=10.0).json()["length"] == len(CONTENT) * 30
    assert [seen.path for seen in market.site.seen if seen.package is None] == ["/payment"]


@pytest.mark.parametrize("answer", [b"[]", b" " * 300_000])
def test_garbage_in_place_of_a_list_says_nothing(market: Market, api: Api, url: str, answer: bytes) -> None:
    def garble(seen: Seen, honest: Honest) -> Reply:
        return Reply(200, [], answer) if seen.path == "/payment" else honest()

    market.site.trick = garble
    assert api.request("POST", url, content=parts()).json()["length"] == len(CONTENT)


def test_a_list_that_does_not_come_is_left_after_the_time_of_the_call(
    market: Market, api: Api, url: str
) -> None:
    may_go, waited = threading.Event(), []

    def hang_on(seen: Seen, honest: Honest) -> Reply:
        if seen.path == "/payment":
            waited.append(may_go.wait(20.0))
        return honest()

    market.site.trick = hang_on
    try:
        assert api.request("POST", url, content=CONTENT).json()["length"] == len(CONTENT)
        assert waited == []
    finally:
        may_go.set()


def test_a_form_with_files_arrives_whole(market: Market, make_api: ApiMaker, api: Api, url: str) -> None:
    market.site.view = lambda seen: Reply(200, [], str(seen.body.count(CONTENT)).encode())
    assert api.request("POST", url, data={"a": "b"}, files={"file": CONTENT}).text == "1"


def reset(seen: Seen, honest: Honest) -> Reply:
    honest()
    raise Reset


def hang(seen: Seen, honest: Honest) -> Reply:
    reply = honest()
    time.sleep(1.0)
    return reply


def break_off(seen: Seen, honest: Honest) -> Reply:
    reply = honest()
    return Reply(reply.status, [*reply.headers, ("Content-Length", "1000")], reply.body[:5])


@pytest.mark.parametrize(
    "trick",
    [
        reset,
        hang,
        break_off,
        lambda seen, honest: Reply(502, [], b""),
        lambda seen, honest: Reply(409, [("Retry-After", "0")], b""),
    ],
)
def test_the_same_package_is_sent_again_and_the_call_is_paid_once(
    market: Market, api: Api, url: str, trick: Callable[[Seen, Honest], Reply]
) -> None:
    before = market.spent()
    first_do(market, trick)
    assert api.request("GET", url).json() == {"method": "GET", "length": 0}
    first, second = market.site.packages
    assert first == second
    assert market.spent() - before == 100
    assert market.site.served == 1


def test_when_all_sends_fail_the_next_call_goes_on_with_the_same_package(
    market: Market, api: Api, make_api: ApiMaker, url: str
) -> None:
    api.terms(url, "POST")
    market.site.trick = reset
    with pytest.raises(httpx.TransportError):
        api.request("POST", url, content=b"body")
    assert len(market.site.packages) == 3
    market.site.trick = None
    assert make_api().request("POST", url, content=b"body").status_code == 200
    assert len({str(package) for package in market.site.packages}) == 1
    assert market.site.served == 1


def test_a_refund_is_booked_and_a_missing_one_raises_where_that_is_wanted(
    market: Market, api: Api, make_api: ApiMaker, url: str
) -> None:
    market.site.view = lambda seen: Reply(500, [], b"")
    assert api.request("GET", url).status_code == 500
    assert market.rows()[-1]["refund"] == 100
    market.site.trick = lambda seen, honest: changed(honest(), {wire.PACKAGE: None})
    with pytest.raises(RefundMissing):
        make_api(strict=True).request("GET", url)


@pytest.mark.parametrize("content", [lambda: CONTENT, parts, lambda: io.BytesIO(CONTENT)])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_redirection_within_the_origin_carries_the_body_on(
    market: Market, api: Api, url: str, content: Callable[[], Any], is_known: bool
) -> None:
    if is_known:
        api.terms(url + "/on", "POST")

    def lead_on(seen: Seen, honest: Honest) -> Reply:
        return honest() if seen.path.endswith("/on") else Reply(307, [("Location", url + "/on")], b"")

    market.site.trick = lead_on
    assert api.request("POST", url, content=content()).json()["length"] == len(CONTENT)
    assert len(market.site.packages) == 1


def test_a_form_with_files_that_is_sent_twice_arrives_whole_twice(market: Market, url: str) -> None:
    market.site.view = lambda seen: Reply(200, [], str(seen.body.count(CONTENT)).encode())
    with httpx.Client(transport=PaymentTransport(market.client, BUDGET)) as api:
        request = api.build_request("POST", url, files={"file": CONTENT})
        assert [api.send(request).text for _ in range(2)] == ["1", "1"]


def test_nothing_is_paid_for_a_body_that_was_read_for_another_call(market: Market, url: str) -> None:
    with httpx.Client(transport=PaymentTransport(market.client, BUDGET)) as api:
        request = api.build_request("POST", url, content=parts())
        assert api.send(request).is_success
        with pytest.raises(httpx.StreamConsumed):
            api.send(request)
    assert len(market.site.packages) == 1


def test_no_payment_is_left_in_what_the_program_sees(market: Market, api: Api, url: str) -> None:
    response = api.request("GET", url)
    assert wire.PACKAGE not in response.request.headers
    market.site.trick = reset
    with pytest.raises(httpx.TransportError) as failed:
        api.request("GET", url)
    assert wire.PACKAGE not in failed.value.request.headers
    assert wire.encode_package(market.site.packages[-1]) not in repr(failed.getrepr(showlocals=False))


def test_a_stream_that_fails_like_a_connection_is_not_sent_by_halves(
    market: Market, api: Api, url: str
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise httpx.ReadError("no more")

    api.terms(url, "POST")
    with pytest.raises(httpx.ReadError):
        api.request("POST", url, content=broken())
    assert market.site.served == 0


def test_a_payment_that_could_not_be_sent_pays_for_the_next_call_that_costs_the_same(
    market: Market, api: Api
) -> None:
    def answer_and_close(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        reply = honest()
        return changed(reply, {"Content-Length": str(len(reply.body))})

    rows, site = len(market.rows()), Site(market.site.paywall)
    site.trick = answer_and_close
    try:
        api.terms(site.url)
    finally:
        site.close()
    for number in range(3):
        with pytest.raises(httpx.ConnectError):
            api.request("GET", f"{site.url}?{number}")
    assert len(market.rows()) == rows + 1


def test_a_time_out_of_the_connection_leaves_a_payment_unsent(market: Market, api: Api) -> None:
    rows, site = len(market.rows()), Site(market.site.paywall)
    site.trick = lambda seen, honest: changed(honest(), {"Connection": "close"})
    try:
        for path in ("/one", "/two"):
            api.terms(site.url + path)
    finally:
        site.close()
    with full_port(urlsplit(site.url).port or 0):
        for path in ("/one", "/two", "/one"):
            with pytest.raises(httpx.ConnectTimeout):
                api.request("GET", site.url + path, timeout=0.2)
    assert len(market.rows()) == rows + 1


class Retrying(httpx.HTTPTransport):
    """A transport that tries twice, as those of other packages do."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return super().handle_request(request)
        except httpx.TransportError:
            return super().handle_request(request)


def test_a_transport_that_retries_does_not_make_a_payment_unsent(market: Market) -> None:
    rows, site = len(market.rows()), Site(market.site.paywall)
    port = urlsplit(site.url).port or 0
    transport = PaymentTransport(market.client, BUDGET, patience=1.0, transport=Retrying())
    with httpx.Client(transport=transport) as api:
        for path in ("/one", "/two"):
            transport.get_402_info(site.url + path)

        def serve_and_die(seen: Seen, honest: Honest) -> Reply:
            honest()
            site.close()
            raise Reset

        site.trick = serve_and_die
        with pytest.raises(httpx.ConnectError):
            api.get(site.url + "/one")
        again = Site(market.site.paywall, port)
        try:
            assert api.get(again.url + "/two").is_success
            assert api.get(again.url + "/one").is_success
        finally:
            again.close()
    assert [(row["amount"], row["state"]) for row in market.rows()[rows:]] == [(100, "answered")] * 2
    assert (site.served, again.served) == (1, 1)


@pytest.mark.parametrize("ask", [Site.guard_with_digest, Site.view_with_digest])
def test_with_a_digest_each_call_is_paid_once(
    market: Market, api: Api, url: str, ask: Callable[[Site], None]
) -> None:
    ask(market.site)
    before = market.spent()
    for calls in (1, 2, 3):
        assert api.request("GET", url, auth=httpx.DigestAuth("user", "secret")).is_success
        assert market.spent() - before == 100 * calls
    assert {row["state"] for row in market.rows()[-3:]} <= {"answered", "refunded"}


def test_cookies_that_come_with_a_402_go_along_with_the_payment_and_are_kept(
    market: Market, api: Api, url: str
) -> None:
    def set_cookie(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        more = [("Set-Cookie", "sid=new; Path=/"), ("Set-Cookie", "elsewhere=1; Path=/elsewhere")]
        return reply if reply.status != 402 else Reply(402, [*reply.headers, *more], reply.body)

    market.site.trick = set_cookie
    response = api.request("GET", url, headers={"Cookie": "sid=old; mine=1"})
    assert [seen.headers.get("Cookie") for seen in market.site.seen] == ["sid=old; mine=1", "mine=1; sid=new"]
    assert response.headers.get_list("Set-Cookie") == ["sid=new; Path=/", "elsewhere=1; Path=/elsewhere"]
    assert api.request("GET", url).is_success
    assert market.site.seen[-1].headers.get("Cookie") == "sid=new"
