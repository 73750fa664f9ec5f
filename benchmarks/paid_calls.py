"""(f) what a paid call costs beside the view and one durable verification, and the same view under other middlewares.

All are called in the process, without a socket, in turns. The unpaid call is that of an application that knows nothing
of payments. The others book nothing durably, so they are compared with what is left of ours without its verification.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from benchmarks import peers
from benchmarks.django_site import open_django
from benchmarks.in_process import PATH, Call, asgi_call
from benchmarks.merchant import Merchant, merchant, open_channel, packages
from benchmarks.result import Result, medians_of
from paypercall import wire
from paypercall.asgi import Payment
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.payment_server import PaymentServer

ROUNDS = 1_000
PRICE = 100
LIMIT_MICROSECONDS = 150.0
PYMPP_NEEDS = (3, 11)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Seconds, medians: of the calls beyond the unpaid one, and of one durable verification."""

    paid: float
    verification: float
    others: dict[str, float]

    @property
    def overhead(self) -> float:
        """What the paid call costs beside its verification."""
        return self.paid - self.verification


def asgi() -> Result:
    """ASGI: paid call - unpaid call - one durable verify."""
    return _overhead_of("ASGI", _asgi())


def wsgi() -> Result:
    """WSGI: paid call - unpaid call - one durable verify."""
    return _overhead_of("WSGI", _wsgi())


def x402() -> Result:
    """Our middleware without its verification / x402's with a null scheme."""
    measured = _asgi()
    return Result(
        "paid call - verify : x402, null scheme", measured.overhead / measured.others["x402"], None, "ratio"
    )


def pympp() -> Result | None:
    """Our middleware without its verification / pympp's with a null method."""
    measured = _asgi()
    if "pympp" not in measured.others:
        print("pympp is left out: it needs Python 3.11", flush=True)
        return None
    return Result(
        "paid call - verify : pympp, null method", measured.overhead / measured.others["pympp"], None, "ratio"
    )


def _overhead_of(interface: str, measured: _Measured) -> Result:
    for name, seconds in {
        "paypercall": measured.paid,
        "its verify": measured.verification,
        **measured.others,
    }.items():
        print(f"{interface}, a paid call beyond the unpaid one, {name}: {seconds * 1e6:.0f} µs", flush=True)
    name = f"{interface}: paid call - unpaid call - verify"
    return Result(name, measured.overhead * 1e6, LIMIT_MICROSECONDS, "µs")


@cache
def _asgi() -> _Measured:
    loop = asyncio.new_event_loop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        party = stack.enter_context(_merchant())
        paid_app = Starlette()
        payment = Payment(paid_app, PaymentServer(party.server))
        paid_app.add_route(PATH, payment.required(PRICE)(peers.temperature))
        others = {"x402": _paying(*peers.under_x402(loop, ROUNDS))}
        if sys.version_info >= PYMPP_NEEDS:
            others["pympp"] = _paying(*peers.under_pympp(loop, ROUNDS))
        unpaid_app = Starlette(routes=[Route(PATH, peers.temperature)])
        return _measure(party, asgi_call(unpaid_app, loop), asgi_call(paid_app, loop), others)


@cache
def _wsgi() -> _Measured:
    with tempfile.TemporaryDirectory() as name, open_django(Path(name)) as site:
        return _measure(site.party, site.unpaid, site.paid, {})


@contextmanager
def _merchant() -> Iterator[Merchant]:
    with tempfile.TemporaryDirectory() as name, merchant(Path(name)) as party:
        yield party


def _measure(
    party: Merchant, unpaid: Call, paid: Call, others: dict[str, Callable[[int], None]]
) -> _Measured:
    customer = key_from_mnemonic(new_mnemonic())
    payments, verified = (packages(customer, open_channel(party, customer.address), ROUNDS) for _ in range(2))
    bodies = [json.dumps(package) for package in verified]

    def call_unpaid(number: int) -> None:
        assert unpaid({}).status == 200

    def verify(number: int) -> None:
        payment = party.server.verify_payment_package(bodies[number])
        assert payment.error is None, payment

    pay = _paying(paid, [{wire.PACKAGE: wire.encode_package(package)} for package in payments])
    functions = (call_unpaid, pay, verify, *others.values())
    unpaid_call, paid_call, verification, *of_others = medians_of(functions, ROUNDS)
    beyond = {name: each - unpaid_call for name, each in zip(others, of_others, strict=True)}
    return _Measured(paid_call - unpaid_call, verification, beyond)


def _paying(call: Call, payments: list[Mapping[str, str]]) -> Callable[[int], None]:
    def pay(number: int) -> None:
        answer: Any = call(payments[number])
        assert answer.status == 200, answer
        assert answer.headers.keys() & {"payment-receipt", "payment-response"}, answer

    return pay
