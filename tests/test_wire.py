"""Packages in headers: what is written is read again, and nothing else is."""

from __future__ import annotations

import base64
import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.errors import Refusal
from paypercall.wire import MAX_HEADER, decode_package, encode_package
from tests.two_sides import channel_parameters, signed_package

PACKAGE = signed_package(100, announce=channel_parameters())


def test_a_package_is_read_as_it_was_written_and_is_shorter_than_json() -> None:
    text = encode_package(PACKAGE)
    assert decode_package(text) == PACKAGE
    assert text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    assert len(text) < len(json.dumps(PACKAGE)) * 4 / 3


def test_json_is_left_to_who_parses_packages() -> None:
    text = json.dumps(PACKAGE)
    assert decode_package(text) == text


@given(st.binary(max_size=300))
def test_bytes_of_anybody_are_read_as_an_object_or_refused(packed: bytes) -> None:
    text = base64.urlsafe_b64encode(packed).decode()
    try:
        package = decode_package(text)
    except Refusal:
        return
    assert isinstance(package, dict)
    assert all(isinstance(name, str) for name in package)


@given(st.text(max_size=300))
def test_text_of_anybody_is_read_or_refused(text: str) -> None:
    try:
        package = decode_package(text)
    except Refusal:
        return
    assert isinstance(package, dict) or package == text


@pytest.mark.parametrize(
    "packed",
    [
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x81\x01\x02",
        b"\x91\x01",
        b"\x81\xa1a",
        b"\xc0",
        b"\x81\xa1a\x01\x00",
        b"",
    ],
    ids=["repeated name", "name that is no text", "list", "cut off", "nothing", "more after it", "empty"],
)
def test_what_is_no_single_object_with_names_is_refused(packed: bytes) -> None:
    with pytest.raises(Refusal):
        decode_package(base64.urlsafe_b64encode(packed).decode())


def test_what_is_too_long_is_refused_unread() -> None:
    with pytest.raises(Refusal) as refused:
        decode_package("A" * (MAX_HEADER + 1))
    assert refused.value.code == "too_large"


def test_the_largest_package_fits_into_a_header() -> None:
    largest = {"version": "4.0", "signed_message": {"text": "x" * 1900}}
    assert len(msgpack.packb(largest)) < 2048
    assert len(encode_package(largest)) <= MAX_HEADER
