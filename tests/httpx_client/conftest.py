"""A client of httpx that pays, blocking or not, in the market of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

import httpx
import pytest

from tests.paying import libraries
from tests.paying.fixtures import market, open_for_all
from tests.paying.libraries import OverAsyncHttpx, OverHttpx, opening
from tests.paying.merchant import Market

__all__ = ["Api", "ApiMaker", "api", "make_api", "market", "open_for_all"]


class Api(libraries.Api[httpx.Response], Protocol):
    """A client of httpx that pays."""

    def build(self, method: str, url: str, **kwargs: Any) -> httpx.Request:
        """Makes a request that is not sent yet."""

    def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        """Sends it, and reads the answer."""


ApiMaker: TypeAlias = libraries.ApiMaker[httpx.Response]


@pytest.fixture(params=[OverHttpx, OverAsyncHttpx])
def make_api(market: Market, request: pytest.FixtureRequest) -> Iterator[ApiMaker]:
    """Makes clients, which are closed when the test is over."""
    with opening(request.param, market, timeout=0.75, patience=1.5) as make:
        yield make


@pytest.fixture
def api(make_api: ApiMaker) -> Api:
    """A client that pays for its calls."""
    return make_api()
