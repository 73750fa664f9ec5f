"""Paying for calls that are made with httpx: a transport for `httpx.Client`, and one for `httpx.AsyncClient`.

A transport sits below redirections, which `httpx.Auth` does not: a payment is put into one request to one origin, never
into what the client sends elsewhere. What is sent again, and what is paid, is decided in `paying/`.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import anyio
import anyio.to_thread
import httpx

from paypercall import wire
from paypercall.asynchronous import AsyncClient
from paypercall.client import Client
from paypercall.paying.body import Kept, Traits
from paypercall.paying.budget import Budget, origin_of
from paypercall.paying.call import Call, Chain, Head, Lost, join_cookies
from paypercall.paying.driving import drive
from paypercall.paying.exchange import Do, Look, Pause, Send, Steps, exchange
from paypercall.paying.offer import Offer, require_offer
from paypercall.paying.payer import PATIENCE_SECONDS, ClientFactory, Payer
from paypercall.paying.price_list import MAX_LIST
from paypercall.paying.rest import Fate, Rest

MAX_PRICE = "max_price"
"""The extension of a request that limits what it may cost, in bytes or units of the asset."""

_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_MOST_READ = 1024 * 1024
"""Answers up to this length count as answered only when they are there as a whole; merchants keep no longer ones."""


class _Transport:
    """What the two transports share.

    Args:
        client: Pays its payee; the budget may allow others.
        budget: What may be spent; several, one for each asset.
        clients: Makes the clients of other payees and assets; by default each is like `client`, with the same deposits.
        strict: Whether a refund that is missing or wrong raises `RefundMissing`; it is told as an event in any case.
        patience: Seconds to wait at most, in one call, for a merchant that says: later.
    """

    def __init__(
        self,
        client: Client,
        budget: Budget | Iterable[Budget],
        *,
        clients: ClientFactory | None = None,
        strict: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._payer = Payer(client, budget, clients=clients, strict=strict, patience=patience)


class PaymentTransport(_Transport, httpx.BaseTransport):
    """Pays for the calls of an `httpx.Client`; see `_Transport` for the arguments.

    A call with `extensions={"max_price": …}` has a limit of its own. For the HTTP library's own settings hand in the
    `transport` that is to send.
    """

    def __init__(
        self,
        client: Client,
        budget: Budget | Iterable[Budget],
        *,
        transport: httpx.BaseTransport | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(client, budget, **kwargs)
        self._inner = transport or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request, pays if it is asked to, and sends it again.

        Raises:
            PaymentDeclined: When it costs what the budget does not allow.
            PaymentRejected: When the merchant is paid and asks again.
            RefundMissing: In strict mode.
            httpx.TransportError: When there is no answer.
        """
        origin = origin_of(str(request.url))
        if origin is None:
            return self._inner.handle_request(request)
        body = _Body(request, origin, iter)
        last: httpx.Response | None = None
        rest: Rest | None = None

        def send(package: str | None) -> Head | Lost:
            nonlocal last, rest
            if last is not None:
                last.close()
                body.passes_over(last)
                last = None
            try:
                last = self._inner.handle_request(body.request_with(package))
                if _is_short(last):
                    assert isinstance(last.stream, httpx.SyncByteStream)
                    with closing(last):
                        last = _whole(last, b"".join(last.stream))
                elif package is not None:
                    rest = Rest()
                    last.stream = _Stream(last.stream, rest)
            except httpx.TransportError as error:
                return Lost(error, _may_have_left(self._inner, error))
            return Head(last.status_code, last.headers, last, rest)

        def look(url: str) -> bytes | None:
            text = b""
            try:
                with closing(self._inner.handle_request(body.look_at(url))) as found:
                    assert isinstance(found.stream, httpx.SyncByteStream)
                    for part in found.stream:
                        text += part
                        if len(text) > MAX_LIST:
                            break
            except httpx.TransportError:
                return None
            return text if found.is_success else None

        try:
            response: httpx.Response = drive(exchange(self._payer, body.call), send, look)
        except BaseException as error:
            if rest is not None:
                rest.end(Fate.BROKEN)
            if last is not None and getattr(error, "response", None) is not last:
                last.close()
            raise
        finally:
            body.call.chain.forget_unless_followed(None if last is None else last.status_code)
        return body.with_cookies(response)

    def get_402_info(self, url: str, method: str = "GET", **kwargs: Any) -> Offer | None:
        """Makes a call without paying, and gives the terms if it costs something; None if it does not.

        A resource that is free does what is asked of it. The price is remembered: the next call pays at once.

        Args:
            url: The whole address.
            method: The method.
            **kwargs: Those of `httpx.Client.build_request`; what the program's client sends by itself, such as
                headers and cookies, is not known here. The time-out is httpx's default.

        Raises:
            WrongOffer: When the terms make no sense, or none that can be paid from here are told.
            httpx.HTTPStatusError: When the answer is neither a success nor a 402, so that nothing is known.
            httpx.TransportError: When there is no answer.
        """
        with httpx.Client(transport=_Lent(self), follow_redirects=True, trust_env=False) as api:
            request = api.build_request(method, url, **kwargs)
            Chain.forbid(request.extensions)
            with closing(api.send(request, stream=True)) as response:
                return _offer_in(response)

    def __enter__(self) -> PaymentTransport:
        self._inner.__enter__()
        return self

    def close(self) -> None:
        """Closes the connections, and the clients that were made for other payees."""
        self._inner.close()
        self._payer.close()


