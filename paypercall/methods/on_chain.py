"""Payments on the ledger: the customer sends a signed unit, which the merchant posts.

The unit is checked before it is posted, so that a refused one costs its payer nothing, and then kept, posted, and taken
(`Order.collect`). It gives nothing back: a refund would cost a unit of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from paypercall import wire
from paypercall.assets import require_usable_asset
from paypercall.errors import Refusal, RefusalCode
from paypercall.methods.base import Order, PaymentMethod
from paypercall.methods.waiting import WaitingPayments
from paypercall.obyte.amounts import BASE
from paypercall.obyte.errors import HubRefused
from paypercall.obyte.light import LightClient
from paypercall.paid_call import PaidCall, PaymentPending, PaymentRefused
from paypercall.payment_server import PaymentServer
from paypercall.unit_payment import UnitPayment, amount_paid, check_signatures, read_unit_payment

MINIMUM = 10_000
"""Bytes. The fees of a unit are several hundred bytes for who pays it, and a hundred for who spends what it brings."""

CLOCKS_DIFFER_SECONDS = 60
"""How far the clock of a unit's payer may be behind ours."""


class OnChain(PaymentMethod):
    """Payments on the ledger.

    Args:
        server: Whose wallet is paid.
        minimums: By asset, the lowest price that can be paid so, in bytes or units of the asset; 10,000 bytes by
            default, and 1 of any other asset.
        only_when_stable: Whether a request is answered only once its unit is proven to be final, which takes minutes.
            Otherwise it is as soon as the hub has taken the unit, and shows no other that conflicts with it; its payer
            can still have another one win.
    """

    name: ClassVar[str] = "on_chain"
    payment_headers: ClassVar[tuple[str, ...]] = (wire.UNIT,)

    def __init__(
        self,
        server: PaymentServer,
        *,
        minimums: Mapping[str, int] | None = None,
        only_when_stable: bool = False,
    ) -> None:
        self._server = server.server
        self._network = self._server.conf.network_constants()
        self._minimums = {BASE: MINIMUM, **(minimums or {})}
        self._only_when_stable = only_when_stable
        self._waiting = WaitingPayments("the hub")

    def get_402_headers(self, price: int, asset: str) -> Mapping[str, str]:
        """Price, asset, payee, network and the terms; nothing below the minimum."""
        minimum = self._minimum(asset)
        if asset not in self._server.conf.accepted_assets or price < minimum:
            return {}
        served = "stable" if self._only_when_stable else "accepted"
        return {
            wire.PRICE: str(price),
            wire.ASSET: asset,
            wire.ADDRESS: self._server.address,
            wire.NETWORK: self._network.version,
            wire.UNIT_TERMS: f"amount=exact, refunds=none, served={served}, minimum={minimum}",
        }

    def redeem_payment(self, payment: Mapping[str, Any], order: Order) -> PaidCall:
        """Checks a unit, keeps it for the request, and posts it.

        Raises:
            Refusal: When the unit cannot be read, contradicts itself, is not signed, or the asset is not accepted;
                or with `too_many_waiting`.
            PaymentRefused: When it is not accepted, by us or by the hub.
            PaymentPending: When it is not final yet, or another unit conflicts with it.
            CallConflict: When it cannot be used for this request, or pays in another asset.
            ObyteError: When the hub does not say what became of it.
        """
        offered = read_unit_payment(wire.decode_unit(payment[wire.UNIT]), self._network, self._server.address)
        amount, asset = amount_paid(offered, self._server.address)
        if order.is_new(offered.hash):
            self._require_acceptable(offered, order)
        return self._waiting.collect(
            order, offered.hash, amount, lambda _: self._collect(offered), asset=asset, unit=offered.hash
        )

    @property
    def _light(self) -> LightClient:
        return self._server.wallet.light

    def _minimum(self, asset: str) -> int:
        return self._minimums.get(asset, 1)

    def _require_acceptable(self, offered: UnitPayment, order: Order) -> None:
        """What a unit's hash does not settle once and for all: it covers the signatures."""
        if order.asset not in self._server.conf.accepted_assets:
            raise Refusal(RefusalCode.WRONG_ASSET, f"payments in {order.asset} are not accepted")
        if order.price < self._minimum(order.asset):
            raise PaymentRefused(
                f"less than {self._minimum(order.asset)} cannot be paid by a unit", code="below_minimum"
            )
        self._require_younger_than_books(offered)
        with self._waiting.turn():
            check_signatures(offered, self._light.definition)
            require_usable_asset(order.asset, self._light)

    def _require_younger_than_books(self, offered: UnitPayment) -> None:
        """A unit that was made before the books begin may have bought something by books that are lost."""
        with self._server.store.reading() as books:
            identity = books.node.identity()
        assert identity is not None, "the books are claimed before a node is made"
        if offered.unit["timestamp"] < identity.complete_since - CLOCKS_DIFFER_SECONDS:
            raise PaymentRefused(
                "the unit is older than the merchant's books, which cannot tell whether it was used",
                code="unit_too_old",
            )

    def _collect(self, offered: UnitPayment) -> None:
        try:
            self._light.post(offered.unit)
        except HubRefused as refusal:
            raise PaymentRefused(f"the hub has refused the unit: {refusal}", code="unit_refused") from None
        # A hub may take a double-spend, too, but leaves it out of histories until one of the two is final.
        shown = self._light.history((), requested_units=[offered.hash])
        entry = next((entry for entry in shown.units if entry.hash == offered.hash), None)
        if entry is None:
            raise PaymentPending("another unit conflicts with this one; ask again when one of them is final")
        if entry.is_final_bad:
            raise PaymentRefused("another unit has spent the same coins", code="double_spent")
        if self._only_when_stable and not entry.is_stable:
            raise PaymentPending("the unit is not final yet; ask again in a while, with the same unit")
