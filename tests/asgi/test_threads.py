"""Calls outside of a loop: their results, failures, and who does not wait for them."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
import time

import pytest

from paypercall.asgi.threads import Threads


def fail() -> None:
    raise ZeroDivisionError("as asked")


def test_a_call_runs_in_another_thread_and_its_result_comes_back() -> None:
    async def main() -> tuple[str, int]:
        threads = Threads()
        return await threads.run(lambda: threading.current_thread().name), await threads.run(int, "7")

    name, number = asyncio.run(main())
    assert name.startswith("paypercall-asgi")
    assert number == 7


def test_what_a_call_raises_is_raised_where_it_is_waited_for() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError, match="as asked"):
            await asyncio.wait_for(Threads().run(fail), 20)

    asyncio.run(main())


def test_one_object_serves_one_loop_after_the_other() -> None:
    threads = Threads()

    async def main() -> int:
        return await threads.run(int, "7")

    assert [asyncio.run(main()) for _ in range(2)] == [7, 7]


def test_a_call_that_is_not_waited_for_any_more_runs_to_its_end_and_tells_its_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    may_end, ended = threading.Event(), threading.Event()

    def slow() -> None:
        may_end.wait(20)
        ended.set()
        fail()

    async def main() -> None:
        future = Threads().run(slow)
        future.cancel()
        may_end.set()
        while "nobody waits for" not in caplog.text:
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.ERROR):
        asyncio.run(asyncio.wait_for(main(), 20))
    assert ended.is_set()


def test_a_call_ends_though_its_loop_is_closed_before(caplog: pytest.LogCaptureFixture) -> None:
    may_end = threading.Event()

    def slow() -> None:
        may_end.wait(20)
        fail()

    threads = Threads()

    async def main() -> None:
        threads.run(slow)

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
        may_end.set()
        threads._executor.shutdown()
    assert "as asked" in caplog.text


def run_one(threads: Threads) -> None:
    async def main() -> int:
        return await asyncio.wait_for(threads.run(int, "7"), 20)

    assert asyncio.run(main()) == 7


def test_a_forked_process_has_threads_of_its_own() -> None:
    threads = Threads()
    run_one(threads)
    time.sleep(0.2)  # its thread is idle by now, and a child that counted on it would wait for ever
    child = multiprocessing.get_context("fork").Process(target=run_one, args=(threads,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
