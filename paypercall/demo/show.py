"""Puts on the whole show: sets the stage, plays the story, takes the account, and tidies up however it ends."""

from __future__ import annotations

import logging
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paypercall.demo.accounts import Account
from paypercall.demo.audit import audit
from paypercall.demo.expectations import DemoFailed
from paypercall.demo.screen import Screen, Seen
from paypercall.demo.stage import Stage
from paypercall.demo.story import Step, steps_of
from paypercall.errors import PaypercallError

AUDIT = "every byte counted"


def show(calls: int) -> None:
    """Plays the demonstration on standard output.

    Args:
        calls: How many paid calls to make.

    Raises:
        DemoFailed: Naming the step that failed and why, with the end of the merchant's log.
    """
    started = time.monotonic()
    screen = Screen()
    with (
        _ended_in_order_by_sigterm(),
        tempfile.TemporaryDirectory(prefix="paypercall-demo-") as folder,
        _log_kept_in(Path(folder) / "log.txt"),
        Stage(Path(folder)) as stage,
    ):
        screen.introduce(stage.net.url, stage.merchant.url)
        seen, account = _play(stage, screen, calls)
        names = {stage.merchant.address: "merchant"}
        names |= {customer.address: name for name, customer in stage.customers.items()}
        names |= {aa_address: name for name, aa_address in stage.channels().items()}
        served = stage.merchant.served
    screen.report(seen, account, names)
    screen.conclude(served, time.monotonic() - started)


def _play(stage: Stage, screen: Screen, calls: int) -> tuple[list[Seen], Account]:
    seen = []
    with screen.progress(calls) as progress:
        steps = steps_of(stage, calls, progress.count_call)
        progress.expect(len(steps) + 1)
        for step in steps:
            progress.begin(step.name)
            seen.append(Seen(step.name, _run(stage, step)))
        progress.begin(AUDIT)
        with _explained(stage, AUDIT):
            account = audit(stage)
    return seen, account


def _run(stage: Stage, step: Step) -> str:
    with _explained(stage, step.name):
        return step.play()


@contextmanager
def _explained(stage: Stage, step: str) -> Iterator[None]:
    """Turns the failure of a step into one that a person can do something with."""
    try:
        yield
    except PaypercallError as error:
        message = f"the step {step!r} failed: {error}\n\nThe merchant's log ends with:\n"
        raise DemoFailed(message + stage.merchant.log_tail()) from error


@contextmanager
def _log_kept_in(path: Path) -> Iterator[None]:
    """Keeps the log of this process's own parties off the screen: what a liar's node reports is no fault."""
    logger = logging.getLogger("paypercall")
    before = logger.propagate
    handler = logging.FileHandler(path)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(handler)
        handler.close()


@contextmanager
def _ended_in_order_by_sigterm() -> Iterator[None]:
    """Lets SIGTERM end the show as Ctrl-C does: by way of everything that tidies up."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
