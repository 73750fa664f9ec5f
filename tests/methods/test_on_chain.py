"""Payments by units, on a local network: what buys an answer, what buys none, and what costs nobody anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from paypercall import wire
from paypercall.assets import require_usable_asset
from paypercall.errors import Refusal
from paypercall.methods import OnChain
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.light import LightClient
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.unit import Unit, hash_to_sign
from paypercall.paid_call import PaymentRefused
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Paywall, Price, PriceTag, Request, Running
from paypercall.server import Server
from paypercall.unit_payment import (
    COMMITMENT,
    SECRET_LENGTH,
    UnitPayment,
    amount_paid,
    check_signatures,
    commitment,
)
from tests.methods.ledger_shop import (
    ANSWER,
    PRICE,
    SECRET,
    LedgerShop,
    Stranger,
    code_of,
    open_ledger_shop,
    stranger_to,
)
from tests.parties import conf_for, wallet_on
from tests.paywall.merchant import Headers, headers_of

ASSETS = 1_000_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerShop]:
    """It sells after all that it has refused, too."""
    with open_ledger_shop(tmp_path_factory.mktemp("shop"), assets=ASSETS) as shop:
        yield shop
        assert shop.host.ask(shop.prepare().headers).content == ANSWER


@pytest.fixture(scope="module")
def stranger(shop: LedgerShop) -> Iterator[Stranger]:
    with stranger_to(shop) as stranger:
        yield stranger


@pytest.fixture(scope="module")
def offer(stranger: Stranger) -> dict[str, Any]:
    return stranger.offer()


def asset_of(shop: LedgerShop) -> str:
    return next(asset for asset in shop.server.server.conf.accepted_assets if asset != BASE)


def terms_at(shop: LedgerShop, price: int, asset: str = BASE) -> dict[str, str]:
    answer = shop.paywall.begin(Request("GET", "/answer", "", Headers({})), Price(price, asset))
    assert isinstance(answer, Answer)
    return headers_of(answer)


def is_refused_without_a_trace(
    shop: LedgerShop, value: dict[str, Any], *expected: object, **query: Any
) -> None:
    """Asserts the answer to a payment, and that neither books nor ledger know of it."""
    shop.refuses(wire.encode_unit(value), *expected, **query)
    assert not shop.is_posted(value["unit"]["unit"])
    assert not shop.is_booked(value["unit"]["unit"])


# --- what is offered -------------------------------------------------------------------------------------------------


def test_the_terms_say_that_the_amount_is_exact_and_that_nothing_is_given_back(shop: LedgerShop) -> None:
    terms = terms_at(shop, PRICE)
    assert terms[wire.METHODS] == "on_chain"
    assert (terms[wire.PRICE], terms[wire.ASSET], terms[wire.ADDRESS]) == (str(PRICE), BASE, shop.payee)
    assert terms[wire.NETWORK] == shop.net.network.version
    assert terms[wire.UNIT_TERMS] == "amount=exact, refunds=none, served=accepted, minimum=10000"


def test_below_the_minimum_it_is_neither_offered_nor_taken(shop: LedgerShop, stranger: Stranger) -> None:
    assert terms_at(shop, 9_999)[wire.METHODS] == ""
    assert terms_at(shop, 10_000)[wire.METHODS] == "on_chain"
    value = stranger.offer(Output(shop.payee, 9_999))
    is_refused_without_a_trace(shop, value, 402, "below_minimum", price=9_999)


def test_the_minimum_itself_is_taken(shop: LedgerShop, stranger: Stranger) -> None:
    value = stranger.offer(Output(shop.payee, 10_000))
    assert isinstance(shop.ask_with(value, price=10_000), Running)


def test_each_asset_has_a_minimum_of_its_own(shop: LedgerShop) -> None:
    asset = asset_of(shop)
    assert terms_at(shop, 1, asset)[wire.METHODS] == "on_chain"
    method = OnChain(shop.server, minimums={asset: 7})
    assert (method.get_402_headers(6, asset), bool(method.get_402_headers(7, asset))) == ({}, True)
    assert method.get_402_headers(9_999, BASE) == {}


def test_an_asset_that_the_merchant_does_not_take_is_neither_offered_nor_taken(
    shop: LedgerShop, stranger: Stranger
) -> None:
    other = shop.net.issue_asset(500)
    shop.net.fund(stranger.wallet.address, 500, other)
    shop.net.settle()
    assert terms_at(shop, 100, other)[wire.METHODS] == ""
    value = stranger.offer(Output(shop.payee, 100), asset=other)
    is_refused_without_a_trace(shop, value, 402, "wrong_asset", price=100, asset=other)


@pytest.mark.parametrize(
    "hindrance",
    [
        {"is_private": True},
        {"fixed_denominations": True},
        {"is_transferrable": False},
        {"transfer_condition": ["and", []]},
    ],
    ids=str,
)
def test_an_asset_that_the_merchant_takes_by_mistake_though_it_could_be_kept_from_it_is_not_taken(
    shop: LedgerShop, stranger: Stranger, monkeypatch: pytest.MonkeyPatch, hindrance: dict[str, Any]
) -> None:
    asset = asset_of(shop)
    shop.net.fund(stranger.wallet.address, 500, asset)
    shop.net.settle()
    value = stranger.offer(Output(shop.payee, 120), asset=asset)
    defined = LightClient.asset_definition

    def definition(light: LightClient, asked: str) -> dict[str, Any]:
        return {**(defined(light, asked) or {}), **hindrance}

    monkeypatch.setattr(LightClient, "asset_definition", definition)
    require_usable_asset.cache_clear()
    is_refused_without_a_trace(shop, value, 402, "wrong_asset", price=120, asset=asset)


# --- what buys an answer ---------------------------------------------------------------------------------------------


def test_a_unit_buys_one_answer_and_is_posted_by_the_merchant(shop: LedgerShop) -> None:
    unit = shop.prepare()
    assert not shop.is_posted(unit.payment.hash)
    before = shop.net.balance(shop.payee)
    receipt = wire.decode_receipt(shop.sell(unit)[wire.RECEIPT])
    assert (receipt["amount"], receipt["asset"], receipt["unit"]) == (PRICE, BASE, unit.payment.hash)
    assert shop.net.balance(shop.payee) == before + PRICE
    again = shop.ask(unit)
    assert isinstance(again, Answer)
    assert again.body == ANSWER
    assert code_of(shop.ask(unit, path="/other")) == (409, "payment_used")
    assert shop.net.balance(shop.payee) == before + PRICE


def test_an_answer_is_given_again_though_its_view_costs_another_asset_by_now(shop: LedgerShop) -> None:
    unit = shop.prepare()
    shop.sell(unit)
    for asset in (asset_of(shop), "A" * 43 + "="):
        again = shop.ask(unit, price=1, asset=asset)
        assert isinstance(again, Answer) and again.body == ANSWER
        assert code_of(shop.ask(unit, path="/other", asset=asset)) == (409, "payment_used")


def test_a_unit_is_not_posted_at_a_price_that_nobody_can_tell_and_is_answered_again_all_the_same(
    shop: LedgerShop,
) -> None:
    unit, tag = shop.prepare(), PriceTag(lambda request: None)
    request = Request("GET", "/answer", "", Headers(unit.headers))
    assert shop.paywall.answer_without_price(request, tag) is None
    assert not shop.is_posted(unit.payment.hash) and not shop.is_booked(unit.payment.hash)
    shop.sell(unit)
    again = shop.paywall.answer_without_price(request, tag)
    assert again is not None and again.body == ANSWER


def test_json_is_taken_in_place_of_the_compact_form(shop: LedgerShop) -> None:
    unit = shop.prepare()
    assert isinstance(shop.ask(json.dumps(unit.payment.to_wire())), Running)
    assert isinstance(shop.ask(unit), Answer)


def test_a_unit_whose_author_the_ledger_knows_needs_no_definition(
    shop: LedgerShop, stranger: Stranger
) -> None:
    stranger.wallet.pay([Output(stranger.wallet.address, 1_000)])
    shop.net.settle()
    value = stranger.offer()
    assert "definition" not in value["unit"]["authors"][0]
    assert isinstance(shop.ask_with(value), Running)


def test_a_price_in_an_asset_is_paid_in_it(shop: LedgerShop, stranger: Stranger) -> None:
    asset = asset_of(shop)
    shop.net.fund(stranger.wallet.address, 500, asset)
    shop.net.settle()
    value = stranger.offer(Output(shop.payee, 120), asset=asset)
    is_refused_without_a_trace(shop, value, 402, "wrong_asset")
    assert isinstance(shop.ask_with(value, price=120, asset=asset), Running)
    assert shop.net.balance(shop.payee, asset) == 120


def test_a_unit_that_somebody_has_posted_already_is_taken_from_who_knows_its_secret(
    shop: LedgerShop, stranger: Stranger
) -> None:
    value = stranger.offer()
    stranger.wallet.adopt(value["unit"])
    stranger.wallet.post(value["unit"])
    assert code_of(shop.ask_with({**value, "secret": "x" * len(SECRET)})) == (400, "wrong_shape")
    assert isinstance(shop.ask_with(value), Running)


# --- what buys nothing, and costs nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize("price, code", [(PRICE + 1, "underpaid"), (PRICE - 1, "overpaid")])
def test_another_amount_than_the_price_is_not_posted(
    shop: LedgerShop, offer: dict[str, Any], price: int, code: str
) -> None:
    is_refused_without_a_trace(shop, offer, 402, code, price=price)


@pytest.mark.parametrize(
    "text, code",
    [
        ("", "not_json"), ("x", "not_json"), ("{", "not_json"), ("{}", "wrong_shape"), ("[1]", "not_json"),
        ("gaFh", "not_json"), ("wA", "wrong_shape"), ("é", "not_json"), ("A" * 8_001, "too_large"),
        ("{" + " " * 8_000 + "}", "too_large"), ('{"unit": {}}', "wrong_shape"), ("[" * 5_000, "not_json"),
        ('{"unit": 1, "secret": 2, "secret": 3}', "not_json"), ('{"unit": NaN, "secret": ""}', "wrong_shape"),
    ],
)  # fmt: skip
def test_a_header_that_is_no_unit_is_refused_with_400(shop: LedgerShop, text: str, code: str) -> None:
    shop.refuses(text, 400, code)


def changed(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Puts a value somewhere into a payment; `...` takes it out."""

    def change(payment: dict[str, Any]) -> None:
        *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
        place: Any = payment
        for step in steps:
            place = place[step]
        if value is ...:
            del place[last]
        else:
            place[last] = value

    return change


