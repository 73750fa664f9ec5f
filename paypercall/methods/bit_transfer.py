"""Payments by transfers between accounts at a third party, which the merchant redeems there.

The third party holds the money; it must move a transfer once, answer a repeated redemption as the first time, be it
with a refusal, and refuse every other one of what it has moved. A module of its own, so that only who takes transfers
loads an HTTP client.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, ClassVar, TypeVar
from urllib.parse import quote

import requests

from paypercall import wire
from paypercall.errors import PaypercallError
from paypercall.methods.base import Order, PaymentMethod
from paypercall.methods.waiting import WaitingPayments
from paypercall.obyte.amounts import BASE
from paypercall.paid_call import PaidCall, PaymentRefused
from paypercall.transfer import SignedTransfer, Transfer, is_name, read_transfer

MAX_AGE_SECONDS = 600
CLOCKS_DIFFER_SECONDS = 60
"""How far in the future a transfer's time may be."""

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_ERROR = 500
"""Characters of the third party's error that are passed on."""

_NOT_NOW = frozenset({408, 425, 429})
"""Refusals of this moment, not of the transfer."""


_T = TypeVar("_T")


def _within(seconds: float, function: Callable[[], _T]) -> _T:
    """Runs a function that blocks, and waits no longer for it than so many seconds.

    Raises:
        TimeoutError: When it takes longer; it is left alone then.
        Exception: What it raises.
    """
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001  it is for whoever waits
            outcome.set_exception(error)

    threading.Thread(target=run, name="paypercall-third-party", daemon=True).start()
    try:
        return outcome.result(seconds)
    except FutureTimeout as error:
        raise TimeoutError(f"no end within {seconds} seconds") from error


def _error_of(answer: Mapping[str, Any]) -> str | None:
    """The third party's words, with its own code after them where it gives one; None if there are none."""
    error, code = answer.get("error"), answer.get("code")
    if not isinstance(error, str):
        return None
    return error[:MAX_ERROR] + (f" ({code})" if is_name(code) else "")


class OutcomeUnknown(PaypercallError):
    """The third party did not say whether it has moved the money; the same transfer is to be sent again."""

    code = "transfer_outcome_unknown"
    is_for_payer: ClassVar[bool] = True


class BitTransfer(PaymentMethod):
    """Payments by transfers.

    Args:
        verification_url: Where a transfer is redeemed, with `{}` in the place of the payee's username.
        username: The payee's, at the third party.
        address: The payee's address, which transfers must name.
        asset: What the third party's unit counts as in prices.
        max_age: Seconds that a transfer may be old when it is first presented; the third party must take it for longer,
            since it may have to be asked again.
        timeout: Seconds to wait for the third party's answer, in all.
    """

    name: ClassVar[str] = "bit_transfer"
    payment_headers: ClassVar[tuple[str, ...]] = (wire.TRANSFER, wire.TRANSFER_SIGNATURE)

    def __init__(
        self,
        verification_url: str,
        username: str,
        address: str,
        *,
        asset: str = BASE,
        max_age: int = MAX_AGE_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        if not is_name(username) or not is_name(address):
            raise ValueError("username and address must be short printable texts")
        self._url = verification_url.format(quote(username, safe=""))
        self._username = username
        self._address = address
        self._asset = asset
        self._max_age = max_age
        self._timeout = timeout
        self._waiting = WaitingPayments("the third party")

    def get_402_headers(self, price: int, asset: str) -> Mapping[str, str]:
        """Price, asset, and the payee's address and username at the third party."""
        if asset != self._asset:
            return {}
        return {
            wire.PRICE: str(price),
            wire.ASSET: asset,
            wire.TRANSFER_ADDRESS: self._address,
            wire.TRANSFER_USERNAME: self._username,
            wire.TRANSFER_TERMS: f"amount=exact, refunds=none, max-age={self._max_age}",
        }

    def redeem_payment(self, payment: Mapping[str, Any], order: Order) -> PaidCall:
        """Checks a transfer, keeps it for the request, and redeems it.

        Raises:
            Refusal: When it cannot be read, or is not signed; or with `too_many_waiting`.
            PaymentRefused: When it is not accepted, by us or by the third party.
            CallConflict: When it cannot be used for this request, or the price is in another asset.
            OutcomeUnknown: When the third party does not say what became of it.
        """
        signed = read_transfer(payment.get(wire.TRANSFER, ""), payment.get(wire.TRANSFER_SIGNATURE, ""))
        transfer = signed.transfer
        if order.is_new(signed.id):
            self._require_acceptable(transfer)
        return self._waiting.collect(
            order,
            signed.id,
            transfer.amount,
            lambda held: self._collect(signed, held, order),
            asset=self._asset,
            payer=transfer.payer,
            redemption=secrets.token_hex(16),
        )

    def _require_acceptable(self, transfer: Transfer) -> None:
        if (transfer.payee_username, transfer.payee_address) != (self._username, self._address):
            raise PaymentRefused("the transfer is to another payee", code="wrong_payee")
        age = int(time.time()) - transfer.timestamp
        if not -CLOCKS_DIFFER_SECONDS <= age <= self._max_age:
            raise PaymentRefused(
                f"the transfer must be at most {self._max_age} seconds old, and not of the future",
                code="wrong_time",
            )

    def _collect(self, signed: SignedTransfer, held: PaidCall, order: Order) -> None:
        # Of the first attempt, so that each later one is known for the same, and no other service's is.
        redemption = json.loads(held.receipt)["redemption"]
        status, answer = self._post({"bittransfer": signed.text, "signature": signed.signature}, redemption)
        if status == requests.codes.ok and answer.get("redeemed") == signed.id:
            return
        error = _error_of(answer)
        if error is not None and 400 <= status < 500 and status not in _NOT_NOW:
            # One that does not name the transfer may be a gateway's, which knows nothing of other attempts.
            if answer.get("refused") == signed.id or order.drop_unless_retried(held):
                raise PaymentRefused(error, code="transfer_refused")
            raise OutcomeUnknown(
                f"another attempt may have moved the money, and this one is refused: {error}"
            )
        unknown = f"the third party answered {status}, which does not tell whether the money has moved"
        raise OutcomeUnknown(unknown if error is None else f"{unknown}: {error}")

    def _post(self, body: Mapping[str, str], redemption: str) -> tuple[int, dict[str, Any]]:
        """The status and the JSON object of the answer; an empty one if it is something else."""
        try:
            status, content = _within(self._timeout, lambda: self._read_answer(body, redemption))
        except TimeoutError as error:
            raise OutcomeUnknown("the third party's answer takes too long") from error
        except requests.RequestException as error:
            raise OutcomeUnknown(f"the third party cannot be asked: {type(error).__name__}") from error
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError):
            answer = None
        return status, answer if isinstance(answer, dict) else {}

    def _read_answer(self, body: Mapping[str, str], redemption: str) -> tuple[int, bytes]:
        latest, content = time.monotonic() + self._timeout, bytearray()
        with requests.post(
            self._url,
            json=body,
            headers={"Idempotency-Key": f'"{redemption}"'},
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        ) as response:
            # Byte by byte, since a longer read waits for all of its bytes, however slowly they drip.
            for part in response.iter_content(1):
                content += part
                if len(content) > MAX_ANSWER_BYTES:
                    raise OutcomeUnknown("the third party's answer is too long")
                if time.monotonic() > latest:
                    raise OutcomeUnknown("the third party's answer takes too long")
        return response.status_code, bytes(content)
