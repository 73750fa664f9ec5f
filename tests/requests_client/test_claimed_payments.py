"""A merchant that says it has not taken a payment, and claims it on the ledger, is not paid for the same call again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn, cast

import pytest

from paypercall import wire
from paypercall.channel import Channel, Status
from paypercall.events import Event, EventKind
from paypercall.paying import PaymentRejected, PeriodOver
from paypercall.paying.call import Call
from paypercall.paying.places import end_by_ledger
from paypercall.paying.purchase import Purchase
from paypercall.requests import Session
from paypercall.settled import Standing
from paypercall.settlement import upkeep
from paypercall.store import PeriodRecord, StoreError
from tests.parties import wait_until, wait_until_open
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Seen, call_of, changed, open_market

Honest = Callable[[], Reply]


@pytest.fixture(scope="module")
def open_for_sweeps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """A market of this module's own: each test ends a period of its channel."""
    with open_market(tmp_path_factory.mktemp("market"), speed=20) as market:
        yield market


@pytest.fixture
def market(open_for_sweeps: Market) -> Iterator[Market]:
    """The same, with honest sites, and an open channel; whatever happens in it, the sums are those of the calls."""
    open_for_sweeps.site.begin()
    with Session(open_for_sweeps.client, BUDGET) as api:
        assert api.get(open_for_sweeps.site.url).ok
    wait_until_open(open_for_sweeps.client, open_for_sweeps.server.server)
    yield open_for_sweeps
    open_for_sweeps.require_that_the_sums_are_those_of_the_calls()


@pytest.fixture
def api(market: Market) -> Iterator[Session]:
    with Session(market.client, BUDGET, patience=20) as session:
        yield session


@pytest.fixture
def missing(market: Market) -> Iterator[list[Event]]:
    """What was told of refunds that are missing."""
    told: list[Event] = []
    stop = market.client.subscribe(EventKind.REFUND_MISSING, told.append)
    yield told
    stop()


@pytest.fixture
def url(market: Market) -> str:
    """What is refused."""
    return market.site.url + "?refused"


def refuse(market: Market, first: dict[str, Callable[[Honest], object]], reply: Reply | None = None) -> None:
    """Refuses the payments for some queries, all that are of the present period.

    Args:
        market: The market.
        first: For each of them, what the merchant does with its first payment.
        reply: What it answers then; by default the honest terms, with the code that the channel is closing.
    """
    period, left = market.client.balance().period, dict(first)

    def answer(seen: Seen, honest: Honest) -> Reply:
        query = seen.path.partition("?")[2]
        if seen.package is None or query not in first or seen.package["signed_message"]["period"] != period:
            return honest()
        if query in left:
            left.pop(query)(honest)
        return reply or changed(market.site.ask(), {wire.CODE: "channel_closing"})

    market.site.trick = answer


def take(honest: Honest) -> None:
    """Takes a payment, and serves."""
    assert honest().status == 200


def sweep(market: Market) -> None:
    """Has the merchant claim what it has."""
    assert market.client.aa_address is not None
    market.server.server.sweep(market.client.aa_address)


def then(*steps: Callable[[], object]) -> Callable[[Honest], None]:
    """Does not take a payment, but something else."""

    def do(honest: Honest) -> None:
        for step in steps:
            step()

    return do


def last_period(market: Market) -> PeriodRecord:
    return market.client.settled_periods()[-1]


def require_that_it_is_kept(market: Market, api: Session, missing: list[Event], status: int = 402) -> None:
    """Makes the call, for which one payment is made, and no other."""
    balance, before, rows = market.client.balance(), market.spent(), len(market.rows())
    with pytest.raises(PaymentRejected) as rejected:
        api.get(market.site.url + "?refused")
    assert (rejected.value.code, rejected.value.response.status_code) == ("rejected", status)
    assert [row["state"] for row in market.rows()[rows:]] == ["given_up"]
    assert market.spent() - before == 100
    market.client.events.flush(5.0)
    assert missing == [Event(EventKind.REFUND_MISSING, balance.aa_address or "", balance.period, "base", 100)]


