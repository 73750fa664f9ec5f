"""One-time tokens at a real merchant: what its books keep of them, and those of older versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from paypercall import wire
from paypercall.payment_token import hash_of
from paypercall.paywall import Answer, Price, Running
from tests.paywall.merchant import Shop, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def redeem(shop: Shop, token: str) -> Answer | Running:
    return shop.paywall.begin(shop.request({wire.TOKEN: token}), Price(100))


def test_the_books_do_not_hold_the_text_of_a_token(shop: Shop) -> None:
    token = shop.server.receive_payment(shop.pay()).token
    file = Path(make_url(shop.server.server.store.url).database or "")
    contents = b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    assert hash_of(token).encode() in contents
    assert token.encode() not in contents
    assert isinstance(redeem(shop, token), Running)


def test_a_payment_whose_token_an_older_version_drew_by_lot_gets_another_when_it_is_sent_again(
    shop: Shop,
) -> None:
    package = shop.pay()
    token = shop.server.receive_payment(package).token
    with shop.server.server.store.transaction() as books:
        call = books.paid_calls.lock_token(hash_of(token))
        assert call is not None
        books.paid_calls.save_token_hash(call, hash_of("drawn by lot"))
    assert isinstance(redeem(shop, token), Answer)
    assert shop.server.receive_payment(package).token == token
    replaced = redeem(shop, "drawn by lot")
    assert isinstance(replaced, Answer)
    assert json.loads(replaced.body)["code"] == "unknown_token"
    assert isinstance(redeem(shop, token), Running)
