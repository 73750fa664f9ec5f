"""A merchant that settles the channel while it is called makes nobody's call fail, and is paid for none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest
import requests

from paypercall import wire
from paypercall.events import EventKind
from paypercall.paying import Budget, PeriodOver, places
from paypercall.requests import Session
from paypercall.settled import Standing
from tests.parties import wait_until, wait_until_open
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen, Site, changed, open_market
from tests.paywall.merchant import Headers

Honest = Callable[[], Reply]


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    return f"{market.site.url}/{request.node.name}"


def worth_a_sweep(market: Market, api: Session) -> str:
    """Pays so often that a sweep is worth it; gives the channel."""
    for _ in range(60):
        assert api.get(market.site.url).ok
    wait_until_open(market.client, market.server.server)
    aa_address = market.client.aa_address
    assert aa_address is not None
    return aa_address


def leave_unsent(market: Market, api: Session) -> str:
    """Leaves a payment to a site that is down; gives its address."""
    site = Site(market.site.paywall)
    try:
        api.get_402_info(site.url)
    finally:
        site.close()
    with pytest.raises(requests.ConnectionError):
        api.get(site.url)
    return site.url


def refuse(market: Market, code: str) -> Callable[[Seen, Honest], Reply]:
    """Refuses payments with a code and the honest terms."""

    def answer(seen: Seen, honest: Honest) -> Reply:
        if seen.package is None:
            return honest()
        return changed(market.site.honestly(replace(seen, headers=Headers({}))), {wire.CODE: code})

    return answer


@pytest.mark.slow
def test_calls_that_a_sweep_meets_are_paid_in_the_next_period(tmp_path: Path) -> None:
    budget = Budget(500, 1_000_000, 1_000_000)
    with (
        open_market(tmp_path) as market,
        Session(market.client, budget) as api,
        ThreadPoolExecutor(6) as threads,
    ):
        aa_address, is_over, url = worth_a_sweep(market, api), Event(), market.site.url

        def lose(seen: Seen, honest: Honest) -> Reply:
            raise Reset

        market.site.trick = lose
        with pytest.raises(requests.ConnectionError):
            api.get(url + "?lost")
        market.site.trick = None

        def call_on(thread: int) -> Counter[object]:
            outcomes: Counter[object] = Counter()
            while not is_over.is_set():
                outcomes[api.get(f"{url}?{thread}-{outcomes.total()}").status_code] += 1
            return outcomes

        crowd = [threads.submit(call_on, thread) for thread in range(6)]
        market.server.server.sweep(aa_address)
        served = market.site.served
        wait_until(lambda: market.site.served > served + 30, "calls are served in the next period", 60)
        is_over.set()
        assert {status for each in crowd for status in each.result()} == {200}
        assert api.get(url + "?lost").ok
        rows = market.rows()
        # What was signed in the period that has ended, and refused, counts: the merchant has it.
        assert {row["state"] for row in rows} == {"answered", "given_up"}
        assert sum(row["state"] == "given_up" for row in rows) <= 7
        assert sum(row["state"] == "answered" for row in rows) == market.site.served
        channel = market.server.server.channel(aa_address)
        assert channel is not None and channel.period == 2


@pytest.mark.parametrize("code", ["channel_closing", "wrong_period"])
def test_a_merchant_that_is_behind_is_sent_the_same_payment_until_it_has_caught_up(
    market: Market, api: Session, url: str, code: str
) -> None:
    api.get_402_info(url)
    before, left = market.spent(), [refuse(market, code)] * 2

    def play(seen: Seen, honest: Honest) -> Reply:
        return left.pop()(seen, honest) if left else honest()

    market.site.trick = play
    assert api.get(url).ok
    assert len({str(package) for package in market.site.packages}) == 1
    assert market.spent() - before == 100


def test_a_merchant_that_says_for_ever_that_the_channel_closes_gets_one_payment_and_an_error_of_its_own(
    market: Market, api: Session, url: str
) -> None:
    api.get_402_info(url)
    before, market.site.trick = market.spent(), refuse(market, "channel_closing")
    with pytest.raises(PeriodOver) as over:
        api.get(url)
    assert (over.value.code, over.value.response.status_code) == ("period_over", 402)
    assert (market.spent() - before, market.rows()[-1]["state"]) == (100, "pending")
    market.site.trick = None
    assert api.get(url).ok
    assert market.spent() - before == 100


@pytest.mark.parametrize("per_call, max_price", [(199, None), (500, 199), (200, None), (500, 200)])
@pytest.mark.parametrize("standing", [Standing.UNCLAIMED, Standing.UNKNOWN])
def test_a_call_is_paid_in_the_next_period_too_if_it_is_known_that_the_first_came_back_or_if_it_may_cost_both(
    market: Market,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    standing: Standing,
    per_call: int,
    max_price: int | None,
) -> None:
    refused: list[object] = []

    def refuse_first(seen: Seen, honest: Honest) -> Reply:
        refused[1:] = []
        refused.append(seen.package)
        return refuse(market, "channel_closing")(seen, honest) if seen.package == refused[0] else honest()

    monkeypatch.setattr(places, "standing_within", lambda channel, **payment: standing)
    before, may_cost_both = market.spent(), 200 in (per_call, max_price)
    with Session(market.client, replace(BUDGET, per_call=per_call), patience=0) as api:
        api.get_402_info(url)
        market.site.trick = refuse_first
        if may_cost_both or standing is Standing.UNCLAIMED:
            assert api.get(url, max_price=max_price).ok
        else:
            with pytest.raises(PeriodOver):
                api.get(url, max_price=max_price)
            assert market.spent() - before == 100
            assert api.get(url, max_price=max_price).ok
    assert [row["state"] for row in market.rows()[-2:]] == ["given_up", "answered"]


@pytest.mark.slow
def test_what_was_answered_last_in_a_period_that_has_ended_is_not_disputed_though_it_is_given_no_more(
    tmp_path: Path,
) -> None:
    with open_market(tmp_path) as market, Session(market.client, BUDGET) as api:
        aa_address, url, told = worth_a_sweep(market, api), market.site.url, []
        closed = leave_unsent(market, api)
        for kind in (EventKind.RECEIPT_DISPUTED, EventKind.REFUND_MISSING):
            market.client.subscribe(kind, told.append)

        def lose(seen: Seen, honest: Honest) -> Reply:
            honest()
            raise Reset

        market.site.trick = lose
        with pytest.raises(requests.ConnectionError):
            api.get(url + "?lost")
        market.site.trick = None
        market.server.server.sweep(aa_address)
        wait_until(lambda: market.client.balance().period == 2, "the next period begins", 30)
        served = market.site.served
        # By now the ledger shows its package to everybody.
        assert api.get(url + "?lost").headers["Payment-Code"] == "answer_not_kept"
        assert market.site.served == served
        assert market.rows()[-1]["state"] == "answered"
        market.client.events.flush(5.0)
        assert told == []
        # What was never sent, and is of the period that has ended, is not offered.
        again = Site(market.site.paywall, urlsplit(closed).port or 0)
        try:
            assert api.get(closed).ok
            assert [package["signed_message"]["period"] for package in again.packages] == [2]
        finally:
            again.close()
        unsent, paid = [row["state"] for row in market.rows() if row["origin"] == closed]
        assert (unsent, paid) == ("given_up", "answered")
