"""A customer who asks the merchant to close: once a period, and not at the merchant's cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from paypercall.channel import Status
from paypercall.close_request import sign_close_request
from paypercall.errors import Refusal
from paypercall.package import compose_package
from tests.parties import wait_until
from tests.paywall.merchant import Shop, open_shop


def status_of(shop: Shop, aa_address: str) -> Status:
    shop.net.settle()
    return shop.server.status(aa_address).status


def close_request(shop: Shop, aa_address: str, period: int = 1) -> str:
    return sign_close_request(shop.client.wallet.key, aa_address, period)


def test_a_close_is_done_once_and_its_request_means_nothing_in_the_next_period(tmp_path: Path) -> None:
    with open_shop(tmp_path) as shop:
        assert shop.server.server.verify_payment_package(shop.pay(30_000)).error is None
        aa_address = shop.client.aa_address
        assert aa_address is not None
        wait_until(lambda: status_of(shop, aa_address) is Status.OPEN, "the deposit is confirmed")
        signature = close_request(shop, aa_address)
        shop.server.close(aa_address, signature)
        shop.server.close(aa_address, signature)
        shop.net.advance(4000)
        wait_until(lambda: status_of(shop, aa_address) is Status.CLOSED, "the period has ended", 60)
        with pytest.raises(Refusal) as refused:
            shop.server.close(aa_address, signature)
        assert refused.value.code == "wrong_signature"


def test_what_was_signed_but_never_paid_for_anything_does_not_make_a_close_worth_its_cost(
    tmp_path: Path,
) -> None:
    with open_shop(tmp_path) as shop:
        assert shop.server.server.verify_payment_package(shop.pay(1)).error is None
        aa_address = shop.client.aa_address
        assert aa_address is not None
        package = compose_package(
            shop.client.wallet.key,
            shop.net.network.version,
            aa_address=aa_address,
            period=1,
            payment_amount=1,
            amount_spent=50_000,
            announce=None,
        )
        assert shop.server.server.verify_payment_package(package).error is None
        wait_until(lambda: status_of(shop, aa_address) is Status.OPEN, "the deposit is confirmed")
        with pytest.raises(Refusal) as refused:
            shop.server.close(aa_address, close_request(shop, aa_address))
        assert refused.value.code == "uneconomic"
