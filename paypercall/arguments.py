"""Checks of what a host passes to `Client` and `Server`, made before the books or the ledger are touched. Pure."""

from __future__ import annotations

from paypercall.errors import PaypercallError, Refusal, RefusalCode
from paypercall.obyte.address import is_valid_address, is_valid_base64
from paypercall.obyte.amounts import BASE
from paypercall.trigger_data import MAX_AGENT_AMOUNT

MAX_KEY_LENGTH = 255
"""Characters of an idempotency key."""

_ADDRESS_LENGTH = 32
_ASSET_LENGTH = 44


class WrongIdempotencyKey(PaypercallError, ValueError):
    """The idempotency key is no text that every database keeps as it is."""

    code = "wrong_idempotency_key"


def check_amount(amount: object) -> None:
    """Checks that an amount can be paid at all.

    Raises:
        Refusal: With `wrong_amount`.
    """
    if type(amount) is not int or not 0 < amount <= MAX_AGENT_AMOUNT:
        raise Refusal(RefusalCode.WRONG_AMOUNT, f"the amount must be an integer from 1 to {MAX_AGENT_AMOUNT}")


def check_idempotency_key(key: object) -> None:
    """Checks that a key is None or a text of 1 to 255 printable characters.

    Raises:
        WrongIdempotencyKey: When it is something else.
    """
    if key is None:
        return
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY_LENGTH or not key.isprintable():
        raise WrongIdempotencyKey(
            f"the idempotency key must be a text of 1 to {MAX_KEY_LENGTH} printable characters"
        )


def check_aa_address(aa_address: object) -> None:
    """Checks that what names a channel looks like an address, so that a database can be asked for it.

    Raises:
        Refusal: With `unknown_channel`.
    """
    if not isinstance(aa_address, str) or len(aa_address) != _ADDRESS_LENGTH or not aa_address.isascii():
        raise Refusal(RefusalCode.UNKNOWN_CHANNEL, "there is no such channel: this is no Obyte address")


def check_refill_threshold(threshold: object, deposit_amount: int) -> None:
    """Checks that a channel can be refilled below a threshold.

    Raises:
        Refusal: With `wrong_amount`.
    """
    if type(threshold) is not int or not 0 <= threshold <= deposit_amount:
        raise Refusal(
            RefusalCode.WRONG_AMOUNT, "refill_threshold must be an integer from 0 to deposit_amount"
        )


def check_payee(address: object) -> None:
    """Checks that something is an address that can be paid.

    Raises:
        Refusal: With `wrong_parameters`.
    """
    if not is_valid_address(address):
        raise Refusal(RefusalCode.WRONG_PARAMETERS, "the address is not a valid Obyte address")


def check_asset(asset: object) -> None:
    """Checks that something names bytes or may be the id of an asset.

    Raises:
        Refusal: With `wrong_asset`.
    """
    if asset != BASE and not is_valid_base64(asset, _ASSET_LENGTH):
        raise Refusal(RefusalCode.WRONG_ASSET, f"the asset must be {BASE!r} or a 44-character asset id")


def check_demands(asset: object, min_amount: object) -> None:
    """Checks what a host demands of a payment: None, or an asset and an amount.

    Raises:
        Refusal: With `wrong_asset` or `wrong_amount`.
    """
    if asset is not None:
        check_asset(asset)
    if min_amount is not None and (type(min_amount) is not int or not 0 <= min_amount <= MAX_AGENT_AMOUNT):
        raise Refusal(RefusalCode.WRONG_AMOUNT, f"min_amount must be an integer from 0 to {MAX_AGENT_AMOUNT}")


def check_withdrawal(amount: object, address: object, asset: object) -> None:
    """Checks that an amount of an asset can be sent to an address; whether it is there turns out when it is sent.

    Raises:
        Refusal: With `wrong_amount`, `wrong_parameters` or `wrong_asset`.
    """
    check_amount(amount)
    check_payee(address)
    check_asset(asset)
