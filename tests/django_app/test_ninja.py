"""Payable views of Django Ninja."""

from __future__ import annotations

import pytest

from paypercall.paywall import WrongUse
from tests.django_app.conftest import Site
from tests.django_app.project import RUNS

PATH = "ninja/report"


def test_a_view_is_paid_for_and_answered_again_without_running(site: Site) -> None:
    assert site.ask(f"{PATH}?year=2001").status_code == 402
    before, header = len(RUNS), site.header(130)
    first, again = (site.ask(f"{PATH}?year=2001", header) for _ in range(2))
    assert first.json() == again.json() == {"year": 2001, "amount": 130}
    assert site.refund_in(first) == 30
    assert len(RUNS) == before + 1


@pytest.mark.parametrize("query, status", [("year=1999", 404), ("year=never", 422)])
def test_what_fails_is_refunded(site: Site, query: str, status: int) -> None:
    answer = site.paid(f"{PATH}?{query}", 110)
    assert (answer.status_code, site.refund_in(answer)) == (status, 110)


def test_a_price_above_the_route_which_would_charge_nobody_is_refused(site: Site) -> None:
    from paypercall.django import payment
    from tests.django_app.ninja_views import unpaid

    with pytest.raises(WrongUse, match="decorate_view"):
        payment.required(100)(unpaid)
