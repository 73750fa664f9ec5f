"""(f) what a paid call costs beside the view and one durable verification, and the same view under other middlewares.

All are called in the process, without a socket, in turns: the view of an application that knows nothing of payments;
`verify_payment_package` alone; the view verifying a package by itself, in a thread where it would hold a loop up, as
`AsyncServer` does; and the view being paid for. What a paid call costs beside its verification is held against the
view that verifies by itself: a verification costs more in an application than in a loop of nothing else. The others
book nothing durably, so they are compared with that.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks import peers
from benchmarks.django_site import BY_HAND, open_django
from benchmarks.in_process import PATH, Call, asgi_call
from benchmarks.merchant import Merchant, merchant, open_channel, packages
from benchmarks.result import Result, least_of_turns, times_of
from paypercall import wire
from paypercall.asgi import Payment
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.payment_server import PaymentServer

ROUNDS = 2_000
CALLS_IN_A_TURN = 20
PRICE = 100
LIMIT_MICROSECONDS = 150.0
PYMPP_NEEDS = (3, 11)


@dataclass(frozen=True, slots=True)
class _Measured:
    """Seconds that the least of the calls of each turn took.

    Attributes:
        unpaid: Without payments.
        verification: Not the view, but `verify_payment_package`.
        verified: The view verifies the package by itself.
        paid: The view is paid for.
        others: It is paid for under other middlewares, by their names.
    """

    unpaid: list[float]
    verification: list[float]
    verified: list[float]
    paid: list[float]
    others: dict[str, list[float]]

    @property
    def overhead(self) -> float:
        """What the paid call costs beside the view and one verification in it."""
        return _beyond(self.paid, self.verified)

    def ratio_to(self, name: str) -> float:
        """That, by what the call under another middleware costs beside the view."""
        return self.overhead / _beyond(self.others[name], self.unpaid)


def _beyond(more: Sequence[float], *less: Sequence[float]) -> float:
    """The median of what is more in each turn."""
    return statistics.median(first - sum(others) for first, *others in zip(more, *less, strict=True))


def asgi() -> Result:
    """ASGI: paid call - unpaid call and one durable verify."""
    return _overhead_of("ASGI", _asgi())


def wsgi() -> Result:
    """WSGI: paid call - unpaid call and one durable verify."""
    return _overhead_of("WSGI", _wsgi())


def x402() -> Result:
    """Our middleware without its verification / x402's with a null scheme."""
    return Result("paid call - verify : x402, null scheme", _asgi().ratio_to("x402"), None, "ratio")


def pympp() -> Result | None:
    """Our middleware without its verification / pympp's with a null method."""
    if sys.version_info < PYMPP_NEEDS:
        print("pympp is left out: it needs Python 3.11", flush=True)
        return None
    return Result("paid call - verify : pympp, null method", _asgi().ratio_to("pympp"), None, "ratio")


def _overhead_of(interface: str, measured: _Measured) -> Result:
    print(
        f"{interface}, one verification: {statistics.median(measured.verification) * 1e6:.0f} µs", flush=True
    )
    calls = {"verified by hand": measured.verified, "paid": measured.paid, **measured.others}
    for name, seconds in calls.items():
        beyond = _beyond(seconds, measured.unpaid) * 1e6
        print(f"{interface}, a call beyond the unpaid one, {name}: {beyond:.0f} µs", flush=True)
    beside = _beyond(measured.paid, measured.unpaid, measured.verification) * 1e6
    print(f"{interface}, paid call - unpaid call - verification alone: {beside:.0f} µs", flush=True)
    name = f"{interface}: paid call - unpaid call that verifies"
    return Result(name, measured.overhead * 1e6, LIMIT_MICROSECONDS, "µs")


@cache
def _asgi() -> _Measured:
    loop = asyncio.new_event_loop()
    with ExitStack() as stack:
        stack.callback(loop.close)
        stack.callback(lambda: loop.run_until_complete(loop.shutdown_default_executor()))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        party = stack.enter_context(merchant(folder))
        verify = party.server.verify_payment_package

        async def verified(request: Request) -> JSONResponse:
            payment = await loop.run_in_executor(None, verify, request.headers[BY_HAND])
            assert payment.error is None, payment
            return await peers.temperature(request)

        paid_app = Starlette()
        payment = Payment(paid_app, PaymentServer(party.server))
        paid_app.add_route(PATH, payment.required(PRICE)(peers.temperature))
        views = (peers.temperature, verified)
        unpaid, by_hand = (asgi_call(Starlette(routes=[Route(PATH, view)]), loop) for view in views)
        others = {"x402": _paying(*peers.under_x402(loop, ROUNDS))}
        if sys.version_info >= PYMPP_NEEDS:
            others["pympp"] = _paying(*peers.under_pympp(loop, ROUNDS))
        return _measure(party, unpaid, by_hand, asgi_call(paid_app, loop), others)


@cache
def _wsgi() -> _Measured:
    with tempfile.TemporaryDirectory() as name, open_django(Path(name)) as site:
        return _measure(site.party, site.unpaid, site.verified, site.paid, {})


def _measure(
    party: Merchant, unpaid: Call, verified: Call, paid: Call, others: dict[str, Callable[[int], None]]
) -> _Measured:
    customer = key_from_mnemonic(new_mnemonic())
    to_verify, to_send, to_pay = (
        packages(customer, open_channel(party, customer.address), ROUNDS) for _ in range(3)
    )
    texts = [json.dumps(package) for package in to_verify]
    headers = [{BY_HAND: json.dumps(package)} for package in to_send]

    def call_unpaid(number: int) -> None:
        assert unpaid({}).status == 200

    def verify(number: int) -> None:
        payment = party.server.verify_payment_package(texts[number])
        assert payment.error is None, payment

    def call_verified(number: int) -> None:
        assert verified(headers[number]).status == 200

    pay = _paying(paid, [{wire.PACKAGE: wire.encode_package(package)} for package in to_pay])
    functions = (call_unpaid, verify, call_verified, pay, *others.values())
    times = times_of(functions, ROUNDS, CALLS_IN_A_TURN)
    each = [least_of_turns(taken, CALLS_IN_A_TURN) for taken in times]
    return _Measured(*each[:4], dict(zip(others, each[4:], strict=True)))


def _paying(call: Call, payments: Sequence[Mapping[str, str]]) -> Callable[[int], None]:
    def pay(number: int) -> None:
        answer = call(payments[number])
        assert answer.status == 200, answer
        assert answer.headers.keys() & {"payment-receipt", "payment-response"}, answer

    return pay
