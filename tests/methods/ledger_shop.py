"""A merchant that is paid by units, and a customer, on a local network: without any framework."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paypercall import wire
from paypercall.devnet import Devnet
from paypercall.methods import OnChain
from paypercall.obyte.wallet import Wallet
from paypercall.party import Party
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Paywall, Price, Request, Running
from paypercall.unit_payer import PreparedUnit
from tests.parties import conf_for, merchant_on, wallet_on
from tests.paywall.merchant import Headers

PRICE = 12_000
ANSWER = b"21 degrees"


@dataclass
class LedgerShop:
    """One side each, and the paywall."""

    net: Devnet
    server: PaymentServer
    customer: Party
    paywall: Paywall

    @property
    def payee(self) -> str:
        """The merchant's address."""
        return self.server.server.address

    def prepare(self, amount: int = PRICE, payee: str | None = None) -> PreparedUnit:
        """A signed unit of the customer."""
        return self.customer.unit_payer.prepare(amount, payee or self.payee)

    def ask(
        self, unit: PreparedUnit | str, price: int = PRICE, path: str = "/answer", asset: str = "base"
    ) -> Answer | Running:
        """Asks for something with a unit, or with any text in its place."""
        headers = {wire.UNIT: unit} if isinstance(unit, str) else unit.headers
        return self.paywall.begin(Request("GET", path, "", Headers(headers)), Price(price, asset))

    def ask_with(self, value: Mapping[str, Any], **options: Any) -> Answer | Running:
        """Asks for something with any object in the place of a unit."""
        return self.ask(wire.encode_unit(value), **options)

    def sell(self, unit: PreparedUnit, **options: Any) -> dict[str, str]:
        """Serves a request; tells the headers of its answer."""
        running = self.ask(unit, **options)
        assert isinstance(running, Running), running
        return dict(self.paywall.finish(running, 200, [], ANSWER).headers)

    def is_posted(self, unit: str) -> bool:
        """Whether the ledger has a unit."""
        return any(joint["unit"]["unit"] == unit for joint in self.net.units())

    def is_booked(self, unit: str) -> bool:
        """Whether the merchant's books have a unit."""
        return self.server.calls.is_known("on_chain", unit)


@contextmanager
def open_ledger_shop(folder: Path, *, funds: int = 1_000_000, **options: Any) -> Iterator[LedgerShop]:
    """Opens a shop on a network of its own; options are those of the method."""
    with Devnet(speed=20) as net, merchant_on(net, folder / "merchant") as merchant:
        server = PaymentServer(merchant)
        wallet = wallet_on(net, funds=funds)
        with Party(conf_for(net, folder / "customer"), wallet) as customer:
            yield LedgerShop(net, server, customer, Paywall(server.calls, [OnChain(server, **options)]))
        wallet.close()


def stray_wallet(net: Devnet, funds: int = 1_000_000) -> Wallet:
    """A wallet that somebody composes with as they like."""
    return wallet_on(net, funds=funds)


def code_of(answer: object) -> tuple[int, str]:
    """The status and the code of the paywall's own answer."""
    assert isinstance(answer, Answer), answer
    return answer.status, json.loads(answer.body)["code"]
