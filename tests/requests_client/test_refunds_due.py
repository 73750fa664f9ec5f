"""A refund that the merchant owes and cannot give yet is asked for again, with the same payment, until it has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from paypercall import wire
from paypercall.bought_call import end
from paypercall.events import EventKind
from paypercall.paying import PaymentRejected, RefundMissing
from paypercall.requests import Session
from tests.parties import wait_until, wait_until_open
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen, call_of, changed, open_market

Honest = Callable[[], Reply]


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return f"{market.site.url}/{request.node.name}"


def withhold(seen: Seen, honest: Honest) -> Reply:
    """Answers as when the refund waits for the channel: the receipt says what is owed, and nothing comes."""
    return changed(honest(), {wire.PACKAGE: None})


def outcomes(market: Market, since: int) -> list[tuple[int, str]]:
    return [(row["refund"], row["state"]) for row in market.rows()[since:]]


@pytest.mark.parametrize("is_next_program", [False, True])
def test_a_refund_that_waited_comes_with_the_same_call_made_again(
    market: Market, api: Session, url: str, is_next_program: bool
) -> None:
    rows = len(market.rows())
    market.site.view = lambda seen: Reply(500, [], b"failed")
    market.site.trick = withhold
    assert api.post(url, data=b"order").status_code == 500
    assert outcomes(market, rows) == [(0, "refund_due")]
    before = market.spent()
    market.site.begin()
    with Session(market.client, BUDGET) as later:
        assert (later if is_next_program else api).post(url, data=b"order").ok
    assert outcomes(market, rows) == [(100, "refunded"), (0, "answered")]
    assert market.spent() == before
    assert market.site.served == 1
    # The payment that is owed for, a look at the price, the new payment.
    assert [seen.package is not None for seen in market.site.seen] == [True, False, True]


def test_a_part_that_waited_comes_too_and_then_nothing_more_is_asked_for(
    market: Market, api: Session, url: str
) -> None:
    rows = len(market.rows())
    api.get(url)
    market.site.price, market.site.trick = 60, withhold
    assert api.get(url).ok
    market.site.trick = None
    assert api.get(url).ok
    assert outcomes(market, rows) == [(0, "answered"), (40, "answered"), (0, "answered")]
    market.site.seen.clear()
    assert api.get(url).ok
    assert len(market.site.seen) == 1


def test_a_merchant_that_withholds_refunds_of_too_little_takes_one_payment_by_it(
    market: Market, api: Session, url: str
) -> None:
    api.get(url)
    rows, market.site.price, market.site.trick = len(market.rows()), 150, withhold
    with pytest.raises(PaymentRejected):
        api.get(url)
    for _ in range(2):
        assert api.get(url).ok
    assert outcomes(market, rows) == [(0, "refund_due"), (0, "answered"), (0, "answered")]
    market.site.trick = None
    assert api.get(url).ok
    assert outcomes(market, rows)[0] == (100, "refunded")


def test_what_serves_the_call_in_place_of_the_refund_is_its_answer(
    market: Market, api: Session, url: str
) -> None:
    market.site.view = lambda seen: Reply(500, [], b"failed")
    market.site.trick = withhold
    api.post(url, data=b"order")
    market.site.seen.clear()
    market.site.trick = lambda seen, honest: Reply(200, [], b"free now")
    assert api.post(url, data=b"order").text == "free now"
    assert len(market.site.seen) == 1


@pytest.mark.parametrize("status", [None, 404, 409, 503])
def test_what_may_have_done_the_call_in_place_of_the_refund_is_not_done_again(
    market: Market, url: str, status: int | None
) -> None:
    def answer(seen: Seen, honest: Honest) -> Reply:
        if status is None:
            raise Reset
        return Reply(status, [], b"failed")

    market.site.view, market.site.trick = lambda seen: Reply(500, [], b"failed"), withhold
    with Session(market.client, BUDGET, patience=0) as api:
        assert api.post(url, data=b"order").status_code == 500
        market.site.begin()
        market.site.trick = answer
        if status is None:
            with pytest.raises(requests.ConnectionError):
                api.post(url, data=b"order")
        else:
            assert api.post(url, data=b"order").status_code == status
        assert len(market.site.seen) == 1
        market.site.trick = None
        assert api.post(url, data=b"order").ok
    assert [row["state"] for row in market.rows()[-2:]] == ["refunded", "answered"]


@pytest.mark.parametrize("status, code", [(402, None), (409, "payment_used"), (503, "ledger_unreachable")])
def test_a_merchant_that_refuses_the_payment_it_owes_something_for_is_paid_for_the_call_all_the_same(
    market: Market, api: Session, url: str, status: int, code: str | None
) -> None:
    market.site.view, market.site.trick = lambda seen: Reply(500, [], b"failed"), withhold
    assert api.post(url, data=b"order").status_code == 500
    [owed] = {str(package) for package in market.site.packages}
    market.site.begin()
    headers = [] if code is None else [(wire.CODE, code)]
    market.site.trick = lambda seen, honest: (
        Reply(status, headers, b"") if str(seen.package) == owed else honest()
    )
    assert api.post(url, data=b"order").ok


def test_a_refund_that_comes_and_is_wrong_is_told_once_and_not_asked_for_again(
    market: Market, url: str
) -> None:
    rows = len(market.rows())
    told: list[object] = []
    unsubscribe = market.client.subscribe(EventKind.REFUND_MISSING, told.append)
    market.site.view = lambda seen: Reply(500, [], b"failed")
    market.site.trick = withhold
    with Session(market.client, BUDGET, strict=True) as api:
        with pytest.raises(RefundMissing):
            api.get(url)
        [owed] = market.site.packages
        market.site.begin()
        market.site.trick = lambda seen, honest: (
            changed(honest(), {wire.PACKAGE: "!"}) if seen.package == owed else honest()
        )
        assert api.get(url).ok
        market.site.seen.clear()
        assert api.get(url).ok
    market.client.events.flush(5.0)
    unsubscribe()
    assert len(told) == 2
    assert len(market.site.seen) == 1
    assert outcomes(market, rows) == [(0, "answered")] * 3


def test_a_refund_is_not_asked_for_after_a_week(
    market: Market, api: Session, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    market.site.view = lambda seen: Reply(500, [], b"failed")
    market.site.trick = withhold
    api.get(url)
    market.site.begin()
    now = int(time.time()) + 7 * 24 * 3600 + 1
    monkeypatch.setattr("paypercall.paying.places.wall_clock", lambda: now)
    assert api.get(url).ok
    assert [seen.package is not None for seen in market.site.seen] == [False, True]


@pytest.mark.slow
def test_a_refund_that_waited_for_a_sweep_comes_in_the_next_period(tmp_path: Path) -> None:
    with open_market(tmp_path) as market, Session(market.client, BUDGET) as api:
        server, url = market.server.server, market.site.url
        for _ in range(60):
            api.get(url)
        wait_until_open(market.client, server)
        aa_address = market.client.aa_address
        assert aa_address is not None

        def sweep(seen: Seen) -> Reply:
            server.sweep(aa_address)
            return Reply(500, [], b"failed")

        market.site.view = sweep
        assert api.get(url).status_code == 500
        assert outcomes(market, -1) == [(0, "refund_due")]
        market.site.begin()
        wait_until(lambda: market.client.balance().period == 2, "the next period begins", 30)
        # The merchant can give back what was paid in this period, which is nothing before the next payment.
        assert api.get(url).ok
        assert api.get(url).ok
        assert outcomes(market, -3) == [(100, "refunded"), (0, "answered"), (0, "answered")]
        channel = server.channel(aa_address)
        assert channel is not None and channel.owed_by_me == 100


def test_a_refund_is_not_asked_for_with_a_payment_made_anew(market: Market, api: Session, url: str) -> None:
    market.site.view = lambda seen: Reply(500, [], b"failed")
    market.site.trick = withhold
    api.get(url)
    with market.client.store.transaction() as books:
        row = call_of(books, market.rows()[-1])
        books.bought_calls.save(end(row, market.client.aa_address or ""))
        lost = books.bought_calls.add(replace(row, key="0" * 32, amount=1))
    market.site.begin()
    market.signed_besides -= lost.amount
    assert api.get(url).ok
    assert [seen.package is not None for seen in market.site.seen] == [False, True]
    assert [row["state"] for row in market.rows()[-3:]] == ["answered", "refund_due", "answered"]
