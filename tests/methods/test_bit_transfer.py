"""Payments by transfers, redeemed at the example third party over real sockets: once, and never for nothing."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from threading import Event, Semaphore, Thread
from typing import Any

import pytest
import requests

from paypercall import wire
from paypercall.call_book import CallBook
from paypercall.methods.bit_transfer import (
    CLOCKS_DIFFER_SECONDS,
    MAX_AGE_SECONDS,
    MAX_ANSWER_BYTES,
    BitTransfer,
)
from paypercall.methods.waiting import MAX_WAITING
from paypercall.obyte.keys import key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.paywall import Answer, Running
from paypercall.transfer import MAX_TRANSFER, SignedTransfer, _digest, read_transfer, sign_transfer
from tests.books import untouched
from tests.methods.http_merchant import ANSWER, Host, serving
from tests.methods.third_party import (
    ADDRESS,
    PRICE,
    Act,
    TransferShop,
    code_of,
    free_port,
    open_account,
    redeem,
    running_accounts,
    transfer,
)

OTHER_ASSET = "x" * 43 + "="
OPEN = "the third party answered {}, which does not tell whether the money has moved"
AGAIN = "; try again with the same payment"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[TransferShop]:
    with running_accounts(tmp_path) as accounts:
        shop = TransferShop(tmp_path, accounts)
        yield shop
        shop.close()


@pytest.fixture(scope="module")
def same_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransferShop]:
    """One for all tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("shop")
    with running_accounts(folder) as accounts:
        shop = TransferShop(folder, accounts)
        yield shop
        shop.close()


@pytest.fixture(scope="module")
def host(same_shop: TransferShop) -> Iterator[Host]:
    """The same shop on a real socket; it sells after all that it has refused, too."""
    with same_shop.store.reading():
        pass  # the books are made by who looks into them first
    with serving(same_shop.paywall, PRICE) as host:
        yield host
        assert host.ask(same_shop.sign().headers).content == ANSWER


class Crash(BaseException):
    """The merchant's process dies here."""


# --- what is offered, and what buys an answer ------------------------------------------------------------------------


def test_the_terms_name_the_payee_and_say_that_nothing_is_given_back(same_shop: TransferShop) -> None:
    terms = same_shop.method.get_402_headers(PRICE, "base")
    assert (terms[wire.PRICE], terms[wire.ASSET]) == ("100", "base")
    assert (terms[wire.TRANSFER_USERNAME], terms[wire.TRANSFER_ADDRESS]) == ("merchant", ADDRESS)
    assert terms[wire.TRANSFER_TERMS] == "amount=exact, refunds=none, max-age=600"
    assert same_shop.method.get_402_headers(PRICE, "x" * 44) == {}


def test_a_transfer_buys_one_answer_and_is_redeemed_once(shop: TransferShop) -> None:
    signed = shop.sign()
    receipt = wire.decode_receipt(shop.sell(signed)[wire.RECEIPT])
    assert (receipt["amount"], receipt["payer"]) == (PRICE, "alice")
    assert shop.balances() == (900, 1_100)
    shop.restart()
    again = shop.ask(signed)
    assert isinstance(again, Answer) and again.body == ANSWER
    assert code_of(shop.ask(signed, path="/other")) == (409, "payment_used")
    assert (shop.line.heard, shop.balances()) == (1, (900, 1_100))


def test_a_second_signature_of_the_same_transfer_is_the_same_payment(shop: TransferShop) -> None:
    signed = shop.sign()
    shop.sell(signed)
    again = sign_transfer(signed.transfer, shop.alice)
    assert again.id == signed.id
    assert code_of(shop.ask(again, path="/other")) == (409, "payment_used")


