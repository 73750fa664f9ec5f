"""Answers that are streams pass through as they come, and a call that is cancelled lets its payment go."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import httpx
import pytest

from paypercall.asynchronous import AsyncClient
from paypercall.httpx import AsyncPaymentTransport, PaymentTransport
from paypercall.paying import Offer
from tests.httpx_client.conftest import Api
from tests.parties import wait_until
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Seen, break_off_chunks


def test_a_long_answer_is_handed_on_before_it_is_there_as_a_whole(market: Market) -> None:
    content = bytes(2 * 1024 * 1024)
    market.site.view = lambda seen: Reply(200, [], content)
    with (
        httpx.Client(transport=PaymentTransport(market.client, BUDGET)) as api,
        api.stream("GET", market.site.url + "/long") as response,
    ):
        assert not response.is_stream_consumed
        assert len(response.read()) == len(content)


def test_an_answer_that_breaks_off_while_it_is_read_is_had_again_by_the_same_call(
    market: Market, api: Api
) -> None:
    url, before = market.site.url + "/breaks", market.spent()

    def break_off(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        return honest() if seen.package is None else break_off_chunks(seen, honest)

    market.site.trick = break_off
    with pytest.raises(httpx.RemoteProtocolError):
        api.request("GET", url)
    assert market.rows()[-1]["state"] == "pending"
    market.site.trick = None
    assert api.request("GET", url).json() == {"method": "GET", "length": 0}
    assert market.rows()[-1]["state"] == "answered"
    assert len({str(package) for package in market.site.packages}) == 1
    assert (market.site.served, market.spent() - before) == (1, 100)


def test_a_stream_that_was_read_or_is_not_wanted_ends_the_call(market: Market) -> None:
    url = market.site.url + "/read"
    market.site.view = lambda seen: Reply(200, [("Transfer-Encoding", "chunked")], b"2\r\nok\r\n0\r\n\r\n")

    def is_ended() -> bool:
        return bool(market.rows()[-1]["state"] == "answered")

    async def read_and_leave() -> None:
        transport = AsyncPaymentTransport(market.client, BUDGET)
        async with httpx.AsyncClient(transport=transport) as api:
            assert (await api.get(url)).text == "ok"
            assert is_ended()
            async with api.stream("GET", url):
                assert not is_ended()
            assert is_ended()

    asyncio.run(read_and_leave())
    with httpx.Client(transport=PaymentTransport(market.client, BUDGET)) as api:
        assert api.get(url).text == "ok"
        assert is_ended()
        with api.stream("GET", url):
            assert not is_ended()
        assert is_ended()
        response = api.send(api.build_request("GET", url), stream=True)
        assert not is_ended()
        del response
        gc.collect()
        wait_until(is_ended, "what the program dropped is ended")
    assert market.site.served == 5


def test_a_call_that_is_cancelled_is_gone_on_with_by_the_next_one(market: Market) -> None:
    url = market.site.url + "/cancelled"
    has_come, may_go = threading.Event(), threading.Event()

    def hold(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        reply = honest()
        if seen.package is not None:
            has_come.set()
            may_go.wait(10.0)
        return reply

    async def cancel() -> None:
        transport = AsyncPaymentTransport(market.client, BUDGET)
        async with httpx.AsyncClient(transport=transport) as api:
            call = asyncio.create_task(api.get(url))
            await asyncio.to_thread(has_come.wait, 10.0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            may_go.set()
            market.site.trick = None
            assert (await api.get(url)).status_code == 200

    market.site.trick = hold
    asyncio.run(cancel())
    assert len({str(package) for package in market.site.packages}) == 1
    assert market.site.served == 1


def test_a_call_that_is_cancelled_while_it_is_being_paid_for_is_gone_on_with_by_the_next_one(
    market: Market,
) -> None:
    url = market.site.url + "/cancelled-early"
    is_asked, may_go = threading.Event(), threading.Event()

    def approve(offer: Offer, last: int) -> bool:
        is_asked.set()
        return may_go.wait(10.0)

    async def cancel() -> None:
        transport = AsyncPaymentTransport(market.client, replace(BUDGET, approve=approve))
        async with httpx.AsyncClient(transport=transport) as api:
            await api.get(url)
            market.site.price = 150
            call = asyncio.create_task(api.get(url))
            await asyncio.to_thread(is_asked.wait, 10.0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            may_go.set()
            while len(market.rows()) < rows + 3 or market.rows()[-1]["run"] is not None:
                await asyncio.sleep(0.01)
            assert (await api.get(url)).status_code == 200

    rows = len(market.rows())
    asyncio.run(asyncio.wait_for(cancel(), 30.0))
    assert [(row["amount"], row["state"]) for row in market.rows()[rows:]] == [
        (100, "answered"),
        (100, "refunded"),
        (150, "answered"),
    ]


@pytest.fixture
def locked_books(market: Market) -> Iterator[sqlite3.Connection]:
    """A connection to the customer's books on which a transaction may begin that keeps all others from writing."""
    path = market.client.store.url.partition(":///")[2]
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        yield connection


