"""The HTTP libraries that a program may pay with, each called in the same way: requests, and httpx, blocking or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Protocol, TypeVar

import httpx
import requests

from paypercall.client import Client
from paypercall.httpx import AsyncPaymentTransport, PaymentTransport
from paypercall.paying import Budget, Offer
from paypercall.requests import Session
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Market


class Answer(Protocol):
    """What all of them tell of an answer."""

    @property
    def status_code(self) -> int:
        """The status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""

    @property
    def text(self) -> str:
        """The body."""

    def json(self) -> Any:
        """The body, read as JSON."""


AnswerT_co = TypeVar("AnswerT_co", bound=Answer, covariant=True)


class Api(Protocol[AnswerT_co]):
    """A program's way to an API, which pays.

    Attributes:
        no_answer: What the library raises when there is no answer.
        timed_out: What it raises when that does not come in time.
    """

    no_answer: type[Exception]
    timed_out: type[Exception]

    def request(self, method: str, url: str, **kwargs: Any) -> AnswerT_co:
        """Makes a call, and reads the answer."""

    def terms(self, url: str, method: str = "GET", **kwargs: Any) -> Offer | None:
        """Asks for the terms."""

    def close(self) -> None:
        """Closes it."""


class ApiMaker(Protocol[AnswerT_co]):
    """Makes one with a budget and settings of its own, for the market's customer or another one."""

    def __call__(
        self, budget: Budget = BUDGET, *, client: Client | None = None, **options: Any
    ) -> Api[AnswerT_co]:
        """Makes one."""


class OverRequests:
    """A session of requests."""

    no_answer: type[Exception] = requests.RequestException
    timed_out: type[Exception] = requests.Timeout

    def __init__(self, client: Client, budget: Budget, *, timeout: float, **options: Any) -> None:
        self._session = Session(client, budget, **options)
        self._timeout = timeout

    def request(self, method: str, url: str, *, content: Any = None, **kwargs: Any) -> requests.Response:
        return self._session.request(method, url, data=content, **{"timeout": self._timeout, **kwargs})

    def terms(self, url: str, method: str = "GET", **kwargs: Any) -> Offer | None:
        return self._session.get_402_info(url, method, timeout=self._timeout, **kwargs)

    def close(self) -> None:
        self._session.close()


class OverHttpx:
    """An `httpx.Client`."""

    no_answer: type[Exception] = httpx.TransportError
    timed_out: type[Exception] = httpx.TimeoutException

    def __init__(self, client: Client, budget: Budget, *, timeout: float, **options: Any) -> None:
        self._transport = PaymentTransport(client, budget, **options)
        self._client = httpx.Client(transport=self._transport, follow_redirects=True, timeout=timeout)

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        return self._client.request(method, url, **kwargs)

    def build(self, method: str, url: str, **kwargs: Any) -> httpx.Request:
        return self._client.build_request(method, url, **kwargs)

    def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        return self._client.send(request, **kwargs)

    def terms(self, url: str, method: str = "GET", **kwargs: Any) -> Offer | None:
        return self._transport.get_402_info(url, method, **kwargs)

    def close(self) -> None:
        self._client.close()


class OverAsyncHttpx:
    """An `httpx.AsyncClient`, with a loop of its own."""

    no_answer: type[Exception] = httpx.TransportError
    timed_out: type[Exception] = httpx.TimeoutException

    def __init__(self, client: Client, budget: Budget, *, timeout: float, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._transport = AsyncPaymentTransport(client, budget, **options)
        self._client = httpx.AsyncClient(transport=self._transport, follow_redirects=True, timeout=timeout)

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        content = kwargs.get("content")
        if isinstance(content, Iterable) and not isinstance(content, bytes):
            kwargs["content"] = _awaited(content)
        return self._loop.run_until_complete(self._client.request(method, url, **kwargs))

    def build(self, method: str, url: str, **kwargs: Any) -> httpx.Request:
        return self._client.build_request(method, url, **kwargs)

    def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        return self._loop.run_until_complete(self._client.send(request, **kwargs))

    def terms(self, url: str, method: str = "GET", **kwargs: Any) -> Offer | None:
        return self._loop.run_until_complete(self._transport.get_402_info(url, method, **kwargs))

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _awaited(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@contextmanager
def opening(
    kind: type[OverRequests | OverHttpx | OverAsyncHttpx], market: Market, **settings: Any
) -> Iterator[ApiMaker[Any]]:
    """Makes what calls with one of the libraries, for as long as it is wanted.

    Args:
        kind: The way to call.
        market: Whose customer pays.
        **settings: Those that hold where the test says nothing else; `timeout` among them, in seconds.
    """
    with ExitStack() as made:

        def make(budget: Budget = BUDGET, *, client: Client | None = None, **options: Any) -> Api[Any]:
            api = kind(client or market.client, budget, **{**settings, **options})
            return made.enter_context(closing(api))

        yield make