def test_of_many_requests_with_one_transfer_at_once_one_is_served(shop: TransferShop) -> None:
    signed, outcomes = shop.sign(), list[Answer | Running]()
    threads = [Thread(target=lambda: outcomes.append(shop.ask(signed))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(outcome, Running) for outcome in outcomes) == 1
    assert {code_of(outcome) for outcome in outcomes if isinstance(outcome, Answer)} == {
        (409, "payment_in_progress")
    }
    assert shop.balances() == (900, 1_100)


# --- what is refused before anybody is asked -------------------------------------------------------------------------


def is_refused_unheard(
    shop: TransferShop, host: Host, headers: Mapping[str, str], *expected: object, **query: Any
) -> None:
    with untouched(shop.folder):
        assert host.refusal(headers, **query) == expected
    assert (shop.line.heard, shop.balances()) == (0, (1_000, 1_000))


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"payee_username": "mallory"}, "wrong_payee"),
        ({"payee_address": "MALLORY"}, "wrong_payee"),
        ({"amount": PRICE - 1}, "underpaid"),
        ({"amount": PRICE + 1}, "overpaid"),
    ],
)
def test_a_transfer_that_is_not_what_is_asked_for_is_refused(
    same_shop: TransferShop, host: Host, changes: dict[str, Any], code: str
) -> None:
    is_refused_unheard(same_shop, host, same_shop.sign(**changes).headers, 402, code)


@pytest.mark.parametrize("age", [-3_600, -CLOCKS_DIFFER_SECONDS - 30, MAX_AGE_SECONDS + 1])
def test_a_transfer_that_is_too_old_or_of_the_future_is_refused(
    same_shop: TransferShop, host: Host, age: int
) -> None:
    signed = same_shop.sign(timestamp=int(time.time()) - age)
    is_refused_unheard(same_shop, host, signed.headers, 402, "wrong_time")


@pytest.mark.parametrize("age", [-CLOCKS_DIFFER_SECONDS, MAX_AGE_SECONDS - 60])
def test_a_transfer_is_good_for_a_while_and_clocks_may_differ_a_little(shop: TransferShop, age: int) -> None:
    shop.sell(shop.sign(timestamp=int(time.time()) - age))


def test_what_costs_another_asset_is_not_paid_by_a_transfer(same_shop: TransferShop, host: Host) -> None:
    is_refused_unheard(same_shop, host, same_shop.sign().headers, 402, "wrong_asset", asset=OTHER_ASSET)


def test_an_answer_is_given_again_though_its_view_costs_another_asset_by_now_or_the_merchant_has_another_name(
    shop: TransferShop,
) -> None:
    signed = shop.sign()
    shop.sell(signed)
    shop.paywall._methods = (BitTransfer(shop.line.url + "/{}", "renamed", "elsewhere"),)
    again = shop.ask(signed, asset=OTHER_ASSET)
    assert isinstance(again, Answer) and again.body == ANSWER
    assert code_of(shop.ask(signed, path="/other", asset=OTHER_ASSET)) == (409, "payment_used")


def test_a_transfer_that_may_have_moved_is_served_though_the_price_is_in_another_asset_by_then(
    shop: TransferShop,
) -> None:
    signed = shop.sign()
    shop.line.act = lost_answer
    assert code_of(shop.ask(signed)) == (503, "transfer_outcome_unknown")
    shop.line.act = None
    running = shop.ask(signed, price=7, asset=OTHER_ASSET)
    assert isinstance(running, Running)
    assert (running.price, running.asset) == (PRICE, "base"), "as was agreed"


