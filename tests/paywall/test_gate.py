"""The paywall from a 402 to an answer that is given again, on a local network."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from paypercall import call_book, wire
from paypercall.call_book import AnswerLimits, CallBook
from paypercall.methods import Channel
from paypercall.package import compose_package
from paypercall.paid_call import RUN_SECONDS, answer
from paypercall.payment_server import PaymentServer
from paypercall.paywall import Answer, Paywall, Price, PriceTag, Request, Running, WrongPrice, WrongUse
from paypercall.paywall.request import MAX_BODY_WITH_PACKAGE
from paypercall.paywall.running import TooLate
from paypercall.store import Store, StoreError
from tests.parties import wait_until
from tests.paywall.merchant import Headers, Shop, headers_of, open_shop

ANSWER = b'{"celsius": 21}'
JSON = [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


def answer_code(answer: object) -> str:
    assert isinstance(answer, Answer)
    return str(json.loads(answer.body)["code"])


def receipt_in(headers: dict[str, str]) -> dict[str, object]:
    return wire.decode_receipt(headers[wire.RECEIPT])


def run(outcome: Answer | Running) -> Running:
    assert isinstance(outcome, Running), outcome
    return outcome


def refunded(shop: Shop, headers: dict[str, str]) -> int:
    payment = shop.client.verify_payment_package(wire.decode_package(headers[wire.PACKAGE]))
    assert payment.error is None
    return payment.amount


def test_a_run_is_left_alone_for_its_whole_time_however_long_its_payment_waited(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_waiting = int(time.time()) + 14
    monkeypatch.setattr(call_book, "wall_clock", lambda: after_waiting)
    running = run(shop.ask(shop.pay()))
    assert running.call.runs_until == after_waiting + RUN_SECONDS


def test_a_long_view_gives_signs_of_life_several_times_before_its_run_is_lost(shop: Shop) -> None:
    assert 0 < 2 * shop.paywall._heartbeat._seconds < RUN_SECONDS


def test_an_answer_is_given_again_within_its_window_only(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    server = PaymentServer(shop.server.server, answers=AnswerLimits(seconds=60))
    paywall = Paywall(server.calls, [Channel(server, "/payment")])
    request = shop.request({wire.PACKAGE: wire.encode_package(shop.pay())})
    paywall.finish(run(paywall.begin(request, Price(100))), 200, JSON, ANSWER)
    server.server.store.flush()
    for seconds, body in ((59, ANSWER), (61, None)):
        later = int(time.time()) + seconds
        monkeypatch.setattr(call_book, "wall_clock", lambda later=later: later)
        again = paywall.begin(request, Price(100))
        assert isinstance(again, Answer)
        assert (again.body if body else answer_code(again)) == (body or "answer_not_kept")


def another_worker(shop: Shop) -> Paywall:
    """The paywall of another process with the same books."""
    server = PaymentServer(shop.server.server)
    server.calls = CallBook(Store(shop.server.server.store.url))
    return Paywall(server.calls, [Channel(server, "/payment")])


def test_without_a_payment_the_terms_are_told_and_nothing_is_cached(shop: Shop) -> None:
    answer = shop.ask(None)
    assert isinstance(answer, Answer)
    assert answer.status == 402
    headers = headers_of(answer)
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Cache-Control"] == "no-store"
    assert headers[wire.PRICE] == "100"
    assert headers[wire.ASSET] == "base"
    assert headers[wire.ADDRESS] == shop.server.server.address
    assert headers[wire.NETWORK] == shop.net.network.version
    assert headers[wire.ENDPOINT] == "/payment"
    assert headers[wire.AGENT_VERSIONS] == "1.1"
    assert headers[wire.CHANNEL_TIMEOUTS] == "60-604800"
    assert headers[wire.UNCONFIRMED] == "max-by-channel=500000, max-by-asset=1000000, minimum-seconds=0"
    assert headers[wire.METHODS] == "channel"
    assert json.loads(answer.body)["price"] == 100


def test_a_payment_runs_the_view_once_and_is_answered_again_after_that(shop: Shop) -> None:
    package = shop.pay()
    running = run(shop.ask(package))
    ending = shop.paywall.finish(running, 200, JSON, ANSWER)
    receipt = receipt_in(headers_of(ending))
    assert (receipt["amount"], receipt["asset"], receipt["aa_address"]) == (
        100,
        "base",
        shop.client.aa_address,
    )
    assert {"payment_id", "accepted", "credit", "remaining", "time"} <= receipt.keys()
    again = shop.ask(package)
    assert isinstance(again, Answer)
    assert (again.status, again.body) == (200, ANSWER)
    assert [value for name, value in again.headers if name == "Set-Cookie"] == ["a=1", "b=2"]
    assert receipt_in(headers_of(again)) == receipt


def test_an_answer_is_given_again_at_once_by_another_worker(shop: Shop) -> None:
    package = shop.pay()
    ending = shop.paywall.finish(run(shop.ask(package)), 200, JSON, ANSWER)
    request = shop.request({wire.PACKAGE: wire.encode_package(package)})
    again = another_worker(shop).begin(request, Price(100))
    assert isinstance(again, Answer)
    assert (again.status, again.body) == (200, ANSWER)
    assert receipt_in(headers_of(again)) == receipt_in(headers_of(ending))


def test_a_payment_for_one_request_buys_no_other(shop: Shop) -> None:
    package = shop.pay()
    shop.paywall.finish(run(shop.ask(package)), 200, JSON, ANSWER)
    other = shop.ask(package, path="/other")
    assert isinstance(other, Answer)
    assert (other.status, answer_code(other)) == (409, "payment_used")


def test_a_payment_that_the_host_verified_by_itself_buys_nothing_more(shop: Shop) -> None:
    package = shop.pay()
    assert shop.server.server.verify_payment_package(package).error is None
    assert answer_code(shop.ask(package)) == "payment_used"


def test_too_little_is_refunded_as_a_whole_however_often_it_is_sent(shop: Shop) -> None:
    package = shop.pay(40)
    first = shop.ask(package)
    assert isinstance(first, Answer)
    assert (first.status, answer_code(first)) == (402, "underpaid")
    assert receipt_in(headers_of(first))["refund"] == 40
    assert refunded(shop, headers_of(first)) == 40
    again = shop.ask(package)
    assert headers_of(again)[wire.PACKAGE] == headers_of(first)[wire.PACKAGE]


def test_of_too_much_the_difference_is_refunded(shop: Shop) -> None:
    ending = shop.paywall.finish(run(shop.ask(shop.pay(150))), 200, JSON, ANSWER)
    assert refunded(shop, headers_of(ending)) == 50


FREE = PriceTag(None)


def free_of_charge(shop: Shop, package: dict[str, Any], **parts: Any) -> Answer | Running:
    """What happens to a payment with a request that is free."""
    request = shop.request({wire.PACKAGE: wire.encode_package(package)}, **parts)
    price = shop.paywall.price_of_free(request, FREE)
    assert price is not None
    return shop.paywall.begin(request, price)


def test_what_is_free_is_served_without_the_paywall_unless_a_header_pays_for_it(shop: Shop) -> None:
    package = wire.encode_package(shop.pay())
    assert shop.paywall.price_of_free(shop.request(), FREE) is None
    head = Request("HEAD", "/answer", "", Headers({wire.PACKAGE: package}))
    assert shop.paywall.price_of_free(head, FREE) is None
    for name in (wire.PACKAGE, wire.TOKEN):
        assert shop.paywall.price_of_free(shop.request({name: package}), PriceTag(0)) == Price(0)


def test_all_of_a_payment_for_what_is_free_goes_back_with_the_answer_also_the_second_time(shop: Shop) -> None:
    package = shop.pay()
    running = run(free_of_charge(shop, package))
    running.refund(5)
    ending = headers_of(shop.paywall.finish(running, 200, JSON, ANSWER))
    assert receipt_in(ending)["refund"] == 100 == refunded(shop, ending)
    again = free_of_charge(shop, package)
    assert isinstance(again, Answer)
    assert (again.status, again.body) == (200, ANSWER)
    assert headers_of(again)[wire.PACKAGE] == ending[wire.PACKAGE]
    told = receipt_in(ending)
    assert int(str(told["accepted"])) + int(str(told["credit"])) == shop.client.balance().owed_by_me


def test_a_stream_that_is_free_gives_a_payment_back_with_its_beginning(shop: Shop) -> None:
    package = shop.pay()
    running = run(free_of_charge(shop, package))
    ending = headers_of(shop.paywall.finish(running, 200, JSON, None))
    assert refunded(shop, ending) == 100
    again = free_of_charge(shop, package)
    assert answer_code(again) == "answer_not_kept"
    shop.paywall.break_off(running)
    broken = free_of_charge(shop, package)
    assert isinstance(broken, Answer)
    assert (broken.status, answer_code(broken)) == (409, "refunded")
    assert wire.PRICE not in headers_of(broken)
    assert headers_of(broken)[wire.PACKAGE] == ending[wire.PACKAGE]


def test_what_a_dead_worker_left_is_given_back_though_the_request_is_free_by_now(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = shop.pay()
    dead = run(shop.ask(package))
    shop.paywall._heartbeat.remove(dead.call)
    with monkeypatch.context() as later:
        now = dead.call.runs_until + 1
        later.setattr("paypercall.paywall.gate.time.time", lambda: now)
        running = run(free_of_charge(shop, package))
    assert refunded(shop, headers_of(shop.paywall.finish(running, 200, JSON, ANSWER))) == 100


ASKED = PriceTag(lambda request: None)
FAILURE = LookupError("there is no such thing any more")


def without_price(shop: Shop, package: dict[str, Any], path: str = "/answer") -> Answer | None:
    """What a request is answered whose price fails."""
    request = shop.request({wire.PACKAGE: wire.encode_package(package)}, path)
    return shop.paywall.answer_without_price(request, ASKED, FAILURE)


def test_what_was_bought_is_answered_again_though_its_price_fails_and_only_that(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    package = shop.pay()
    assert without_price(shop, package) is None, "it was not taken, and is not now"
    ending = shop.paywall.finish(run(shop.ask(package)), 200, JSON, ANSWER)
    again = without_price(shop, package)
    assert again is not None and again.is_given_again
    assert (again.status, again.body) == (200, ANSWER)
    assert headers_of(again)[wire.RECEIPT] == headers_of(ending)[wire.RECEIPT]
    assert "no such thing" in caplog.text, "the owner learns of what nobody sees now"
    assert without_price(shop, package, "/other") is None
    message = package["signed_message"]
    told = {name: message[name] for name in ("aa_address", "period", "amount_spent")}
    other = compose_package(
        shop.client.wallet.key, package["version"], **told, payment_amount=1, announce=None
    )
    assert without_price(shop, other) is None, "another one with the same total"


def test_a_refund_is_fetched_again_though_the_price_fails_which_the_receipt_does_not_tell(shop: Shop) -> None:
    failed, little = shop.pay(), shop.pay(40)
    ending = shop.paywall.finish(run(shop.ask(failed)), 500, JSON, b"{}")
    again = without_price(shop, failed)
    assert again is not None and again.status == 500
    assert headers_of(again)[wire.PACKAGE] == headers_of(ending)[wire.PACKAGE]
    first = shop.ask(little)
    again = without_price(shop, little)
    assert again is not None and (again.status, answer_code(again)) == (409, "refunded")
    assert headers_of(again)[wire.PACKAGE] == headers_of(first)[wire.PACKAGE]
    assert "price" not in receipt_in(headers_of(again))


def test_what_runs_is_left_alone_and_what_was_left_behind_given_back_where_the_price_fails(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, abandoned = shop.pay(), shop.pay()
    dead = run(shop.ask(package))
    shop.paywall.abandon(run(shop.ask(abandoned)))
    assert answer_code(without_price(shop, package)) == "payment_in_progress"
    shop.paywall._heartbeat.remove(dead.call)
    with monkeypatch.context() as later:
        now = dead.call.runs_until + 1
        later.setattr("paypercall.paywall.gate.time.time", lambda: now)
        for left in (package, abandoned):
            ended = without_price(shop, left)
            assert ended is not None and (ended.status, answer_code(ended)) == (409, "refunded")
            assert refunded(shop, headers_of(ended)) == 100
    late = shop.paywall.finish(dead, 200, JSON, None).instead
    assert answer_code(late) == "refunded", "its answer is not given, too"


def test_tokens_and_bodies_are_answered_from_the_books_where_the_price_fails_or_is_nothing(
    shop: Shop,
) -> None:
    token = shop.server.receive_payment(shop.pay()).token
    body = json.dumps({"payment_package": shop.pay()}).encode()
    for request in (
        shop.request({wire.TOKEN: token}),
        shop.request({"Content-Type": "application/json"}, body=body),
    ):
        for error in (None, FAILURE):
            assert shop.paywall.answer_without_price(request, ASKED, error) is None
        shop.paywall.finish(run(shop.paywall.begin(request, Price(100))), 200, JSON, ANSWER)
        for error in (None, FAILURE):
            again = shop.paywall.answer_without_price(request, ASKED, error)
            assert again is not None and again.body == ANSWER


def test_an_answer_is_given_again_though_its_view_costs_another_asset_by_now(shop: Shop) -> None:
    answered, little = shop.pay(150), shop.pay(40)
    running = run(shop.ask(answered))
    shop.paywall.finish(running, 200, JSON, ANSWER)
    shop.ask(little)
    for package, status in ((answered, 200), (little, 402)):
        request = shop.request({wire.PACKAGE: wire.encode_package(package)})
        again = shop.paywall.begin(request, Price(1000, "A" * 43 + "="))
        assert isinstance(again, Answer) and again.status == status
        assert "price" not in receipt_in(headers_of(again)), "of the asset that was paid in"
        assert refunded(shop, headers_of(again)) in (50, 40)
        assert status == 200 or answer_code(again) == "refunded"


def test_a_view_that_fails_though_it_is_free_gives_a_payment_back(shop: Shop) -> None:
    ending = shop.paywall.finish(run(free_of_charge(shop, shop.pay())), 500, JSON, b"{}")
    assert refunded(shop, headers_of(ending)) == 100


def test_a_payment_that_is_not_accepted_is_refused_but_nobody_is_asked_to_pay_for_what_is_free(
    shop: Shop,
) -> None:
    package = shop.pay()
    package["signed_message"] |= {"aa_address": "A" * 32}
    forged = free_of_charge(shop, package)
    assert isinstance(forged, Answer)
    assert forged.status == 400
    token = shop.paywall.begin(shop.request({wire.TOKEN: "x" * 43}), Price(0))
    assert isinstance(token, Answer)
    assert (token.status, answer_code(token)) == (409, "unknown_token")
    assert wire.METHODS not in headers_of(token)


def test_a_view_that_fails_gives_everything_back(shop: Shop) -> None:
    package = shop.pay(150)
    ending = shop.paywall.finish(run(shop.ask(package)), 500, JSON, b"{}")
    assert refunded(shop, headers_of(ending)) == 150
    again = shop.ask(package)
    assert isinstance(again, Answer)
    assert again.status == 500
    assert headers_of(again)[wire.PACKAGE] == headers_of(ending)[wire.PACKAGE]


def test_a_view_that_refunds_gives_the_price_back_but_never_more_than_was_paid(shop: Shop) -> None:
    running = run(shop.ask(shop.pay(150)))
    running.refund()
    running.refund(10)
    ending = shop.paywall.finish(running, 200, JSON, ANSWER)
    assert refunded(shop, headers_of(ending)) == 150


def test_a_view_may_refund_a_part(shop: Shop) -> None:
    running = run(shop.ask(shop.pay(150)))
    running.refund(30)
    assert refunded(shop, headers_of(shop.paywall.finish(running, 200, JSON, ANSWER))) == 80


def test_while_a_request_is_answered_its_repetition_is_told_to_wait(shop: Shop) -> None:
    package = shop.pay()
    running = run(shop.ask(package))
    meanwhile = shop.ask(package)
    assert isinstance(meanwhile, Answer)
    assert (meanwhile.status, answer_code(meanwhile)) == (409, "payment_in_progress")
    assert headers_of(meanwhile)["Retry-After"] == "1"
    shop.paywall.finish(running, 200, JSON, ANSWER)


def test_a_request_that_was_abandoned_runs_again_at_once(shop: Shop) -> None:
    package = shop.pay()
    shop.paywall.abandon(run(shop.ask(package)))
    assert isinstance(shop.ask(package), Running)


def test_what_a_dead_worker_left_is_run_again_and_its_late_answer_changes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = shop.pay()
    dead = run(shop.ask(package))
    shop.paywall._heartbeat.remove(dead.call)
    with monkeypatch.context() as later:
        now = dead.call.runs_until + 1
        later.setattr("paypercall.paywall.gate.time.time", lambda: now)
        second = run(shop.ask(package))
    shop.paywall.finish(second, 200, JSON, ANSWER)
    assert shop.paywall.finish(dead, 500, JSON, b"late").headers == ()
    again = shop.ask(package)
    assert isinstance(again, Answer)
    assert again.body == ANSWER


def test_a_token_stands_for_its_payment_once(shop: Shop) -> None:
    package = shop.pay()
    call = shop.server.receive_payment(package)
    assert call.token
    assert shop.server.receive_payment(package).token == call.token
    request = shop.request({wire.TOKEN: call.token})
    shop.paywall.finish(run(shop.paywall.begin(request, Price(100))), 200, JSON, ANSWER)
    again = shop.paywall.begin(request, Price(100))
    assert isinstance(again, Answer)
    assert again.body == ANSWER
    other = shop.paywall.begin(shop.request({wire.TOKEN: call.token}, "/other"), Price(100))
    assert answer_code(other) == "payment_used"
    unknown = shop.paywall.begin(shop.request({wire.TOKEN: "x" * 43}), Price(100))
    assert answer_code(unknown) == "unknown_token"


def test_two_payments_in_one_request_are_refused_and_neither_is_taken(shop: Shop) -> None:
    package = shop.pay()
    headers = {wire.PACKAGE: wire.encode_package(package)}
    request = shop.request(headers, query="payment_package=" + wire.encode_package(package))
    both = shop.paywall.begin(request, Price(100))
    assert isinstance(both, Answer)
    assert (both.status, answer_code(both)) == (400, "several_payments")
    assert isinstance(shop.ask(package), Running)


@pytest.mark.parametrize(
    "text", ["", "x", "{", "{}", "[1]", "gaFh", "é", "A" * 5000, '{"version": 1, "version": 2}']
)
def test_a_header_that_is_no_package_is_refused_with_400(shop: Shop, text: str) -> None:
    answer = shop.paywall.begin(shop.request({wire.PACKAGE: text}), Price(100))
    assert isinstance(answer, Answer)
    assert answer.status == 400


def test_a_body_is_part_of_what_is_paid_for_wherever_the_payment_is(shop: Shop) -> None:
    package = wire.encode_package(shop.pay())
    text = {"Content-Type": "text/plain"}
    assert not shop.paywall.needs_body(shop.request(text))
    assert shop.paywall.needs_body(shop.request({**text, wire.PACKAGE: package}))
    assert shop.paywall.needs_body(shop.request(text, query=f"payment_package={package}"))
    assert shop.paywall.needs_body(shop.request(text, query=f"payment%5Fpackage={package}"))


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_the_body_of_who_may_pay_nothing_is_read_only_if_it_is_short(shop: Shop, content_type: str) -> None:
    for length, is_needed in (
        ("0", True),
        (str(MAX_BODY_WITH_PACKAGE), True),
        (str(MAX_BODY_WITH_PACKAGE + 1), False),
        ("9" * 5000, False),
        ("", False),
        ("-1", False),
        ("²", False),
    ):
        headers = {"Content-Type": content_type, "Content-Length": length}
        assert shop.paywall.needs_body(shop.request(headers)) is is_needed
        assert shop.paywall.needs_body(shop.request({**headers, wire.PACKAGE: "x"}))
    unknown = shop.request({"Content-Type": content_type})
    assert not shop.paywall.needs_body(unknown)
    assert not shop.paywall.needs_body(unknown, PriceTag(100))
    assert shop.paywall.needs_body(unknown, PriceTag(lambda request: 100)), "the price may depend on it"


def json_request(shop: Shop, body: bytes) -> Request:
    return shop.request({"Content-Type": "application/json"}, body=body)


def test_a_payment_in_a_large_body_is_not_looked_for(shop: Shop) -> None:
    small = json.dumps({wire.FIELD: shop.pay()})
    room = MAX_BODY_WITH_PACKAGE - len(small)
    too_large = shop.paywall.begin(json_request(shop, (small + " " * (room + 1)).encode()), Price(100))
    assert answer_code(too_large) == "payment_required"
    run(shop.paywall.begin(json_request(shop, (small + " " * room).encode()), Price(100)))


@pytest.mark.parametrize("second", [wire.FIELD, "payment\\u005fpackage"])
def test_two_payments_under_one_name_of_a_json_body_are_refused_and_neither_is_taken(
    shop: Shop, second: str
) -> None:
    package, other = shop.pay(), shop.pay()
    body = f'{{"{wire.FIELD}": {json.dumps(package)}, "{second}": {json.dumps(other)}}}'.encode()
    both = shop.paywall.begin(json_request(shop, body), Price(100))
    assert isinstance(both, Answer)
    assert (both.status, answer_code(both)) == (400, "several_payments")
    for each in (package, other):
        run(shop.ask(each))


def test_only_the_fields_of_the_outermost_object_are_payments(shop: Shop) -> None:
    package = json.dumps(shop.pay())
    for body in (f'{{"a": {{"{wire.FIELD}": {package}}}}}', f'[{{"{wire.FIELD}": {package}}}]'):
        outcome = shop.paywall.begin(json_request(shop, body.encode()), Price(100))
        assert answer_code(outcome) == "payment_required"
    body = f'{{"{wire.FIELD}": {package}, "a": {{"{wire.FIELD}": 1}}}}'
    run(shop.paywall.begin(json_request(shop, body.encode()), Price(100)))


def test_methods_may_come_one_after_the_other(shop: Shop) -> None:
    paywall = Paywall(shop.server.calls, iter([Channel(shop.server)]))  # type: ignore[arg-type]
    assert paywall.has_payment_header(shop.request({wire.PACKAGE: "a package"}))


def test_a_run_that_its_adapter_drops_without_an_end_gives_no_sign_of_life(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs: list[object] = []
    paywall = Paywall(shop.server.calls, [Channel(shop.server)])
    monkeypatch.setattr(paywall._heartbeat, "_seconds", 0.05)
    monkeypatch.setattr(paywall._heartbeat, "_keep", signs.append)
    running = paywall.begin(shop.request({wire.PACKAGE: wire.encode_package(shop.pay())}), Price(100))
    assert isinstance(running, Running)
    wait_until(lambda: bool(signs), "a sign of life is given")
    del running
    gc.collect()
    wait_until(lambda: paywall._heartbeat._thread is None, "the thread ends")


def owed_by_the_merchant(shop: Shop) -> int:
    balance = shop.server.server.channel(shop.client.aa_address or "")
    assert balance is not None
    return balance.owed_by_me


def test_a_stream_whose_view_fails_in_the_middle_gives_everything_back_to_the_same_payment(
    shop: Shop,
) -> None:
    package = shop.pay()
    running = run(shop.ask(package))
    shop.paywall.finish(running, 200, JSON, None)
    assert answer_code(shop.ask(package)) == "answer_not_kept"
    owed_before = owed_by_the_merchant(shop)
    shop.paywall.break_off(running)
    assert owed_by_the_merchant(shop) == owed_before + 100, "also settled with who never asks again"
    again = shop.ask(package)
    assert isinstance(again, Answer)
    assert (again.status, answer_code(again)) == (402, "refunded")
    assert receipt_in(headers_of(again))["refund"] == 100 == refunded(shop, headers_of(again))
    assert headers_of(shop.ask(package))[wire.PACKAGE] == headers_of(again)[wire.PACKAGE]


def test_of_a_stream_that_breaks_off_the_rest_goes_back_where_a_part_went_back_with_its_beginning(
    shop: Shop,
) -> None:
    package = shop.pay(150)
    running = run(shop.ask(package))
    assert refunded(shop, headers_of(shop.paywall.finish(running, 200, JSON, None))) == 50
    shop.paywall.break_off(running)
    again = headers_of(shop.ask(package))
    assert receipt_in(again)["refund"] == 150
    assert refunded(shop, again) == 100
    assert headers_of(shop.ask(package))[wire.PACKAGE] == again[wire.PACKAGE]


def test_what_broke_off_before_its_part_went_back_gives_everything_back_at_once(shop: Shop) -> None:
    package = shop.pay(150)
    running = run(shop.ask(package))
    shop.server.calls.finish(answer(running.call, str(running.call.run), 50), None)  # and its worker dies
    running.call = answer(running.call, str(running.call.run), 50)
    shop.paywall.break_off(running)
    assert refunded(shop, headers_of(shop.ask(package))) == 150


def test_a_policy_that_keeps_the_money_of_a_500_keeps_that_of_a_stream_that_breaks_off(shop: Shop) -> None:
    paywall = Paywall(shop.server.calls, [Channel(shop.server)], lambda status: status == 404)
    package = shop.pay()
    request = shop.request({wire.PACKAGE: wire.encode_package(package)})
    running = run(paywall.begin(request, Price(100)))
    paywall.finish(running, 200, JSON, None)
    paywall.break_off(running)
    assert answer_code(shop.ask(package)) == "answer_not_kept"


def test_a_stream_that_breaks_off_while_the_books_cannot_be_written_is_refunded_as_soon_as_they_can(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = shop.pay()
    running = run(shop.ask(package))
    shop.paywall.finish(running, 200, [], None)
    store = shop.server.server.store

    def fail() -> Any:
        raise StoreError("the database is busy", code="busy")

    with monkeypatch.context() as fault:
        fault.setattr(store, "brief_transaction", fail)
        shop.paywall.break_off(running)
    store.flush()
    again = shop.ask(package)
    assert answer_code(again) == "refunded"
    assert refunded(shop, headers_of(again)) == 100


def test_a_stream_that_another_worker_has_taken_over_cannot_break_off(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = shop.pay()
    dead = run(shop.ask(package))
    shop.paywall._heartbeat.remove(dead.call)
    with monkeypatch.context() as later:
        now = dead.call.runs_until + 1
        later.setattr("paypercall.paywall.gate.time.time", lambda: now)
        second = run(shop.ask(package))
    shop.paywall.finish(second, 200, JSON, None)
    shop.paywall.finish(dead, 200, JSON, None)
    shop.paywall.break_off(dead)
    assert answer_code(shop.ask(package)) == "answer_not_kept"


def test_nothing_can_be_refunded_once_the_answer_has_begun(shop: Shop) -> None:
    running = run(shop.ask(shop.pay()))
    shop.paywall.finish(running, 200, JSON, None)
    with pytest.raises(TooLate):
        running.refund()


# --- what an owner may get wrong -------------------------------------------------------------------------------------


class Cash(Channel):
    name = "cash"


class LoudCash(Channel):
    name = "cash"
    payment_headers = ("Payment-Cash", wire.TOKEN.upper())


def test_two_methods_that_share_a_name_or_a_header_are_refused(shop: Shop) -> None:
    channel = Channel(shop.server)
    for other in (Channel(shop.server), Cash(shop.server), LoudCash(shop.server)):
        with pytest.raises(WrongUse, match="two payment methods"):
            Paywall(shop.server.calls, [channel, other])


def test_what_costs_an_asset_that_no_method_takes_is_logged_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    paywall = Paywall(shop.server.calls, [Channel(shop.server)])
    for _ in range(2):
        unpaid = paywall.begin(shop.request(), Price(7, "A" * 43 + "="))
        assert isinstance(unpaid, Answer)
        assert (unpaid.status, headers_of(unpaid)[wire.METHODS]) == (402, "")
    assert len([record for record in caplog.records if "no method takes 7 of" in record.message]) == 1


@pytest.mark.parametrize("price", [int, Price, lambda: 100, partial(lambda: 100)])
def test_a_class_or_what_takes_no_request_is_no_price(price: Any) -> None:
    with pytest.raises(WrongPrice, match="is no price"):
        PriceTag(price)


@pytest.mark.parametrize(
    "token", ["\ud800", "x" * 42 + "\udfff", "é", ""], ids=["surrogate", "end", "letter", "empty"]
)
def test_a_token_that_cannot_be_one_is_unknown(shop: Shop, token: str) -> None:
    assert answer_code(shop.paywall.begin(shop.request({wire.TOKEN: token}), Price(100))) == "unknown_token"
