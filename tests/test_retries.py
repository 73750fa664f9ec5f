"""A call that is retried because its answer got lost: each program of ours answers it again and charges it once."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import paypercall.flask
from paypercall.client import Client
from paypercall.demo.merchant import make_app
from paypercall.devnet import Devnet
from paypercall.payment_server import PaymentServer
from paypercall.server import Server
from tests.documentation import README, ROOT, program_with
from tests.parties import customer_on, merchant_on

PRICE = 100


@pytest.fixture
def customer(tmp_path: Path) -> Iterator[Client]:
    """A customer of the merchant that programs get meanwhile, from `Server()` and from `Payment(app)`."""
    with Devnet(speed=20) as net, merchant_on(net, tmp_path / "merchant") as merchant:
        with pytest.MonkeyPatch.context() as programs:
            programs.setattr(paypercall, "Server", lambda **_: merchant)
            programs.setattr(paypercall.flask, "PaymentServer", lambda **_: PaymentServer(merchant))
            with customer_on(net, tmp_path / "customer", merchant.address) as customer:
                yield customer
        customer.wallet.close()
        merchant.wallet.close()


def the_server() -> Server:
    return paypercall.Server()


def readme() -> tuple[Flask, str]:
    program: dict[str, Any] = {"__name__": "merchant"}
    exec(compile(program_with("from paypercall.flask", README), "merchant.py", "exec"), program)
    return program["app"], "/answer"


def example() -> tuple[Flask, str]:
    return runpy.run_path(str(ROOT / "examples/server/app.py"))["app"], "/temperature"


def demo() -> tuple[Flask, str]:
    return make_app(the_server()), "/call"


def try_twice(program: tuple[Flask, str], package: object, *cities: str) -> list[tuple[int, Any]]:
    """Sends the same package with two requests, and returns both answers."""
    app, path = program
    web = app.test_client()
    send, place = (web.get, "query_string") if path == "/answer" else (web.post, "data")
    parts = [{"payment_package": json.dumps(package), "city": city} for city in cities or ("Zug", "Zug")]
    answers = [send(path, **{place: part}) for part in parts]
    return [(answer.status_code, answer.get_json()) for answer in answers]


def accepted_by_the_merchant() -> int:
    (channel,) = the_server().channels()
    return channel.accepted_from_peer


@pytest.mark.parametrize("make", [readme, example, demo])
def test_a_served_call_is_answered_again_and_charged_once(
    customer: Client, make: Callable[[], tuple[Flask, str]]
) -> None:
    first, second = try_twice(make(), customer.create_payment_package(PRICE))
    for _, answer in (first, second):
        answer.pop("code", None)  # of the demonstration: whether it was a repetition
    assert first == second and first[0] == 200
    assert accepted_by_the_merchant() == PRICE


@pytest.mark.parametrize("make", [readme, example, demo])
def test_an_underpaid_call_is_refunded_again_with_the_same_package(
    customer: Client, make: Callable[[], tuple[Flask, str]]
) -> None:
    (status, first), second = try_twice(make(), customer.create_payment_package(PRICE - 40))
    assert (status, first) == second and status == 402
    refund = customer.verify_payment_package(first["payment_package"])
    assert (refund.error, refund.amount) == (None, PRICE - 40)
    assert customer.verify_payment_package(second[1]["payment_package"]).code == "duplicate"
    assert customer.balance().spendable == 100_000


def test_a_failed_call_is_refunded_again_with_the_same_package(customer: Client) -> None:
    package = customer.create_payment_package(PRICE)
    (status, first), second = try_twice(example(), package, "Atlantis", "Atlantis")
    assert (status, first) == second and status == 404
    assert customer.verify_payment_package(first["payment_package"]).amount == PRICE
    assert customer.balance().spendable == 100_000


def test_one_package_buys_no_other_answer(customer: Client) -> None:
    package = customer.create_payment_package(PRICE)
    first, second = try_twice(example(), package, "Atlantis", "Zug")
    assert first == second and first[0] == 404


def test_a_package_whose_answer_is_no_longer_kept_buys_nothing_more(customer: Client) -> None:
    package = customer.create_payment_package(PRICE)
    assert try_twice(example(), package)[1][0] == 200
    status, answer = try_twice(example(), package)[0]  # started again, without what was kept
    assert (status, answer["code"]) == (402, "duplicate")


def test_a_call_whose_refund_failed_is_refunded_when_it_is_retried(
    customer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, path = example()
    form = {"payment_package": json.dumps(customer.create_payment_package(PRICE - 1))}
    with monkeypatch.context() as blind:
        blind.setattr(Server, "create_payment_package", lambda *_: 1 / 0)
        assert app.test_client().post(path, data=form).status_code == 500
    answer = app.test_client().post(path, data=form).get_json()
    assert customer.verify_payment_package(answer["payment_package"]).amount == PRICE - 1