@pytest.mark.parametrize(
    "code, change",
    [
        ("not_json", lambda text: ""), ("not_json", lambda text: "x"), ("not_json", lambda text: "{"),
        ("not_json", lambda text: "[" * 2_000), ("not_json", lambda text: text[:-1] + ',"amount":1}'),
        ("too_large", lambda text: text[:-1] + " " * MAX_TRANSFER + "}"),
        ("wrong_shape", lambda text: "[]"), ("wrong_shape", lambda text: "5"),
        ("wrong_shape", lambda text: text[:-1] + ',"more":1}'),
        ("wrong_shape", lambda text: text.replace('"payer":"alice",', "")),
        ("wrong_amount", lambda text: text.replace(":100,", ":100.0,")),
        ("wrong_amount", lambda text: text.replace(":100,", ':"100",')),
        ("wrong_amount", lambda text: text.replace(":100,", ":-100,")),
        ("wrong_amount", lambda text: text.replace(":100,", ":0,")),
        ("wrong_amount", lambda text: text.replace(":100,", ":true,")),
        ("wrong_amount", lambda text: text.replace(":100,", f":1{16 * '0'},")),
        ("wrong_shape", lambda text: text.replace("alice", "")),
        ("wrong_shape", lambda text: text.replace("alice", "a" * 65)),
        ("wrong_shape", lambda text: text.replace("alice", "\\ud800")),
        ("wrong_shape", lambda text: text.replace("alice", "al\\nice")),
        ("wrong_shape", lambda text: text.replace("/answer", "é")),
        ("wrong_shape", lambda text: text.replace("/answer", "x" * 501)),
        ("wrong_shape", lambda text: text.replace('"timestamp":', '"timestamp":0.')),
        ("wrong_shape", lambda text: text.replace('"timestamp":', '"timestamp":-')),
        ("wrong_shape", lambda text: text.replace('pubkey":"', 'pubkey":"x')),
        ("wrong_signature", lambda text: text.replace("/answer", "/other")),
    ],
)  # fmt: skip
def test_a_transfer_that_was_tampered_with_is_refused_with_400(
    same_shop: TransferShop, host: Host, code: str, change: Callable[[str], str]
) -> None:
    signed = same_shop.sign()
    assert change(signed.text) != signed.text
    headers = {wire.TRANSFER: change(signed.text), wire.TRANSFER_SIGNATURE: signed.signature}
    is_refused_unheard(same_shop, host, headers, 400, code)


@pytest.mark.parametrize("more, code", [("amount", "not_json"), ("more", "wrong_shape")])
def test_a_text_that_can_be_read_in_two_ways_is_refused_though_it_is_signed(
    same_shop: TransferShop, host: Host, more: str, code: str
) -> None:
    text = f'{same_shop.sign().text[:-1]},"{more}":100}}'
    headers = {wire.TRANSFER: text, wire.TRANSFER_SIGNATURE: same_shop.alice.sign(_digest(text))}
    is_refused_unheard(same_shop, host, headers, 400, code)


@pytest.mark.parametrize("signature", ["", "x", "é" * 88, "A" * 86 + "==", "A" * 5_000])
def test_a_signature_that_is_none_is_refused(same_shop: TransferShop, host: Host, signature: str) -> None:
    headers = {wire.TRANSFER: same_shop.sign().text, wire.TRANSFER_SIGNATURE: signature}
    is_refused_unheard(same_shop, host, headers, 400, "wrong_signature")


def test_a_signature_with_another_key_is_refused(same_shop: TransferShop, host: Host) -> None:
    mallory = key_from_mnemonic(new_mnemonic())
    forged = sign_transfer(transfer(mallory), mallory)
    headers = {wire.TRANSFER: same_shop.sign().text, wire.TRANSFER_SIGNATURE: forged.signature}
    is_refused_unheard(same_shop, host, headers, 400, "wrong_signature")


@pytest.mark.parametrize(
    "name, code", [(wire.TRANSFER, "wrong_signature"), (wire.TRANSFER_SIGNATURE, "not_json")]
)
def test_one_header_without_the_other_is_refused(
    same_shop: TransferShop, host: Host, name: str, code: str
) -> None:
    is_refused_unheard(same_shop, host, {name: same_shop.sign().headers[name]}, 400, code)


@pytest.mark.parametrize("names", [("", ADDRESS), ("merchant", "x" * 65), ("mer\nchant", ADDRESS)])
def test_a_merchant_without_a_proper_name_is_told_so_at_once(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="short printable"):
        BitTransfer("http://127.0.0.1/{}", *names)