@pytest.mark.parametrize(
    "path, value",
    [
        ("secret", "x" * 43), ("secret", 5), ("secret", "short"), ("secret", "é" * 43), ("secret", ...), ("more", 1),
        ("unit", []), ("unit.unit", "x"), ("unit.unit", ...), ("unit.version", "4.0"), ("unit.alt", "1"),
        ("unit.timestamp", 1), ("unit.timestamp", 1.0), ("unit.main_chain_index", 5), ("unit.actual_tps_fee", 5),
        ("unit.headers_commission", 1), ("unit.payload_commission", 1), ("unit.tps_fee", -1),
        ("unit.content_hash", "x"),
        ("unit.authors", []), ("unit.authors.0.address", "x"), ("unit.authors.0.authentifiers.r", "x"),
        ("unit.messages", []), ("unit.messages.1", ...), ("unit.messages.0", ...), ("unit.messages.1.payload", ...),
        ("unit.messages.1.payload_location", "none"), ("unit.messages.1.payload.outputs.0.amount", 1),
        ("unit.messages.1.payload.outputs.0.amount", True), ("unit.messages.1.payload.inputs", []),
        ("unit.messages.0.payload", {COMMITMENT: "x"}), ("unit.last_ball", None), ("unit.unknown", b"bytes"),
    ],
)  # fmt: skip
def test_a_unit_that_was_tampered_with_is_refused_with_400(
    shop: LedgerShop, offer: dict[str, Any], path: str, value: object
) -> None:
    payment = deepcopy(offer)
    changed(path, value)(payment)
    shop.refuses(wire.encode_unit(payment), 400, "wrong_shape")
    assert not shop.is_posted(offer["unit"]["unit"])
    assert not shop.is_booked(offer["unit"]["unit"])


