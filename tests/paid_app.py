"""A paid WSGI app as a host would write it, for gunicorn; its settings come from the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from paypercall.server import Server

server = Server()
server.start_node()


def app(environment: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Verifies the package in the body, and tells which process did."""
    length = int(environment.get("CONTENT_LENGTH") or 0)
    body = {"process": os.getpid()}
    if length:
        payment = server.verify_payment_package(environment["wsgi.input"].read(length))
        body |= {"amount": payment.amount, "code": payment.code}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
