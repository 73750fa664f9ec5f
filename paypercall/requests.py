"""Paying for calls that are made with requests: a `Session`, and an adapter for sessions that are there already.

The adapter sits below redirections: a payment is put into one request to one origin, never into what the session sends
elsewhere. What is sent again, and what is paid, is decided in `paying/`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar, extract_cookies_to_jar, get_cookie_header
from requests.utils import select_proxy
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from paypercall import wire
from paypercall.client import Client
from paypercall.paying.body import CHUNK, Kept, Traits
from paypercall.paying.budget import Budget, origin_of
from paypercall.paying.call import Call, Head, Lost, join_cookies
from paypercall.paying.chain import Chain
from paypercall.paying.clients import ClientFactory
from paypercall.paying.driving import drive
from paypercall.paying.exchange import exchange
from paypercall.paying.offer import Offer, require_offer
from paypercall.paying.payer import PATIENCE_SECONDS, Payer
from paypercall.paying.price_list import MAX_LIST
from paypercall.paying.rest import Fate, Rest

_max_price: ContextVar[int | None] = ContextVar("paypercall_max_price", default=None)
_may_pay: ContextVar[bool] = ContextVar("paypercall_may_pay", default=True)


class PaymentAdapter(HTTPAdapter):
    """Pays for the calls to the addresses that it is mounted for.

    Args:
        client: Pays its payee; the budget may allow others.
        budget: What may be spent; several, one for each asset.
        clients: Makes the clients of other payees and assets; by default each is like `client`, with the same deposits.
        strict: Whether a refund that is missing or wrong raises `RefundMissing`; it is told as an event in any case.
        patience: Seconds to wait at most, in one call, for a merchant that says: later.
        **kwargs: Those of `HTTPAdapter`. Of `max_retries`, what retries answers is left out: what urllib3 throws away
            has a receipt, and maybe a refund, and the next package would be the same.
    """

    def __init__(
        self,
        client: Client,
        budget: Budget | Iterable[Budget],
        *,
        clients: ClientFactory | None = None,
        strict: bool = False,
        patience: float = PATIENCE_SECONDS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_retries = self.max_retries.new(status_forcelist=(), respect_retry_after_header=False)
        self._payer = Payer(client, budget, clients=clients, strict=strict, patience=patience)
        _adapters.add(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuses to be pickled or copied deeply: a copy would know nothing of what this one has paid.

        Raises:
            TypeError: In any case.
        """
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: make one where it is needed")

    def _begin_in_child(self) -> None:
        """Leaves the connections to the process that this one was forked from: on one, each would read the other's."""
        # As after unpickling, with no lock that another thread may have held at the fork.
        self.__setstate__(self.__getstate__())  # type: ignore[attr-defined]  # which the stubs leave out

    def close(self) -> None:
        """Closes the connections, and the clients that were made for other payees."""
        super().close()
        self._payer.close()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Sends a request, pays if it is asked to, and sends it again.

        Raises:
            PaymentDeclined: When it costs what the budget does not allow.
            PaymentRejected: When the merchant is paid and asks again; `NotYetAccepted` if it takes the payment later.
            RefundMissing: In strict mode.
            requests.RequestException: When there is no answer.
        """
        assert request.url is not None and request.method is not None
        really_send = partial(super().send, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        origin = origin_of(request.url)
        if origin is None:
            return really_send(request, stream=stream)
        # The dict of hooks is the only thing of a request that its redirections share.
        chain = Chain.of(request.hooks, request, origin, may_pay=_may_pay.get())
        chain.strip(request.headers, origin)
        body = _Body(request, chain)
        call = Call.of(
            request.method,
            request.url,
            request.headers,
            body.traits,
            chain,
            _max_price.get(),
            is_proxied=select_proxy(request.url, proxies) is not None,
        )
        sending = _Sending(request, body, really_send, stream=stream, retries=self.max_retries.total != 0)
        try:
            response: requests.Response = drive(exchange(self._payer, call), sending.send, sending.look)
        except BaseException as error:
            chain.ends(None)
            sending.give_up(error)
            raise
        chain.ends(response.status_code)
        # From there the session takes the cookies, as after a digest.
        response.history = sending.passed_over
        return response


class _Call(Protocol):
    """A method of a session that is named like that of the request."""

    def __call__(
        self, url: str | bytes, *args: Any, max_price: int | None = None, **kwargs: Any
    ) -> requests.Response: ...


class Session(requests.Session):
    """A session that pays for its calls.

    Each of its calls takes `max_price`, in bytes or units of the asset.

    Args:
        client: Pays its payee; the budget may allow others.
        budget: What may be spent; several, one for each asset.
        **kwargs: Those of `PaymentAdapter`.
    """

    if TYPE_CHECKING:
        # They hand all on to `request`, which the types of requests do not say.
        delete: _Call
        get: _Call
        head: _Call
        options: _Call
        patch: _Call
        post: _Call
        put: _Call

    def __init__(self, client: Client, budget: Budget | Iterable[Budget], **kwargs: Any) -> None:
        super().__init__()
        adapter = PaymentAdapter(client, budget, **kwargs)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(
        self, method: str | bytes, url: str | bytes, *args: Any, max_price: int | None = None, **kwargs: Any
    ) -> requests.Response:
        """Makes a call, and pays for it; see `requests.Session.request`, and `PaymentAdapter.send` for what it raises.

        Args:
            method: The method.
            url: The address.
            *args: Those of requests.
            max_price: The most that this call may cost, in bytes or units of the asset.
            **kwargs: Those of requests.
        """
        with _set(_max_price, max_price):
            return super().request(method, url, *args, **kwargs)

    def get_402_info(self, url: str, method: str = "GET", **kwargs: Any) -> Offer | None:
        """Makes a call without paying, and gives the terms if it costs something; None if it does not.

        A resource that is free does what is asked of it. The price is remembered: the next call pays at once.

        Raises:
            WrongOffer: When the terms make no sense, or none that can be paid from here are told.
            requests.HTTPError: When the answer is neither a success nor a 402, so that nothing is known.
            requests.RequestException: When there is no answer.
        """
        with _set(_may_pay, False), self.request(method, url, stream=True, **kwargs) as response:
            if response.status_code == requests.codes.payment_required:
                return require_offer(response.headers)
            response.raise_for_status()
            if response.status_code >= requests.codes.multiple_choices:
                raise requests.HTTPError(f"{response.status_code} for {response.url}", response=response)
            return None


class _Sending:
    """Sends the request of one call as often as it is asked to, each time with its body and the cookies that came.

    Args:
        request: The program's; what is sent is a copy.
        body: Its body.
        really_send: Sends a request.
        stream: Whether the program reads the answer by itself.
        retries: Whether urllib3 may send a request more than once.

    Attributes:
        last: The last answer.
        passed_over: The answers before it that brought cookies.
    """

    def __init__(
        self,
        request: requests.PreparedRequest,
        body: _Body,
        really_send: Callable[..., requests.Response],
        *,
        stream: bool,
        retries: bool,
    ) -> None:
        self._request = request
        self._body = body
        self._really_send = really_send
        self._stream = stream
        self._retries = retries
        self._cookies = RequestsCookieJar()
        self._rest: Rest | None = None
        self.last: requests.Response | None = None
        self.passed_over: list[requests.Response] = []

    def send(self, package: str | None) -> Head | Lost:
        """Sends it once, with a payment or without; the answer before is closed."""
        self._pass_over_last()
        sent = self._copy(package)
        try:
            self.last = self._really_send(sent, stream=self._stream)
            self.last.request = self._request
            if not self._stream:
                self.last.content  # noqa: B018  an answer that breaks off is none
            elif package is not None:
                self._rest = Rest()
                self.last.raw = _Raw(self.last.raw, self._rest)
        except requests.RequestException as error:
            error.request = self._request
            return Lost(error, may_have_left=self._retries or _has_connected(error))
        return Head(self.last.status_code, self.last.headers, self.last, self._rest)

    def look(self, url: str) -> bytes | None:
        """Gets what is at an address, without anything of the request."""
        text = b""
        try:
            with self._really_send(requests.Request("GET", url).prepare(), stream=True) as found:
                for part in found.iter_content(CHUNK):
                    text += part
                    if len(text) > MAX_LIST:
                        break
        except requests.RequestException:
            return None
        return text if found.ok else None

    def give_up(self, error: BaseException) -> None:
        """Closes what is open after a call that failed, but not the answer that its error carries."""
        if self._rest is not None:
            self._rest.end(Fate.BROKEN)
        if self.last is not None and getattr(error, "response", None) is not self.last:
            self.last.close()

    def _pass_over_last(self) -> None:
        last, self.last = self.last, None
        if last is None:
            return
        last.close()
        if "Set-Cookie" in last.headers:
            self.passed_over.append(last)
            extract_cookies_to_jar(self._cookies, self._request, last.raw)  # type: ignore[no-untyped-call]

    def _copy(self, package: str | None) -> requests.PreparedRequest:
        sent = self._request.copy()
        sent.body = self._body.again()
        if self._cookies:
            found = requests.Request(self._request.method, self._request.url)
            more = get_cookie_header(self._cookies, found)  # type: ignore[no-untyped-call]
            if more is not None:
                sent.headers["Cookie"] = join_cookies(self._request.headers.get("Cookie"), more)
        if package is not None:
            sent.headers[wire.PACKAGE] = package
        return sent


class _Body:
    """A request's body, to be sent as often as needed.

    Raises:
        requests.exceptions.UnrewindableBodyError: When it could be read once only, and was.
    """

    def __init__(self, request: requests.PreparedRequest, chain: Chain) -> None:
        body: Any = request.body
        if isinstance(body, (bytearray, memoryview)):
            body = bytes(body)
        self._body = body
        self._start: int | None = None
        self.traits = Traits()
        if body is None or isinstance(body, (bytes, str)):
            self.traits = Traits.of(body)
        elif _is_seekable(body):
            self._start = body.tell()
            self.traits = Traits.of_file(body)
        else:
            self._body = chain.body.of(body, lambda: Kept(_parts(body)))
            if self._body is None:
                raise requests.exceptions.UnrewindableBodyError(
                    "the body was read for a call that is over", request=request
                )

    def again(self) -> Any:
        """The body from its beginning."""
        if self._start is not None:
            self._body.seek(self._start)
        return self._body


class _Raw:
    """What urllib3 gives of an answer that is paid for; tells whether it was read to its end, or broke off."""

    def __init__(self, raw: Any, rest: Rest) -> None:
        self._raw = raw
        self._rest = rest
        weakref.finalize(self, rest.end, Fate.DROPPED).atexit = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def __iter__(self) -> Iterator[bytes]:
        return self._watched(iter(self._raw))

    def stream(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        """As urllib3 has it; requests reads by it."""
        return self._watched(self._raw.stream(*args, **kwargs))

    def read_chunked(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        """As urllib3 has it."""
        return self._watched(self._raw.read_chunked(*args, **kwargs))

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> bytes:
        """As urllib3 has it."""
        with self._telling():
            part: bytes = self._raw.read(amt, *args, **kwargs)
        if amt is None or (amt and not part):
            self._rest.end()
        return part

    def close(self) -> None:
        """As urllib3 has it; who closes early wants no more."""
        self._raw.close()
        self._rest.end()

    def _watched(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        with self._telling():
            yield from parts
        self._rest.end()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException:
            self._rest.end(Fate.BROKEN)
            raise


def _has_connected(error: requests.RequestException) -> bool:
    """Whether there may have been a connection, in the only try that urllib3 has made."""
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return not isinstance(reason, (NewConnectionError, ConnectTimeoutError))


def _is_seekable(body: Any) -> bool:
    if not all(hasattr(body, name) for name in ("read", "seek", "tell")):
        return False
    try:
        body.seek(body.tell())
    except OSError:
        return False
    return True


def _parts(body: Any) -> Iterator[bytes]:
    parts = iter(lambda: body.read(CHUNK), type(body.read(0))()) if hasattr(body, "read") else body
    for part in parts:
        yield part.encode() if isinstance(part, str) else part


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _begin_all_in_child() -> None:
    for adapter in tuple(_adapters):
        adapter._begin_in_child()


_adapters: weakref.WeakSet[PaymentAdapter] = weakref.WeakSet()
os.register_at_fork(after_in_child=_begin_all_in_child)
