"""The programs in docs/transports.md run as they stand there, but for the port: paid calls over lines of JSON."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from paypercall.devnet import Devnet
from tests.documentation import ROOT, python_blocks
from tests.parties import wait_until
from tests.reader import use_conf_in

DOCUMENT = ROOT / "docs" / "transports.md"
MERCHANT, CUSTOMER = python_blocks(DOCUMENT)


def run(program: str, **names: Any) -> SimpleNamespace:
    namespace: dict[str, Any] = {"__name__": "program", **names}
    exec(compile(program, str(DOCUMENT), "exec"), namespace)
    return SimpleNamespace(**namespace)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SimpleNamespace, SimpleNamespace]]:
    """The names of the merchant's program and, when it has paid once, of the customer's."""
    folder = tmp_path_factory.mktemp("transport")
    with Devnet() as net, pytest.MonkeyPatch.context() as patch:
        use_conf_in(folder / "merchant", net, patch)
        merchant = run(MERCHANT)
        with merchant.payments.server as server, merchant.Merchant(("127.0.0.1", 0), merchant.Line) as port:
            net.fund(server.address, 1_000_000)
            net.settle()
            server.start_node()
            thread = threading.Thread(target=port.serve_forever)
            thread.start()
            use_conf_in(folder / "customer", net, patch)
            yield merchant, customer_at(port.server_address, net)
            port.shutdown()
            thread.join()


def customer_at(address: tuple[str, int], net: Devnet) -> SimpleNamespace:
    """Runs the customer's program, whose new wallet gets some bytes in the middle of it."""

    def fund(client: Any) -> None:
        net.fund(client.address, 1_000_000)
        net.settle()

    program = re.sub("^ADDRESS = .*$", f"ADDRESS = {address!r}", CUSTOMER, flags=re.MULTILINE)
    return run(program.replace("package = ", "fund(client)\npackage = ", 1), fund=fund)


Sides = tuple[SimpleNamespace, SimpleNamespace]


def refund_in(customer: SimpleNamespace, reply: dict[str, Any]) -> int:
    payment = customer.client.verify_payment_package(reply["refund"])
    assert payment.error is None
    return int(payment.amount)


def buy(customer: SimpleNamespace, amount: int = 100, city: str = "Zug") -> Callable[[], dict[str, Any]]:
    """Pays for a request, which is sent each time the result is called."""
    package = customer.client.create_payment_package(amount)
    return lambda: customer.ask(do="ask", city=city, package=package)


def test_a_customer_pays_and_has_its_answer(sides: Sides) -> None:
    merchant, customer = sides
    assert customer.terms["address"] == merchant.payments.server.address
    assert customer.reply["celsius"] == 21
    assert (customer.reply["receipt"]["amount"], customer.reply["refund"]) == (100, None)


def test_a_channel_is_announced(sides: Sides) -> None:
    _, customer = sides
    parameters = customer.package["signed_message"]["channel_parameters"]
    opened = customer.ask(do="open", channel_parameters=parameters)
    assert opened == {"aa_address": customer.client.aa_address}
    assert customer.ask(do="open", channel_parameters={}) == {"error": "wrong_shape"}


def test_the_same_payment_has_the_same_answer_without_running_and_buys_no_other(
    sides: Sides,
) -> None:
    _, customer = sides
    again = customer.ask(do="ask", city="Zug", package=customer.package)
    assert again == customer.reply
    other = customer.ask(do="ask", city="Bern", package=customer.package)
    assert other == {"error": "payment_used"}


def test_what_fails_and_what_is_too_little_is_given_back_as_a_whole_and_too_much_in_part(
    sides: Sides,
) -> None:
    _, customer = sides
    for amount, city, refund, celsius in (
        (100, "Atlantis", 100, None),
        (60, "Zug", 60, None),
        (130, "Zug", 30, 21),
    ):
        request = buy(customer, amount, city)
        first = request()
        assert (first["celsius"], first["owed"], refund_in(customer, first)) == (celsius, refund, refund)
        assert request() == first


def test_a_token_stands_for_its_payment(sides: Sides) -> None:
    _, customer = sides
    prepaid = customer.ask(do="prepay", package=customer.client.create_payment_package(100))
    bought = customer.ask(do="ask", city="Zug", token=prepaid["token"])
    assert bought["celsius"] == 21
    assert customer.ask(do="ask", city="Bern", token=prepaid["token"]) == {"error": "payment_used"}
    assert customer.ask(do="ask", city="Zug", token="x\ud800") == {"error": "unknown_token"}


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"do": "steal"},
        {"do": ["ask"]},
        {"do": "ask"},
        {"do": "ask", "city": "Zug", "package": 1},
        {"do": "open", "channel_parameters": 1},
        {"do": "prepay", "package": None},
    ],
)
def test_what_makes_no_sense_is_refused(sides: Sides, line: dict[str, Any]) -> None:
    _, customer = sides
    assert customer.ask(**line)["error"] in ("wrong_message", "wrong_shape", "not_json")


@pytest.mark.parametrize("token", [5, None, True, ["token"], {"token": 1}, ""])
def test_what_is_no_token_stands_for_no_payment(sides: Sides, token: object) -> None:
    _, customer = sides
    assert customer.ask(do="ask", city="Zug", token=token) == {"error": "unknown_token"}


def test_a_long_run_gives_signs_of_life_and_is_left_alone(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant, customer = sides
    calls = merchant.payments.calls
    began, may_end = threading.Event(), threading.Event()
    signs: list[object] = []

    def keep(running: list[Any]) -> None:
        calls.keep_running(running)
        signs.extend(running)

    def slow(city: str) -> int:
        began.set()
        assert may_end.wait(20)
        return 21

    monkeypatch.setattr(merchant.signs_of_life, "_keep", keep)
    monkeypatch.setattr(merchant.signs_of_life, "_seconds", 0.05)
    monkeypatch.setitem(merchant.run.__globals__, "temperature", slow)
    request = buy(customer)
    replies: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: replies.append(request()))
    thread.start()
    assert began.wait(20)
    wait_until(lambda: bool(signs), "a sign of life is given")
    assert request() == {"error": "payment_in_progress"}
    may_end.set()
    thread.join()
    assert replies[0]["celsius"] == 21
    assert request() == replies[0]


def test_a_run_that_was_lost_sends_nothing_of_its_answer(
    sides: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    merchant, customer = sides
    monkeypatch.setattr(merchant.payments.calls, "finish", lambda ended, kept: False)
    assert buy(customer)() == {"error": "payment_in_progress"}
