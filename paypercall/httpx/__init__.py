"""Paying for calls that are made with httpx: a transport for `httpx.Client`, and one for `httpx.AsyncClient`.

A transport sits below redirections, which `httpx.Auth` does not: a payment is put into one request to one origin, never
into what the client sends elsewhere. What is sent again, and what is paid, is decided in `paying/`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import anyio
import anyio.to_thread
import httpx

from paypercall.asynchronous import AsyncClient
from paypercall.client import Client
from paypercall.httpx.bodies import MAX_PRICE, Body
from paypercall.httpx.driving import drive_async
from paypercall.httpx.sending import AsyncSending, Sending, has_proxy
from paypercall.paying.budget import Budget, origin_of
from paypercall.paying.chain import Chain
from paypercall.paying.clients import ClientFactory
from paypercall.paying.driving import drive
from paypercall.paying.exchange import exchange
from paypercall.paying.offer import Offer, require_offer
from paypercall.paying.payer import PATIENCE_SECONDS, Payer

__all__ = ["MAX_PRICE", "AsyncPaymentTransport", "PaymentTransport"]


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
            PaymentRejected: When the merchant is paid and asks again; `NotYetAccepted` if it takes the payment later.
            RefundMissing: In strict mode.
            httpx.TransportError: When there is no answer.
        """
        origin = origin_of(str(request.url))
        if origin is None:
            return self._inner.handle_request(request)
        body = Body(request, origin, iter, is_proxied=has_proxy(self._inner))
        sending = Sending(self._inner, body)
        try:
            response: httpx.Response = drive(exchange(self._payer, body.call), sending.send, sending.look)
        except BaseException as error:
            body.call.chain.ends(None)
            sending.give_up(error)
            raise
        body.call.chain.ends(response.status_code)
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
        body = Body(request, origin, aiter, is_proxied=has_proxy(self._inner))
        sending = AsyncSending(self._inner, body)
        try:
            response: httpx.Response = await drive_async(
                exchange(self._payer, body.call), sending.send, sending.look
            )
        except BaseException as error:
            body.call.chain.ends(None)
            await sending.give_up(error)
            raise
        body.call.chain.ends(response.status_code)
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


def _offer_in(response: httpx.Response) -> Offer | None:
    if response.status_code == 402:
        return require_offer(response.headers)
    response.raise_for_status()
    return None
