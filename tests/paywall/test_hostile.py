"""What goes wrong between a payment and its answer: periods that end, clocks that jump, rivals, secrets in logs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from paypercall import wire
from paypercall.channel import Status
from paypercall.errors import Refusal, RefusalCode
from paypercall.methods import Channel
from paypercall.paid_call import CallConflict
from paypercall.payment_server import PaymentServer, Prepayment
from paypercall.paywall import Answer, Paywall, Price, Request, Running
from paypercall.paywall.answer import Ending, refused
from paypercall.server import Server
from paypercall.store import StoredAnswer
from tests.parties import wait_until
from tests.paywall.merchant import Headers, Shop, headers_of, open_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        shop.paywall.finish(run(shop.ask(shop.pay())), 200, (), b"")  # the channel is known from here on
        yield shop


def run(outcome: object) -> Running:
    assert isinstance(outcome, Running), outcome
    return outcome


def refund_in(shop: Shop, answer: Any) -> int:
    payment = shop.client.verify_payment_package(wire.decode_package(headers_of(answer)[wire.PACKAGE]))
    assert payment.error is None
    return payment.amount


# --- at once ---------------------------------------------------------------------------------------------------------


def test_of_many_that_send_one_package_at_once_one_runs(shop: Shop) -> None:
    package = shop.pay()
    with ThreadPoolExecutor(12) as threads:
        outcomes = list(threads.map(lambda _: shop.ask(package), range(12)))
    assert sum(isinstance(outcome, Running) for outcome in outcomes) == 1
    assert {outcome.status for outcome in outcomes if isinstance(outcome, Answer)} == {409}


def test_a_package_that_is_exchanged_for_a_token_and_sent_with_a_request_at_once_buys_one_answer(
    shop: Shop,
) -> None:
    for _ in range(5):
        package = shop.pay()

        def exchange(package: dict[str, Any] = package) -> str | None:
            try:
                return shop.server.receive_payment(package).token
            except CallConflict:
                return None

        def ask(package: dict[str, Any] = package) -> object:
            return shop.ask(package)

        with ThreadPoolExecutor(4) as threads:
            tokens = [threads.submit(exchange), threads.submit(exchange)]
            asked = [threads.submit(ask), threads.submit(ask)]
        assert sum(isinstance(future.result(), Running) for future in asked) == 1
        for token in {future.result() for future in tokens} - {None}:
            assert token is not None
            with_token = shop.paywall.begin(shop.request({wire.TOKEN: token}, "/other"), Price(100))
            assert isinstance(with_token, Answer) and with_token.status == 409


def test_a_run_that_ends_twice_at_once_ends_once(shop: Shop) -> None:
    running = run(shop.ask(shop.pay()))
    with ThreadPoolExecutor(2) as threads:
        endings = list(threads.map(lambda status: shop.paywall.finish(running, status, (), b""), (200, 500)))
    assert sum(bool(ending.headers) for ending in endings) == 1


def test_two_workers_answer_each_payment_once_and_give_back_what_their_views_did_not_earn(
    tmp_path: Any,
) -> None:
    with open_shop(tmp_path) as shop:
        shop.paywall.finish(run(shop.ask(shop.pay())), 200, (), b"")
        first = shop.server.server
        with Server(wallet=first.wallet, conf=first.conf) as second:
            other = PaymentServer(second)
            paywalls = [shop.paywall, Paywall(other.calls, [Channel(other)])]
            packages = [shop.pay(100 + number) for number in range(20)]
            runs: list[int] = []

            def visit(visit: int) -> Any:
                number, chance = visit % 20, random.Random(visit)
                request = shop.request({wire.PACKAGE: wire.encode_package(packages[number])})
                outcome = paywalls[chance.randrange(2)].begin(request, Price(105))
                if not isinstance(outcome, Running):
                    return outcome
                runs.append(number)
                return chance.choice(paywalls).finish(outcome, 200 if number % 2 else 500, (), b"")

            visits = list(range(120))
            random.Random(1).shuffle(visits)
            with ThreadPoolExecutor(8) as threads:
                list(threads.map(visit, visits))
            assert sorted(runs) == list(range(5, 20))
            refunds = {number: 100 + number for number in range(20) if number < 5 or number % 2 == 0}
            refunds |= {number: number - 5 for number in range(7, 20, 2)}
            for number in refunds:
                assert refund_in(shop, visit(number)) == refunds[number]
            [channel] = second.channels()
            assert channel.owed_by_me == sum(refunds.values())
            assert channel.accepted_from_peer == 100 + sum(range(100, 120))


# --- periods ---------------------------------------------------------------------------------------------------------


def test_a_refund_that_waits_for_the_next_period_is_made_then_and_once(tmp_path: Any) -> None:
    with open_shop(tmp_path) as shop:
        package = shop.pay(30_000)
        running = run(shop.ask(package, 30_000))
        aa_address = running.aa_address
        assert aa_address is not None
        merchant = shop.server.server

        def is_in(status: Status) -> bool:
            shop.net.settle()
            channel = merchant.channel(aa_address)
            return channel is not None and channel.status is status

        shop.net.settle()
        wait_until(lambda: is_in(Status.OPEN), "the deposit is confirmed")
        merchant.sweep(aa_address)
        ending = shop.paywall.finish(running, 500, (), b"")
        assert wire.PACKAGE not in headers_of(ending)
        assert wire.decode_receipt(headers_of(ending)[wire.RECEIPT])["refund"] == 30_000

        shop.net.advance(4000)
        wait_until(lambda: is_in(Status.CLOSED), "the period has ended", 60)
        assert isinstance(shop.ask(package, 30_000), Answer)
        shop.paywall.finish(run(shop.ask(shop.pay(40_000), 40_000)), 200, (), b"")
        again = [shop.ask(package, 30_000) for _ in range(2)]
        assert [refund_in(shop, again[0]), headers_of(again[1])] == [30_000, headers_of(again[0])]


@pytest.mark.parametrize(
    "code", [RefusalCode.DEPOSIT_TOO_YOUNG, RefusalCode.EVENTS_MISSING, RefusalCode.LEDGER_UNREACHABLE]
)
def test_who_has_only_to_wait_is_not_asked_to_pay_again(code: RefusalCode) -> None:
    answer = refused(Refusal(code, "wait"), {wire.PRICE: "100"})
    assert (answer.status, headers_of(answer)["Retry-After"]) == (503, "10")
    assert wire.PRICE not in headers_of(answer)


# --- clocks ----------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_put_back_does_not_keep_a_payment_of_a_dead_worker_for_long(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = shop.pay()
    dead = run(shop.ask(package))
    shop.paywall._heartbeat.remove(dead.call)
    monkeypatch.setattr("paypercall.paywall.gate.time.time", lambda: dead.call.runs_until - 3600)
    run(shop.ask(package))


# --- which request ---------------------------------------------------------------------------------------------------


def test_queries_that_look_alike_are_told_apart(shop: Shop) -> None:
    queries = ["a%3Db=", "a=b%3D", "a%3Db=&c", "a=&b%3D=", "b%3D=&a="]
    assert len({shop.request(query=query).digest() for query in queries}) == len(queries)


def test_a_request_is_known_by_the_same_digest_in_every_version(shop: Shop) -> None:
    """What is kept for a request before an upgrade must be answered after it."""
    plain = shop.request(path="/temperature", body=b"body")
    assert plain.digest() == "70acb5cbc498edc60ae425f0a46a3413"
    assert shop.request(path="/Temperatur/Zürich", query="a=ä").digest() == "12be2de56c308c3cfb499d3fec8d9583"


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_nothing_that_carries_money_shows_it(shop: Shop) -> None:
    secret = "as good as money"
    pairs = ((wire.PACKAGE, secret), (wire.TOKEN, secret))
    shown = [
        Request("GET", "/", f"{wire.FIELD}={secret}", Headers(dict(pairs)), secret.encode(), (secret,)),
        Answer(200, pairs, secret.encode()),
        Ending(pairs, secret.encode()),
        StoredAnswer(200, pairs, secret.encode()),
        Prepayment(secret, secret),
    ]
    assert all(secret not in repr(thing) for thing in shown)


def test_no_header_that_is_damaged_does_more_than_be_refused(shop: Shop) -> None:
    whole, chance = wire.encode_package(shop.pay()), random.Random(7)
    for _ in range(3000):
        damaged = bytearray(whole.encode())
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(33, 127)
        try:
            package = wire.decode_package(damaged.decode())
        except Refusal:
            continue
        payment = shop.server.server.verify_payment_package(package)
        assert payment.error is not None or payment.amount == 100
