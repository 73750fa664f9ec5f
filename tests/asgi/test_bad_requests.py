"""What a payable view of FastAPI refuses, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from paypercall import wire
from tests.asgi.fastapi_app import Runs, make_fastapi
from tests.asgi.running_app import serving
from tests.paywall.bad_requests import (
    BODIES_WITHOUT_A_PACKAGE,
    NO_PACKAGE_CODES,
    NO_PACKAGES,
    UNREADABLE_BODIES,
    requests_with_two_payments,
)
from tests.paywall.merchant import Shop, open_shop


class Site:
    """The application as its customers see it."""

    def __init__(self, shop: Shop, url: str, runs: Runs) -> None:
        self.shop = shop
        self.url = url
        self.runs = runs

    def header(self) -> dict[str, str]:
        return {wire.PACKAGE: wire.encode_package(self.shop.pay())}

    def ask(self, path: str, headers: Any = None, method: str = "GET", **options: Any) -> requests.Response:
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=20, **options)

    def accepted(self) -> int:
        return sum(channel.accepted_from_peer for channel in self.shop.server.server.channels())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    runs: Runs = []
    folder: Path = tmp_path_factory.mktemp("shop")
    with open_shop(folder) as shop, serving(make_fastapi(shop, runs)) as url:
        yield Site(shop, url, runs)


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("value", NO_PACKAGES)
def test_a_header_that_is_no_package_is_refused(site: Site, value: str) -> None:
    status, code = refusal(site.ask("/anything", {wire.PACKAGE: value.encode("latin-1")}))
    assert (status, code in NO_PACKAGE_CODES) == (400, True)


@pytest.mark.parametrize("data, content_type", BODIES_WITHOUT_A_PACKAGE)
def test_a_body_with_what_is_no_package_is_refused(site: Site, data: bytes, content_type: str) -> None:
    assert refusal(site.ask("/anything", {"Content-Type": content_type}, "POST", data=data))[0] == 400


@pytest.mark.parametrize("data, content_type", UNREADABLE_BODIES)
def test_a_body_that_cannot_be_read_holds_no_payment(site: Site, data: bytes, content_type: str) -> None:
    answer = site.ask("/anything", {"Content-Type": content_type}, "POST", data=data)
    assert refusal(answer) == (402, "payment_required")


def test_two_payments_in_one_request_are_refused_and_neither_is_taken(site: Site) -> None:
    one, other, charged = site.header(), site.header(), site.accepted()
    for parts in requests_with_two_payments(one[wire.PACKAGE], other[wire.PACKAGE]):
        assert refusal(site.ask("/anything", **parts)) == (400, "several_payments"), parts
    assert site.accepted() == charged
    assert site.ask("/anything", one).status_code == site.ask("/anything", other).status_code == 200


def test_a_payment_in_another_asset_than_the_price_is_refused(site: Site) -> None:
    header, charged = site.header(), site.accepted()
    assert refusal(site.ask("/other-asset", header)) == (402, "wrong_asset")
    assert (site.accepted(), "other-asset" in site.runs) == (charged, False)
    assert site.ask("/anything", header).status_code == 200


def test_a_wrong_method_charges_nothing(site: Site) -> None:
    header, charged = site.header(), site.accepted()
    assert site.ask("/temperature", header, "POST").status_code == 405
    assert site.ask("/nowhere", header).status_code == 404
    assert site.accepted() == charged


def test_a_header_above_every_limit_charges_nothing(site: Site) -> None:
    charged = site.accepted()
    assert site.ask("/anything", {wire.PACKAGE: "A" * 70_000}).status_code in (400, 431)
    assert site.accepted() == charged
