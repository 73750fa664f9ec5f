"""A customer who asks the merchant to close: once a period, and for a tenth of what the merchant has earned at most."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from paypercall.channel import Status, sign
from paypercall.close_request import sign_close_request
from paypercall.costs import SWEEPING_COST
from paypercall.errors import Refusal
from paypercall.package import compose_package
from tests.parties import wait_until
from tests.paywall.merchant import Shop, open_shop

ENOUGH = 10 * SWEEPING_COST


def status_of(shop: Shop, aa_address: str) -> Status:
    shop.net.settle()
    return shop.server.status(aa_address).status


def close_request(shop: Shop, aa_address: str, period: int = 1) -> str:
    return sign_close_request(shop.client.wallet.key, aa_address, period)


def opened(shop: Shop, amount: int) -> str:
    """Pays, and waits until the channel is open; returns its address."""
    assert shop.server.server.verify_payment_package(shop.pay(amount)).error is None
    aa_address = shop.client.aa_address
    assert aa_address is not None
    wait_until(lambda: status_of(shop, aa_address) is Status.OPEN, "the deposit is confirmed")
    return aa_address


def test_a_close_is_done_once_and_its_request_means_nothing_in_the_next_period(tmp_path: Path) -> None:
    with open_shop(tmp_path, deposit_amount=200_000) as shop:
        aa_address = opened(shop, ENOUGH)
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
    with open_shop(tmp_path, deposit_amount=200_000) as shop:
        aa_address = opened(shop, 1)
        package = compose_package(
            shop.client.wallet.key,
            shop.net.network.version,
            aa_address=aa_address,
            period=1,
            payment_amount=1,
            amount_spent=ENOUGH + 1,
            announce=None,
        )
        assert shop.server.server.verify_payment_package(package).error is None
        with pytest.raises(Refusal) as refused:
            shop.server.close(aa_address, close_request(shop, aa_address))
        assert refused.value.code == "uneconomic"


def test_a_close_that_would_take_more_than_a_tenth_of_what_is_owed_is_refused_and_changes_nothing(
    tmp_path: Path,
) -> None:
    with open_shop(tmp_path, deposit_amount=200_000) as shop:
        aa_address = opened(shop, ENOUGH - 1)
        before = shop.server.status(aa_address)
        with pytest.raises(Refusal, match="yourself on the ledger") as refused:
            shop.server.close(aa_address, close_request(shop, aa_address))
        assert refused.value.code == "uneconomic"
        assert shop.server.status(aa_address) == before
        with shop.server.server.store.reading() as books:
            assert books.outbox.of_period(aa_address, 1) == []
        # For the owner it is enough.
        shop.server.server.close(aa_address)
        wait_until(lambda: status_of(shop, aa_address) is not Status.OPEN, "it is closing")


def test_a_refund_that_is_signed_while_a_close_is_asked_for_counts(tmp_path: Path) -> None:
    """Else a customer could have a call refunded and be closed for it, both at the merchant's cost."""
    codes: list[str] = []
    with open_shop(tmp_path, deposit_amount=200_000) as shop:
        aa_address = opened(shop, ENOUGH)
        signature = close_request(shop, aa_address)

        def ask() -> None:
            with pytest.raises(Refusal) as refused:
                shop.server.close(aa_address, signature)
            codes.append(refused.value.code)

        asking = threading.Thread(target=ask)
        with shop.server.server.store.transaction() as books:
            record = books.channels.lock(aa_address)
            assert record is not None
            asking.start()
            time.sleep(0.2)  # in which the request finds the channel as it was
            books.channels.save(record.channel, sign(record.channel, 1, 0))
        asking.join()
        assert codes == ["uneconomic"]
