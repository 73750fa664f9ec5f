"""A payment is used for one request, whoever comes second; the answers that are kept are bounded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from paypercall.call_book import AnswerLimits, CallBook
from paypercall.paid_call import Attempt, CallConflict, PaidCall, PaidCallState, answer, claim, give_back
from paypercall.settlement.node import wall_clock
from paypercall.store import Store, StoredAnswer

CALL = PaidCall("channel", "7", 100, "base", "A" * 32, receipt='{"amount":100}')
ANSWER = StoredAnswer(200, (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")), b"\x00body")


def attempt(run: str = "first", request: str = "a", now: int = 0) -> Attempt:
    return Attempt(request, run, 100, "base", now)


def test_a_call_is_found_again_as_it_was_saved(store: Store) -> None:
    with store.transaction() as books:
        call = replace(CALL, token_hash="a" * 64)
        assert books.paid_calls.add(call, 5)
        running = claim(call, attempt())
        books.paid_calls.save(running)
    with store.transaction() as books:
        assert books.paid_calls.lock("channel", "7") == running
        assert books.paid_calls.lock_token("a" * 64) == running
        assert books.paid_calls.lock("channel", "8") is None
        assert books.paid_calls.lock("onchain", "7") is None
        assert books.paid_calls.lock_token("b" * 64) is None


def test_a_payment_is_added_once(store: Store) -> None:
    with store.transaction() as books:
        assert books.paid_calls.add(CALL, 5)
        assert not books.paid_calls.add(CALL, 6)
        assert books.paid_calls.add(replace(CALL, method="other"), 6)


def test_only_the_run_that_holds_a_call_saves_its_end(store: Store) -> None:
    with store.transaction() as books:
        assert books.paid_calls.add(CALL, 5)
        running = claim(CALL, attempt())
        books.paid_calls.save(running)
    ended = answer(running, "first", 30)
    with store.transaction() as books:
        assert not books.paid_calls.save_run(replace(ended, run="second"))
        assert books.paid_calls.save_run(ended)
        assert not books.paid_calls.save_run(replace(ended, refund=99))
        found = books.paid_calls.lock("channel", "7")
    assert found is not None
    assert (found.state, found.refund) == (PaidCallState.ANSWERED, 30)


def test_of_many_who_take_the_same_payment_at_once_one_gets_it(store: Store) -> None:
    book = CallBook(store)

    def take(number: int) -> bool:
        try:
            book.take(attempt(f"run {number}"), method="voucher", payment="one", amount=100)
        except CallConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(8))) == 1


def test_an_answer_is_kept_once_and_for_its_time(store: Store) -> None:
    with store.transaction() as books:
        assert books.paid_calls.add(CALL, 5)
        books.paid_calls.keep_answer(CALL, ANSWER, 10)
        books.paid_calls.keep_answer(CALL, replace(ANSWER, status=500), 11)
    with store.reading() as books:
        assert books.paid_calls.answer(CALL, 10) == ANSWER
        assert books.paid_calls.answer(CALL, 11) is None


def test_an_end_waits_only_where_nothing_goes_back_and_nobody_else_may_run_it(store: Store) -> None:
    book = CallBook(store)
    running = book.take(attempt(now=wall_clock()), method="voucher", payment="one", amount=100)
    assert not book.finish_soon(answer(running, "first", 1), ANSWER)
    assert not book.finish_soon(give_back(running, "first"), ANSWER)
    for seconds in (1, 3600):  # nearly over, and of a clock that was put back
        doubtful = replace(running, runs_until=wall_clock() + seconds)
        assert not book.finish_soon(answer(doubtful, "first", 0), ANSWER)
    store.flush()
    assert book.answer(running) is None
    assert book.finish_soon(answer(running, "first", 0), ANSWER)
    store.flush()
    assert book.answer(running) == ANSWER


def test_an_end_that_waited_until_another_worker_took_over_changes_nothing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    book = CallBook(store)
    frozen = book.take(attempt(now=wall_clock()), method="voucher", payment="one", amount=100)
    second = book.take(attempt("second", now=10**10), method="voucher", payment="one", amount=100)
    assert book.finish_soon(answer(frozen, "first", 0), ANSWER)
    store.flush()
    assert "another worker has taken over" in caplog.text
    assert book.answer(second) is None
    assert book.finish(give_back(second, "second"), ANSWER)


def test_old_answers_are_dropped_and_the_oldest_of_too_many(store: Store) -> None:
    with store.transaction() as books:
        calls = [replace(CALL, payment=str(number)) for number in range(600)]
        for number, call in enumerate(calls):
            assert books.paid_calls.add(call, 5)
            books.paid_calls.keep_answer(call, StoredAnswer(200, (), b"x" * 8), number)
        books.paid_calls.drop_answers(kept_before=1, most_bytes=25)  # 8, and 2 for no headers
        kept = [books.paid_calls.answer(call, 0) is not None for call in calls]
    assert kept == [False] * 598 + [True, True]


@pytest.mark.parametrize("size, is_kept", [(10, True), (11, False)])
def test_a_body_above_the_limit_is_not_kept(store: Store, size: int, is_kept: bool) -> None:
    book = CallBook(store, AnswerLimits(max_bytes=10))
    running = book.take(attempt(), method="voucher", payment="one", amount=100)
    assert book.finish(answer(running, "first", 0), replace(ANSWER, body=b"x" * size))
    assert (book.answer(running) is not None) is is_kept


def test_answers_are_dropped_while_calls_go_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paypercall.call_book._CALLS_BETWEEN_DROPS", 0)
    book = CallBook(store, AnswerLimits(max_total_bytes=15))
    calls = []
    for number in range(3):
        running = book.take(attempt(), method="voucher", payment=str(number), amount=100)
        book.finish(answer(running, "first", 0), StoredAnswer(200, (), b"x" * 10))
        calls.append(running)
    assert [book.answer(call) is not None for call in calls] == [False, False, True]


def test_a_sign_of_life_of_a_run_that_was_lost_changes_nothing(store: Store) -> None:
    book = CallBook(store)
    lost = book.take(attempt(), method="voucher", payment="one", amount=100)
    second = book.take(attempt("second", now=10**10), method="voucher", payment="one", amount=100)
    book.keep_running([lost])
    with store.transaction() as books:
        found = books.paid_calls.lock("voucher", "one")
    assert found == second


def test_a_brief_transaction_is_kept_and_the_next_one_is_durable_again(store: Store) -> None:
    with store.brief_transaction() as books:
        assert books.paid_calls.add(CALL, 5)

    def fail() -> None:
        with store.brief_transaction() as books:
            books.paid_calls.add(replace(CALL, payment="8"), 5)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.transaction() as books:
        assert books.paid_calls.lock("channel", "7") is not None
        assert books.paid_calls.lock("channel", "8") is None
        if store.url.startswith("sqlite"):
            cursor = books.paid_calls._connection._cursor
            cursor.execute("PRAGMA synchronous")
            [level] = cursor.fetchone()  # type: ignore[misc]
            assert level == 2
