"""A client of httpx that pays, blocking or not, in the market of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import httpx
import pytest

from tests.paying import libraries
from tests.paying.fixtures import market, open_for_all
from tests.paying.libraries import OverAsyncHttpx, OverHttpx, opening
from tests.paying.merchant import Market

__all__ = ["Api", "ApiMaker", "api", "make_api", "market", "open_for_all"]

Api: TypeAlias = libraries.Api[httpx.Response]
ApiMaker: TypeAlias = libraries.ApiMaker[httpx.Response]


@pytest.fixture(params=[OverHttpx, OverAsyncHttpx])
def make_api(market: Market, request: pytest.FixtureRequest) -> Iterator[ApiMaker]:
    """Makes clients, which are closed when the test is over."""
    with opening(request.param, market, timeout=0.5, patience=1.0) as make:
        yield make


@pytest.fixture
def api(make_api: ApiMaker) -> Api:
    """A client that pays for its calls."""
    return make_api()
