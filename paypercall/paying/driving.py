"""Does what an exchange wants done, where calls block."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from paypercall.paying.call import Head, Lost
from paypercall.paying.exchange import Look, Pause, Send, Steps

SendRequest = Callable[[str | None], Head | Lost]
"""Sends the request with the value of the payment's header, or without one."""


LookAt = Callable[[str], bytes | None]
"""Gets what is at an address."""


def drive(steps: Steps, send: SendRequest, look: LookAt) -> Any:
    """Leads an exchange to its end, and gives the HTTP library's answer.

    Raises:
        Exception: What the exchange raises.
    """
    with closing(steps):
        try:
            step = next(steps)
            while True:
                if isinstance(step, Send):
                    step = steps.send(send(step.package))
                elif isinstance(step, Look):
                    step = steps.send(look(step.url))
                elif isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = next(steps)
                else:
                    try:
                        outcome = step.function()
                    except Exception as error:  # noqa: BLE001  it is the exchange's
                        step = steps.throw(error)
                    else:
                        step = steps.send(outcome)
        except StopIteration as end:
            return end.value