def test_a_unit_that_is_nested_too_deeply_is_refused_with_400(
    shop: LedgerShop, offer: dict[str, Any]
) -> None:
    payment = deepcopy(offer)
    nested: dict[str, Any] = {}
    for _ in range(500):
        nested = {"a": nested}
    payment["unit"]["messages"][0]["payload"] = nested
    shop.refuses(json.dumps(payment), 400, "wrong_shape")


def test_a_number_that_only_hashes_alike_is_refused(
    shop: LedgerShop, stranger: Stranger, offer: dict[str, Any]
) -> None:
    share = {"address": stranger.wallet.address, "earned_headers_commission_share": 100}
    value = stranger.forge(offer["unit"], changed("earned_headers_commission_recipients", [share]))
    share["earned_headers_commission_share"] = 100.0
    value["unit"]["earned_headers_commission_recipients"] = [share]
    is_refused_without_a_trace(shop, value, 400, "wrong_shape")


@pytest.mark.parametrize(
    "change",
    [
        changed("messages.0.app", "text"),
        changed("messages.0.payload", {COMMITMENT: "x", "more": 1}),
        changed("messages.0.payload", {"more": 1}),
        changed("messages.0", ...),
        changed("version", "3.0dev"),
        lambda unit: unit["messages"].append(deepcopy(unit["messages"][0])),
        lambda unit: unit["messages"].append(
            {"app": "text", "payload_location": "inline", "payload": "hello"}
        ),
    ],
)
def test_a_unit_that_is_more_or_less_than_a_bound_payment_is_refused_though_it_is_signed(
    shop: LedgerShop, stranger: Stranger, offer: dict[str, Any], change: Callable[[Unit], None]
) -> None:
    value = stranger.forge(offer["unit"], change)
    is_refused_without_a_trace(shop, value, 400, "wrong_shape")


