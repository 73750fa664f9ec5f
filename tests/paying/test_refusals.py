"""What a payment is good for after a refusal, for every name that a refusal can have."""

from __future__ import annotations

import pytest

from paypercall.errors import RefusalCode
from paypercall.paid_call import CallConflict
from paypercall.paying.refusals import DOUBT_SECONDS, OUTLOOKS, REFUSALS, Outlook, is_lost, outlook

OF_THE_PAYWALL = {
    "answer_not_kept",
    "overpaid",
    "payment_required",
    "refunded",
    "several_payments",
    "underpaid",
}
"""Names that `paid_call` and `paywall.gate` give besides the codes of packages and conflicts."""

EXPECTED = {
    Outlook.NOT_YET: "above_deposit above_unconfirmed_limits above_unsettled_limits below_reserve deposit_too_young"
    " events_missing ledger_unreachable too_many_waiting unknown_channel",
    Outlook.OTHER_PERIOD: "channel_closing wrong_period",
    Outlook.STILL_GOOD: "channel_restored deposit_double_spent overpaid payment_required price_unknown several_payments"
    " underpaid uneconomic wrong_agent_version wrong_asset wrong_timeout",
    Outlook.DOUBTFUL: "not_json too_large wrong_amount wrong_parameters wrong_shape wrong_signature wrong_signer"
    " wrong_version",
    Outlook.IN_USE: "payment_in_progress payment_pending run_lost",
    Outlook.LOST: "answer_not_kept conflicting_package duplicate no_credit package_published payment_used refunded",
}


def test_every_name_of_a_refusal_has_an_outlook() -> None:
    conflicts = {kind.code for kind in CallConflict.__subclasses__()}
    assert set(OUTLOOKS) == {code.value for code in RefusalCode} | conflicts | OF_THE_PAYWALL


@pytest.mark.parametrize("expected", Outlook)
def test_each_name_has_the_outlook_that_it_should_have(expected: Outlook) -> None:
    names = {name for name, each in OUTLOOKS.items() if each is expected}
    assert names == set(EXPECTED[expected].split())
    assert {outlook(status, name) for name in names for status in (*REFUSALS, 503)} == {expected}


@pytest.mark.parametrize(
    "status, code, expected",
    [
        (400, None, None),
        (409, None, None),
        (200, "uneconomic", None),
        (302, "uneconomic", None),
        (402, "of_tomorrow", Outlook.DOUBTFUL),
        (413, "body_too_large", None),
        (503, "busy", None),
    ],
)
def test_an_answer_without_a_name_says_nothing_and_an_unknown_one_little(
    status: int, code: str | None, expected: Outlook | None
) -> None:
    assert outlook(status, code) is expected


@pytest.mark.parametrize("expected", Outlook)
@pytest.mark.parametrize("age", [-1, 0, DOUBT_SECONDS - 1, DOUBT_SECONDS, 10**9])
def test_a_payment_is_lost_by_its_name_or_by_doubts_that_last(expected: Outlook, age: int) -> None:
    lasts = age not in range(DOUBT_SECONDS)
    assert is_lost(expected, age) is (expected is Outlook.LOST or (expected is Outlook.DOUBTFUL and lasts))
