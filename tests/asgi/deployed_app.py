"""An ASGI app of a merchant with the settings of its environment, which has used its threads before it is forked."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from paypercall.asgi import Payment, PaymentMiddleware

PRICE = 100


async def process(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the process that does."""
    assert scope["type"] == "http"
    body = str(os.getpid()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


payment = Payment(prices={"/paid": PRICE})


async def _use_threads() -> None:
    await payment.threads.run(os.getpid)


asyncio.run(_use_threads())
app = PaymentMiddleware(process, payment)
