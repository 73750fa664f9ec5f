"""The root of every error that paypercall raises.

Each error carries a stable `code`, so that a program can act on it without reading the text. This module is the
bottom of the house: it imports nothing of the package, and holds no error that belongs to one area only.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class PaypercallError(Exception):
    """An error with a text for people and a stable `code` for programs.

    Args:
        message: What was wrong and what to do about it, in one line, without secrets.
        code: A stable identifier; subclasses set their own default.

    Attributes:
        is_for_payer: Whether a payer is told the text though the payment was not refused. Others may tell of the
            merchant's own affairs.
    """

    code: str = "error"
    is_for_payer: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class Refusal(PaypercallError):
    """A payment package, a deposit or a request that is not accepted; nothing in the books has changed.

    Raised by the pure rules with one of the codes of `RefusalCode`; `Server.verify_payment_package` and
    `Client.verify_payment_package` turn it into the result's `error` and `code`.
    """

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message, code=code.value)


class RefusalCode(Enum):
    """Why a payment package was not accepted. The values are stable: programs may compare them."""

    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    WRONG_SHAPE = "wrong_shape"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_VERSION = "wrong_version"
    WRONG_SIGNATURE = "wrong_signature"
    WRONG_SIGNER = "wrong_signer"
    WRONG_PARAMETERS = "wrong_parameters"
    WRONG_AGENT_VERSION = "wrong_agent_version"
    WRONG_TIMEOUT = "wrong_timeout"
    WRONG_PERIOD = "wrong_period"
    WRONG_ASSET = "wrong_asset"
    UNKNOWN_CHANNEL = "unknown_channel"
    TOO_MANY_WAITING = "too_many_waiting"
    CHANNEL_CLOSING = "channel_closing"
    CHANNEL_RESTORED = "channel_restored"
    EVENTS_MISSING = "events_missing"
    DUPLICATE = "duplicate"
    CONFLICTING_PACKAGE = "conflicting_package"
    NO_CREDIT = "no_credit"
    ABOVE_DEPOSIT = "above_deposit"
    ABOVE_UNCONFIRMED_LIMITS = "above_unconfirmed_limits"
    DEPOSIT_TOO_YOUNG = "deposit_too_young"
    DEPOSIT_DOUBLE_SPENT = "deposit_double_spent"
    ABOVE_UNSETTLED_LIMITS = "above_unsettled_limits"
    UNECONOMIC = "uneconomic"
    UNDERPAID = "underpaid"
    BELOW_RESERVE = "below_reserve"
    LEDGER_UNREACHABLE = "ledger_unreachable"
