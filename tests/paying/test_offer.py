"""What a merchant writes is read strictly: an offer is right as a whole, or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall import wire
from paypercall.paying.offer import WrongOffer, read_offer, read_receipt
from tests.paywall.merchant import Headers

TERMS = {
    wire.PRICE: "100",
    wire.ASSET: "base",
    wire.ADDRESS: "YZ4HY66BSTM2FFMEQRPFVSZ2WMHCG3L3",
    wire.NETWORK: "4.0",
    wire.METHODS: "onchain, channel",
    wire.AGENT_VERSIONS: "1.1",
    wire.ENDPOINT: "/payment",
    wire.CHANNEL_TIMEOUTS: "60-604800",
    wire.UNCONFIRMED: "max-by-channel=5, max-by-asset=10, minimum-seconds=0",
}
RECEIPT = {"amount": 1, "asset": "base", "aa_address": "A", "accepted": 1, "credit": 0}


def test_an_offer_is_read_from_the_headers_of_a_402() -> None:
    offer = read_offer(Headers(TERMS))
    assert offer is not None
    assert (offer.price, offer.asset, offer.payee) == (100, "base", TERMS[wire.ADDRESS])
    assert (offer.network, offer.methods, offer.agent_versions) == ("4.0", ("onchain", "channel"), ("1.1",))
    assert (offer.endpoint, offer.min_timeout, offer.max_timeout) == ("/payment", 60, 604800)
    assert offer.unconfirmed is not None
    assert offer.unconfirmed.max_by_asset == 10


def test_what_a_merchant_need_not_say_may_be_left_out() -> None:
    needed = (wire.PRICE, wire.ASSET, wire.ADDRESS, wire.NETWORK, wire.METHODS, wire.AGENT_VERSIONS)
    offer = read_offer(Headers({name: TERMS[name] for name in needed}))
    assert offer is not None
    assert (offer.endpoint, offer.min_timeout, offer.unconfirmed) == (None, None, None)


def test_a_402_of_somebody_else_is_no_offer() -> None:
    assert read_offer(Headers({"WWW-Authenticate": "L402"})) is None


@pytest.mark.parametrize(
    "name, value",
    [
        (wire.PRICE, "0"),
        (wire.PRICE, "-1"),
        (wire.PRICE, "1e3"),
        (wire.PRICE, "100, 100"),
        (wire.PRICE, "٣"),
        (wire.PRICE, "9" * 16),
        (wire.PRICE, "9" * 5000),
        (wire.ASSET, "bytes"),
        (wire.ADDRESS, "YZ4HY66BSTM2FFMEQRPFVSZ2WMHCG3L4"),
        (wire.NETWORK, ""),
        (wire.METHODS, "channel,,"),
        (wire.METHODS, "x" * 300),
        (wire.AGENT_VERSIONS, "1.1; 1.2"),
        (wire.ENDPOINT, "javascript:alert()"),
        (wire.CHANNEL_TIMEOUTS, "60"),
        (wire.UNCONFIRMED, "all"),
    ],
)
def test_one_wrong_header_makes_the_whole_offer_worthless(name: str, value: str) -> None:
    with pytest.raises(WrongOffer):
        read_offer(Headers({**TERMS, name: value}))


@given(st.dictionaries(st.sampled_from(sorted(TERMS)), st.text(max_size=300)))
def test_whatever_stands_in_the_headers_it_is_an_offer_or_a_wrong_one(changes: dict[str, str]) -> None:
    try:
        offer = read_offer(Headers({**TERMS, **changes}))
    except WrongOffer:
        return
    assert offer is not None
    assert 0 < offer.price < 10**16


def test_a_receipt_is_read_and_more_than_is_known_of_it_does_not_matter() -> None:
    receipt = read_receipt(json.dumps({**RECEIPT, "refund": 1, "later": [1]}))
    assert (receipt.amount, receipt.refund) == (1, 1)
    assert read_receipt(json.dumps(RECEIPT)).refund == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "[" * 2000,
        json.dumps({**RECEIPT, "amount": "1"}),
        json.dumps({**RECEIPT, "amount": True}),
        json.dumps({**RECEIPT, "accepted": -1}),
        json.dumps({**RECEIPT, "credit": 1e3}),
        json.dumps({**RECEIPT, "refund": None}),
        json.dumps({**RECEIPT, "asset": 1}),
        json.dumps({**RECEIPT, "more": "x" * 3000}),
    ],
)
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(WrongOffer):
        read_receipt(text)
