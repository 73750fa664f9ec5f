"""A merchant on a real socket that takes payments by any methods; the simplest host there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from paypercall.call_book import CallBook
from paypercall.methods import PaymentMethod
from paypercall.paywall import Answer, Paywall, Price, Request

ANSWER = b"21 degrees"


@contextmanager
def serving(calls: CallBook, methods: Sequence[PaymentMethod], price: int) -> Iterator[str]:
    """Serves `/answer` for a price; tells its address. `/fails` costs as much, and fails."""
    paywall = Paywall(calls, methods)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            outcome = paywall.begin(Request("GET", self.path, "", self.headers), Price(price))
            if isinstance(outcome, Answer):
                self._answer(outcome.status, outcome.headers, outcome.body)
                return
            status = 500 if self.path == "/fails" else 200
            ending = paywall.finish(outcome, status, [], ANSWER)
            self._answer(status, ending.headers, ANSWER)

        def _answer(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