# --- what the third party refuses ------------------------------------------------------------------------------------


def give_alice(shop: TransferShop, amount: int) -> None:
    bob = open_account(shop.accounts, "bob")
    to_alice = sign_transfer(transfer(bob, payer="bob", payee_username="alice", amount=amount), bob)
    assert redeem(shop.accounts, "alice", to_alice).ok


def test_the_error_of_the_third_party_is_passed_on_and_nothing_is_kept(shop: TransferShop) -> None:
    signed = shop.sign(amount=1_001)
    answer = shop.ask(signed, price=1_001)
    assert code_of(answer) == (402, "transfer_refused")
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["detail"] == "alice has less than 1001 (insufficient_funds)"
    assert not shop.calls.is_known("bit_transfer", signed.id)
    give_alice(shop, 500)
    shop.sell(signed, price=1_001)


def test_a_transfer_in_the_name_of_somebody_else_is_refused(shop: TransferShop) -> None:
    mallory = key_from_mnemonic(new_mnemonic())
    answer = shop.ask(sign_transfer(transfer(mallory), mallory))
    assert isinstance(answer, Answer)
    assert (code_of(answer), b"the payer's key" in answer.body) == ((402, "transfer_refused"), True)
    assert shop.balances() == (1_000, 1_000)


def test_what_another_service_of_the_payee_has_redeemed_buys_nothing_however_often_it_comes(
    shop: TransferShop,
) -> None:
    signed = shop.sign()
    assert redeem(shop.accounts, "merchant", signed, '"the other service"').ok
    for _ in range(2):
        answer = shop.ask(signed)
        assert code_of(answer) == (402, "transfer_refused")
        assert isinstance(answer, Answer) and b"redeemed already" in answer.body
    assert not shop.calls.is_known("bit_transfer", signed.id)
    assert shop.balances() == (900, 1_100)


@pytest.mark.parametrize(
    "status, content, expected, detail",
    [
        (402, {"error": "too poor", "code": "insufficient_funds"}, 402, "too poor (insufficient_funds)"),
        (402, {"error": "too poor", "code": "x" * 65}, 402, "too poor"),
        (402, {"error": "too poor", "code": ["x"]}, 402, "too poor"),
        (500, {"error": "the vault is being counted"}, 503, f"{OPEN.format(500)}: the vault is being counted{AGAIN}"),
        (429, {"error": "slowly, 60 s", "code": "rate"}, 503, f"{OPEN.format(429)}: slowly, 60 s (rate){AGAIN}"),
        (500, {"error": "x" * 5_000}, 503, f"{OPEN.format(500)}: {'x' * 500}{AGAIN}"),
        (502, b"<h1>intranet</h1>", 503, f"{OPEN.format(502)}{AGAIN}"),
    ],
)  # fmt: skip
def test_what_the_third_party_says_is_passed_on_with_its_own_code_whatever_it_means(
    shop: TransferShop, status: int, content: object, expected: int, detail: str
) -> None:
    shop.line.act = answering(status, content)
    answer = shop.ask(shop.sign())
    assert isinstance(answer, Answer)
    code = "transfer_refused" if expected == 402 else "transfer_outcome_unknown"
    assert (code_of(answer), json.loads(answer.body)["detail"]) == ((expected, code), detail)


def test_a_refusal_after_a_lost_answer_does_not_take_away_what_may_have_been_paid(shop: TransferShop) -> None:
    signed = shop.sign()
    shop.line.act = lost_answer
    assert code_of(shop.ask(signed)) == (503, "transfer_outcome_unknown")
    shop.line.act = answering(403, {"error": "your API key has expired"})
    answer = shop.ask(signed)
    assert code_of(answer) == (503, "transfer_outcome_unknown")
    assert isinstance(answer, Answer) and b"your API key has expired" in answer.body
    shop.line.act = None
    shop.sell(signed)
    assert shop.balances() == (900, 1_100)


