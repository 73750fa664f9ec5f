"""Does what an exchange wants done, where nothing may block; the twin of `paying.driving`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

from paypercall.paying.exchange import Do, Look, Pause, Send, Steps


async def drive_async(steps: Steps, send: Any, look: Any) -> Any:
    """Leads an exchange to its end without blocking; the twin of `paying.driving.drive`."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Send):
                step = steps.send(await send(step.package))
            elif isinstance(step, Look):
                step = steps.send(await look(step.url))
            elif isinstance(step, Pause):
                await anyio.sleep(step.seconds)
                step = next(steps)
            else:
                try:
                    outcome = await _do(step)
                except Exception as error:  # noqa: BLE001  it is the exchange's
                    step = steps.throw(error)
                else:
                    step = steps.send(outcome)
    except StopIteration as end:
        return end.value
    except BaseException:
        # One that was cut short lets go of its purchase, in the books.
        await do_anyway(steps.close)
        raise


async def do_anyway(function: Callable[..., object], *arguments: object) -> None:
    """Calls a function that blocks, in a thread, also for a call that is cancelled."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(function, *arguments)


class _Errand:
    """A function that runs in a thread, and may be left alone there: asyncio's own cancellation waits for none."""

    def __init__(self, step: Do) -> None:
        self._step = step
        self._lock = threading.Lock()
        self._is_left = False
        self._outcomes: list[Any] = []

    def run(self) -> Any:
        """Runs it; what nobody waits for any more is undone."""
        outcome = self._step.function()
        with self._lock:
            self._outcomes.append(outcome)
            is_left = self._is_left
        if is_left:
            self._step.undo(outcome)
        return outcome

    def leave(self) -> None:
        """Waits for it no more."""
        with self._lock:
            self._is_left = True
            done = list(self._outcomes)
        for outcome in done:
            self._step.undo(outcome)


async def _do(step: Do) -> Any:
    errand = _Errand(step)
    try:
        return await anyio.to_thread.run_sync(errand.run)
    except anyio.get_cancelled_exc_class():
        await do_anyway(errand.leave)
        raise
