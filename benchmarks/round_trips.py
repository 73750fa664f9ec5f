"""(h) how often a program that pays by itself asks for a call whose price it knows: once, over real sockets."""

from __future__ import annotations

import tempfile
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from benchmarks import peers
from benchmarks.in_process import PATH
from benchmarks.result import Result
from paypercall.asgi import Payment
from paypercall.devnet import Devnet
from paypercall.paying import Budget
from paypercall.payment_server import PaymentServer
from paypercall.requests import Session
from tests.asgi.running_app import serving
from tests.parties import customer_on, merchant_on

CALLS = 50
PRICE = 100


class _Counted:
    """An application, and how often it was asked."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += scope["type"] == "http"
        await self._app(scope, receive, send)


def ask_again() -> Result:
    """Requests for each paid call after the first one, which asks for the price."""
    with tempfile.TemporaryDirectory() as name, Devnet() as net:
        folder = Path(name)
        with merchant_on(net, folder / "merchant") as merchant:
            app = Starlette()
            payment = Payment(app, PaymentServer(merchant))
            app.add_route(PATH, payment.required(PRICE)(peers.temperature))
            counted = _Counted(app)
            with (
                customer_on(net, folder / "customer", merchant.address) as client,
                serving(counted) as address,
                Session(client, Budget(PRICE, per_hour=10_000, per_day=10_000)) as api,
            ):
                assert api.get(f"{address}{PATH}").ok
                first = counted.requests
                for _ in range(CALLS):
                    assert api.get(f"{address}{PATH}").ok
                further = (counted.requests - first) / CALLS
            balance = merchant.channels()[0]
            assert balance.accepted_from_peer == (CALLS + 1) * PRICE, "all are paid for"
    print(f"requests for the first paid call: {first}", flush=True)
    return Result("requests for each further paid call", further, 1.0, "requests")
