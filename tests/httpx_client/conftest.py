"""A client of httpx that pays, blocking or not, in the market of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Protocol

import httpx
import pytest

from paypercall.httpx import AsyncPaymentTransport, PaymentTransport
from paypercall.paying import Budget, Offer
from tests.paying.fixtures import BUDGET, market, open_for_all
from tests.paying.merchant import Market

__all__ = ["Api", "ApiMaker", "api", "make_api", "market", "open_for_all"]


class Api(Protocol):
    """A client of httpx that pays."""

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        """Makes a call, and reads the answer."""

    def terms(self, url: str, method: str = "GET") -> Offer | None:
        """Asks for the terms."""

    def close(self) -> None:
        """Closes it."""


class ApiMaker(Protocol):
    """Makes one with a budget of its own."""

    def __call__(self, budget: Budget = BUDGET, **options: Any) -> Api:
        """Makes one."""


class Blocking:
    """An `httpx.Client`."""

    def __init__(self, market: Market, budget: Budget, **options: Any) -> None:
        self._transport = PaymentTransport(market.client, budget, patience=1.0, **options)
        self._client = httpx.Client(transport=self._transport, follow_redirects=True, timeout=0.5)

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        return self._client.request(method, url, **kwargs)

    def terms(self, url: str, method: str = "GET") -> Offer | None:
        return self._transport.get_402_info(url, method)

    def close(self) -> None:
        self._client.close()


class NotBlocking:
    """An `httpx.AsyncClient`, with a loop of its own."""

    def __init__(self, market: Market, budget: Budget, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._transport = AsyncPaymentTransport(market.client, budget, patience=1.0, **options)
        self._client = httpx.AsyncClient(transport=self._transport, follow_redirects=True, timeout=0.5)

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        content = kwargs.get("content")
        if isinstance(content, Iterable) and not isinstance(content, bytes):
            kwargs["content"] = _awaited(content)
        return self._loop.run_until_complete(self._client.request(method, url, **kwargs))

    def terms(self, url: str, method: str = "GET") -> Offer | None:
        return self._loop.run_until_complete(self._transport.get_402_info(url, method))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _awaited(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.fixture(params=[Blocking, NotBlocking])
def make_api(market: Market, request: pytest.FixtureRequest) -> Iterator[ApiMaker]:
    """Makes clients, which are closed when the test is over."""
    made: list[Api] = []

    def make(budget: Budget = BUDGET, **options: Any) -> Api:
        made.append(request.param(market, budget, **options))
        return made[-1]

    yield make
    for api in made:
        api.close()


@pytest.fixture
def api(make_api: ApiMaker) -> Api:
    """A client that pays for its calls."""
    return make_api()
