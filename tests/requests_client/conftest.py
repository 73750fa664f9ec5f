"""A session that pays, in the market of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from paypercall.requests import Session
from tests.paying.fixtures import BUDGET, market, open_for_all
from tests.paying.merchant import Market

__all__ = ["BUDGET", "api", "market", "open_for_all"]


@pytest.fixture
def api(market: Market) -> Iterator[Session]:
    """A session that pays for its calls, and waits for little more than a second."""
    with Session(market.client, BUDGET, patience=1.5) as session:
        yield session
