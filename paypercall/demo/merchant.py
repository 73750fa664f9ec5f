"""The merchant of the demonstration: a paid Flask API, run in a process of its own with its own wallet and books.

Start it with `python -m paypercall.demo.merchant` in a folder with a `conf.py`, as any host is started.
"""

from __future__ import annotations

import json
import logging
import os
import threading

from flask import Flask, Response, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

from paypercall import Payment, Server

PRICE = 100


def make_app(server: Server) -> Flask:
    """The API: one call costs `PRICE` bytes; too small a payment is refunded."""
    app = Flask(__name__)

    @app.get("/")
    def terms() -> Response:
        return jsonify(price=PRICE, asset="base", peer_address=server.address)

    @app.post("/call")
    def call() -> tuple[Response, int]:
        verified = server.verify_payment_package(request.form["payment_package"], asset="base")
        # A retry is answered again, and not charged again, until the ledger shows its package to everybody.
        payment = verified if verified.is_published else verified.first or verified
        if payment.error is not None:
            return jsonify(error=payment.error, code=payment.code), 402
        if payment.amount < PRICE:
            return jsonify(error=f"the price is {PRICE}", payment_package=refund(payment)), 402
        return jsonify(served=True, code=verified.code), 200

    def refund(payment: Payment) -> str:
        assert payment.aa_address is not None
        package = server.create_payment_package(
            payment.amount, payment.aa_address, f"refund {payment.payment_id}"
        )
        return json.dumps(package)

    return app


class _QuietHandler(WSGIRequestHandler):
    """Answers over connections that stay open, without a line of log for each call."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Logs nothing."""


def main() -> None:
    """Serves on a free port of 127.0.0.1, which it prints, until standard input is closed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with Server(max_sweeping_period=7 * 24 * 3600) as server:
        http = make_server("127.0.0.1", 0, make_app(server), threaded=True, request_handler=_QuietHandler)
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        os.write(1, f"{http.server_port}\n".encode())
        # The parent holds the other end: when it is gone, so is the merchant.
        os.read(0, 1)
        http.shutdown()
        http.server_close()
        thread.join()


if __name__ == "__main__":
    main()
