"""What a payable view of Django refuses, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from urllib3.filepost import encode_multipart_formdata
from werkzeug.serving import make_server

from paypercall import wire
from paypercall.client import Client
from tests.django_app.conftest import Site
from tests.django_app.project import RUNS
from tests.http_server import running
from tests.paywall.bad_requests import (
    BODIES_WITHOUT_A_PACKAGE,
    NO_PACKAGE_CODES,
    NO_PACKAGES,
    UNREADABLE_BODIES,
    requests_with_two_payments,
)


def accepted() -> int:
    from paypercall.django import payment

    return sum(channel.accepted_from_peer for channel in payment.project.server.server.channels())


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("value", NO_PACKAGES)
def test_a_header_that_is_no_package_is_refused(site: Site, value: str) -> None:
    answer = site.ask("raw", {wire.PACKAGE: value.encode("latin-1")})  # type: ignore[dict-item]
    status, code = refusal(answer)
    assert (status, code in NO_PACKAGE_CODES) == (400, True)


@pytest.mark.parametrize("data, content_type", BODIES_WITHOUT_A_PACKAGE)
def test_a_body_with_what_is_no_package_is_refused(site: Site, data: bytes, content_type: str) -> None:
    assert refusal(site.ask("raw", {"Content-Type": content_type}, "POST", data=data))[0] == 400


@pytest.mark.parametrize("data, content_type", UNREADABLE_BODIES)
def test_a_body_that_cannot_be_read_holds_no_payment(site: Site, data: bytes, content_type: str) -> None:
    answer = site.ask("raw", {"Content-Type": content_type}, "POST", data=data)
    assert refusal(answer) == (402, "payment_required")


def test_two_payments_in_one_request_are_refused_and_neither_is_taken(site: Site) -> None:
    one, other = site.header(), site.header()
    charged = accepted()
    for parts in requests_with_two_payments(one[wire.PACKAGE], other[wire.PACKAGE]):
        assert refusal(site.ask("raw", **parts)) == (400, "several_payments"), parts
    assert accepted() == charged
    assert site.ask("raw", one).status_code == site.ask("raw", other).status_code == 200


def test_a_payment_in_another_asset_than_the_price_is_refused(site: Site) -> None:
    header = site.header()
    charged, runs = accepted(), RUNS.count("other-asset")
    assert refusal(site.ask("other-asset", header)) == (402, "wrong_asset")
    assert (accepted(), RUNS.count("other-asset")) == (charged, runs)
    assert site.ask("raw", header).status_code == 200


def test_a_wrong_method_charges_nothing(site: Site) -> None:
    header = site.header()
    charged = accepted()
    assert site.ask("echo", header, "DELETE").status_code == 405
    assert site.ask("nowhere", header).status_code == 404
    assert accepted() == charged


def test_a_header_above_the_servers_limit_charges_nothing(wsgi: Site) -> None:
    header = wsgi.header()
    charged = accepted()
    assert wsgi.ask("raw", {**header, "X-Padding": "x" * 70_000}).status_code == 431
    assert wsgi.ask("raw", {wire.PACKAGE: "A" * 70_000}).status_code == 431
    assert accepted() == charged


def in_parts() -> Iterator[bytes]:
    yield from (b"a body without ", b"a length")


def test_a_body_without_a_length_is_refused_where_the_server_cannot_tell_its_end(wsgi: Site) -> None:
    header = wsgi.header()
    charged = accepted()
    assert refusal(wsgi.ask("raw", header, "POST", data=in_parts())) == (411, "length_required")
    assert accepted() == charged
    assert wsgi.ask("raw", header, "POST", data=b"with a length").content == b"with a length"


@pytest.fixture(scope="module")
def telling(customer: Client) -> Iterator[Site]:
    """A server of WSGI that tells where a body without a length ends."""
    from django.core.wsgi import get_wsgi_application

    with running(make_server("127.0.0.1", 0, get_wsgi_application(), threaded=True)) as address:
        yield Site(customer, address)


@pytest.mark.parametrize("interface", ["telling", "asgi"])
def test_a_body_without_a_length_arrives_whole_where_its_end_is_told(
    request: pytest.FixtureRequest, interface: str
) -> None:
    site: Site = request.getfixturevalue(interface)
    header = site.header()
    assert site.ask("raw", header, "POST", data=in_parts()).content == b"a body without a length"
    other = site.ask("raw", header, "POST", data=iter([b"another body without a length"]))
    assert refusal(other) == (409, "payment_used")
    form, kind = encode_multipart_formdata({"text": "hello", "file": ("a.txt", b"x" * 1000)})
    parts = iter([form[:100], form[100:]])
    answer = site.ask("echo", {**site.header(), "Content-Type": kind}, "POST", data=parts)
    assert answer.json() == {"text": "hello", "files": {"file": 1000}}
