"""The first call of a new customer opens the channel, and waits until the merchant sees the deposit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paypercall.calls import PartyClosed
from paypercall.requests import Session
from tests.parties import customer_on, wait_until
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import open_market, rows_of

pytestmark = pytest.mark.slow


def test_a_merchant_that_takes_only_what_is_confirmed_is_paid_with_one_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_market(tmp_path, unconfirmed_amounts_limits_by_asset_or_channel={}) as market:
        # The merchant does not wait for the ledger itself, but lets the customer ask again.
        monkeypatch.setattr(market.server.server, "_ledger_timeout", 0.5)
        with Session(market.client, BUDGET) as api:
            assert api.get(market.site.url).ok
        packages = [str(package) for package in market.site.packages]
        assert len(packages) > 1
        assert len(set(packages)) == 1
        assert market.site.served == 1
        market.require_that_all_that_is_signed_is_in_the_books()


def test_what_a_client_without_money_cannot_pay_leaves_nothing_in_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        open_market(tmp_path) as market,
        customer_on(market.net, tmp_path / "poor", market.client.peer_address, funds=0) as poor,
        Session(poor, BUDGET) as api,
    ):
        really_create = poor.create_payment_package
        monkeypatch.setattr(
            poor, "create_payment_package", lambda amount, key: really_create(amount, key, 0.5)
        )
        with pytest.raises(Exception, match="not usable yet") as failed:
            api.get(market.site.url)
        assert failed.value.code == "timeout"  # type: ignore[attr-defined]
        with poor.store.reading() as books:
            spending = books.bought_calls.spending("base", "", "", hour_ago=0, day_ago=0)
        assert spending.total.day == 0
        assert market.site.packages == []


def test_a_client_that_is_closed_while_it_waits_leaves_its_place_to_the_next_call(tmp_path: Path) -> None:
    with (
        open_market(tmp_path) as market,
        customer_on(market.net, tmp_path / "poor", market.client.peer_address, funds=0) as poor,
        Session(poor, BUDGET) as api,
        ThreadPoolExecutor(1) as threads,
    ):
        call = threads.submit(api.get, market.site.url)
        wait_until(lambda: len(rows_of(poor.store)) == 1, "the place is taken")
        wait_until(lambda: poor.aa_address is not None, "the channel is waited for")
        poor.close_node()
        with pytest.raises(PartyClosed):
            call.result(30.0)
        [row] = rows_of(poor.store)
        assert (row["state"], row["run"]) == ("pending", None)
