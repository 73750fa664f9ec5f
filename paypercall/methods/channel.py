"""Payments over channels: by a payment package, or by the token of one that was sent to the channel endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from paypercall import wire
from paypercall.methods.base import Order, PaymentMethod
from paypercall.paid_call import PaidCall
from paypercall.payment_server import CHANNEL, PaymentServer
from paypercall.terms import Terms


class Channel(PaymentMethod):
    """Payments over channels.

    Args:
        server: Takes them.
        endpoint: The path of the channel endpoint, or None if the host has none.
    """

    name: ClassVar[str] = CHANNEL
    payment_headers: ClassVar[tuple[str, ...]] = (wire.PACKAGE, wire.TOKEN)
    can_refund: ClassVar[bool] = True

    def __init__(self, server: PaymentServer, endpoint: str | None = None) -> None:
        self._server = server
        self._headers = terms_headers(server.identify(), endpoint)
        self._assets = frozenset(server.identify().assets)
        self._unconfirmed = unconfirmed_headers(server.identify())

    def get_402_headers(self, price: int, asset: str) -> Mapping[str, str]:
        """Price, asset, payee, network, endpoint, agent versions, time-outs, and what is accepted unconfirmed."""
        if asset not in self._assets:
            return {}
        return {
            wire.PRICE: str(price),
            wire.ASSET: asset,
            **self._headers,
            **self._unconfirmed.get(asset, {}),
        }

    def redeem_payment(self, payment: Mapping[str, Any], order: Order) -> PaidCall:
        """Accepts the package, or finds the one that the token stands for.

        Raises:
            Refusal: When the package cannot be read.
            PaymentRefused: When it is not accepted.
            CallConflict: When it cannot be used for this request.
        """
        token = payment.get(wire.TOKEN)
        if token is not None:
            return self._server.redeem_token(token, order.attempt)
        package = payment[wire.PACKAGE]
        return self._server.redeem(
            wire.decode_package(package) if isinstance(package, str) else package, order.attempt
        )

    def give_back(self, call: PaidCall) -> Mapping[str, str]:
        """The refund's package, always the same.

        Raises:
            Refusal: When the channel does not allow it now.
            ChannelTimeout: When the ledger was not seen in time after the start.
        """
        package = self._server.refund(call)
        return {} if package is None else {wire.PACKAGE: wire.encode_package(package)}


def terms_headers(terms: Terms, endpoint: str | None) -> dict[str, str]:
    """What a 402 says of a merchant, whatever the price."""
    headers = {
        wire.ADDRESS: terms.address,
        wire.NETWORK: terms.network,
        wire.AGENT_VERSIONS: ", ".join(terms.agent_versions),
        wire.CHANNEL_TIMEOUTS: f"{terms.min_timeout}-{terms.max_timeout}",
    }
    return headers if endpoint is None else {**headers, wire.ENDPOINT: endpoint}


def unconfirmed_headers(terms: Terms) -> dict[str, dict[str, str]]:
    """What a 402 says, by asset, of what is accepted before a deposit is confirmed."""
    return {
        asset: {
            wire.UNCONFIRMED: f"max-by-channel={limits.max_by_channel}, max-by-asset={limits.max_by_asset},"
            f" minimum-seconds={limits.minimum_seconds}"
        }
        for asset, limits in terms.unconfirmed.items()
    }
