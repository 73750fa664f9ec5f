"""A merchant whose app has few threads: what strangers send for nothing must not keep all of them waiting."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.typing import ResponseReturnValue
from werkzeug.serving import BaseWSGIServer

from paypercall.contract import ChannelParameters
from paypercall.flask import Payment
from paypercall.obyte.amounts import BASE
from paypercall.server import MAX_UNKNOWN_WAITING
from tests.flask.site import QuietHandler, Site, code_in, open_site
from tests.http_server import running
from tests.parties import wait_until
from tests.two_sides import CUSTOMER, signed_package

THREADS = 4


class _FewThreads(socketserver.ThreadingMixIn, BaseWSGIServer):
    """A server with as many threads as a worker of gunicorn has."""

    multithread = True

    def __init__(self, app: Flask) -> None:
        super().__init__("127.0.0.1", 0, app, QuietHandler)
        self.pool = ThreadPoolExecutor(THREADS)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.pool.submit(self.process_request_thread, request, client_address)


@contextmanager
def served_by_few_threads(app: Flask) -> Iterator[str]:
    http = _FewThreads(app)
    with http.pool, running(http) as url:
        yield url


def of_a_channel_that_nobody_opens(site: Site, number: int) -> dict[str, Any]:
    """Costs its sender nothing."""
    channel = ChannelParameters(site.merchant.address, CUSTOMER.address, BASE, f"salt {number}", 3600)
    version = site.net.network.version
    return signed_package(100, parameters=channel, announce=channel, version=version)


def test_first_packages_of_channels_that_nobody_opens_leave_threads_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Flask(__name__)

    @app.get("/free")
    def free() -> ResponseReturnValue:
        return "free"

    with (
        open_site(tmp_path) as site,
        ThreadPoolExecutor(THREADS) as strangers,
        served_by_few_threads(app) as site.url,
    ):
        payment = Payment(app, site.merchant)
        app.add_url_rule("/answer", "answer", payment.required(100)(lambda: "paid"))
        monkeypatch.setattr(site.merchant, "_ledger_timeout", 60.0)
        packages = [of_a_channel_that_nobody_opens(site, number) for number in range(THREADS)]
        sent = [strangers.submit(site.ask, "/answer", package) for package in packages]

        def answered() -> list[Future[requests.Response]]:
            return [each for each in sent if each.done()]

        try:
            wait_until(
                lambda: len(answered()) == THREADS - MAX_UNKNOWN_WAITING, "some need not wait", seconds=10
            )
            told = [each.result() for each in answered()]
            assert {code_in(answer) for answer in told} == {(503, "too_many_waiting")}
            assert all("Retry-After" in answer.headers for answer in told)
            assert site.ask("/free").text == "free"
            assert code_in(site.ask("/answer")) == (402, "payment_required")
            assert len(answered()) == THREADS - MAX_UNKNOWN_WAITING, "the others still wait"
        finally:
            site.merchant.close_node()  # for which nobody waits any more
