"""Programs that pay, each with all of the HTTP libraries, in the market of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.paying.fixtures import market, open_for_all
from tests.paying.libraries import Answer, Api, ApiMaker, OverAsyncHttpx, OverHttpx, OverRequests, opening
from tests.paying.merchant import Market

__all__ = ["api", "make_api", "market", "open_for_all", "url"]


@pytest.fixture(params=[OverRequests, OverHttpx, OverAsyncHttpx])
def make_api(market: Market, request: pytest.FixtureRequest) -> Iterator[ApiMaker[Answer]]:
    """Makes what calls and pays, which is closed when the test is over."""
    with opening(request.param, market, timeout=10.0, patience=1.5) as make:
        yield make


@pytest.fixture
def api(make_api: ApiMaker[Answer]) -> Api[Answer]:
    """Calls, and pays for it."""
    return make_api()


@pytest.fixture
def url(market: Market, request: pytest.FixtureRequest) -> str:
    """An address of the test's own, whose price nobody knows yet."""
    return f"{market.site.url}/{request.node.name}"
