"""The owner's refund policy: what is no policy is refused at once, and one that fails keeps nobody's money."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest

from paypercall import wire
from paypercall.methods import Channel
from paypercall.paywall import Paywall, Price, Running, WrongUse
from paypercall.paywall.refunds import checked
from tests.paywall.merchant import Shop, headers_of, open_shop


async def async_policy(status: int) -> bool:
    return status >= 400


class AsyncPolicy:
    async def __call__(self, status: int) -> bool:
        return status >= 400


def without_status() -> bool:
    return False


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.mark.parametrize(
    "policy",
    [
        async_policy,
        functools.partial(async_policy),
        AsyncPolicy(),
        False,
        True,
        "no",
        500,
        bool,
        without_status,
    ],
)
def test_what_is_no_policy_is_refused_when_the_paywall_is_made(shop: Shop, policy: Any) -> None:
    with pytest.raises(WrongUse):
        Paywall(shop.server.calls, [Channel(shop.server)], policy)


def test_a_policy_decides_by_the_status(shop: Shop) -> None:
    policy = checked(lambda status: status >= 500)
    assert [policy(status) for status in (200, 404, 500)] == [False, False, True]
    by_default = checked(None)
    assert [by_default(status) for status in (200, 399, 400, 500)] == [False, False, True, True]


def refuse_to_say(status: int) -> bool:
    raise LookupError(status)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "policy",
    [refuse_to_say, lambda status: "no", lambda status: None, lambda status: 0, lambda s: async_policy(s)],
)
def test_a_policy_that_fails_or_says_neither_yes_nor_no_refunds_and_is_logged(
    shop: Shop, policy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    paywall = Paywall(shop.server.calls, [Channel(shop.server)], policy)
    request = shop.request({wire.PACKAGE: wire.encode_package(shop.pay())})
    running = paywall.begin(request, Price(100))
    assert isinstance(running, Running)
    headers = headers_of(paywall.finish(running, 200, (), b"answer"))
    assert wire.decode_receipt(headers[wire.RECEIPT])["refund"] == 100
    assert [record.levelname for record in caplog.records if "refund policy" in record.message] == ["ERROR"]
