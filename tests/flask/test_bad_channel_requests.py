"""Malformed requests to the channel endpoint of a Flask app, over real sockets: a 4xx, and nothing else happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from paypercall import wire
from paypercall.channel import Status
from paypercall.close_request import sign_close_request
from paypercall.flask import Payment
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.paywall.endpoint import MAX_BODY
from tests.books import announced, untouched
from tests.flask.app import Gate, make_app
from tests.flask.site import Site, code_in, open_site, served
from tests.parties import wait_until

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Its customer's channel is open; it takes payments and closes after all that it has refused, too."""
    with (
        open_site(tmp_path_factory.mktemp("site")) as site,
        served(make_app(site, Payment(), Gate())) as url,
    ):
        site.url = url
        assert site.ask("/payment", site.pay(150_000), "PUT").status_code == 200
        site.net.settle()
        wait_until(lambda: [c.status for c in site.merchant.channels()] == [Status.OPEN], "it is open")
        yield site
        token = site.ask("/payment", site.pay(), "PUT").json()["token"]
        assert site.ask("/answer", headers={wire.TOKEN: token}).json()["run"] == 1
        headers = {wire.SIGNATURE: site.client.close_request()}
        assert site.ask(channel_of(site), method="DELETE", headers=headers).ok


def channel_of(site: Site) -> str:
    return f"/payment?aa_address={site.client.aa_address}"


def is_refused(site: Site, method: str, path: str, *expected: object, **options: Any) -> None:
    """Asserts the answer to a request, and that no view ran, no books changed and no channel is watched for it."""
    folder = site.folder / "merchant"
    before = site.runs.copy(), announced(folder)
    with untouched(folder):
        assert code_in(site.ask(path, method=method, **options)) == expected
    assert (site.runs, announced(folder)) == before


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "query, status, code",
    [
        ("aa_address=" + "A" * 32, 404, "unknown_channel"),
        ("aa_address=", 404, "unknown_channel"),
        ("aa_address=%00%ff", 404, "unknown_channel"),
        ("aa_address=a&aa_address=b", 400, "wrong_shape"),
        ("channel=a", 400, "wrong_shape"),
        ("a=1&" * 100, 400, "wrong_shape"),
    ],
)
def test_what_names_no_channel_is_refused(
    site: Site, method: str, query: str, status: int, code: str
) -> None:
    headers = {wire.SIGNATURE: site.client.close_request()}
    is_refused(site, method, f"/payment?{query}", status, code, headers=headers)


@pytest.mark.parametrize(
    "body, headers, put, post",
    [
        (b"", {}, "wrong_shape", "wrong_shape"),
        (b"", JSON, "wrong_shape", "not_json"),
        (b"{", JSON, "not_json", "not_json"),
        (b"[]", JSON, "wrong_shape", "wrong_shape"),
        (b"null", JSON, "wrong_shape", "wrong_shape"),
        (b"1" * 5000, JSON, "not_json", "not_json"),
        (b"[" * 10_000, JSON, "not_json", "not_json"),
        (b"\xff\xfe", JSON, "not_json", "not_json"),
        (b"{}", JSON, "wrong_shape", "wrong_shape"),
        (b'{"payment_package": null}', JSON, "wrong_shape", "wrong_shape"),
        (b'{"payment_package": 1, "more": 2}', JSON, "wrong_shape", "wrong_shape"),
        (b'{"channel_parameters": null}', JSON, "wrong_shape", "wrong_shape"),
        (b'{"channel_parameters": {}}', JSON, "wrong_shape", "wrong_shape"),
        (b'{"channel_parameters": {}, "more": 1}', JSON, "wrong_shape", "wrong_shape"),
        (b"{}", {"Content-Type": "text/plain"}, "wrong_shape", "wrong_shape"),
        (b"payment_package=", FORM, "not_json", "wrong_shape"),
        (b"payment_package=%FF", FORM, "not_json", "wrong_shape"),
        (b"\xff", FORM, "wrong_shape", "wrong_shape"),
        (b"a=1&" * 100, FORM, "wrong_shape", "wrong_shape"),
        (b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}, "wrong_shape", "wrong_shape"),
    ],
)
def test_a_malformed_body_is_refused_with_400(
    site: Site, body: bytes, headers: dict[str, str], put: str, post: str
) -> None:
    for method, code in (("PUT", put), ("POST", post)):
        is_refused(site, method, "/payment", 400, code, data=body, headers=headers)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
