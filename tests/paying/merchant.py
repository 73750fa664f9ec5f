"""A merchant's HTTP server on a real socket, without any framework, that can be told to misbehave."""

from __future__ import annotations

import json
import secrets
import socket
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paypercall import wire
from paypercall.bought_call import BoughtCall, BoughtCallState
from paypercall.call_book import AnswerLimits
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.methods import Channel
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Paywall, Price, Request
from paypercall.paywall.gate import FREE_METHODS
from paypercall.store import Books, Store
from paypercall.wire import ENDPOINT_PATH
from tests.parties import customer_on, merchant_on
from tests.paywall.merchant import Headers

OWN_PAYMENTS = dict.fromkeys(
    (
        wire.PACKAGE,
        wire.TOKEN,
        wire.SIGNATURE,
        wire.UNIT,
        wire.TRANSFER,
        wire.TRANSFER_SIGNATURE,
        "Payment-Voucher",
    ),
    "7",
)
"""Headers by which a program pays by itself."""

_CALLS = "SELECT * FROM paypercall_bought_calls ORDER BY id"
_MINUTES = "SELECT * FROM paypercall_spent_minutes"


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    headers: Headers
    body: bytes = field(repr=False)

    @property
    def package(self) -> dict[str, Any] | None:
        """The payment in it."""
        text = self.headers.get(wire.PACKAGE)
        package = None if text is None else wire.decode_package(text)
        assert not isinstance(package, str)
        return package


@dataclass
class Reply:
    """What is answered; a refund or a receipt of the paywall's may be changed on the way."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Reset(Exception):
    """Resets the connection in place of an answer."""


Trick = Callable[[Seen, Callable[[], Reply]], Reply]
"""Answers a request in place of the honest merchant, whose answer it may ask for."""


class Site:
    """A web site with a paywall. Everything costs `price`, but what is below `/free`.

    Attributes:
        price: What a call costs.
        view: What is answered to a paid call.
        trick: What is done in place of it, or None.
        price_list: What the channel endpoint tells, or None if there is no endpoint.
        is_hasty: Whether a request without a payment is answered before its body is read, which is thrown away.
        seen: All requests that came.
        served: How often the view ran.
    """

    def __init__(self, paywall: Paywall | None, port: int = 0) -> None:
        self.paywall = paywall
        self.begin()
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def begin(self) -> None:
        """Is honest again, and forgets what it has seen."""
        self.price = 100
        self.trick: Trick | None = None
        self.view: Callable[[Seen], Reply] = _echo
        self.is_hasty = False
        self.price_list: dict[str, Any] | None = None
        self.seen: list[Seen] = []
        self.served = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def packages(self) -> list[dict[str, Any]]:
        """The payments that came, in their order."""
        return [seen.package for seen in self.seen if seen.package is not None]

    def guard_with_digest(self) -> None:
        """Has a digest asked for in front of the paywall."""
        self.trick = lambda seen, honest: honest() if _has_digest(seen) else _digest_wanted()

    def view_with_digest(self) -> None:
        """Has a digest asked for by the view, behind the paywall."""
        self.view = lambda seen: _echo(seen) if _has_digest(seen) else _digest_wanted()

    def close(self) -> None:
        """Stops."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, seen: Seen) -> Reply:
        """Answers a request, honestly or not."""
        self.seen.append(seen)
        if self.trick is not None:
            return self.trick(seen, lambda: self.honestly(seen))
        return self.honestly(seen)

    def ask(self) -> Reply:
        """Asks for the price, whatever may have been paid: the honest 402."""
        return self.honestly(Seen("GET", "/terms", Headers({}), b""))

    def honestly(self, seen: Seen) -> Reply:
        """Answers a request as the paywall wants it."""
        path = urlsplit(seen.path)
        if seen.path == ENDPOINT_PATH:
            return Reply(200 if self.price_list else 404, [], json.dumps(self.price_list).encode())
        if self.paywall is None or path.path.startswith("/free") or seen.method in FREE_METHODS:
            return self._run(seen)
        request = Request(seen.method, path.path, path.query, seen.headers, seen.body)
        outcome = self.paywall.begin(request, Price(self.price))
        if isinstance(outcome, Answer):
            return Reply(outcome.status, list(outcome.headers), outcome.body)
        reply = self._run(seen)
        ending = self.paywall.finish(outcome, reply.status, reply.headers, reply.body)
        return Reply(reply.status, [*reply.headers, *ending.headers], reply.body)

    def _run(self, seen: Seen) -> Reply:
        self.served += 1
        return self.view(seen)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # the client has gone, as some tests want it
            super().handle_error(request, client_address)


def _echo(seen: Seen) -> Reply:
    content = {"method": seen.method, "length": len(seen.body)}
    return Reply(200, [("Content-Type", "application/json")], json.dumps(content).encode())


def _has_digest(seen: Seen) -> bool:
    return (seen.headers.get("Authorization") or "").startswith("Digest")


