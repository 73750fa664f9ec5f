"""The first call of a new customer opens the channel, and waits until the merchant sees the deposit."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from paypercall import wire
from paypercall.calls import PartyClosed
from paypercall.contract import ChannelParameters
from paypercall.obyte.amounts import BASE
from paypercall.paying import NotYetAccepted
from paypercall.requests import Session
from paypercall.server import MAX_UNKNOWN_WAITING
from tests.parties import customer_on, wait_until
from tests.paying.fixtures import BUDGET
from tests.paying.merchant import Reply, Seen, open_market, rows_of
from tests.two_sides import CUSTOMER, signed_package

pytestmark = pytest.mark.slow


def test_a_merchant_that_takes_only_what_is_confirmed_is_paid_with_one_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_market(tmp_path, unconfirmed_amounts_limits_by_asset_or_channel={}) as market:
        # The merchant does not wait for the ledger itself, but lets the customer ask again.
        monkeypatch.setattr(market.server.server, "_ledger_timeout", 0.5)
        market.net.settle()
        market.net.hold()
        with Session(market.client, BUDGET, patience=0.0) as hasty:
            for number in range(3):
                with pytest.raises(NotYetAccepted, match="call again later") as early:
                    hasty.get(f"{market.site.url}?{number}")
                assert (early.value.code, early.value.response.status_code) == ("not_yet_accepted", 402)
                assert early.value.response.json()["code"] == "above_unconfirmed_limits"
        market.net.release()
        with Session(market.client, BUDGET) as api:
            assert api.get(market.site.url).ok
        packages = [str(package) for package in market.site.packages]
        assert len(packages) > 1
        assert len(set(packages)) == 1
        assert market.site.served == 1
        market.require_that_all_that_is_signed_is_in_the_books()


def test_a_newcomer_in_a_crowd_of_first_packages_is_asked_to_come_again_with_the_same_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        open_market(tmp_path, unconfirmed_amounts_limits_by_asset_or_channel={}) as market,
        ThreadPoolExecutor(MAX_UNKNOWN_WAITING) as crowd,
        Session(market.client, BUDGET) as api,
    ):
        api.get_402_info(market.site.url)
        merchant, replies = market.server.server, []
        monkeypatch.setattr(merchant, "_ledger_timeout", 10.0)

        def announce_nothing_real(number: int) -> requests.Response:
            channel = ChannelParameters(merchant.address, CUSTOMER.address, BASE, f"salt {number}", 3600)
            version = market.net.network.version
            package = signed_package(100, parameters=channel, announce=channel, version=version)
            headers = {wire.PACKAGE: wire.encode_package(package)}
            return requests.get(market.site.url, headers=headers, timeout=60)

        waiting = [crowd.submit(announce_nothing_real, number) for number in range(MAX_UNKNOWN_WAITING)]
        wait_until(lambda: merchant._unknown_waiting._free._value == 0, "as many wait as may")
        market.site.seen.clear()

        def watch(seen: Seen, honest: Callable[[], Reply]) -> Reply:
            replies.append(honest())
            return replies[-1]

        market.site.trick = watch
        assert api.get(market.site.url).ok
        assert {response.result().json()["code"] for response in waiting} == {"unknown_channel"}
        busy = next(reply for reply in replies if reply.status != 402)
        assert (busy.status, json.loads(busy.body)["code"]) == (503, "too_many_waiting")
        assert "Retry-After" in dict(busy.headers)
        packages = {str(package) for package in market.site.packages}
        assert (len(packages), market.site.served) == (1, 1)
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


def test_a_client_that_is_closed_while_it_waits_gives_its_place_back(tmp_path: Path) -> None:
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
        assert rows_of(poor.store) == []
