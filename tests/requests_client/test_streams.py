"""A call whose answer is read as a stream ends with the stream: what breaks off is had again, and not paid again."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.paying import PaymentRejected, RefundMissing
from paypercall.requests import Session
from tests.parties import wait_until
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, break_off_chunks, changed


@pytest.fixture
def url(market: Market, api: Session, request: pytest.FixtureRequest) -> str:
    url = f"{market.site.url}/{request.node.name}"
    api.get_402_info(url)
    return url


def last(market: Market) -> tuple[str, int]:
    row = market.rows()[-1]
    return row["state"], row["refund"]


def distinct(market: Market) -> int:
    return len({str(package) for package in market.site.packages})


READERS = [
    lambda response: response.content,
    lambda response: list(response.iter_content(3)),
    lambda response: list(response.iter_lines()),
    lambda response: response.raw.read(),
    lambda response: list(response.raw.stream()),
    lambda response: list(response.raw.read_chunked()),
    lambda response: list(response.raw),
]


@pytest.mark.parametrize("read", READERS)
def test_an_answer_that_breaks_off_while_it_is_read_is_had_again_by_the_same_call(
    market: Market, api: Session, url: str, read: Callable[[requests.Response], Any]
) -> None:
    before, market.site.trick = market.spent(), break_off_chunks
    with pytest.raises(Exception, match=r"IncompleteRead|[Bb]roken"):
        read(api.get(url, stream=True))
    assert last(market) == ("pending", 0)
    market.site.trick = None
    assert api.get(url, stream=True).json() == {"method": "GET", "length": 0}
    assert last(market) == ("answered", 0)
    assert (distinct(market), market.site.served, market.spent() - before) == (1, 1, 100)


@pytest.mark.parametrize("read", [*READERS[:5], lambda response: response.close()])
def test_an_answer_that_was_read_or_is_not_wanted_ends_the_call(
    market: Market, api: Session, url: str, read: Callable[[requests.Response], Any]
) -> None:
    for _ in range(2):
        response = api.get(url, stream=True)
        assert last(market) == ("pending", 0)
        read(response)
        assert last(market) == ("answered", 0)
    assert (distinct(market), market.site.served) == (2, 2)


def test_an_answer_that_the_program_drops_ends_the_call_when_the_session_closes(
    market: Market, url: str
) -> None:
    with Session(market.client, BUDGET) as api:
        assert api.get(url, stream=True).ok
        gc.collect()
        assert last(market) == ("pending", 0)
    assert last(market) == ("answered", 0)


def test_an_answer_that_the_program_drops_ends_the_call_within_seconds(
    market: Market, api: Session, url: str
) -> None:
    assert api.get(url, stream=True).ok
    gc.collect()
    wait_until(lambda: last(market) == ("answered", 0), "the call is ended")


def test_a_call_that_is_made_while_the_answer_to_the_same_one_is_read_is_another_one(
    market: Market, api: Session, url: str
) -> None:
    with api.get(url, stream=True) as one:
        assert api.get(url).ok
        assert one.ok
    assert (distinct(market), market.site.served) == (2, 2)


def test_what_comes_back_with_the_head_is_booked_whatever_becomes_of_the_body(
    market: Market, api: Session, url: str
) -> None:
    market.site.view = lambda seen: Reply(404, [], b"there is none")
    market.site.trick = break_off_chunks
    with pytest.raises(requests.RequestException):
        api.get(url, stream=True).content  # noqa: B018
    assert last(market) == ("pending", 100)
    market.site.trick = None
    assert api.get(url, stream=True).text == "there is none"
    assert last(market) == ("refunded", 100)
    assert distinct(market) == 1


def test_a_missing_refund_that_raises_ends_a_call_with_the_head(market: Market, url: str) -> None:
    market.site.view = lambda seen: Reply(500, [], b"")
    with Session(market.client, BUDGET, strict=True) as api:
        api.get_402_info(url)
        market.site.trick = lambda seen, honest: changed(honest(), {wire.PACKAGE: None})
        with pytest.raises(RefundMissing):
            api.get(url, stream=True)
        assert last(market) == ("refund_due", 0)


def test_a_402_ends_a_call_with_the_head(market: Market, api: Session, url: str) -> None:
    market.site.view = lambda seen: Reply(402, [], b"")
    with pytest.raises(PaymentRejected):
        api.get(url, stream=True)
    assert last(market) == ("refunded", 100)
