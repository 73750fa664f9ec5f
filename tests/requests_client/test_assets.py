"""Prices in different assets are never compared: a number of one is no number of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from paypercall.client import Client
from paypercall.devnet import Devnet
from paypercall.methods import Channel
from paypercall.paying import Budget, Offer, PaymentDeclined
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Paywall, Price, Request
from paypercall.requests import Session
from tests.parties import customer_on, merchant_on
from tests.paying.merchant import Reply, Seen, Site, rows_of

pytestmark = pytest.mark.slow

BYTES = Budget(500, 5_000, 5_000)


@dataclass
class Stall:
    """A site that asks for `price`, and a customer with bytes and units of an asset."""

    site: Site
    client: Client
    asset: str
    price: Price

    def spent(self, asset: str) -> int:
        return sum(row["amount"] for row in rows_of(self.client.store) if row["asset"] == asset)


@pytest.fixture(scope="module")
def open_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stall]:
    folder = tmp_path_factory.mktemp("stall")
    with Devnet() as net:
        asset = net.issue_asset(10_000_000)
        limits = {
            "max_unconfirmed_by_asset": 1_000_000,
            "max_unconfirmed_by_channel": 1_000_000,
            "minimum_time_in_seconds": 0,
        }
        settings = {
            "accepted_assets": ["base", asset],
            "max_unsettled_by_asset": {asset: None},
            "max_unsettled_by_channel": {asset: None},
            "cost_of_sweep_by_asset": {asset: 10},
            "unconfirmed_amounts_limits_by_asset_or_channel": {"base": limits, asset: limits},
        }
        with (
            merchant_on(net, folder / "merchant", **settings) as merchant,
            customer_on(net, folder / "customer", merchant.address) as client,
        ):
            net.fund(client.address, 500_000, asset)
            net.settle()
            server = PaymentServer(merchant)
            paywall = Paywall(server.calls, [Channel(server)])
            stall = Stall(Site(paywall), client, asset, Price(100, "base"))

            def sell(seen: Seen, _: object) -> Reply:
                path = urlsplit(seen.path)
                request = Request(seen.method, path.path, path.query, seen.headers, seen.body)
                outcome = paywall.begin(request, stall.price)
                if isinstance(outcome, Answer):
                    return Reply(outcome.status, list(outcome.headers), outcome.body)
                ending = paywall.finish(outcome, 200, [], b"sold")
                return Reply(200, list(ending.headers), b"sold")

            stall.site.trick = sell
            try:
                yield stall
            finally:
                stall.site.close()


@pytest.fixture
def stall(open_for_all: Stall) -> Stall:
    open_for_all.price = Price(100, "base")
    return open_for_all


def test_a_session_pays_in_an_issued_asset_within_the_budget_of_that_asset(stall: Stall) -> None:
    stall.price = Price(3, stall.asset)
    in_bytes = stall.spent("base")
    with Session(stall.client, [BYTES, Budget(3, 6, 6, asset=stall.asset)]) as api:
        assert api.get(stall.site.url + "/a").ok
        assert api.get(stall.site.url + "/b").ok
        with pytest.raises(PaymentDeclined) as declined:
            api.get(stall.site.url + "/c")
    assert declined.value.code == "above_per_hour"
    assert (stall.spent(stall.asset), stall.spent("base")) == (6, in_bytes)


def test_a_price_in_another_asset_than_the_last_one_is_asked_about(stall: Stall) -> None:
    asked: list[tuple[int, str, int]] = []

    def approve(offer: Offer, last: int) -> bool:
        asked.append((offer.price, offer.asset, last))
        return len(asked) > 1

    budget = Budget(500, 5_000, 5_000, asset=stall.asset, approve=approve)
    url = stall.site.url + "/asked"
    with Session(stall.client, [BYTES, budget]) as api:
        assert api.get(url).ok
        before, stall.price = stall.spent(stall.asset), Price(90, stall.asset)
        api.get_402_info(url)
        with pytest.raises(PaymentDeclined) as declined:
            api.get(url)
        assert declined.value.code == "not_approved"
        assert stall.spent(stall.asset) == before
        assert api.get(url).ok
        assert api.get(url).ok
    assert asked == [(90, stall.asset, 0)] * 2


def test_a_calls_own_limit_is_in_the_asset_of_the_client(stall: Stall) -> None:
    stall.price = Price(3, stall.asset)
    before, url = stall.spent(stall.asset), stall.site.url + "/limit"
    with Session(stall.client, [BYTES, Budget(50, 500, 500, asset=stall.asset)]) as api:
        for max_price in (3, 100):
            with pytest.raises(PaymentDeclined) as declined:
                api.get(url, max_price=max_price)
            assert declined.value.code == "above_max_price"
        assert stall.spent(stall.asset) == before
        assert api.get(url).ok
