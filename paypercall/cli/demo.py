"""`paypercall demo`: tells the story of `paypercall.demo` with a progress bar, and shows a table at the end."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEFAULT_CALLS = 1_000
DEPOSIT = 300_000


def register(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command."""
    parser = commands.add_parser("demo", help="show a merchant, a customer and a liar on a local network")
    parser.add_argument(
        "--calls", type=int, default=DEFAULT_CALLS, help=f"paid calls to make ({DEFAULT_CALLS})"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Runs the demonstration and prints what was seen.

    Returns:
        0; a step that fails raises.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from paypercall.demo import story
    from paypercall.demo.stage import Stage

    # What the liar's node reports of its own lie belongs to the story, not on the screen.
    logging.getLogger("paypercall").setLevel(logging.ERROR)
    started = time.monotonic()
    console = Console(width=110)
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn())
    with (
        tempfile.TemporaryDirectory(prefix="paypercall-demo-") as folder,
        Progress(*columns, console=console, transient=True) as progress,
        Stage(Path(folder)) as stage,
    ):
        calls = progress.add_task("paid calls", total=options.calls)
        customer = stage.open_customer("customer", DEPOSIT)
        steps: list[Callable[[], story.Shown]] = [
            lambda: story.open_channel(stage, customer),
            lambda: story.make_calls(stage, customer, options.calls, lambda: progress.advance(calls)),
            lambda: story.underpay(stage, customer),
            lambda: story.repeat(stage, customer),
            lambda: story.reorder(stage, customer),
            lambda: story.sweep(stage, customer),
            lambda: story.lie(stage, stage.open_customer("liar", DEPOSIT // 3, refill_threshold=0)),
            lambda: story.close(stage, customer),
        ]
        whole = progress.add_task("the story", total=len(steps) + 1)
        shown = []
        for step in steps:
            shown.append(step())
            progress.advance(whole)
        account = story.account(stage)
        progress.advance(whole)
    _print(console, shown, account)
    console.print(
        f"Every byte is accounted for, on the ledger and in both books. {time.monotonic() - started:.0f} s."
    )
    return 0


def _print(console: Any, shown: Any, account: Any) -> None:
    from rich.table import Table

    table = Table("step", "what was seen", title="pay per call")
    for line in shown:
        table.add_row(line.step, line.seen)
    console.print(table)
    names = account.names
    table = Table(title="bytes by channel, from the ledger: deposits = payouts + fees + left in the agent")
    table.add_column("channel")
    for column in ("deposits", *(f"to {name}" for name in names.values()), "fees", "left"):
        table.add_column(column, justify="right")
    for agent in account.agents:
        payouts = (f"{agent.payouts.get(address, 0):,}" for address in names)
        table.add_row(
            agent.aa_address[:8] + "…", f"{agent.deposits:,}", *payouts, f"{agent.fees:,}", f"{agent.left:,}"
        )
    console.print(table)
    table = Table(title="periods that have ended: the merchant's books, equal to the customers'")
    for column in ("channel", "period", "deposited", "paid", "refunded", "ended by"):
        table.add_column(column, justify="left" if column in ("channel", "ended by") else "right")
    for record in account.periods:
        table.add_row(
            record.aa_address[:8] + "…",
            str(record.period),
            f"{record.deposited_by_peer:,}",
            f"{record.signed_by_peer:,}",
            f"{record.signed_by_me:,}",
            "fraud proof" if record.is_fraud_proven else "agreement",
        )
    console.print(table)
