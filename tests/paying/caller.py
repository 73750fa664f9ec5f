"""A program that makes paid calls in a process of its own, which kills itself at a step, as a power cut would."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from requests.adapters import HTTPAdapter

from paypercall import wire
from paypercall.client import Client
from paypercall.conf import Conf
from paypercall.paying import Budget, PaymentDeclined
from paypercall.paying.payer import Payer
from paypercall.requests import Session
from tests.crashing_party import hurry


def die(*_: Any, **__: Any) -> Any:
    """Ends the process at once; nothing is flushed, closed or given back."""
    os.kill(os.getpid(), signal.SIGKILL)


def doom(step: str | None) -> None:
    """Has the process die when it has come to a step.

    Args:
        step: `reserved`: nothing is signed yet; `signed`: nothing is sent; `served`: the answer is not booked.
    """
    really_send = HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
        is_paid = wire.PACKAGE in request.headers
        if is_paid and step == "signed":
            die()
        response = really_send(self, request, *args, **kwargs)
        if is_paid and step == "served":
            die()
        return response

    HTTPAdapter.send = send  # type: ignore[method-assign]
    if step == "reserved":
        Payer._packed = die  # type: ignore[method-assign]


def call(session: Session, method: str, url: str) -> int | str:
    """The status of a call, or why it was not paid."""
    try:
        return session.request(method, url, data=b"body" if method == "POST" else None).status_code
    except PaymentDeclined as declined:
        return declined.code


def main(orders: dict[str, Any], tell: Callable[[str], object]) -> None:
    """Makes the calls that it is told, in as many threads, and tells what came of them."""
    hurry()
    doom(orders["step"])
    client = Client(orders["peer_address"], conf=Conf.from_settings(orders["settings"]))
    with (
        client,
        Session(client, Budget(**orders["budget"])) as session,
        ThreadPoolExecutor(orders["threads"]) as threads,
    ):
        results = [threads.submit(call, session, method, url) for method, url in orders["calls"]]
        tell(json.dumps([result.result() for result in results]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), print)
