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
    """A session that pays for its calls, and asks for later within a second."""
    with Session(market.client, BUDGET, patience=1.0) as session:
        yield session
