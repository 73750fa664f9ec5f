"""A merchant on a real socket that takes payments by any methods; the simplest host there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from paypercall.obyte.amounts import BASE
from paypercall.paywall import Answer, Paywall, Price, Request
from tests.http_server import running

ANSWER = b"21 degrees"


@dataclass(frozen=True, slots=True)
class Host:
    """A merchant that is served.

    Attributes:
        url: Its address.
        runs: The paths whose views ran.
    """

    url: str
    runs: list[str] = field(default_factory=list)

    def ask(self, headers: Mapping[str, str], path: str = "/answer", **query: Any) -> requests.Response:
        """Asks for something with headers, and a price other than the usual one in the query."""
        return requests.get(self.url + path, query, headers=headers, timeout=10)

    def refusal(self, headers: Mapping[str, str], **query: Any) -> tuple[int, str]:
        """The status and the code of the paywall's own answer to a request for which no view may run."""
        before = list(self.runs)
        response = self.ask(headers, **query)
        assert self.runs == before, "a view ran"
        assert response.headers["Content-Type"] == "application/problem+json"
        return response.status_code, response.json()["code"]


@contextmanager
def serving(paywall: Paywall, price: int) -> Iterator[Host]:
    """Serves `/answer` for a price, or the one and the asset in the query. `/fails` costs as much, and fails."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            asked = {name: value for name, [value] in parse_qs(url.query).items()}
            cost = Price(int(asked.get("price", price)), asked.get("asset", BASE))
            outcome = paywall.begin(Request("GET", url.path, url.query, self.headers), cost)
            if isinstance(outcome, Answer):
                self._answer(outcome.status, outcome.headers, outcome.body)
                return
            host.runs.append(url.path)
            status = 500 if url.path == "/fails" else 200
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
    host = Host(f"http://127.0.0.1:{server.server_port}")
    with running(server):
        yield host