def test_a_transfer_that_the_third_party_names_as_refused_after_a_lost_answer_is_good_for_another_attempt(
    shop: TransferShop,
) -> None:
    signed = shop.sign(amount=1_001)
    shop.line.act = lambda body, forward: None
    assert code_of(shop.ask(signed, price=1_001)) == (503, "transfer_outcome_unknown")
    shop.line.act = None
    assert code_of(shop.ask(signed, price=1_001)) == (402, "transfer_refused")
    assert not shop.calls.is_known("bit_transfer", signed.id)
    give_alice(shop, 500)
    shop.sell(signed, price=1_001, path="/other")
    assert shop.balances() == (499, 2_001)


@pytest.mark.parametrize("status, of", [(402, "another"), (429, "it"), (500, "it"), (200, "it")])
def test_no_other_refusal_after_a_lost_answer_is_the_last_word(
    shop: TransferShop, status: int, of: str
) -> None:
    signed = shop.sign()
    shop.line.act = lost_answer
    assert code_of(shop.ask(signed)) == (503, "transfer_outcome_unknown")
    named = signed.id if of == "it" else "0" * 64
    shop.line.act = answering(status, {"error": "no", "refused": named})
    assert code_of(shop.ask(signed)) == (503, "transfer_outcome_unknown")
    shop.line.act = None
    shop.sell(signed)
    assert shop.balances() == (900, 1_100)


def test_a_refusal_that_comes_late_does_not_take_away_what_was_kept_and_moved_since(
    shop: TransferShop,
) -> None:
    signed, has_come, may_go_on = shop.sign(amount=1_001), Event(), Event()

    def dawdle(body: bytes, forward: Callable[[], requests.Response]) -> tuple[int, bytes, dict[str, str]]:
        has_come.set()
        may_go_on.wait(30)
        answer = forward()
        return answer.status_code, answer.content, {}

    def ask() -> tuple[int, str]:
        return code_of(shop.ask(signed, price=1_001))

    shop.line.act = lambda body, forward: None
    assert ask() == (503, "transfer_outcome_unknown")
    shop.line.act = dawdle
    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(ask)
        try:
            assert has_come.wait(30)
            shop.line.act = None
            assert ask() == (402, "transfer_refused")
            give_alice(shop, 500)
            shop.line.act = lost_answer
            assert ask() == (503, "transfer_outcome_unknown")
        finally:
            may_go_on.set()
        assert late.result() == (402, "transfer_refused")
    shop.line.act = None
    shop.sell(signed, price=1_001)
    assert shop.balances() == (499, 2_001)


@contextmanager
def held_up(
    shop: TransferShop, signed: SignedTransfer, act: Act | None
) -> Iterator[Callable[[], Answer | Running]]:
    """Asks, but a gateway holds that up, and refuses it once its outcome is asked for; others meet with `act`."""
    has_come, may_go_on = Event(), Event()

    def refuse(body: bytes, forward: Callable[[], requests.Response]) -> tuple[int, bytes, dict[str, str]]:
        has_come.set()
        may_go_on.wait(30)
        return 403, b'{"error": "blocked by a gateway"}', {}

    shop.line.act = refuse
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(shop.ask, signed)
        try:
            assert has_come.wait(30)
            shop.line.act = act

            def outcome() -> Answer | Running:
                may_go_on.set()
                return first.result()

            yield outcome
        finally:
            may_go_on.set()


def test_a_refusal_of_the_first_attempt_does_not_take_away_what_a_repetition_has_moved_whose_answer_was_lost(
    shop: TransferShop,
) -> None:
    signed = shop.sign()
    with held_up(shop, signed, lost_answer) as outcome_of_the_first:
        assert code_of(shop.ask(signed)) == (503, "transfer_outcome_unknown")
        answer = outcome_of_the_first()
    assert code_of(answer) == (503, "transfer_outcome_unknown")
    assert isinstance(answer, Answer) and b"blocked by a gateway" in answer.body
    shop.line.act = None
    shop.sell(signed)
    assert shop.balances() == (900, 1_100)