def lock_and_refuse(connection: sqlite3.Connection, reply: Reply) -> Reply:
    connection.execute("BEGIN IMMEDIATE")
    return Reply(429, [], b"slow down")


async def unlock_when_it_is_waited_for(market: Market, connection: sqlite3.Connection) -> None:
    """Needs a loop that goes on meanwhile."""
    while not (connection.in_transaction and market.client.store._database._writing.locked()):
        await asyncio.sleep(0.01)
    connection.execute("ROLLBACK")


def test_the_loop_goes_on_while_what_nobody_has_taken_waits_for_the_books(
    market: Market, locked_books: sqlite3.Connection
) -> None:
    async def call() -> int:
        async with httpx.AsyncClient(transport=AsyncPaymentTransport(market.client, BUDGET)) as api:
            unlocking = asyncio.create_task(unlock_when_it_is_waited_for(market, locked_books))
            response = await api.get(market.site.url + "/refused")
            assert unlocking.done()
            return response.status_code

    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else lock_and_refuse(locked_books, honest())
    )
    assert asyncio.run(call()) == 429
    assert market.rows()[-1]["run"] is None


def test_the_loop_goes_on_while_an_answer_that_broke_off_waits_for_the_books(
    market: Market, locked_books: sqlite3.Connection
) -> None:
    async def call() -> None:
        async with httpx.AsyncClient(transport=AsyncPaymentTransport(market.client, BUDGET)) as api:
            async with api.stream("GET", market.site.url + "/broken") as response:
                locked_books.execute("BEGIN IMMEDIATE")
                unlocking = asyncio.create_task(unlock_when_it_is_waited_for(market, locked_books))
                with pytest.raises(httpx.RemoteProtocolError):
                    await response.aread()
            assert unlocking.done()

    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else break_off_chunks(seen, honest)
    )
    asyncio.run(call())
    assert (market.rows()[-1]["state"], market.rows()[-1]["run"]) == ("pending", None)


def test_the_loop_goes_on_while_a_call_that_was_cancelled_waits_for_the_books(
    market: Market, locked_books: sqlite3.Connection
) -> None:
    async def cancel() -> None:
        async with httpx.AsyncClient(transport=AsyncPaymentTransport(market.client, BUDGET)) as api:
            call = asyncio.create_task(api.get(market.site.url + "/left"))
            await asyncio.to_thread(has_come.wait, 10.0)
            unlocking = asyncio.create_task(unlock_when_it_is_waited_for(market, locked_books))
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            may_go.set()
            assert unlocking.done()

    def lock_and_hold(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        reply = honest()
        if seen.package is not None:
            locked_books.execute("BEGIN IMMEDIATE")
            has_come.set()
            may_go.wait(10.0)
        return reply

    has_come, may_go = threading.Event(), threading.Event()
    market.site.trick = lock_and_hold
    asyncio.run(cancel())
    assert (market.rows()[-1]["state"], market.rows()[-1]["run"]) == ("pending", None)


def test_a_request_that_was_made_once_and_is_sent_again_is_paid_each_time(market: Market) -> None:
    with httpx.Client(transport=PaymentTransport(market.client, BUDGET)) as api:
        request = api.build_request("GET", market.site.url + "/again", extensions={"max_price": 100})
        for _ in range(2):
            assert api.send(request).status_code == 200
    assert len(market.site.packages) == 2


def test_a_client_that_does_not_block_can_pay(market: Market) -> None:
    async def call() -> int:
        payer = AsyncClient(market.client.peer_address, wallet=market.client.wallet, conf=market.client.conf)
        async with payer, httpx.AsyncClient(transport=AsyncPaymentTransport(payer, BUDGET)) as api:
            return (await api.get(market.site.url + "/async")).status_code

    assert asyncio.run(call()) == 200
    assert len(market.site.packages) == 1


def test_many_calls_at_once_are_paid_for_each(market: Market) -> None:
    async def call_all() -> list[int]:
        transport = AsyncPaymentTransport(market.client, BUDGET)
        async with httpx.AsyncClient(transport=transport, timeout=30.0) as api:
            await transport.get_402_info(market.site.url + "/many")
            calls = [api.get(f"{market.site.url}/many?{number}") for number in range(20)]
            return [response.status_code for response in await asyncio.gather(*calls)]

    before = market.spent()
    assert asyncio.run(call_all()) == [200] * 20
    assert market.spent() - before == 2000
    assert len({str(package) for package in market.site.packages}) == 20
