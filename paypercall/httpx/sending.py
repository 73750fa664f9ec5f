"""Sends the request of one call as often as it is asked to, each time with its body and the cookies that came.

What is sent when, and what is paid, is decided in `paying/`. Of each pair, one is for each kind of transport.
"""

from __future__ import annotations

from contextlib import closing
from typing import Generic, TypeVar

import httpcore
import httpx

from paypercall.httpx.bodies import AsyncStream, Body, Stream, is_short, whole
from paypercall.httpx.driving import do_anyway
from paypercall.paying.call import Head, Lost
from paypercall.paying.price_list import MAX_LIST
from paypercall.paying.rest import Fate, Rest

_Transport = TypeVar("_Transport", httpx.BaseTransport, httpx.AsyncBaseTransport)

_PROXIES = (httpcore.HTTPProxy, httpcore.SOCKSProxy, httpcore.AsyncHTTPProxy, httpcore.AsyncSOCKSProxy)
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class _Sending(Generic[_Transport]):
    """What the two share.

    Args:
        transport: Sends.
        body: The request's.
    """

    def __init__(self, transport: _Transport, body: Body) -> None:
        self._transport: _Transport = transport
        self._body = body
        self._last: httpx.Response | None = None
        self._rest: Rest | None = None

    def _lost(self, error: httpx.TransportError) -> Lost:
        # Another transport than httpx's own may have tried more than once.
        is_own = type(self._transport) in (httpx.HTTPTransport, httpx.AsyncHTTPTransport)
        return Lost(error, may_have_left=not (is_own and isinstance(error, _NO_CONNECTION)))

    def _head(self, response: httpx.Response) -> Head:
        return Head(response.status_code, response.headers, response, self._rest)

    def _left_open(self, error: BaseException) -> httpx.Response | None:
        """The answer to close after a call that failed: not the one that its error carries."""
        return None if getattr(error, "response", None) is self._last else self._last


class Sending(_Sending[httpx.BaseTransport]):
    """The request of a call, sent by a transport that blocks."""

    def send(self, package: str | None) -> Head | Lost:
        """Sends it once, with a payment or without; the answer before is closed."""
        if self._last is not None:
            self._last.close()
            self._body.passes_over(self._last)
            self._last = None
        try:
            last = self._last = self._transport.handle_request(self._body.request_with(package))
            if is_short(last):
                assert isinstance(last.stream, httpx.SyncByteStream)
                with closing(last):
                    last = self._last = whole(last, b"".join(last.stream))
            elif package is not None:
                self._rest = Rest()
                last.stream = Stream(last.stream, self._rest)
        except httpx.TransportError as error:
            return self._lost(error)
        return self._head(last)

    def look(self, url: str) -> bytes | None:
        """Gets what is at an address, without anything of the request."""
        text = b""
        try:
            with closing(self._transport.handle_request(self._body.look_at(url))) as found:
                assert isinstance(found.stream, httpx.SyncByteStream)
                for part in found.stream:
                    text += part
                    if len(text) > MAX_LIST:
                        break
        except httpx.TransportError:
            return None
        return text if found.is_success else None

    def give_up(self, error: BaseException) -> None:
        """Closes what is open after a call that failed."""
        if self._rest is not None:
            self._rest.end(Fate.BROKEN)
        if (last := self._left_open(error)) is not None:
            last.close()


class AsyncSending(_Sending[httpx.AsyncBaseTransport]):
    """The request of a call, sent by a transport that does not block; like `Sending`."""

    async def send(self, package: str | None) -> Head | Lost:
        """Sends it once, with a payment or without; the answer before is closed."""
        if self._last is not None:
            await self._last.aclose()
            self._body.passes_over(self._last)
            self._last = None
        try:
            last = self._last = await self._transport.handle_async_request(self._body.request_with(package))
            if is_short(last):
                assert isinstance(last.stream, httpx.AsyncByteStream)
                try:
                    content = b"".join([part async for part in last.stream])
                finally:
                    await last.aclose()
                last = self._last = whole(last, content)
            elif package is not None:
                self._rest = Rest()
                last.stream = AsyncStream(last.stream, self._rest)
        except httpx.TransportError as error:
            return self._lost(error)
        return self._head(last)

    async def look(self, url: str) -> bytes | None:
        """Gets what is at an address, without anything of the request."""
        text = b""
        try:
            found = await self._transport.handle_async_request(self._body.look_at(url))
            try:
                assert isinstance(found.stream, httpx.AsyncByteStream)
                async for part in found.stream:
                    text += part
                    if len(text) > MAX_LIST:
                        break
            finally:
                await found.aclose()
        except httpx.TransportError:
            return None
        return text if found.is_success else None

    async def give_up(self, error: BaseException) -> None:
        """Closes what is open after a call that failed."""
        if self._rest is not None:
            await do_anyway(self._rest.end, Fate.BROKEN)
        if (last := self._left_open(error)) is not None:
            await last.aclose()


def has_proxy(transport: object) -> bool:
    """Whether a transport asks a proxy; of one that is not httpx's own, its maker knows."""
    return isinstance(getattr(transport, "_pool", None), _PROXIES)