def test_a_body_that_is_too_large_is_not_even_read(site: Site, method: str) -> None:
    body = b" " * (MAX_BODY + 1)
    is_refused(site, method, "/payment", 413, "too_large", data=body, headers=JSON)


@pytest.mark.parametrize(
    "text, code",
    [("", "not_json"), ("x", "not_json"), ("{", "not_json"), ("wA", "wrong_shape"), ("é", "not_json"),
     ("{}", "wrong_shape"), ("A" * 5_000, "too_large")],
)  # fmt: skip
def test_a_header_that_is_no_package_is_refused_with_400(site: Site, text: str, code: str) -> None:
    is_refused(site, "PUT", "/payment", 400, code, headers={wire.PACKAGE: text})


@pytest.mark.parametrize(
    "change, code",
    [
        ({"timeout": 1}, "wrong_timeout"),
        ({"timeout": "3600"}, "wrong_shape"),
        ({"asset": "A" * 43 + "="}, "wrong_asset"),
        ({"version": "0.9"}, "wrong_agent_version"),
        ({"address": "A" * 32}, "wrong_parameters"),
        ({"salt": "\n"}, "wrong_shape"),
    ],
)
def test_a_channel_that_would_not_be_acceptable_cannot_be_announced(
    site: Site, change: dict[str, Any], code: str
) -> None:
    good = {"address": site.client.address, "asset": "base", "salt": "a", "timeout": 3600, "version": "1.1"}
    body = json.dumps({"channel_parameters": {**good, **change}})
    is_refused(site, "POST", "/payment", 400, code, data=body, headers=JSON)


@pytest.mark.parametrize(
    "text, status, code",
    [
        ("", 400, "wrong_shape"),
        ("{key}", 400, "wrong_shape"),
        ("x" * 5_000, 400, "wrong_shape"),
        ("a b", 403, "wrong_signer"),
        ("é é", 403, "wrong_signer"),
        ("A" * 44 + " {signature}", 403, "wrong_signer"),
        ("{key}  {signature}", 403, "wrong_signature"),
        ("{key} {signature} {signature}", 403, "wrong_signature"),
        ("{key} " + "A" * 88, 403, "wrong_signature"),
        ("{key} x", 403, "wrong_signature"),
    ],
)
def test_a_malformed_signature_closes_nothing(site: Site, text: str, status: int, code: str) -> None:
    key, _, signature = site.client.close_request().partition(" ")
    headers = {wire.SIGNATURE: text.format(key=key, signature=signature)}
    is_refused(site, "DELETE", channel_of(site), status, code, headers=headers)


@pytest.mark.parametrize(
    "is_stranger, period, code", [(True, 1, "wrong_signer"), (False, 2, "wrong_signature")]
)
def test_only_the_customer_closes_a_channel_and_only_its_current_period(
    site: Site, is_stranger: bool, period: int, code: str
) -> None:
    key = key_from_mnemonic(new_mnemonic()) if is_stranger else site.client.wallet.key
    headers = {wire.SIGNATURE: sign_close_request(key, str(site.client.aa_address), period)}
    is_refused(site, "DELETE", channel_of(site), 403, code, headers=headers)


def test_a_close_must_name_the_channel(site: Site) -> None:
    headers = {wire.SIGNATURE: site.client.close_request()}
    is_refused(site, "DELETE", "/payment", 400, "wrong_shape", headers=headers)