def test_what_a_repetition_has_moved_buys_another_answer_if_its_view_fails_though_the_first_attempt_was_refused(
    shop: TransferShop,
) -> None:
    signed, has_moved, may_be_told = shop.sign(), Event(), Event()

    def dawdle(body: bytes, forward: Callable[[], requests.Response]) -> tuple[int, bytes, dict[str, str]]:
        answer = forward()
        has_moved.set()
        may_be_told.wait(30)
        return answer.status_code, answer.content, {}

    with ThreadPoolExecutor(1) as threads, held_up(shop, signed, dawdle) as outcome_of_the_first:
        second = threads.submit(shop.ask, signed)
        try:
            assert has_moved.wait(30)
            assert code_of(outcome_of_the_first()) == (503, "transfer_outcome_unknown")
        finally:
            may_be_told.set()
        running = second.result()
    assert isinstance(running, Running)
    shop.paywall.finish(running, 500, [], b"oops")
    shop.line.act = None
    shop.sell(signed, path="/other")
    assert shop.balances() == (900, 1_100)


def test_an_endless_error_is_cut(shop: TransferShop) -> None:
    shop.line.act = lambda body, forward: (400, json.dumps({"error": "x" * 5_000}).encode(), {})
    answer = shop.ask(shop.sign())
    assert isinstance(answer, Answer)
    assert json.loads(answer.body)["detail"] == "x" * 500


# --- unknown outcomes and crashes ------------------------------------------------------------------------------------


def silence(body: bytes, forward: Callable[[], requests.Response]) -> None:
    Event().wait(0.5)


def lost_answer(body: bytes, forward: Callable[[], requests.Response]) -> None:
    assert forward().ok


def redeemed(status: int, more: bytes = b"") -> Act:
    """Says of whatever transfer comes that it is redeemed, with another status or at more length."""

    def act(body: bytes, forward: Callable[[], requests.Response]) -> tuple[int, bytes, dict[str, str]]:
        sent = json.loads(body)
        name = read_transfer(sent["bittransfer"], sent["signature"]).id
        return status, json.dumps({"redeemed": name}).encode() + more, {}

    return act


def answering(status: int, content: object) -> Act:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda body, forward: (status, text, {})


@pytest.mark.parametrize(
    "act",
    [
        silence, lost_answer, lambda body, forward: None, answering(500, {"error": "oops"}),
        answering(502, b"<html>"), answering(429, {"error": "slowly"}), answering(404, b"<html>"), answering(403, {}),
        answering(400, {"error": 5}), answering(200, b""), answering(200, b"<html>welcome</html>"), answering(200, []),
        answering(200, {"redeemed": True}), answering(200, {"redeemed": "0" * 64}), answering(202, {"error": "later"}),
        answering(200, b"[" * 50_000), answering(200, b" " * (2 * MAX_ANSWER_BYTES)),
        answering(408, {"error": "too late"}), answering(425, {"error": "too early"}),
        redeemed(500), redeemed(202), redeemed(402), redeemed(200, b" " * MAX_ANSWER_BYTES),
    ],
)  # fmt: skip
def test_when_it_is_unknown_whether_the_money_moved_nothing_is_served_and_nothing_lost(
    shop: TransferShop, act: Act
) -> None:
    signed = shop.sign()
    shop.line.act = act
    if act is silence:
        shop.restart(timeout=0.2)
    answer = shop.ask(signed)
    assert code_of(answer) == (503, "transfer_outcome_unknown")
    assert code_of(shop.ask(signed, path="/other")) == (409, "payment_used")
    shop.line.act = None
    shop.restart(max_age=-60)
    shop.sell(signed, price=900)
    assert shop.balances() == (900, 1_100)


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n"])
def test_a_third_party_whose_answer_drips_keeps_nobody_waiting(shop: TransferShop, beginning: bytes) -> None:
    may_end, dripped = Event(), []

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.sendall(beginning)
            for _ in range(200):
                connection.sendall(b"x")
                dripped.append(b"x")
                if may_end.wait(0.1):
                    break

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:
        threads.submit(drip, listening)
        method = BitTransfer(
            f"http://127.0.0.1:{listening.getsockname()[1]}/{{}}", "merchant", ADDRESS, timeout=0.5
        )
        good, shop.paywall._methods = shop.paywall._methods, (method,)
        signed = shop.sign()
        answer = shop.ask(signed)
        may_end.set()
    assert code_of(answer) == (503, "transfer_outcome_unknown")
    assert len(dripped) < 200
    shop.paywall._methods = good
    shop.sell(signed)


