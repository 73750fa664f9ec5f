"""A merchant that is paid by units, and a customer, on a local network: without any framework."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paypercall import wire
from paypercall.costs import SWEEPING_COST
from paypercall.devnet import Devnet
from paypercall.methods import OnChain
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import (
    Unit,
    hash_to_sign,
    headers_size,
    payload_hash,
    total_payload_size,
    unit_hash,
)
from paypercall.obyte.wallet import Wallet
from paypercall.party import Party
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Paywall, Price, Request, Running
from paypercall.unit_payer import PreparedUnit
from paypercall.unit_payment import SECRET_LENGTH, commitment_message
from tests.books import untouched
from tests.methods.http_merchant import ANSWER, Host, serving
from tests.parties import conf_for, merchant_on, wallet_on
from tests.paywall.merchant import Headers

PRICE = 12_000
SECRET = "s" * SECRET_LENGTH


@dataclass
class LedgerShop:
    """One side each, and the paywall, also on a real socket."""

    net: Devnet
    server: PaymentServer
    customer: Party
    paywall: Paywall
    host: Host

    @property
    def payee(self) -> str:
        """The merchant's address."""
        return self.server.server.address

    def prepare(self, amount: int = PRICE, payee: str | None = None) -> PreparedUnit:
        """A signed unit of the customer."""
        return self.customer.unit_payer.prepare(amount, payee or self.payee)

    def ask(
        self,
        unit: PreparedUnit | str,
        price: int = PRICE,
        path: str = "/answer",
        asset: str = "base",
        more: Mapping[str, str] | None = None,
        root_path: str = "",
    ) -> Answer | Running:
        """Asks for something with a unit, or with any text in its place."""
        headers = {wire.UNIT: unit} if isinstance(unit, str) else unit.headers
        request = Request("GET", path, "", Headers({**headers, **(more or {})}), root_path=root_path)
        return self.paywall.begin(request, Price(price, asset))

    def ask_with(self, value: Mapping[str, Any], **options: Any) -> Answer | Running:
        """Asks for something with any object in the place of a unit."""
        return self.ask(wire.encode_unit(value), **options)

    def refuses(self, text: str, *expected: object, **query: Any) -> None:
        """Asserts what comes over HTTP of any text in the place of a unit, and that no books change."""
        self.server.server.store.flush()
        with untouched(self.server.server.conf.data_dir):
            assert self.host.refusal({wire.UNIT: text}, **query) == expected

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
def open_ledger_shop(
    folder: Path, *, funds: int = 1_000_000, assets: int = 0, **options: Any
) -> Iterator[LedgerShop]:
    """Opens a shop on a network of its own; options are those of the method.

    Args:
        folder: For books and keys.
        funds: The customer's bytes.
        assets: How many units of an asset there are that the merchant takes, too, all of them the faucet's.
        **options: Of the method.
    """
    with ExitStack() as stack:
        net = stack.enter_context(Devnet(speed=20))
        accepted = [BASE, *([net.issue_asset(assets)] if assets else [])]
        unlimited = dict.fromkeys(accepted)
        settings: dict[str, Any] = {
            "max_unsettled_by_asset": unlimited,
            "max_unsettled_by_channel": unlimited,
        }
        settings["cost_of_sweep_by_asset"] = dict.fromkeys(accepted, SWEEPING_COST)
        merchant = stack.enter_context(
            merchant_on(net, folder / "merchant", accepted_assets=accepted, **settings)
        )
        server = PaymentServer(merchant)
        wallet = wallet_on(net, funds=funds)
        stack.callback(wallet.close)
        customer = stack.enter_context(Party(conf_for(net, folder / "customer"), wallet))
        paywall = Paywall(server.calls, [OnChain(server, **options)])
        host = stack.enter_context(serving(paywall, PRICE))
        yield LedgerShop(net, server, customer, paywall, host)


@dataclass
class Stranger:
    """Somebody who composes units as they like, with a wallet of their own."""

    wallet: Wallet
    payee: str

    def compose(self, draft: Draft) -> Unit:
        """A signed unit, whose coins are free again at once."""
        self.wallet.refresh()  # of its units some were posted by the merchant
        unit = self.wallet.compose(draft)
        self.wallet.forget(unit["unit"])
        return unit

    def offer(self, *outputs: Output, asset: str = BASE, secret: str = SECRET) -> dict[str, Any]:
        """A unit that pays anybody anything, bound to the payee, with its secret."""
        return self.bind({asset: outputs or (Output(self.payee, PRICE),)}, secret)

    def bind(self, outputs: Mapping[str, tuple[Output, ...]], secret: str = SECRET) -> dict[str, Any]:
        """A unit that pays in several assets, bound to the payee."""
        unit = self.compose(Draft(outputs, (commitment_message(secret, self.payee),)))
        return {"unit": unit, "secret": secret}

    def forge(self, unit: Unit, change: Callable[[Unit], None], key: Key | None = None) -> dict[str, Any]:
        """Another unit like this one, with hashes, sizes and signature in order, whatever was changed in it."""
        forged = deepcopy(unit)
        change(forged)
        for message in forged["messages"]:
            if "payload" in message:
                message["payload_hash"] = payload_hash(message["payload"])
        forged["headers_commission"] = headers_size(forged)
        forged["payload_commission"] = total_payload_size(forged)
        signature = (key or self.wallet.key).sign(hash_to_sign(forged))
        forged["authors"][0]["authentifiers"] = {"r": signature}
        forged["unit"] = unit_hash(forged)
        return {"unit": forged, "secret": SECRET}


@contextmanager
def stranger_to(shop: LedgerShop) -> Iterator[Stranger]:
    """Brings somebody to a shop, with a million bytes."""
    wallet = wallet_on(shop.net)
    yield Stranger(wallet, shop.payee)
    wallet.close()


def pass_on(net: Devnet, unit: Unit) -> None:
    """Lets the network have a unit from somebody who does not care whether it conflicts with another."""
    net._node.take({"unit": unit})


def code_of(answer: object) -> tuple[int, str]:
    """The status and the code of the paywall's own answer."""
    assert isinstance(answer, Answer), answer
    return answer.status, json.loads(answer.body)["code"]