@pytest.mark.parametrize(
    "status, code",
    [(402, "channel_closing"), (409, "channel_closing"), (402, "wrong_period"), (409, "unknown_channel")],
)
def test_what_the_merchant_has_claimed_is_not_paid_again_in_the_next_period(
    market: Market, api: Session, url: str, missing: list[Event], status: int, code: str
) -> None:
    period = market.client.balance().period

    def take_and_close(honest: Honest) -> None:
        take(honest)
        sweep(market)
        wait_until(lambda: market.client.balance().period > period, "the period has ended")

    terms = changed(market.site.ask(), {wire.CODE: code})
    refuse(market, {"refused": take_and_close}, replace(terms, status=status))
    require_that_it_is_kept(market, api, missing, status)
    assert last_period(market).paid_anew == 0
    # The call is over: what the program makes of that is its own affair.
    market.site.trick, before = None, market.spent()
    assert api.get(url).ok
    assert market.spent() - before == 100


def test_what_the_merchant_has_claimed_is_known_while_the_channel_is_closing(
    market: Market, api: Session, missing: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    period = market.client.balance().period

    def fail(channel: Channel, owed_by_peer: int) -> NoReturn:
        raise StoreError("the database is away")

    def take_and_close(honest: Honest) -> None:
        take(honest)
        sweep(market)

    refuse(market, {"refused": take_and_close})
    with monkeypatch.context() as unanswered:
        unanswered.setattr(upkeep, "decide_answer", fail)
        require_that_it_is_kept(market, api, missing)
        assert market.client.balance().status is Status.CLOSING
    market.client._node.wake()
    wait_until(lambda: market.client.balance().period > period, "the period has ended")


def test_what_the_merchant_does_not_give_back_when_the_customer_closes_is_not_paid_again(
    market: Market, api: Session, missing: list[Event]
) -> None:
    def take_and_be_closed(honest: Honest) -> None:
        take(honest)
        market.client.sweep()

    refuse(market, {"refused": take_and_be_closed})
    require_that_it_is_kept(market, api, missing)


def close_by_merchant(market: Market) -> None:
    market.client.create_payment_package(100)  # never reaches the merchant
    with Session(market.client, BUDGET) as other:
        # Its total covers the payment that was refused before.
        assert other.get(market.site.url + "?other").ok
    sweep(market)


def close_by_customer(market: Market) -> None:
    market.client.create_payment_package(100)
    market.client.sweep()


@pytest.mark.parametrize(
    "close, paid_anew",
    [(sweep, 0), (close_by_merchant, 100), (close_by_customer, 100)],
    ids=["not claimed", "given back by the merchant's close", "given back by its answer to the customer's"],
)
def test_what_an_honest_merchant_has_not_claimed_or_has_given_back_is_paid_anew(
    market: Market,
    api: Session,
    url: str,
    missing: list[Event],
    close: Callable[[Market], object],
    paid_anew: int,
) -> None:
    rows, served = len(market.rows()), market.site.served
    refuse(market, {"refused": then(partial(close, market))})
    assert api.get(url, max_price=100).ok
    states = [row["state"] for row in market.rows()[rows:]]
    assert (states[0], set(states[1:])) == ("given_up", {"answered"})
    assert market.site.served - served == len(states) - 1
    assert last_period(market).paid_anew == paid_anew
    market.client.events.flush(5.0)
    assert missing == []
    # Once more, as another process may that was at the call, too: what came back counts once.
    refused = market.rows()[rows]
    with market.client.store.transaction() as books:
        package = market.client.sent_by_books(books, refused["payment_key"])
        assert package is not None
        row = call_of(books, refused)
        standing = end_by_ledger(books, Purchase(cast(Call, None), row, market.client, package))
    assert standing is Standing.OVER
    assert last_period(market).paid_anew == paid_anew


def test_of_two_payments_that_were_claimed_one_is_paid_anew_when_one_is_given_back(
    market: Market, api: Session, missing: list[Event]
) -> None:
    outcomes: list[Any] = []
    is_claimed = threading.Event()

    def take_and_close(honest: Honest) -> None:
        take(honest)
        sweep(market)
        is_claimed.set()

    def call(query: str) -> None:
        with Session(market.client, BUDGET, patience=20) as own:
            try:
                outcomes.append(own.get(f"{market.site.url}?{query}").status_code)
            except PaymentRejected as rejected:
                outcomes.append(rejected.code)

    before = market.spent()
    with ThreadPoolExecutor(1) as threads:
        second = then(lambda: threads.submit(call, "taken"), lambda: is_claimed.wait(10))
        refuse(market, {"left": second, "taken": take_and_close})
        call("left")
    assert sorted(outcomes, key=str) == [200, "rejected"]
    assert (market.spent() - before, last_period(market).paid_anew) == (300, 100)
    market.client.events.flush(5.0)
    assert len(missing) == 1


def test_while_the_ledger_does_not_tell_what_is_claimed_no_other_payment_is_made(
    market: Market, url: str
) -> None:
    period, before = market.client.balance().period, market.spent()
    refuse(market, {"refused": then(market.net.hold, market.client.sweep)})
    try:
        with Session(market.client, BUDGET, patience=0.5) as api, pytest.raises(PeriodOver):
            api.get(url)
        assert market.client.balance().is_frozen
        assert (market.spent() - before, market.rows()[-1]["state"]) == (100, "pending")
    finally:
        market.net.release()
    wait_until(lambda: market.client.balance().period > period, "the period has ended")
    with Session(market.client, BUDGET) as api:
        assert api.get(url).ok
    assert market.spent() - before == 200
    assert [row["state"] for row in market.rows()[-2:]] == ["given_up", "answered"]


def test_a_payment_is_not_sent_again_while_its_period_ends_but_the_ledger_waited_for(
    market: Market, api: Session, url: str
) -> None:
    sent = 0

    def close(honest: Honest) -> None:
        market.net.hold()
        market.client.sweep()
        threading.Timer(1.0, market.net.release).start()

    refuse(market, {"refused": close})
    trick = market.site.trick
    assert trick is not None

    def count(seen: Seen, honest: Honest) -> Reply:
        nonlocal sent
        sent += seen.package is not None
        return trick(seen, honest)

    market.site.trick = count
    assert api.get(url, max_price=100).ok
    assert sent == 2
    assert [row["state"] for row in market.rows()[-2:]] == ["given_up", "answered"]


@pytest.fixture
def forgetful(market: Market) -> None:
    """Refuses a payment of a period that ends, and is settled by a process of an older version."""
    period = market.client.balance().period

    def forget(honest: Honest) -> None:
        sweep(market)
        wait_until(lambda: market.client.balance().period > period, "the period has ended")
        with market.client.store.transaction() as books:
            books.periods._connection._cursor.execute("UPDATE paypercall_periods SET owed_by_me = NULL")

    refuse(market, {"refused": forget})


@pytest.mark.usefixtures("forgetful")
def test_what_the_ledger_does_not_tell_is_paid_again_if_the_call_may_cost_both(
    market: Market, api: Session, url: str, missing: list[Event]
) -> None:
    before = market.spent()
    assert api.get(url, max_price=200).ok
    assert market.spent() - before == 200
    assert [row["state"] for row in market.rows()[-2:]] == ["given_up", "answered"]
    assert missing == []


@pytest.mark.usefixtures("forgetful")
def test_what_the_ledger_does_not_tell_ends_one_call_that_may_not_cost_both_and_no_other(
    market: Market, api: Session, url: str, missing: list[Event]
) -> None:
    before = market.spent()
    with pytest.raises(PeriodOver):
        api.get(url, max_price=199)
    assert (market.spent() - before, market.rows()[-1]["state"]) == (100, "given_up")
    assert api.get(url).ok
    assert market.spent() - before == 200
    assert missing == []


def test_a_refund_that_was_on_its_way_when_the_customer_closed_comes_back_on_the_ledger(
    market: Market, api: Session, url: str
) -> None:
    period, held = market.client.balance().period, market.client.balance()

    def fail_and_be_closed(seen: Seen, honest: Honest) -> Reply:
        reply = honest()
        if seen.package is not None and market.client.balance().period == period:
            market.client.sweep()
        return reply

    market.site.view = lambda _: Reply(404, [], b"no such thing")
    market.site.trick = fail_and_be_closed
    assert api.get(url).status_code == 404
    wait_until(lambda: market.client.balance().period > period, "the period has ended")
    settled = last_period(market).settled
    assert settled is not None
    assert settled.owed_by_peer - held.owed_by_peer == 100