def _digest_wanted() -> Reply:
    wanted = f'Digest realm="site", nonce="{secrets.token_hex(8)}", qop="auth", algorithm=MD5'
    return Reply(401, [("WWW-Authenticate", wanted)], b"")


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            headers = Headers(dict(self.headers.items()))
            is_unread = site.is_hasty and headers.get(wire.PACKAGE) is None
            seen = Seen(self.command, self.path, headers, b"" if is_unread else self._body())
            self.close_connection = self.close_connection or is_unread
            try:
                reply = site.answer(seen)
            except Reset:
                self._reset()
                return
            self.send_response(reply.status)
            if is_unread:
                self.send_header("Connection", "close")
            for name, value in reply.headers:
                self.send_header(name, value)
            if not any(name in ("Content-Length", "Transfer-Encoding") for name, _ in reply.headers):
                self.send_header("Content-Length", str(len(reply.body)))
            else:
                self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)
            if is_unread:
                self._hang_up()

        def _hang_up(self) -> None:
            """Lets the answer arrive, as servers do: to close on what was not read would take it back."""
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            while self.rfile.read1():
                pass

        do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = _serve

        def _body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while line := self.rfile.readline():
                size = int(line, 16)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
                if not size:
                    return b"".join(parts)
            raise ConnectionAbortedError

        def _reset(self) -> None:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@dataclass
class Market:
    """A merchant with a site, another site that is not the merchant's, and a customer."""

    net: Devnet
    server: PaymentServer
    client: Client
    site: Site
    other: Site
    folder: Path
    signed_besides: int = 0

    def list_price(self, method: str, path: str, price: int | str = 100) -> None:
        """Has the merchant's channel endpoint tell the price of a resource."""
        terms = self.server.identify()
        self.site.price_list = {
            "address": terms.address,
            "network": terms.network,
            "agent_versions": list(terms.agent_versions),
            "min_timeout": terms.min_timeout,
            "max_timeout": terms.max_timeout,
            "assets": list(terms.assets),
            "unconfirmed": {},
            "resources": [{"method": method, "path": path, "price": price, "asset": "base"}],
        }

    def spent(self) -> int:
        """What was spent on calls, less what came back, by the customer's books."""
        return sum(row["amount"] - row["refund"] for row in self.rows())

    def require_that_all_that_is_signed_is_in_the_books(self) -> None:
        """Every byte that the customer has signed to the merchant has a row, and none twice."""
        paid = sum(row["amount"] for row in self.rows() if row["payee"] == self.client.peer_address)
        assert self.client.balance().owed_by_me == paid + self.signed_besides

    def require_that_the_sums_are_those_of_the_calls(self) -> None:
        """What counts in each minute is what was paid for the calls of that minute, less what came back."""
        sums: Counter[tuple[str, str, str, int]] = Counter()
        with self.client.store.reading() as books:
            calls, minutes = _selected(books, _CALLS), _selected(books, _MINUTES)
        for row in calls:
            for scope, name in (("total", ""), ("origin", row["origin"]), ("payee", row["payee"])):
                sums[row["asset"], scope, name, row["made_at"] // 60] += row["amount"] - row["refund"]
        for row in minutes:
            sums[row["asset"], row["scope"], row["name"], row["minute"]] -= row["amount"]
        differing = {key: amount for key, amount in sums.items() if amount}
        assert not differing, differing

    def forget_what_is_left(self) -> None:
        """Has no call go on with a payment that was left by those before."""
        with self.client.store.transaction() as books:
            for row in self.rows():
                if row["state"] == "pending":
                    left = call_of(books, row)
                    books.bought_calls.save(replace(left, request="forgotten"))

    def rows(self) -> list[dict[str, Any]]:
        """The bought calls in the customer's books, in their order."""
        return rows_of(self.client.store)


def rows_of(store: Store) -> list[dict[str, Any]]:
    """The bought calls in some books, in their order."""
    with store.reading() as books:
        return _selected(books, _CALLS)


def _selected(books: Books, query: str) -> list[dict[str, Any]]:
    cursor = books.bought_calls._connection._cursor
    cursor.execute(query)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def call_of(books: Books, row: dict[str, Any]) -> BoughtCall:
    """A bought call as it is now, locked."""
    [found] = [
        call
        for call in books.bought_calls.lock_in_state(BoughtCallState(row["state"]), row["request"], 0)
        if call.id == row["id"]
    ]
    return found


@contextmanager
def open_market(
    folder: Path, answers: AnswerLimits | None = None, speed: float = 1.0, **settings: Any
) -> Iterator[Market]:
    """Opens a market on a network of its own."""
    with Devnet(speed=speed) as net, merchant_on(net, folder / "merchant", **settings) as merchant:
        server = PaymentServer(merchant, answers=answers)
        paywall = Paywall(server.calls, [Channel(server, "/payment")])
        with customer_on(net, folder / "customer", merchant.address) as client:
            sites = Site(paywall), Site(None)
            try:
                yield Market(net, server, client, *sites, folder)
            finally:
                for site in sites:
                    site.close()


@contextmanager
def full_port(port: int) -> Iterator[None]:
    """Has a port accept no connection any more, nor refuse one."""
    with socket.create_server(("127.0.0.1", port), backlog=0), ExitStack() as waiting:
        for _ in range(3):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", port))
        yield


def break_off_chunks(seen: Seen, honest: Callable[[], Reply]) -> Reply:
    """Answers honestly, but breaks off in the middle of the first chunk."""
    reply = honest()
    return Reply(reply.status, [*reply.headers, ("Transfer-Encoding", "chunked")], b"1000\r\n" + reply.body)


def changed(reply: Reply, changes: Mapping[str, str | None]) -> Reply:
    """A reply with some headers set, or left out."""
    kept = [pair for pair in reply.headers if pair[0] not in changes]
    added = [(name, value) for name, value in changes.items() if value is not None]
    return Reply(reply.status, kept + added, reply.body)
