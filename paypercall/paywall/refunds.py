"""Which answers are refunded: the owner's policy, and what becomes of one that makes no sense. Pure."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus

from paypercall.paywall.current import WrongUse
from paypercall.paywall.signature import is_async, takes_one

logger = logging.getLogger(__name__)

RefundPolicy = Callable[[int], bool]
"""Whether an answer with this HTTP status is refunded."""


def checked(policy: RefundPolicy | None) -> RefundPolicy:
    """A policy that always says True or False: where the owner's says something else, or fails, it is True.

    Args:
        policy: The owner's, or None to refund all from 400 on.

    Raises:
        WrongUse: When it is no function that takes a status, or is async.
    """
    if policy is None:
        return is_error
    if not callable(policy) or inspect.isclass(policy) or is_async(policy) or not takes_one(policy):
        raise WrongUse("`refunds` must be a function of an HTTP status that returns True or False, not async")

    def refunds(status: int) -> bool:
        try:
            verdict: object = policy(status)
        except Exception:
            logger.exception("the refund policy failed for the status %d: the payment is refunded", status)
            return True
        if isinstance(verdict, bool):
            return verdict
        if isinstance(verdict, Coroutine):
            verdict.close()
        logger.error(
            "the refund policy must return True or False, not %s: the payment is refunded",
            type(verdict).__name__,
        )
        return True

    return refunds


def is_error(status: int) -> bool:
    """Whether a status says that the request was not answered."""
    return status >= HTTPStatus.BAD_REQUEST