def test_few_transfers_wait_for_the_third_party_at_a_time_and_of_the_others_nothing_is_lost(
    shop: TransferShop,
) -> None:
    may_go_on, waiting = Event(), Semaphore(0)

    def wait(body: bytes, forward: Callable[[], requests.Response]) -> None:
        waiting.release()
        may_go_on.wait(30)

    shop.line.act = wait
    first, *others, last = [shop.sign(description=str(number)) for number in range(MAX_WAITING + 1)]
    with ThreadPoolExecutor(MAX_WAITING) as threads:
        asked = [threads.submit(shop.ask, signed) for signed in (first, *others)]
        try:
            for _ in asked:
                assert waiting.acquire(timeout=30)
            for signed, is_kept in ((last, False), (first, True)):
                refused = shop.ask(signed)
                assert code_of(refused) == (503, "too_many_waiting")
                assert isinstance(refused, Answer) and dict(refused.headers)["Retry-After"] == "2"
                assert shop.calls.is_known("bit_transfer", signed.id) is is_kept
        finally:
            may_go_on.set()
    assert {code_of(outcome.result()) for outcome in asked} == {(503, "transfer_outcome_unknown")}
    assert shop.line.heard == MAX_WAITING
    shop.line.act = None
    for signed in (first, last):
        shop.sell(signed)


def test_a_transfer_is_not_carried_to_where_the_third_party_redirects(shop: TransferShop) -> None:
    elsewhere = {"Location": f"{shop.accounts}/accounts/merchant/transfers"}
    shop.line.act = lambda body, forward: (307, b"", elsewhere)
    assert code_of(shop.ask(shop.sign())) == (503, "transfer_outcome_unknown")
    assert shop.balances() == (1_000, 1_000)


def test_while_the_third_party_is_down_the_same_transfer_is_to_be_sent_again(shop: TransferShop) -> None:
    method = BitTransfer(f"http://127.0.0.1:{free_port()}/{{}}", "merchant", ADDRESS)
    good, shop.paywall._methods = shop.paywall._methods, (method,)
    signed = shop.sign()
    assert code_of(shop.ask(signed)) == (503, "transfer_outcome_unknown")
    shop.paywall._methods = good
    shop.sell(signed)


def test_after_a_crash_between_redeeming_and_booking_the_same_transfer_is_served(
    shop: TransferShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise Crash

    signed = shop.sign()
    with monkeypatch.context() as fault:
        fault.setattr(CallBook, "take_held", crash)
        with pytest.raises(Crash):
            shop.ask(signed)
    assert shop.balances() == (900, 1_100)
    shop.restart(max_age=-60)
    shop.sell(signed, price=900)
    assert shop.balances() == (900, 1_100)


def test_what_is_signed_is_what_is_read(same_shop: TransferShop) -> None:
    signed = same_shop.sign(description="é", payer="Ängström")
    assert asdict(signed.transfer) == json.loads(signed.text)