def test_a_unit_that_somebody_else_has_signed_is_refused(
    shop: LedgerShop, stranger: Stranger, offer: dict[str, Any]
) -> None:
    other = key_from_mnemonic(new_mnemonic())
    value = stranger.forge(offer["unit"], lambda unit: None, other)
    if "definition" in value["unit"]["authors"][0]:
        is_refused_without_a_trace(shop, value, 400, "wrong_signature")
    foreign = stranger.forge(offer["unit"], changed("authors.0.definition", other.definition), other)
    is_refused_without_a_trace(shop, foreign, 400, "wrong_signer")


def test_a_unit_whose_author_nobody_knows_is_refused(shop: LedgerShop) -> None:
    with stranger_to(shop) as newcomer:
        value = newcomer.offer()
        unknown = newcomer.forge(value["unit"], changed("authors.0.definition", ...))
        is_refused_without_a_trace(shop, unknown, 400, "wrong_signer")
        several = newcomer.forge(
            value["unit"], changed("authors.0.definition", ["or", [newcomer.wallet.key.definition] * 2])
        )
        is_refused_without_a_trace(shop, several, 400, "wrong_signer")


def test_of_many_invented_authors_the_hub_is_asked_about_one(offer: dict[str, Any]) -> None:
    authors = [{"address": letter * 32, "authentifiers": {"r": "A" * 86 + "=="}} for letter in "ABC"]
    asked: list[str] = []
    with pytest.raises(Refusal) as refusal:
        check_signatures(UnitPayment({**offer["unit"], "authors": authors}, SECRET), asked.append)
    assert (refusal.value.code, asked) == ("wrong_signer", ["A" * 32])


def test_every_author_must_have_signed(offer: dict[str, Any]) -> None:
    keys = [key_from_mnemonic(new_mnemonic()) for _ in range(3)]
    unit = {
        **offer["unit"],
        "authors": [{"address": key.address, "definition": key.definition} for key in keys],
    }
    payment, digest = UnitPayment(unit, SECRET), hash_to_sign(unit)
    for key, author in zip(keys, payment.authors, strict=True):
        author["authentifiers"] = {"r": key.sign(digest)}
    check_signatures(payment, lambda address: None)
    for author in payment.authors:
        own, author["authentifiers"] = author["authentifiers"], {"r": new_signature(digest)}
        with pytest.raises(Refusal) as refusal:
            check_signatures(payment, lambda address: None)
        assert refusal.value.code == "wrong_signature"
        author["authentifiers"] = own


def new_signature(digest: bytes) -> str:
    return key_from_mnemonic(new_mnemonic()).sign(digest)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_whichever_of_several_authors_the_merchant_is_the_unit_is_refused(
    shop: LedgerShop, offer: dict[str, Any], place: int
) -> None:
    addresses = ["A" * 32, "B" * 32]
    addresses.insert(place, shop.payee)
    unit = {**offer["unit"], "authors": [{"address": address} for address in addresses]}
    with pytest.raises(PaymentRefused) as refusal:
        amount_paid(UnitPayment(unit, SECRET), shop.payee)
    assert refusal.value.code == "own_unit"


@pytest.mark.parametrize("length", [1, SECRET_LENGTH - 1, SECRET_LENGTH + 1])
def test_a_unit_that_is_bound_to_a_secret_that_could_be_guessed_is_refused(
    shop: LedgerShop, stranger: Stranger, length: int
) -> None:
    value = stranger.offer(secret="s" * length)
    is_refused_without_a_trace(shop, value, 400, "wrong_shape")


