"""`paypercall demo` as a person runs it: a process with children, which leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 150
STEPS = (
    r"channel opened +first call served, 300,000 bytes still unconfirmed",
    r"paid calls +20 calls of 100 bytes each, [\d,]+ a second",
    r"underpaid call +refused with 402, 50 bytes refunded in the answer",
    r"repeated package +refused as duplicate, answered, not charged again",
    r"packages out of order +the third, the first, the second: all served",
    r"swept and reopened +period 1 settled, a call served in period 2",
    r"lie punished +claimed to owe 0 of 2,000, lost 100,000 bytes",
    r"closed +period 2: 100 bytes to the merchant, the rest returned",
)
SERVED = 1 + 20 + 1 + 3 + 1 + 20
"""Calls at the price of 100 bytes: the first, the twenty, the repeated, the reordered, the reopening, the liar's."""

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """Has what is started here heed SIGINT, which a shell lets a command in the background ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def running_demo(folder: Path, *command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Yields the process of a demonstration that keeps its files in a folder."""
    clean = {
        name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "TTY_COMPATIBLE")
    }
    with subprocess.Popen(
        [sys.executable, *command],
        env={**clean, "TMPDIR": str(folder), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def introduction_of(process: subprocess.Popen[str]) -> str:
    """What a demonstration says as soon as everything runs."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if "merchant's API" in line:
            break
    return text


def wait_until_nobody_listens(introduction: str) -> None:
    """Waits until neither the network nor the merchant answers any more."""
    ports = [int(port) for port in re.findall(r"://127\.0\.0\.1:(\d+)", introduction)]
    assert len(ports) == 2
    deadline = time.monotonic() + SECONDS
    for port in ports:
        while is_listening(port):
            assert time.monotonic() < deadline, f"port {port} still answers"
            time.sleep(0.05)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def amounts_after(name: str, text: str) -> list[int]:
    """The numbers of the last line that begins with a name."""
    line = [line for line in text.splitlines() if line.startswith(name)][-1]
    return [int(word.replace(",", "")) for word in line.split()[1:]]


def test_the_demonstration_shows_every_step_and_accounts_for_every_byte(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    host = tmp_path_factory.mktemp("host")
    (host / "conf.py").write_text("accepted_assets = []\n")
    not_for_the_demonstration = {
        "PYTHONPATH": str(host),
        "PAYPERCALL_NETWORK": "moon",
        "http_proxy": "http://127.0.0.1:9",
        "no_proxy": "",
    }
    command = ("-m", "paypercall", "demo", "--calls", "20")
    with running_demo(tmp_path, *command, **not_for_the_demonstration) as process:
        text, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (0, "")
    for step in STEPS:
        assert re.search(f"^{step}$", text, re.MULTILINE), step
    assert "\x1b" not in text
    assert f"{SERVED} calls served" in text
    _, periods, agents, wallets = re.split(r"\n\n(?=Settled|Channels|Wallets)", text)
    deposited, paid, refunded, merchants, customers = amounts_after("total", periods)
    assert deposited == merchants + customers == 700_000
    assert paid - refunded == SERVED * 100
    deposits, commands, to_merchant, to_customer, fees, left = amounts_after("total", agents)
    assert deposits == deposited
    assert deposits + commands == to_merchant + to_customer + fees + left
    funded, from_agents, to_agents, own_fees, kept = amounts_after("total", wallets)
    assert (from_agents, to_agents) == (to_merchant + to_customer, deposits + commands)
    assert funded == own_fees + kept + fees + left
    wait_until_nobody_listens(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_demonstration_that_is_interrupted_leaves_nothing_behind(
    ending: signal.Signals, tmp_path: Path
) -> None:
    with running_demo(tmp_path, "-m", "paypercall", "demo", "--calls", "10000") as process:
        introduction = introduction_of(process)
        process.send_signal(ending)
        _, errors = process.communicate(timeout=SECONDS)
    told = "paypercall: interrupted\n" if ending is signal.SIGINT else ""
    assert (process.returncode, errors) == (128 + ending, told)
    wait_until_nobody_listens(introduction)
    assert list(tmp_path.iterdir()) == []


def test_a_demonstration_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    with running_demo(tmp_path, "-m", "paypercall", "demo", "--calls", "10000") as process:
        introduction = introduction_of(process)
        process.kill()
        process.wait(SECONDS)
        wait_until_nobody_listens(introduction)


def test_a_step_that_fails_ends_the_demonstration_with_its_name_and_the_merchants_log(tmp_path: Path) -> None:
    with_a_price_that_is_too_high = """
import sys
from paypercall.cli import main
from paypercall.demo import story
story.PRICE = 99
sys.exit(main(["demo", "--calls", "20"]))
"""
    with running_demo(tmp_path, "-c", with_a_price_that_is_too_high) as process:
        text, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    first, *others = errors.splitlines()
    assert first == (
        "paypercall: the step 'channel opened' failed: expected: the first call is served, not answered 402"
    )
    assert others[:2] == ["", "The merchant's log ends with:"]
    assert any("my single address" in line for line in others[2:])
    assert "accounted for" not in text
    wait_until_nobody_listens(text)
    assert list(tmp_path.iterdir()) == []
