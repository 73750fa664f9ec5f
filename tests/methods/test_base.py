"""The contract of payment methods, by the example of a host's own: what is kept, taken, dropped, freed, and when."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest

from paypercall import call_book, wire
from paypercall.call_book import CallBook
from paypercall.errors import Refusal
from paypercall.methods import Order, PaymentMethod
from paypercall.paid_call import RUN_SECONDS, Attempt, PaidCall, PaidCallState
from paypercall.paywall import Answer, Paywall, Price, PriceTag, Request, Running
from paypercall.store import Store
from tests.methods.bank import HEADER, BankUnreachable, Cheques, GenerousCheques
from tests.paywall.merchant import Headers, headers_of

ANSWER = b"21 degrees"


class Crash(BaseException):
    """The process dies here."""


class Shop:
    """A paywall that takes cheques, on books in a file that can be opened anew."""

    def __init__(self, path: Path, cheques: Cheques | None = None) -> None:
        self.cheques = cheques or Cheques()
        self._path = path
        self.open()

    def open(self) -> None:
        """Opens the books, as a process that starts does."""
        self.store = Store(f"sqlite:///{self._path}/books.sqlite")
        self.calls = CallBook(self.store)
        self.paywall = Paywall(self.calls, [self.cheques])

    def restart(self) -> None:
        """Goes on with the books as they are."""
        self.store.close()
        self.open()

    def ask(self, cheque: str, price: int = 100, path: str = "/answer") -> Answer | Running:
        return self.paywall.begin(Request("GET", path, "", Headers({HEADER: cheque})), Price(price))

    def ask_without_price(self, cheque: str, path: str = "/answer") -> Answer | None:
        """Asks for what nobody can tell the price of."""
        request = Request("GET", path, "", Headers({HEADER: cheque}))
        return self.paywall.answer_without_price(request, PriceTag(lambda request: None))

    def sell(self, cheque: str, price: int = 100, path: str = "/answer") -> dict[str, str]:
        """Serves a request; tells the headers of its answer."""
        running = self.ask(cheque, price, path)
        assert isinstance(running, Running), running
        return headers_of(self.paywall.finish(running, 200, [], ANSWER))

    def books_of(self, number: str) -> PaidCall | None:
        with self.store.transaction() as books:
            return books.paid_calls.lock("cheque", number)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    yield shop
    shop.store.close()


def code_of(answer: object) -> tuple[int, str]:
    assert isinstance(answer, Answer), answer
    return answer.status, json.loads(answer.body)["code"]


def body_of(answer: object) -> bytes:
    assert isinstance(answer, Answer), answer
    return answer.body


def die(*_: object) -> None:
    raise Crash


def assert_none(answer: object) -> None:
    assert answer is None


def lose_connection() -> None:
    raise BankUnreachable("the bank did not answer; account 4711")


def test_a_payment_is_collected_once_and_its_answer_given_again(shop: Shop) -> None:
    receipt = wire.decode_receipt(shop.sell("1:100")[wire.RECEIPT])
    assert (receipt["payment_id"], receipt["amount"], receipt["bank"]) == ("cheque-1", 100, "ours")
    assert body_of(shop.ask("1:100")) == ANSWER
    assert (shop.cheques.asked, shop.cheques.paid) == (1, {"1": 100})


@pytest.mark.parametrize(("price", "code"), [(101, "underpaid"), (99, "overpaid")])
def test_what_is_not_the_price_is_refused_before_it_is_collected(shop: Shop, price: int, code: str) -> None:
    assert code_of(shop.ask("1:100", price)) == (402, code)
    assert shop.cheques.asked == 0
    assert shop.books_of("1") is None


def test_what_could_not_be_collected_buys_nothing_and_leaves_nothing(shop: Shop) -> None:
    shop.cheques.uncovered.add("1")
    assert code_of(shop.ask("1:100")) == (402, "uncovered")
    assert shop.books_of("1") is None
    shop.cheques.uncovered.clear()
    shop.sell("1:100", path="/other")


def test_an_unknown_outcome_is_asked_again_with_the_same_payment_whatever_it_costs_by_then(
    shop: Shop,
) -> None:
    shop.cheques.after = lose_connection
    answer = shop.ask("1:100")
    assert code_of(answer) == (503, "bank")
    assert b"4711" not in body_of(answer)
    shop.cheques.after = lambda: None
    shop.sell("1:100", price=900)
    assert shop.cheques.paid == {"1": 100}


def test_what_was_collected_is_taken_as_agreed_though_the_refusal_of_another_attempt_has_dropped_what_was_kept(
    shop: Shop,
) -> None:
    has_come, may_be_refused, is_paid, may_be_taken = Event(), Event(), Event(), Event()

    def be_refused() -> None:
        has_come.set()
        may_be_refused.wait(30)
        shop.cheques.uncovered.add("1")

    def dawdle() -> None:
        is_paid.set()
        may_be_taken.wait(30)

    shop.cheques.before, shop.cheques.after = be_refused, dawdle
    with ThreadPoolExecutor(2) as threads:
        try:
            first = threads.submit(shop.ask, "1:100")
            assert has_come.wait(30)
            shop.cheques.before = lambda: None
            second = threads.submit(shop.ask, "1:100", 900)
            assert is_paid.wait(30)
            may_be_refused.set()
            assert code_of(first.result()) == (402, "uncovered")
            assert shop.books_of("1") is None
        finally:
            may_be_refused.set()
            may_be_taken.set()
        running = second.result()
    assert isinstance(running, Running)
    assert running.price == 100


@pytest.mark.parametrize("place", ["before", "after"])
def test_after_a_crash_on_either_side_of_collecting_the_same_payment_is_answered(
    shop: Shop, place: str
) -> None:
    setattr(shop.cheques, place, die)
    with pytest.raises(Crash):
        shop.ask("1:100")
    shop.restart()
    setattr(shop.cheques, place, lambda: None)
    assert code_of(shop.ask("1:100", path="/other")) == (409, "payment_used")
    shop.sell("1:100", price=900)
    assert shop.cheques.paid == {"1": 100}


def test_after_a_crash_while_the_view_runs_the_retry_is_answered_though_the_price_has_risen(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = shop.ask("1:100")
    assert isinstance(dead, Running)
    shop.paywall._heartbeat.remove(dead.call)
    shop.restart()
    monkeypatch.setattr("paypercall.paywall.gate.time.time", lambda: dead.call.runs_until + 1)
    shop.sell("1:100", price=900)
    assert body_of(shop.ask("1:100", price=5)) == ANSWER


def test_a_payment_whose_view_failed_is_good_for_another_request_after_a_restart(shop: Shop) -> None:
    running = shop.ask("1:100")
    assert isinstance(running, Running)
    ending = headers_of(shop.paywall.finish(running, 500, [], b"failed"))
    assert wire.decode_receipt(ending[wire.RECEIPT])["used"] is False
    shop.restart()
    assert code_of(shop.ask("1:100", price=90, path="/other")) == (402, "overpaid")
    assert "used" not in wire.decode_receipt(shop.sell("1:100", path="/other")[wire.RECEIPT])
    assert body_of(shop.ask("1:100", path="/other")) == ANSWER
    assert code_of(shop.ask("1:100")) == (409, "payment_used")


def test_a_stream_that_breaks_off_frees_the_payment_for_another_request(shop: Shop) -> None:
    running = shop.ask("1:100")
    assert isinstance(running, Running)
    shop.paywall.finish(running, 200, [], None)
    assert code_of(shop.ask("1:100")) == (409, "answer_not_kept")
    shop.paywall.break_off(running)
    shop.sell("1:100", path="/other")
    assert shop.cheques.paid == {"1": 100}


def test_what_cannot_be_given_back_is_not_collected_for_what_is_free_and_buys_what_is_not(shop: Shop) -> None:
    request = Request("GET", "/answer", "", Headers({HEADER: "1:100"}))
    assert shop.paywall.price_of_free(request, PriceTag(None)) is None
    generous = Paywall(shop.calls, [GenerousCheques()])
    assert generous.price_of_free(request, PriceTag(None)) == Price(0)
    shop.sell("1:100", path="/other")


def test_a_payment_that_is_kept_for_a_request_stays_kept_for_it_while_that_is_free(shop: Shop) -> None:
    shop.cheques.after = lose_connection  # the bank has paid, and nobody here knows
    assert code_of(shop.ask("1:100")) == (503, "bank")
    kept = shop.books_of("1")
    request = Request("GET", "/answer", "", Headers({HEADER: "1:100"}))
    assert shop.paywall.price_of_free(request, PriceTag(None)) is None
    assert shop.books_of("1") == kept
    shop.cheques.after = lambda: None
    shop.sell("1:100", price=900)
    assert shop.cheques.paid == {"1": 100}


def test_where_nobody_can_tell_the_price_nothing_is_collected_or_kept_and_what_was_bought_is_answered_again(
    shop: Shop,
) -> None:
    assert shop.ask_without_price("1:100") is None
    assert (shop.cheques.asked, shop.books_of("1")) == (0, None)
    shop.sell("1:100")
    for cheques in (shop.cheques, Cheques()):
        shop.paywall = Paywall(shop.calls, [cheques])
        assert body_of(shop.ask_without_price("1:100")) == ANSWER
        assert cheques.asked == (1 if cheques is shop.cheques else 0)
    assert shop.ask_without_price("1:100", "/other") is None


def test_what_a_dead_worker_has_left_buys_another_request_where_nobody_can_tell_the_price_any_more(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = shop.ask("1:100")
    assert isinstance(dead, Running)
    assert code_of(shop.ask_without_price("1:100")) == (409, "payment_in_progress")
    shop.paywall._heartbeat.remove(dead.call)
    monkeypatch.setattr("paypercall.paywall.gate.time.time", lambda: dead.call.runs_until + 1)
    assert shop.ask_without_price("1:100") is None
    shop.sell("1:100", path="/other")
    assert shop.cheques.paid == {"1": 100}


def test_a_payment_whose_price_is_agreed_is_good_for_its_request_after_nobody_could_tell_the_price(
    shop: Shop,
) -> None:
    shop.cheques.after = lose_connection
    shop.ask("1:100")
    for _ in range(2):
        assert shop.ask_without_price("1:100") is None
    shop.cheques.after = lambda: None
    shop.sell("1:100", price=900)
    assert code_of(shop.ask("1:100", path="/other")) == (409, "payment_used")


def test_a_payment_that_may_have_moved_buys_another_request_where_nobody_can_tell_the_price_any_more(
    shop: Shop,
) -> None:
    shop.cheques.after = lose_connection
    shop.ask("1:100")
    shop.restart()
    assert code_of(shop.ask("1:100", path="/other")) == (409, "payment_used")
    assert shop.ask_without_price("1:100") is None
    assert code_of(shop.ask("1:100", price=900, path="/other")) == (402, "underpaid")
    assert code_of(shop.ask("1:100", path="/other")) == (503, "bank")
    shop.cheques.after = lambda: None
    assert code_of(shop.ask("1:100")) == (409, "payment_used")
    shop.sell("1:100", path="/other")
    assert (shop.cheques.paid, shop.cheques.asked) == ({"1": 100}, 3)


def test_what_could_not_be_collected_after_all_is_forgotten_though_nobody_could_tell_the_price_meanwhile(
    shop: Shop,
) -> None:
    shop.cheques.uncovered.add("1")
    shop.cheques.before = lambda: assert_none(shop.ask_without_price("1:100"))
    assert code_of(shop.ask("1:100")) == (402, "uncovered")
    assert shop.books_of("1") is None


def test_a_method_that_asks_for_the_price_first_goes_on_as_if_there_were_no_payment(shop: Shop) -> None:
    class Careless(Cheques):
        def redeem_payment(self, payment: Mapping[str, str], order: Order) -> PaidCall:
            return order.take(payment[HEADER], order.price)

    shop.paywall = Paywall(shop.calls, [Careless()])
    shop.sell("1:100")
    assert shop.ask_without_price("1:100") is None


def test_a_method_that_cannot_tell_now_what_a_payment_has_bought_is_to_be_asked_again(shop: Shop) -> None:
    class Unreachable(Cheques):
        def redeem_payment(self, payment: Mapping[str, str], order: Order) -> PaidCall:
            raise BankUnreachable("account 4711")

    shop.paywall = Paywall(shop.calls, [Unreachable()])
    assert code_of(shop.ask_without_price("1:100")) == (503, "bank")


def test_a_view_that_takes_nothing_frees_the_payment_and_may_not_take_a_part(shop: Shop) -> None:
    running = shop.ask("1:100")
    assert isinstance(running, Running)
    with pytest.raises(Refusal, match="as a whole"):
        running.refund(30)
    running.refund()
    shop.paywall.finish(running, 200, [], ANSWER)
    shop.sell("1:100", path="/other")


def test_a_refusal_after_the_payment_was_taken_forgets_nothing(shop: Shop) -> None:
    running = shop.ask("1:100")
    assert isinstance(running, Running)
    shop.paywall.finish(running, 500, [], b"failed")
    shop.cheques.uncovered.add("1")
    assert code_of(shop.ask("1:100")) == (402, "uncovered")
    known = shop.books_of("1")
    assert known is not None
    assert (known.state, known.amount) == (PaidCallState.ACCEPTED, 100)


def test_of_two_requests_with_one_payment_at_the_same_time_one_is_answered(shop: Shop) -> None:
    both = Barrier(2)
    shop.cheques.before = both.wait
    outcomes: list[Answer | Running] = []
    threads = [Thread(target=lambda: outcomes.append(shop.ask("1:100"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (running,) = [outcome for outcome in outcomes if isinstance(outcome, Running)]
    (other,) = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    assert code_of(other) == (409, "payment_in_progress")
    shop.paywall.finish(running, 200, [], ANSWER)


def test_a_method_that_can_give_back_collects_too_much_and_too_little(tmp_path: Path) -> None:
    shop = Shop(tmp_path, GenerousCheques())
    order = Order(Attempt("a", "first", 100, "base", 0), shop.calls, "cheque", can_refund=True)
    much, little = (shop.cheques.redeem_payment({HEADER: cheque}, order) for cheque in ("1:150", "2:50"))
    assert (much.state, little.state, little.refund) == (PaidCallState.RUNNING, PaidCallState.REFUNDED, 50)
    shop.store.close()


@pytest.mark.parametrize("payment", ["", "x" * 65])
def test_what_identifies_a_payment_fits_into_the_books_before_any_money_moves(
    shop: Shop, payment: str
) -> None:
    order = Order(Attempt("a", "first", 100, "base", 0), shop.calls, "cheque", can_refund=False)
    with pytest.raises(ValueError, match="1 to 64"):
        order.collect(payment, 100, die)


def test_a_run_is_left_alone_for_its_whole_time_however_long_its_money_took_to_move(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_waiting = int(time.time()) + 14
    monkeypatch.setattr(call_book, "wall_clock", lambda: after_waiting)
    running = shop.ask("1:100")
    assert isinstance(running, Running)
    assert running.call.runs_until == after_waiting + RUN_SECONDS


@pytest.mark.parametrize(
    "names", [{}, {"name": "x" * 21}, {"name": ""}, {"name": "cash", "payment_headers": ()}, {"name": "cash"}]
)
def test_a_method_without_a_name_that_fits_or_without_headers_is_none(names: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"Cash\."):
        type("Cash", (PaymentMethod,), names)
