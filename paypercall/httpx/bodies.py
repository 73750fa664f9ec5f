"""Bodies of requests and of answers as httpx has them: sent as often as needed, and watched until they end."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import httpx

from paypercall import wire
from paypercall.httpx.driving import do_anyway
from paypercall.paying.body import Kept, Traits
from paypercall.paying.call import Call, join_cookies
from paypercall.paying.chain import Chain
from paypercall.paying.rest import Fate, Rest

MAX_PRICE = "max_price"
"""The extension of a request that limits what it may cost, in bytes or units of the asset."""

_MOST_READ = 1024 * 1024
"""Answers up to this length count as answered only when they are there as a whole.

Merchants keep shorter ones by default, up to 256 KiB, to answer again when one has not arrived; some are set to more.
"""


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A request's body, to be sent as often as needed, and the call that it belongs to.

    Args:
        request: The request.
        origin: Where it goes.
        iterate: `iter` or `aiter`: some bodies can do both.
        is_proxied: Whether a proxy is asked for it.

    Raises:
        httpx.StreamConsumed: When it could be read once only, and was.
    """

    def __init__(
        self, request: httpx.Request, origin: str, iterate: Callable[[Any], Any], *, is_proxied: bool
    ) -> None:
        self._request = request
        self._cookies = httpx.Cookies()
        self._set_cookies: list[str] = []
        self._kept: Kept | None = None
        # The extensions are what a request shares with its redirections.
        chain = Chain.of(request.extensions, request, origin)
        chain.strip(request.headers, origin)
        traits = Traits()
        if isinstance(request.stream, httpx.ByteStream):
            traits = Traits.of(b"".join(request.stream))
        else:
            # Forms with files, alone among what is not there as a whole, can be read both ways, and again.
            is_form = isinstance(request.stream, httpx.SyncByteStream) and isinstance(
                request.stream, httpx.AsyncByteStream
            )
            self._kept = chain.body.of(
                request.stream, lambda: Kept(iterate(request.stream)), is_once=not is_form
            )
            if self._kept is None:
                raise httpx.StreamConsumed
        self.call = Call.of(
            request.method,
            str(request.url),
            request.headers,
            traits,
            chain,
            request.extensions.get(MAX_PRICE),
            is_proxied=is_proxied,
        )

    def request_with(self, package: str | None) -> httpx.Request:
        """The request with a payment, or without; the program's own stays without."""
        request = self._request
        headers = request.headers.copy()
        if self._set_cookies:
            more = httpx.Request(request.method, request.url)
            self._cookies.set_cookie_header(more)
            if "Cookie" in more.headers:
                headers["Cookie"] = join_cookies(headers.get("Cookie"), more.headers["Cookie"])
        if package is not None:
            headers[wire.PACKAGE] = package
        return httpx.Request(
            request.method,
            request.url,
            headers=headers,
            stream=request.stream if self._kept is None else self,
            extensions=request.extensions,
        )

    def passes_over(self, response: httpx.Response) -> None:
        """Keeps the cookies of an answer that the program does not get."""
        response.request = self._request
        self._cookies.extract_cookies(response)
        self._set_cookies += response.headers.get_list("Set-Cookie")

    def with_cookies(self, response: httpx.Response) -> httpx.Response:
        """The answer, with the cookies of those that the program does not get."""
        if self._set_cookies:
            first = [("Set-Cookie", text) for text in self._set_cookies]
            response.headers = httpx.Headers([*first, *response.headers.multi_items()])
        return response

    def look_at(self, url: str) -> httpx.Request:
        """Another request, with nothing of this one but how long it may take."""
        timeout = self._request.extensions.get("timeout")
        return httpx.Request("GET", url, extensions=None if timeout is None else {"timeout": timeout})

    def __iter__(self) -> Iterator[bytes]:
        assert self._kept is not None
        return iter(self._kept)

    def __aiter__(self) -> AsyncIterator[bytes]:
        assert self._kept is not None
        return aiter(self._kept)


class Stream(httpx.SyncByteStream):
    """The body of an answer that is paid for; tells whether it was read to its end, or broke off."""

    def __init__(self, stream: Any, rest: Rest) -> None:
        self._stream = stream
        self._rest = rest
        weakref.finalize(self, rest.end, Fate.DROPPED).atexit = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except GeneratorExit:
            raise
        except BaseException:
            self._rest.end(Fate.BROKEN)
            raise
        self._rest.end()

    def close(self) -> None:
        """Who closes early wants no more."""
        self._stream.close()
        self._rest.end()


class AsyncStream(httpx.AsyncByteStream):
    """The twin of `Stream`."""

    def __init__(self, stream: Any, rest: Rest) -> None:
        self._stream = stream
        self._rest = rest
        weakref.finalize(self, rest.end, Fate.DROPPED).atexit = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except GeneratorExit:
            raise
        except BaseException:
            await do_anyway(self._rest.end, Fate.BROKEN)
            raise
        await anyio.to_thread.run_sync(self._rest.end)

    async def aclose(self) -> None:
        """Who closes early wants no more."""
        await self._stream.aclose()
        await anyio.to_thread.run_sync(self._rest.end)


def is_short(response: httpx.Response) -> bool:
    length = response.headers.get("Content-Length", "")
    return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= _MOST_READ


def whole(response: httpx.Response, content: bytes) -> httpx.Response:
    """An answer that is there as a whole; its content is encoded as it came."""
    return httpx.Response(
        response.status_code,
        headers=response.headers,
        stream=httpx.ByteStream(content),
        extensions=response.extensions,
    )
