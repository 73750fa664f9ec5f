"""Bodies of every kind arrive whole, whether the price is known or not, and are uploaded once when it is."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from urllib3 import Retry

from paypercall.paying import PaymentDeclined
from paypercall.requests import Session
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market, Reply, Reset, Seen

CONTENT = bytes(range(256)) * 30_000
"""Larger than what is kept in memory, and than what sockets take before anybody reads it."""


def parts() -> Iterator[bytes]:
    for start in range(0, len(CONTENT), 100_000):
        yield CONTENT[start : start + 100_000]


class Once:
    """A file that can be read once only, as a pipe."""

    def __init__(self) -> None:
        self._file = io.BytesIO(CONTENT)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class FromTheMiddle(io.BytesIO):
    """A file of which a part was read already."""

    def __init__(self) -> None:
        super().__init__(b"read before" + CONTENT)
        self.seek(11)


KINDS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: CONTENT,
    "bytearray": lambda: bytearray(CONTENT),
    "memoryview": lambda: memoryview(CONTENT),
    "generator": parts,
    "file": lambda: io.BytesIO(CONTENT),
    "file read in part": FromTheMiddle,
    "pipe": Once,
}


@pytest.fixture
def bodies(market: Market) -> list[bytes]:
    """The bodies that the view gets."""
    got: list[bytes] = []

    def view(seen: Seen) -> Reply:
        got.append(seen.body)
        return Reply(200, [], hashlib.sha256(seen.body).hexdigest().encode())

    market.site.view = view
    return got


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_arrives_whole_when_the_price_is_asked_for_and_when_it_is_known(
    market: Market, api: Session, bodies: list[bytes], kind: str
) -> None:
    url = f"{market.site.url}/bodies/{kind}"
    for _ in range(2):
        assert api.post(url, data=KINDS[kind]()).text == hashlib.sha256(CONTENT).hexdigest()
    assert bodies == [CONTENT] * 2
    assert [seen.package is not None for seen in uploads(market)] == [False, True, True]


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_is_uploaded_once_where_the_merchant_lists_the_price(
    market: Market, api: Session, bodies: list[bytes], kind: str
) -> None:
    market.list_price("POST", "/listed/<kind>")
    for _ in range(2):
        assert api.post(f"{market.site.url}/listed/{kind}", data=KINDS[kind]()).ok
    assert bodies == [CONTENT] * 2
    assert [seen.package is not None for seen in uploads(market)] == [True, True]
    assert [seen.method for seen in market.site.seen] == ["GET", "POST", "POST"]


def uploads(market: Market) -> list[Seen]:
    """The requests that had a body."""
    return [seen for seen in market.site.seen if seen.body]


@pytest.mark.parametrize("price", [99, 600, "varies", -1, 10**20, True])
def test_a_list_that_is_wrong_or_says_nothing_costs_an_upload_and_no_more(
    market: Market, api: Session, bodies: list[bytes], price: int | str
) -> None:
    market.list_price("POST", f"/wrong/{price}", price)
    before = market.spent()
    assert api.post(f"{market.site.url}/wrong/{price}", data=parts()).ok
    assert bodies == [CONTENT]
    assert len(uploads(market)) == 2
    assert market.spent() - before == 100


@pytest.mark.parametrize("answer", [b"", b"[]", b"{" * 100_000, b" " * 300_000, b'{"network": 1}'])
def test_garbage_in_place_of_a_list_says_nothing(
    market: Market, api: Session, bodies: list[bytes], answer: bytes
) -> None:
    def garble(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        return Reply(200, [], answer) if seen.path == "/payment" else honest()

    market.site.trick = garble
    assert api.post(f"{market.site.url}/garbage", data=parts()).ok
    assert bodies == [CONTENT]


def test_who_may_not_be_paid_is_not_asked_for_a_list(market: Market, bodies: list[bytes]) -> None:
    budget = replace(BUDGET, origins=["https://other.example"])
    with Session(market.client, budget) as api, pytest.raises(PaymentDeclined):
        api.post(f"{market.site.url}/unlisted", data=parts())
    assert [seen.path for seen in market.site.seen] == ["/unlisted"]


def test_a_form_with_files_arrives_whole(market: Market, api: Session, bodies: list[bytes]) -> None:
    api.post(market.site.url + "/multipart", data={"name": "value"}, files={"file": io.BytesIO(CONTENT)})
    [body] = bodies
    assert body.count(CONTENT) == 1
    assert b'name="name"\r\n\r\nvalue' in body
    assert uploads(market)[0].body == body


def test_the_payment_is_for_the_very_body_that_comes_with_it(
    market: Market, api: Session, bodies: list[bytes]
) -> None:
    api.post(market.site.url + "/json", json={"a": 1})
    assert bodies == [b'{"a": 1}']
    assert market.site.seen[-1].headers.get("Content-Type") == "application/json"


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_got_lost_on_its_way_is_sent_again_whole(
    market: Market, api: Session, bodies: list[bytes], kind: str
) -> None:
    url = f"{market.site.url}/lost/{kind}"
    api.post(url, data=KINDS[kind]())

    def lose_the_first(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        market.site.trick = None
        raise Reset

    market.site.trick = lose_the_first
    assert api.post(url, data=KINDS[kind]()).ok
    assert bodies == [CONTENT] * 2
    first, second = market.site.packages[-2:]
    assert first == second


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_that_urllib3_sends_again_by_itself_is_whole(
    market: Market, bodies: list[bytes], kind: str
) -> None:
    url, left = f"{market.site.url}/retried/{kind}", [Reset(), Reset()]

    def lose_the_first(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        if left:
            raise left.pop()
        return honest()

    retries = Retry(2, allowed_methods=None, backoff_factor=0)
    with Session(market.client, BUDGET, max_retries=retries) as api:
        api.get_402_info(url, "POST")
        market.site.trick = lose_the_first
        assert api.post(url, data=KINDS[kind]()).ok
    assert bodies == [CONTENT]
    assert len({str(package) for package in market.site.packages}) == 1


@pytest.mark.parametrize("error", [OSError, requests.ConnectionError])
def test_a_stream_that_fails_like_a_connection_is_not_sent_by_halves(
    market: Market, api: Session, bodies: list[bytes], error: type[Exception]
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise error("no more")

    url = market.site.url + "/broken-like-a-connection"
    api.get_402_info(url, "POST")
    with pytest.raises(requests.ConnectionError):
        api.post(url, data=broken())
    assert bodies == []


def test_a_stream_that_fails_is_the_programs_own_error_and_nothing_goes_on_with_half_of_it(
    market: Market, api: Session, bodies: list[bytes]
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        api.post(market.site.url + "/broken", data=broken())
    assert bodies == []


def test_a_free_resource_gets_a_stream_once_and_nothing_before_it(
    market: Market, api: Session, bodies: list[bytes]
) -> None:
    api.put(market.site.url + "/free/stream", data=parts())
    assert bodies == [CONTENT]
    assert len(uploads(market)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_merchant_that_asks_for_payment_before_it_reads_the_body_gets_it_whole_with_the_payment(
    market: Market, api: Session, bodies: list[bytes], kind: str
) -> None:
    market.site.is_hasty = True
    assert api.post(f"{market.site.url}/hasty/{kind}", data=KINDS[kind]()).ok
    assert bodies == [CONTENT]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_known", [False, True])
def test_a_redirection_within_the_origin_carries_the_body_on(
    market: Market, api: Session, bodies: list[bytes], kind: str, is_known: bool
) -> None:
    url = f"{market.site.url}/leads/{kind}"
    if is_known:
        api.get_402_info(url + "/on", "POST")

    def lead_on(seen: Seen, honest: Callable[[], Reply]) -> Reply:
        return honest() if seen.path.endswith("/on") else Reply(307, [("Location", url + "/on")], b"")

    market.site.trick = lead_on
    assert api.post(url, data=KINDS[kind]()).ok
    assert bodies == [CONTENT]


def test_nothing_is_paid_for_a_body_that_was_read_for_another_call(
    market: Market, api: Session, bodies: list[bytes]
) -> None:
    request = api.prepare_request(requests.Request("POST", market.site.url + "/twice", data=parts()))
    assert api.send(request).ok
    with pytest.raises(requests.exceptions.UnrewindableBodyError):
        api.send(request)
    assert bodies == [CONTENT]
    assert len(market.site.packages) == 1
