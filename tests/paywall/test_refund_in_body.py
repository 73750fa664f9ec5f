"""A refund in the JSON of an answer: it is there for who looks for it there, and all else is as the view wrote it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from paypercall import wire
from paypercall.paywall import Answer, Price, Running
from paypercall.paywall.refund_in_body import with_refund
from tests.paywall.merchant import Headers, Shop, headers_of, open_shop

REFUND = {"version": "4.0", "signed_message": {"payment_amount": 30}}
PACKAGE = wire.encode_package(REFUND)
DEEP = b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 0.1000000000000000055511151231257827}',
        b'{"a": 1e400}',
        b'{"a": 1, "a": 2}',
        b'{"a":"}", "b":{} }\n',
        b' {"\\u00e9": "\xc3\xa9"}',
    ],
)
def test_an_answer_with_a_refund_in_it_is_to_the_letter_what_the_view_wrote(body: bytes) -> None:
    changed = with_refund(body, PACKAGE)
    assert changed is not None
    assert changed.startswith(body.rstrip()[:-1])
    assert json.loads(changed)[wire.FIELD] == REFUND


def test_an_empty_object_gets_its_first_field_and_a_field_of_that_name_gives_way() -> None:
    assert json.loads(with_refund(b"{ }", PACKAGE) or b"") == {wire.FIELD: REFUND}
    passed_on = json.dumps({wire.FIELD: "of somebody else"}).encode()
    assert json.loads(with_refund(passed_on, PACKAGE) or b"") == {wire.FIELD: REFUND}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[{}]",
        b'"}"',
        b"{}}",
        b'{"a": 1}\n{"b": 2}',
        b"\xff}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"1" * 5000 + b"}",
        DEEP,
    ],
)
def test_what_is_no_json_object_or_too_deep_stays_as_it_is(body: bytes) -> None:
    assert with_refund(body, PACKAGE) is None


def test_without_a_refund_nothing_changes() -> None:
    assert with_refund(b"{}", None) is None


def test_the_refund_of_a_payment_in_a_form_arrives_however_deep_the_answer_is(shop: Shop) -> None:
    package = wire.encode_package(shop.pay(130))
    form = Headers({"Content-Type": "application/x-www-form-urlencoded"})
    request = shop.request(form, body=b"paid", form_packages=(package,))
    running = shop.paywall.begin(request, Price(100))
    assert isinstance(running, Running)
    ending = shop.paywall.finish(running, 200, [("Content-Type", "application/json")], DEEP)
    assert ending.body is None
    refund = shop.client.verify_payment_package(wire.decode_package(headers_of(ending)[wire.PACKAGE]))
    assert refund.amount == 30
    again = shop.paywall.begin(request, Price(100))
    assert isinstance(again, Answer)
    assert again.body == DEEP
    assert headers_of(again)[wire.PACKAGE] == headers_of(ending)[wire.PACKAGE]
