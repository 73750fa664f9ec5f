"""Bodies of every kind arrive whole, whether the price is known or not, and are uploaded once when it is."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paypercall.requests import Session
from tests.paying.merchant import Market, Reply, Reset, Seen

CONTENT = bytes(range(256)) * 1000
"""Larger than a chunk, and than what is sent at once."""


def parts() -> Iterator[bytes]:
    for start in range(0, len(CONTENT), 10_000):
        yield CONTENT[start : start + 10_000]


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
    assert len(market.site.seen) == 3


def test_a_form_with_files_arrives_whole(market: Market, api: Session, bodies: list[bytes]) -> None:
    api.post(market.site.url + "/multipart", data={"name": "value"}, files={"file": io.BytesIO(CONTENT)})
    [body] = bodies
    assert body.count(CONTENT) == 1
    assert b'name="name"\r\n\r\nvalue' in body
    assert market.site.seen[0].body == body


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
    assert len(market.site.seen) == 1


def test_a_body_larger_than_memory_should_hold_is_kept_in_a_file(
    market: Market, api: Session, bodies: list[bytes], tmp_path: Path
) -> None:
    large = os.urandom(3 * 1024 * 1024)
    assert api.post(
        market.site.url + "/large", data=(large[n : n + 50_000] for n in range(0, len(large), 50_000))
    ).ok
    assert bodies == [large]
