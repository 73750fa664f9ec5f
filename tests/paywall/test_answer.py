"""What the paywall answers by itself says when the same payment is worth sending again."""

from __future__ import annotations

import pytest

from paypercall.errors import RefusalCode
from paypercall.paid_call import PaymentRefused
from paypercall.paywall.answer import refused


@pytest.mark.parametrize(
    "code, status, is_worth_it",
    [
        (RefusalCode.ABOVE_DEPOSIT, 402, True),
        (RefusalCode.DEPOSIT_TOO_YOUNG, 503, True),
        (RefusalCode.UNKNOWN_CHANNEL, 402, True),
        (RefusalCode.TOO_MANY_WAITING, 503, True),
        (RefusalCode.CHANNEL_CLOSING, 402, False),
        (RefusalCode.WRONG_PERIOD, 402, False),
        (RefusalCode.WRONG_SIGNATURE, 400, False),
        (RefusalCode.LEDGER_UNREACHABLE, 503, True),
    ],
)
def test_a_refusal_that_the_ledger_may_turn_into_a_payment_says_when_to_ask_again(
    code: RefusalCode, status: int, is_worth_it: bool
) -> None:
    answer = refused(PaymentRefused("not now", code=code.value), {"Payment-Price": "100"})
    assert answer.status == status
    assert ("Retry-After" in dict(answer.headers)) is is_worth_it
