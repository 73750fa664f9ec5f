"""With httpx, too, what the program sends again is a call of its own; what `httpx.Auth` sends again is not."""

from __future__ import annotations

from collections.abc import Callable, Generator

import httpx
import pytest

from paypercall import wire
from tests.httpx_client.conftest import Api
from tests.paying.merchant import Market, Reply, Seen

Honest = Callable[[], Reply]
DIGEST = ("WWW-Authenticate", 'Digest realm="site", nonce="1", qop="auth", algorithm=MD5')


class Renewing(httpx.Auth):
    """Renews a token when it is refused, and sends the same request with it."""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield request
        if response.status_code != 200:
            request.headers["Authorization"] = "Bearer new"
            yield request


@pytest.fixture
def request_(market: Market, api: Api, request: pytest.FixtureRequest) -> httpx.Request:
    """A request whose price is known."""
    url = f"{market.site.url}/{request.node.name}"
    api.terms(url)
    market.site.seen.clear()
    return api.build("GET", url)


def distinct(market: Market) -> int:
    return len({str(package) for package in market.site.packages})


def raise_price(market: Market) -> None:
    market.site.price = 110


@pytest.mark.parametrize("code", ["uneconomic", "deposit_too_young", "payment_used"])
@pytest.mark.parametrize("happens", [raise_price, Market.forget_what_is_left])
def test_it_is_paid_anew_when_what_was_left_cannot_be_used_any_more(
    market: Market, api: Api, request_: httpx.Request, code: str, happens: Callable[[Market], None]
) -> None:
    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else Reply(409, [(wire.CODE, code)], b"")
    )
    assert api.send(request_).status_code == 409
    market.site.trick = None
    happens(market)
    assert [api.send(request_).status_code for _ in range(2)] == [200, 200]
    assert distinct(market) == 3


@pytest.mark.parametrize("files", [None, {"file": b"content"}])
def test_it_uses_what_was_left(
    market: Market, api: Api, request_: httpx.Request, files: dict[str, bytes] | None
) -> None:
    request = api.build("POST", str(request_.url), files=files)
    market.site.trick = lambda seen, honest: (
        honest() if seen.package is None else Reply(409, [(wire.CODE, "uneconomic")], b"")
    )
    assert [api.send(request).status_code for _ in range(2)] == [409, 409]
    market.site.trick = None
    assert api.send(request).is_success
    assert distinct(market) == 1


def test_it_is_paid_anew_after_a_redirection_that_is_not_followed(
    market: Market, api: Api, request_: httpx.Request
) -> None:
    market.site.trick = lambda seen, honest: Reply(302, [("Location", "/login")], b"")
    assert [api.send(request_, follow_redirects=False).status_code for _ in range(2)] == [302, 302]
    assert distinct(market) == 1
    market.site.trick = None
    raise_price(market)
    assert api.send(request_).is_success
    assert distinct(market) == 2


@pytest.mark.parametrize("make_auth", [lambda: httpx.DigestAuth("user", "secret"), Renewing])
@pytest.mark.parametrize("code", ["uneconomic", None])
@pytest.mark.parametrize("is_led_on", [False, True])
def test_what_is_sent_to_be_let_in_is_not_paid_besides_what_was_left(
    market: Market,
    api: Api,
    request_: httpx.Request,
    make_auth: Callable[[], httpx.Auth],
    code: str | None,
    is_led_on: bool,
) -> None:
    def refuse(seen: Seen, honest: Honest) -> Reply:
        if seen.headers.get("Authorization") is not None:
            return honest()
        raise_price(market)
        if is_led_on and not seen.path.endswith("/on"):
            return Reply(302, [("Location", f"{request_.url}/on")], b"")
        return Reply(401, [DIGEST, *([] if code is None else [(wire.CODE, code)])], b"")

    market.site.trick = refuse
    before = market.spent()
    api.send(request_, auth=make_auth())
    # Where what was left is taken all the same, all of it comes back, since the price is another.
    assert market.spent() - before in (100, 110)
