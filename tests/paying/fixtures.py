"""A market for the tests of a folder, whose sites are honest again for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paypercall.paying import Budget
from tests.paying.merchant import Market, open_market

BUDGET = Budget(per_call=500, per_hour=500_000, per_day=500_000)


@pytest.fixture(scope="package")
def open_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with open_market(tmp_path_factory.mktemp("market")) as market:
        yield market


@pytest.fixture
def market(open_for_all: Market) -> Iterator[Market]:
    """The market, with honest sites; whatever happens in it, the books hold all that was signed, and sum it up."""
    for site in (open_for_all.site, open_for_all.other):
        site.begin()
    open_for_all.forget_what_is_left()
    yield open_for_all
    open_for_all.require_that_all_that_is_signed_is_in_the_books()
    open_for_all.require_that_the_sums_are_those_of_the_calls()
