"""What becomes of a payment about which answers disagree: it is not made twice, and buys nobody else an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests
from requests.auth import HTTPDigestAuth

from paypercall import wire
from paypercall.requests import Session
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen, changed


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return f"{market.site.url}/{request.node.name}"


@pytest.fixture
def api(market: Market) -> Iterator[Session]:
    with Session(market.client, BUDGET, patience=1.5) as api:
        yield api


def filtered(seen: Seen, honest: Callable[[], Reply]) -> Reply:
    """A proxy that lets the merchant serve, and hides its answer."""
    reply = honest()
    return Reply(403, [], b"filtered") if reply.status == 200 else reply


def test_a_payment_after_a_raised_price_goes_along_with_the_next_digest(
    market: Market, api: Session, url: str
) -> None:
    used: set[str] = set()

    def with_digest(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        asked = seen.headers.get("Authorization")
        if asked is None or asked in used:
            challenge = f'Digest realm="all", qop="auth", nonce="{len(used)}"'
            return Reply(401, [("WWW-Authenticate", challenge)], b"")
        used.add(asked)
        return honest()

    api.get(url)
    auth = HTTPDigestAuth("user", "secret")
    market.site.trick = with_digest
    assert api.get(url, auth=auth).ok
    before = market.spent()
    market.site.price = 150
    assert api.get(url, auth=auth).ok
    assert market.spent() - before == 150


def test_what_a_merchant_may_have_taken_before_a_proxy_refused_it_pays_for_no_other_call(
    market: Market, api: Session, url: str
) -> None:
    api.get(url)
    before, sends = market.spent(), []

    def lose_then_refuse(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        sends.append(seen)
        if len(sends) > 1:
            return Reply(429, [], b"slow down")
        honest()
        raise Reset

    market.site.trick = lose_then_refuse
    assert api.get(url + "?first").status_code == 429
    market.site.trick = None
    assert api.get(url + "?second").ok
    assert api.get(url + "?first").ok
    assert market.spent() - before == 200


def test_a_call_that_took_a_used_payment_and_got_no_answer_pays_by_itself_when_it_is_made_twice_again(
    market: Market, api: Session, url: str
) -> None:
    api.get(url)
    market.site.trick = filtered
    assert api.post(url, data=b"first").status_code == 403

    def lose(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        if seen.package is None:
            return honest()
        raise Reset

    market.site.trick = lose
    with pytest.raises(requests.ConnectionError):
        api.post(url, data=b"second")
    market.site.trick = None
    # What was used may have been used by it.
    assert [api.post(url, data=b"second").status_code for _ in range(2)] == [409, 200]


@pytest.mark.parametrize("code", ["payment_used", "duplicate", "answer_not_kept"])
@pytest.mark.parametrize("is_next_call", [True, False])
def test_a_payment_that_was_used_after_an_answer_was_lost_is_followed_by_another_one_with_the_next_call_only(
    market: Market, url: str, code: str, is_next_call: bool
) -> None:
    rows, sends = len(market.rows()), []

    def lose_then_refuse(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        sends.append(seen)
        if len(sends) == 2:
            return Reply(409, [(wire.CODE, code)], b"")
        honest()
        raise Reset

    with Session(market.client, BUDGET, patience=0.0 if is_next_call else 1.5) as api:
        api.get_402_info(url, "POST")
        market.site.trick = lose_then_refuse
        if is_next_call:
            with pytest.raises(requests.ConnectionError):
                api.post(url, data=b"order")
        assert api.post(url, data=b"order").status_code == 409
        assert [(row["amount"], row["state"]) for row in market.rows()[rows:]] == [(100, "given_up")]
        assert market.site.served == 1
        market.site.trick = None
        assert api.post(url, data=b"order").ok
    assert [row["state"] for row in market.rows()[rows:]] == ["given_up", "answered"]


def test_a_payment_that_another_call_has_left_is_not_followed_by_another_one_once_an_answer_to_it_was_lost(
    market: Market, api: Session, url: str
) -> None:
    api.get(url)
    market.site.trick = lambda seen, honest: Reply(429, [], b"slow down")
    assert api.get(url + "?first").status_code == 429
    rows, sends = len(market.rows()), []

    def lose_then_refuse(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        if seen.package is None:
            return honest()
        sends.append(seen)
        if len(sends) > 1:
            return Reply(409, [(wire.CODE, "answer_not_kept")], b"")
        honest()
        raise Reset

    market.site.trick = lose_then_refuse
    assert api.post(url, data=b"second").status_code == 409
    assert len(market.rows()) == rows


def test_what_was_sent_for_one_asker_buys_another_one_nothing(
    market: Market, api: Session, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.get(url)
    market.site.view = lambda seen: Reply(200, [], (seen.headers.get("Authorization") or "").encode())
    market.site.trick = filtered
    assert api.get(url, headers={"Authorization": "Bearer one"}).status_code == 403
    market.site.trick = None
    payer = api.get_adapter(url)._payer
    buy = payer.buy

    def broken_off(*arguments: object, **named: object) -> None:
        payer.places.release(buy(*arguments, **named))  # as for an async call that is cancelled now
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(payer, "buy", broken_off)
        with pytest.raises(KeyboardInterrupt):
            api.get(url, headers={"Authorization": "Bearer one"})
    assert api.get(url, headers={"Authorization": "Bearer two"}).text == "Bearer two"


def test_a_redirection_after_an_owed_refund_was_asked_for_is_paid(
    market: Market, api: Session, url: str
) -> None:
    api.get_402_info(url + "/other")
    market.site.view = lambda seen: Reply(500, [], b"")
    market.site.trick = lambda seen, honest: changed(honest(), {wire.PACKAGE: None})
    assert api.get(url).status_code == 500
    market.site.begin()
    market.site.trick = lambda seen, honest: (
        honest() if seen.path.endswith("/other") else Reply(302, [("Location", url + "/other")], b"")
    )
    assert api.get(url).status_code == 200