@pytest.mark.parametrize("location", ["none", "uri"])
def test_a_unit_with_something_private_is_refused(
    shop: LedgerShop, stranger: Stranger, offer: dict[str, Any], location: str
) -> None:
    hidden = {"app": "payment", "payload_location": location, "payload_hash": "A" * 43 + "="}
    if location == "none":
        hidden["spend_proofs"] = [{"spend_proof": "A" * 43 + "="}]  # type: ignore[assignment]
    else:
        hidden |= {"payload_uri": "https://a", "payload_uri_hash": "A" * 43 + "="}
    value = stranger.forge(offer["unit"], lambda unit: unit["messages"].append(hidden))
    is_refused_without_a_trace(shop, value, 400, "wrong_shape")


def test_a_unit_that_pays_somebody_else_is_refused(shop: LedgerShop, stranger: Stranger) -> None:
    is_refused_without_a_trace(
        shop, stranger.offer(Output(stranger.wallet.address, PRICE)), 402, "wrong_payee"
    )


def test_a_unit_that_is_bound_to_another_payee_is_refused(shop: LedgerShop, stranger: Stranger) -> None:
    data = {"app": "data", "payload": {COMMITMENT: commitment(SECRET, stranger.wallet.address)}}
    unit = stranger.compose(Draft({BASE: (Output(shop.payee, PRICE),)}, (data,)))
    is_refused_without_a_trace(shop, {"unit": unit, "secret": SECRET}, 400, "wrong_shape")


def test_a_unit_with_several_outputs_to_the_merchant_is_refused(shop: LedgerShop, stranger: Stranger) -> None:
    halves = stranger.offer(Output(shop.payee, PRICE // 2), Output(shop.payee, PRICE // 2))
    is_refused_without_a_trace(shop, halves, 402, "several_outputs")
    twice = stranger.offer(Output(shop.payee, PRICE), Output(shop.payee, 1))
    is_refused_without_a_trace(shop, twice, 402, "several_outputs")
    asset = asset_of(shop)
    shop.net.fund(stranger.wallet.address, 50, asset)
    shop.net.settle()
    mixed = stranger.bind({BASE: (Output(shop.payee, PRICE),), asset: (Output(shop.payee, 50),)})
    is_refused_without_a_trace(shop, mixed, 402, "several_outputs")


def test_a_unit_that_spends_from_the_merchant_is_refused(shop: LedgerShop) -> None:
    merchant = shop.server.server.wallet
    merchant.refresh()
    self_paid = Stranger(merchant, shop.payee).offer()
    is_refused_without_a_trace(shop, self_paid, 402, "own_unit")


def test_an_older_payment_to_the_merchant_buys_nothing(shop: LedgerShop, stranger: Stranger) -> None:
    old = stranger.wallet.pay([Output(shop.payee, PRICE)])
    shop.net.settle()
    shop.refuses(wire.encode_unit({"unit": old, "secret": SECRET}), 400, "wrong_shape")
    assert not shop.is_booked(old["unit"])


def test_what_the_hub_refuses_buys_nothing_until_it_is_taken(shop: LedgerShop) -> None:
    unit = shop.prepare()
    shop.net.refuse_next("not on a Sunday")
    answer = shop.ask(unit)
    assert code_of(answer) == (402, "unit_refused")
    assert isinstance(answer, Answer) and b"not on a Sunday" in answer.body
    assert not shop.is_booked(unit.payment.hash)
    shop.sell(unit, path="/other")


def test_a_merchant_that_starts_again_gives_the_answer_again(shop: LedgerShop, tmp_path: Any) -> None:
    key = key_from_mnemonic(new_mnemonic())

    def open_again() -> Server:
        wallet = wallet_on(shop.net, key, funds=0)
        return Server(wallet=wallet, conf=conf_for(shop.net, tmp_path / "merchant"))

    def ask(server: Server, unit: Any, path: str = "/answer") -> tuple[Answer | Running, Paywall]:
        payments = PaymentServer(server)
        paywall = Paywall(payments.calls, [OnChain(payments)])
        return paywall.begin(Request("GET", path, "", Headers(unit.headers)), Price(PRICE)), paywall

    unit = shop.prepare(PRICE, key.address)
    with open_again() as server:
        running, paywall = ask(server, unit)
        assert isinstance(running, Running)
        paywall.finish(running, 200, [], ANSWER)
        server.wallet.close()
    with open_again() as server:
        again, _ = ask(server, unit)
        assert isinstance(again, Answer) and again.body == ANSWER
        assert code_of(ask(server, unit, "/other")[0]) == (409, "payment_used")
        server.wallet.close()
