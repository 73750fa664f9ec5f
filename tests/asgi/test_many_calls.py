"""A thousand paid calls on one channel at the same time: none is refused, and the books have every unit, once."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from paypercall import wire
from paypercall.asgi import Payment
from tests.asgi.crowd import ask_all
from tests.asgi.running_app import serving
from tests.parties import wait_until
from tests.paywall.merchant import open_shop

CALLS = 1_000
PRICES = range(1, 11)


@pytest.mark.slow
def test_a_thousand_calls_at_once_and_out_of_order_on_one_channel_are_all_paid_for_to_the_unit(
    tmp_path: Path,
) -> None:
    with open_shop(tmp_path) as shop:
        runs: list[str] = []

        async def view(request: Request) -> JSONResponse:
            runs.append(request.headers["number"])
            return JSONResponse({"number": request.headers["number"]})

        app = Starlette(routes=[])
        payment = Payment(app, shop.server)
        app.router.routes.append(
            Route("/", payment.required(lambda request: int(request.headers["price"]))(view))
        )
        with serving(app, backlog=2 * CALLS) as address:
            first = shop.pay(1)
            aa_address = first["signed_message"]["aa_address"]
            [opening] = ask_all(f"{address}/", [_headers(0, 1, first)])
            assert opening.status == 200
            wait_until(lambda: shop.server.status(aa_address).deposited_by_peer > 0, "the channel is open")

            prices = [random.choice(PRICES) for _ in range(CALLS)]
            # Each pays one more than the price, which goes back: the other direction is under the same load.
            requests = [
                _headers(number, price, shop.pay(price + number % 2))
                for number, price in enumerate(prices, 1)
            ]
            random.shuffle(requests)
            answers = ask_all(f"{address}/", requests)

        assert {answer.status for answer in answers} == {200}
        assert [answer.json["number"] for answer in answers] == [request["Number"] for request in requests]
        assert sorted(runs, key=int) == [str(number) for number in range(CALLS + 1)]
        receipts = [json.loads(answer.headers["payment-receipt"]) for answer in answers]
        assert len({receipt["payment_id"] for receipt in receipts}) == CALLS
        refunds = [
            answer.headers[wire.PACKAGE.lower()]
            for answer in answers
            if wire.PACKAGE.lower() in answer.headers
        ]
        assert len(refunds) == CALLS // 2

        total, returned = 1 + sum(prices) + CALLS // 2, CALLS // 2
        status = shop.server.status(aa_address)
        assert (status.owed_by_peer, status.accepted_from_peer, status.owed_by_me) == (total, total, returned)
        with shop.server.server.store.reading() as books:
            assert books.payments.total_accepted(aa_address) == total
        for refund in refunds:
            assert shop.client.verify_payment_package(wire.decode_package(refund)).error is None
        mine = shop.client.balance()
        assert (mine.owed_by_me, mine.owed_by_peer) == (total, returned)


def _headers(number: int, price: int, package: dict[str, object]) -> dict[str, str]:
    return {"Number": str(number), "Price": str(price), wire.PACKAGE: wire.encode_package(package)}
