"""A merchant with a paywall, and a customer, on a local network: without any framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paypercall import wire
from paypercall.call_book import AnswerLimits, CallBook
from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.methods import Channel
from paypercall.paid_call import Attempt, PaidCall, give_back
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Paywall, Price, Request, Running
from tests.parties import customer_on, merchant_on


class Headers(dict[str, str]):
    """Headers whose names are compared without their case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return super().get(name.lower(), default)


@dataclass
class Shop:
    """One side each, and the paywall."""

    net: Devnet
    server: PaymentServer
    client: Client
    paywall: Paywall

    def request(
        self, headers: Mapping[str, str] | None = None, path: str = "/answer", **parts: Any
    ) -> Request:
        return Request("GET", path, parts.pop("query", ""), Headers(headers or {}), **parts)

    def ask(
        self, package: Mapping[str, Any] | None, price: int = 100, path: str = "/answer"
    ) -> Answer | Running:
        headers = {} if package is None else {wire.PACKAGE: wire.encode_package(package)}
        return self.paywall.begin(self.request(headers, path), Price(price))

    def pay(self, amount: int = 100) -> dict[str, Any]:
        return self.client.create_payment_package(amount)


@contextmanager
def open_shop(
    folder: Path, answers: AnswerLimits | None = None, deposit_amount: int = 100_000, **settings: Any
) -> Iterator[Shop]:
    """Opens a shop on a network of its own."""
    with Devnet() as net, merchant_on(net, folder / "merchant", **settings) as merchant:
        server = PaymentServer(merchant, answers=answers)
        with customer_on(net, folder / "customer", merchant.address, deposit_amount=deposit_amount) as client:
            yield Shop(net, server, client, Paywall(server.calls, [Channel(server, "/payment")]))


def headers_of(answer: Any) -> dict[str, str]:
    """The headers of an answer or an ending by name."""
    return dict(answer.headers)


def take_over(calls: CallBook, running: Running) -> PaidCall:
    """Has another worker take a request over, as if the one that is at it had given no sign of life for long."""
    call = running.call
    running.call = replace(call, runs_until=0)
    attempt = Attempt(str(call.request), "another", call.amount, call.asset, call.runs_until + 1)
    return calls.take(attempt, method=call.method, payment=call.payment, amount=call.amount)


def refund_elsewhere(calls: CallBook, running: Running) -> None:
    """Has another worker take a request over, and refund it."""
    calls.finish(give_back(take_over(calls, running), "another"), None)
