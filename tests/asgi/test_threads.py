"""Calls outside of a loop: their results, failures, and who does not wait for them."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import pytest

from paypercall.asgi.threads import MAX_THREADS, Threads
from tests.parties import wait_until


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
        threads.wait()
        wait_until(lambda: "as asked" in caplog.text, "the failure is told")


def test_so_many_calls_run_at_once_and_the_others_after_them() -> None:
    threads, may_end = Threads(), threading.Event()
    inside: list[str] = []

    def slow() -> None:
        inside.append(threading.current_thread().name)
        may_end.wait(20)

    async def main() -> None:
        calls = [threads.run(slow) for _ in range(MAX_THREADS + 3)]
        while len(inside) < MAX_THREADS:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(inside) == len(set(inside)) == MAX_THREADS
        may_end.set()
        await asyncio.wait_for(asyncio.gather(*calls), 20)

    asyncio.run(main())
    assert len(inside) == MAX_THREADS + 3


def test_one_call_after_the_other_needs_one_thread() -> None:
    async def main() -> set[int]:
        threads = Threads()
        return {await threads.run(threading.get_ident) for _ in range(50)}

    assert len(asyncio.run(main())) == 1


def test_threads_that_are_idle_end_and_others_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paypercall.asgi.threads.IDLE_SECONDS", 0.02)
    threads = Threads()

    async def main() -> None:
        for _ in range(3):
            worker = await threads.run(threading.current_thread)
            worker.join(20)
            assert not worker.is_alive()
        await asyncio.wait_for(asyncio.gather(*(threads.run(time.sleep, 0.02) for _ in range(200))), 20)

    asyncio.run(main())


class LateQueue:
    """One that a call comes to just when a thread has given up waiting."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[object] = SimpleQueue()
        self.has_one = threading.Event()
        self.is_late = True

    def put(self, call: object) -> None:
        self.calls.put(call)
        self.has_one.set()

    def get(self, timeout: float) -> object:
        if self.is_late:
            self.is_late = False
            self.has_one.wait(20)
            raise Empty
        return self.calls.get(timeout=timeout)


def test_a_thread_does_not_end_while_a_call_is_on_its_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads()
    monkeypatch.setattr(threads, "_calls", LateQueue())
    run_one(threads)


def test_what_was_begun_ends_before_the_interpreter_does() -> None:
    program = """if True:
        import asyncio, time
        from paypercall.asgi.threads import Threads

        def slow():
            time.sleep(0.3)
            print("ended", flush=True)

        async def main():
            threads.run(slow)

        threads = Threads()
        asyncio.run(main())
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("ended\n", "", 0)


def test_what_a_call_was_given_does_not_outlive_it() -> None:
    class Given:
        def work(self) -> None:
            pass

    async def main() -> None:
        given = Given()
        gone = weakref.ref(given)
        await threads.run(given.work)
        del given
        while gone() is not None:
            await asyncio.sleep(0.01)

    threads = Threads()
    gc.disable()
    try:
        asyncio.run(asyncio.wait_for(main(), 5))
    finally:
        gc.enable()


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


def test_a_process_that_is_forked_while_a_call_is_under_way_ends_without_waiting_for_it() -> None:
    program = """if True:
        import asyncio, os, threading
        from paypercall.asgi.threads import Threads

        threads, may_end = Threads(), threading.Event()

        async def main():
            threads.run(may_end.wait, 20)

        asyncio.run(main())
        child = os.fork()
        if child:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            may_end.set()
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=15)
    assert (ended.stdout, ended.returncode) == ("0\n", 0), ended.stderr


def test_the_loops_of_a_forked_process_may_all_begin_at_once() -> None:
    threads = Threads()
    run_one(threads)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=run_many, args=(threads,)) for _ in range(5)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    assert [child.exitcode for child in children] == [0] * 5


def run_many(threads: Threads) -> None:
    at_once = threading.Barrier(6)

    def begin() -> None:
        at_once.wait(20)
        run_one(threads)

    sys.setswitchinterval(1e-6)
    with ThreadPoolExecutor(6) as loops:
        for loop in [loops.submit(begin) for _ in range(6)]:
            loop.result()


def test_a_call_waits_for_another_thread_where_no_more_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, may_end = Threads(), threading.Event()

    def fail_to_start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        first = threads.run(may_end.wait, 20)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", fail_to_start)
            second = threads.run(int, "7")
            with pytest.raises(RuntimeError, match="new thread"):
                Threads().run(int, "7")
        may_end.set()
        assert await asyncio.wait_for(asyncio.gather(first, second), 20) == [True, 7]
        both = threading.Barrier(2)
        await asyncio.wait_for(asyncio.gather(*(threads.run(both.wait, 10) for _ in range(2))), 20)

    asyncio.run(main())


def test_what_ends_a_thread_is_told_where_it_is_waited_for() -> None:
    async def main() -> None:
        threads = Threads()
        with pytest.raises(GeneratorExit):
            await asyncio.wait_for(threads.run(end_thread), 20)
        assert await asyncio.wait_for(threads.run(int, "7"), 20) == 7

    asyncio.run(main())


def end_thread() -> None:
    raise GeneratorExit