class AsyncPaymentTransport(_Transport, httpx.AsyncBaseTransport):
    """Pays for the calls of an `httpx.AsyncClient`; like `PaymentTransport`.

    The client that pays may be of either kind: what blocks is done in threads.
    """

    def __init__(
        self,
        client: Client | AsyncClient,
        budget: Budget | Iterable[Budget],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(client.party if isinstance(client, AsyncClient) else client, budget, **kwargs)
        self._inner = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request, pays if it is asked to, and sends it again; see `PaymentTransport.handle_request`."""
        origin = origin_of(str(request.url))
        if origin is None:
            return await self._inner.handle_async_request(request)
        body = _Body(request, origin, aiter)
        last: httpx.Response | None = None
        rest: Rest | None = None

        async def send(package: str | None) -> Head | Lost:
            nonlocal last, rest
            if last is not None:
                await last.aclose()
                body.passes_over(last)
                last = None
            try:
                last = await self._inner.handle_async_request(body.request_with(package))
                if _is_short(last):
                    assert isinstance(last.stream, httpx.AsyncByteStream)
                    try:
                        content = b"".join([part async for part in last.stream])
                    finally:
                        await last.aclose()
                    last = _whole(last, content)
                elif package is not None:
                    rest = Rest()
                    last.stream = _AsyncStream(last.stream, rest)
            except httpx.TransportError as error:
                return Lost(error, _may_have_left(self._inner, error))
            return Head(last.status_code, last.headers, last, rest)

        async def look(url: str) -> bytes | None:
            text = b""
            try:
                found = await self._inner.handle_async_request(body.look_at(url))
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

        try:
            response: httpx.Response = await _drive(exchange(self._payer, body.call), send, look)
        except BaseException as error:
            if rest is not None:
                rest.end(Fate.BROKEN)
            if last is not None and getattr(error, "response", None) is not last:
                await last.aclose()
            raise
        finally:
            body.call.chain.forget_unless_followed(None if last is None else last.status_code)
        return body.with_cookies(response)

    async def get_402_info(self, url: str, method: str = "GET", **kwargs: Any) -> Offer | None:
        """Makes a call without paying, and gives the terms; see `PaymentTransport.get_402_info`."""
        async with httpx.AsyncClient(
            transport=_AsyncLent(self), follow_redirects=True, trust_env=False
        ) as api:
            request = api.build_request(method, url, **kwargs)
            Chain.forbid(request.extensions)
            response = await api.send(request, stream=True)
            try:
                return _offer_in(response)
            finally:
                await response.aclose()

    async def __aenter__(self) -> AsyncPaymentTransport:
        await self._inner.__aenter__()
        return self

    async def aclose(self) -> None:
        """Closes the connections, and the clients that were made for other payees."""
        await self._inner.aclose()
        await anyio.to_thread.run_sync(self._payer.close)


class _Lent(httpx.BaseTransport):
    """A transport that stays open when its client is closed."""

    def __init__(self, transport: PaymentTransport) -> None:
        self.handle_request = transport.handle_request  # type: ignore[method-assign]


class _AsyncLent(httpx.AsyncBaseTransport):
    """The twin of `_Lent`."""

    def __init__(self, transport: AsyncPaymentTransport) -> None:
        self.handle_async_request = transport.handle_async_request  # type: ignore[method-assign]


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A request's body, to be sent as often as needed, and the call that it belongs to.

    Args:
        request: The request.
        origin: Where it goes.
        iterate: `iter` or `aiter`: some bodies can do both.

    Raises:
        httpx.StreamConsumed: When it could be read once only, and was.
    """

    def __init__(self, request: httpx.Request, origin: str, iterate: Callable[[Any], Any]) -> None:
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
            self._kept = chain.keep(
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


async def _drive(steps: Steps, send: Any, look: Any) -> Any:
    """Leads an exchange to its end without blocking; the twin of `paying.driving.drive`."""
    with closing(steps):
        try:
            step = next(steps)
            while True:
                if isinstance(step, Send):
                    step = steps.send(await send(step.package))
                elif isinstance(step, Look):
                    step = steps.send(await look(step.url))
                elif isinstance(step, Pause):
                    await anyio.sleep(step.seconds)
                    step = next(steps)
                else:
                    try:
                        outcome = await _do(step)
                    except Exception as error:  # noqa: BLE001  it is the exchange's
                        step = steps.throw(error)
                    else:
                        step = steps.send(outcome)
        except StopIteration as end:
            return end.value


class _Errand:
    """A function that runs in a thread, and may be left alone there: asyncio's own cancellation waits for none."""

    def __init__(self, step: Do) -> None:
        self._step = step
        self._lock = threading.Lock()
        self._is_left = False
        self._outcomes: list[Any] = []

    def run(self) -> Any:
        """Runs it; what nobody waits for any more is undone."""
        outcome = self._step.function()
        with self._lock:
            self._outcomes.append(outcome)
            is_left = self._is_left
        if is_left:
            self._step.undo(outcome)
        return outcome

    def leave(self) -> None:
        """Waits for it no more."""
        with self._lock:
            self._is_left = True
            done = list(self._outcomes)
        for outcome in done:
            self._step.undo(outcome)


async def _do(step: Do) -> Any:
    errand = _Errand(step)
    try:
        return await anyio.to_thread.run_sync(errand.run)
    except anyio.get_cancelled_exc_class():
        errand.leave()
        raise


class _Stream(httpx.SyncByteStream):
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


class _AsyncStream(httpx.AsyncByteStream):
    """The twin of `_Stream`."""

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
            self._rest.end(Fate.BROKEN)
            raise
        await anyio.to_thread.run_sync(self._rest.end)

    async def aclose(self) -> None:
        """Who closes early wants no more."""
        await self._stream.aclose()
        await anyio.to_thread.run_sync(self._rest.end)


def _may_have_left(inner: object, error: httpx.TransportError) -> bool:
    """Whether a payment may be on its way: another transport than httpx's own may have tried more than once."""
    is_own = type(inner) in (httpx.HTTPTransport, httpx.AsyncHTTPTransport)
    return not (is_own and isinstance(error, _NO_CONNECTION))


def _is_short(response: httpx.Response) -> bool:
    length = response.headers.get("Content-Length", "")
    return length.isascii() and length.isdigit() and len(length) < 10 and int(length) <= _MOST_READ


def _whole(response: httpx.Response, content: bytes) -> httpx.Response:
    """An answer that is there as a whole; its content is encoded as it came."""
    return httpx.Response(
        response.status_code,
        headers=response.headers,
        stream=httpx.ByteStream(content),
        extensions=response.extensions,
    )


def _offer_in(response: httpx.Response) -> Offer | None:
    if response.status_code == 402:
        return require_offer(response.headers)
    response.raise_for_status()
    return None
