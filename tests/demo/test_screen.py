"""What the demonstration prints can be read on an ordinary terminal, and in a file."""

from __future__ import annotations

import pytest

from paypercall.demo.accounts import Account, AgentAccount, PeriodAccount, WalletAccount
from paypercall.demo.screen import Screen, Seen

NAMES = {"A1": "customer", "A2": "liar", "M": "merchant", "C": "customer", "L": "liar"}
ACCOUNT = Account(
    periods=[
        PeriodAccount("A1", 1, 300_000, 102_550, 50, 102_500, 197_500, False),
        PeriodAccount("A2", 1, 100_000, 2_000, 0, 100_000, 0, True),
    ],
    agents=[
        AgentAccount("A1", 600_000, 40_000, 122_600, 511_910, 5_397, 93),
        AgentAccount("A2", 100_000, 20_000, 117_289, 0, 2_620, 91),
    ],
    wallets=[
        WalletAccount("M", 2_000_000, 239_889, 30_000, 3_176, 2_206_713),
        WalletAccount("C", 2_000_000, 511_910, 620_000, 4_039, 1_887_871),
        WalletAccount("L", 2_000_000, 0, 110_000, 2_034, 1_887_966),
    ],
)


@pytest.fixture(autouse=True)
def no_wish_for_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    screen = Screen()
    screen.introduce("ws://127.0.0.1:65535", "http://127.0.0.1:65535")
    with screen.progress(1_000) as progress:
        progress.expect(2)
        progress.begin("paid calls")
        progress.count_call()
        progress.begin("closed")
    screen.report([Seen("closed", "period 2: 100 bytes to the merchant, the rest returned")], ACCOUNT, NAMES)
    screen.conclude(1_046, 17)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 110, 250])
def test_a_table_needs_no_more_than_80_columns(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys).splitlines()
    assert max(map(len, lines)) <= 80
    liars = "liar 1 100,000 2,000 0 100,000 0 fraud proof"  # whole: nothing is cut off or on a second line
    assert liars.split() in [line.split() for line in lines]


def test_into_a_pipe_goes_plain_text_without_progress(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys)
    assert "\x1b" not in text and "\r" not in text
    assert "paid calls" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_terminal_gets_a_progress_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes that for a terminal
    bars = printed(capsys).partition("What happened")[0]
    assert "\x1b[2K" in bars
    assert "closed" in bars and "1/1000" in bars


def test_the_totals_stand_under_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    totals = [line.split()[1:] for line in printed(capsys).splitlines() if line.startswith("total")]
    assert totals == [
        ["400,000", "104,550", "50", "202,500", "197,500"],
        ["700,000", "60,000", "239,889", "511,910", "8,017", "184"],
        ["6,000,000", "751,799", "760,000", "9,249", "5,982,550"],
    ]
