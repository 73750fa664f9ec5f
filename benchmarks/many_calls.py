"""(g) a thousand paid calls on one channel at the same time, over a real server and real sockets."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from starlette.applications import Starlette

from benchmarks import peers
from benchmarks.in_process import PATH
from benchmarks.merchant import merchant, open_channel, packages
from benchmarks.result import Result
from paypercall import wire
from paypercall.asgi import Payment
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.payment_server import PaymentServer
from tests.asgi.crowd import ask_all
from tests.asgi.running_app import serving

CALLS = 1_000
PRICE = 100
LIMIT_SECONDS = 60.0


def answer_all() -> Result:
    """Seconds from the first of 1,000 calls to the last answer; none is refused, the books have every unit."""
    customer = key_from_mnemonic(new_mnemonic())
    with tempfile.TemporaryDirectory() as name, merchant(Path(name)) as party:
        channel = open_channel(party, customer.address)
        app = Starlette()
        payment = Payment(app, PaymentServer(party.server))
        app.add_route(PATH, payment.required(PRICE)(peers.temperature))
        requests = [
            {wire.PACKAGE: wire.encode_package(package)} for package in packages(customer, channel, CALLS)
        ]
        random.shuffle(requests)
        with serving(app, backlog=2 * CALLS) as address:
            started = time.perf_counter()
            answers = ask_all(f"{address}{PATH}", requests)
            taken = time.perf_counter() - started
        assert [answer.status for answer in answers] == [200] * CALLS, "none is refused"
        balance = party.server.channel(channel.aa_address)
        assert balance is not None
        assert balance.accepted_from_peer == balance.owed_by_peer == CALLS * PRICE, "the books are right"
    print(f"{CALLS:,} calls at once on one channel: {CALLS / taken:,.0f} calls/s", flush=True)
    return Result("1,000 calls at once on one channel", taken, LIMIT_SECONDS, "s")
