"""The same view under other payment middlewares for Python, with payments that cost them nothing.

A null scheme accepts everything in the process: no signature, no network, no books. What is left is their middleware.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from x402 import x402ResourceServer
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.http.types import PaymentOption, RouteConfig
from x402.http.utils import decode_payment_required_header, encode_payment_signature_header
from x402.interfaces import PaymentFlowConfig
from x402.payment_flow import AUTHORIZATION_PAYMENT_FLOW
from x402.schemas import (
    AssetAmount,
    PaymentPayload,
    PaymentRequirements,
    SettleResponse,
    SupportedKind,
    SupportedResponse,
    VerifyResponse,
)

from benchmarks.in_process import PATH, Call, asgi_call

PRICE = 100
NETWORK = "null:bench"


async def temperature(request: Request) -> JSONResponse:
    """The view that is paid for."""
    return JSONResponse({"celsius": 21})


# --- x402 ------------------------------------------------------------------------------------------------------------


class NullScheme:
    """A scheme of x402 in which a payment is only a number."""

    scheme = "null"
    default_asset_transfer_method = "default"
    payment_flows: Mapping[str, PaymentFlowConfig] = {"default": AUTHORIZATION_PAYMENT_FLOW}

    def parse_price(self, price: Any, network: str) -> AssetAmount:
        """The price as it is."""
        return AssetAmount(amount=str(price), asset="null")

    def enhance_payment_requirements(
        self, requirements: PaymentRequirements, supported_kind: SupportedKind, extensions: list[str]
    ) -> PaymentRequirements:
        """The requirements as they are."""
        return requirements


class NullFacilitator:
    """Accepts everything, at once."""

    def get_supported(self) -> SupportedResponse:
        """The null scheme."""
        return SupportedResponse(kinds=[SupportedKind(x402_version=2, scheme="null", network=NETWORK)])

    async def verify(self, payload: Any, requirements: Any) -> VerifyResponse:
        """Valid."""
        return VerifyResponse(is_valid=True, payer="customer")

    async def settle(self, payload: Any, requirements: Any) -> SettleResponse:
        """Settled."""
        return SettleResponse(success=True, transaction="null", network=NETWORK, payer="customer")


def under_x402(loop: asyncio.AbstractEventLoop, count: int) -> tuple[Call, list[Mapping[str, str]]]:
    """The view under x402's middleware, and payments for it."""
    server = x402ResourceServer(NullFacilitator())
    server.register(NETWORK, NullScheme())
    option = PaymentOption(scheme="null", pay_to="merchant", price=PRICE, network=NETWORK)
    app = Starlette(routes=[Route(PATH, temperature)])
    app.add_middleware(
        PaymentMiddlewareASGI, routes={f"GET {PATH}": RouteConfig(accepts=option)}, server=server
    )
    call = asgi_call(app, loop)
    required = decode_payment_required_header(call({}).headers["payment-required"])
    return call, [
        {
            "payment-signature": encode_payment_signature_header(
                PaymentPayload(payload={"number": number}, accepted=required.accepts[0])
            )
        }
        for number in range(count)
    ]


# --- pympp -----------------------------------------------------------------------------------------------------------


class NullRequest(BaseModel):
    """What a null payment of pympp is asked for."""

    amount: str


class NullPayload(BaseModel):
    """A null payment of pympp."""

    number: int


def under_pympp(loop: asyncio.AbstractEventLoop, count: int) -> tuple[Call, list[Mapping[str, str]]]:
    """The view under pympp's decorator, and payments for it. Needs Python 3.11."""
    mpp, methods, server = (importlib.import_module(name) for name in ("mpp", "mpp.methods", "mpp.server"))
    decorator = importlib.import_module("mpp.server.decorator")

    async def verify(context: Any) -> Any:
        return mpp.Receipt(
            status="success", timestamp=datetime.now(timezone.utc), reference="null", method="null"
        )

    method = methods.Method(
        name="null", intent="charge", request_model=NullRequest, payload_model=NullPayload
    )
    engine = server.Mpp(
        server.ServerMethod(method=method, verify=verify), realm="localhost", secret_key="of a benchmark" * 3
    )

    @decorator.pay(engine.charge(amount=str(PRICE)))
    async def paid(request: Request, credential: Any, receipt: Any) -> JSONResponse:
        return await temperature(request)

    call = asgi_call(Starlette(routes=[Route(PATH, paid)]), loop)

    def payment(number: int) -> dict[str, str]:
        challenge = mpp.Challenge.from_www_authenticate(call({}).headers["www-authenticate"])
        credential = mpp.Credential(challenge=challenge.to_echo(), payload={"number": number})
        return {"authorization": credential.to_authorization()}

    return call, [payment(number) for number in range(count)]
