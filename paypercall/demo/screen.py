"""What the demonstration shows: a progress bar while it runs, and tables at the end.

On a terminal it uses colours and moves the cursor; into a file or a pipe it writes plain lines only. It counts nothing
but the totals under the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.box import Box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from paypercall.demo.accounts import Account

WIDEST = 110
"""Columns: a line of text that is longer is hard to read, however wide the terminal is."""

# Top, head, under the head, above, in and under a section, foot, bottom: a line under the head and above the totals.
LINES = Box("    \n    \n ── \n    \n ── \n ── \n    \n    \n")


@dataclass(frozen=True, slots=True)
class Seen:
    """One line of the first table: the step, and what was seen."""

    step: str
    seen: str


class ShownProgress:
    """The progress bars: the steps of the story, and the calls in the longest of them."""

    def __init__(self, bars: Progress, calls: int) -> None:
        self._bars = bars
        self._story = bars.add_task("the story", total=None)
        self._calls = bars.add_task("calls", total=calls)
        self._begun = 0

    def expect(self, steps: int) -> None:
        """Says how many steps there are."""
        self._bars.update(self._story, total=steps)

    def begin(self, step: str) -> None:
        """Ends the step before and begins the next."""
        self._bars.update(self._story, description=step, completed=self._begun)
        self._begun += 1

    def count_call(self) -> None:
        """Counts one paid call."""
        self._bars.advance(self._calls)


class Screen:
    """Standard output, as a person sees it."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if self._console.width > WIDEST:
            self._console.width = WIDEST

    def introduce(self, network: str, merchant: str) -> None:
        """Says what was started."""
        self._print("")
        self._print(f"[bold]A local Obyte network[/] at {network}")
        self._print(f"[bold]A merchant's API[/] at {merchant}, a process of its own")

    @contextmanager
    def progress(self, calls: int) -> Iterator[ShownProgress]:
        """Shows progress bars for as long as the block runs; nothing where there is no terminal."""
        columns = (
            SpinnerColumn("line"),
            TextColumn("{task.description:<21}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
        )
        is_terminal = self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=not is_terminal) as bars:
            yield ShownProgress(bars, calls)

    def report(self, seen: Sequence[Seen], account: Account, names: Mapping[str, str]) -> None:
        """Prints what was seen, and the account.

        Args:
            seen: One line a step.
            account: To the byte.
            names: Of the addresses in it.
        """
        for table in (
            _story_table(seen),
            _period_table(account, names),
            _agent_table(account, names),
            _wallet_table(account, names),
        ):
            self._print("")
            self._print(table)

    def conclude(self, served: int, seconds: float) -> None:
        """Prints the last lines."""
        self._print("")
        self._print(
            "[bold green]Every byte is accounted for[/], on the ledger and in the databases of both sides."
        )
        self._print(f"{served:,} calls served, {seconds:.0f} seconds.")

    def _print(self, content: RenderableType) -> None:
        """Prints without the spaces that fill lines up: they only trouble whoever copies or compares the text."""
        with self._console.capture() as captured:
            self._console.print(content)
        lines = captured.get().splitlines()
        self._console.file.write("".join(f"{line.rstrip()}\n" for line in lines))
        self._console.file.flush()


def _story_table(seen: Sequence[Seen]) -> Table:
    table = _table("What happened")
    table.add_column("step", style="bold")
    table.add_column("what was seen")
    for line in seen:
        table.add_row(line.step, line.seen)
    return table


def _period_table(account: Account, names: Mapping[str, str]) -> Table:
    table = _table(
        "Settled periods, the same in both databases (bytes)",
        "deposited = merchant + customer; merchant = paid - refunded, all after a fraud",
    )
    _add_columns(table, "channel", "period", "deposited", "paid", "refunded", "merchant", "customer")
    table.add_column("ended by")
    rows = [
        (period.deposited, period.paid, period.refunded, period.for_merchant, period.for_customer)
        for period in account.periods
    ]
    for period, row in zip(account.periods, rows, strict=True):
        ending = "[yellow]fraud proof[/]" if period.is_fraud_proven else "agreement"
        table.add_row(names[period.aa_address], str(period.period), *_amounts(row), ending)
    _add_totals(table, "total", "", rows=rows)
    return table


def _agent_table(account: Account, names: Mapping[str, str]) -> Table:
    table = _table(
        "Channels on the ledger (bytes)",
        "deposits + commands = to merchant + to customer + fees + left in the agent",
    )
    _add_columns(table, "channel", "deposits", "commands", "to merchant", "to customer", "fees", "left")
    rows = [
        (agent.deposits, agent.commands, agent.to_merchant, agent.to_customer, agent.fees, agent.left)
        for agent in account.agents
    ]
    _add_rows(table, [names[agent.aa_address] for agent in account.agents], rows)
    return table


def _wallet_table(account: Account, names: Mapping[str, str]) -> Table:
    table = _table(
        "Wallets on the ledger (bytes)", "funded + from channels = to channels + fees + left in the wallet"
    )
    _add_columns(table, "wallet", "funded", "from channels", "to channels", "fees", "left")
    rows = [
        (wallet.funded, wallet.from_agents, wallet.to_agents, wallet.fees, wallet.left)
        for wallet in account.wallets
    ]
    _add_rows(table, [names[wallet.address] for wallet in account.wallets], rows)
    return table


def _table(title: str, caption: str | None = None) -> Table:
    return Table(
        title=title,
        caption=caption,
        box=LINES,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title_style="bold cyan",
        title_justify="left",
        caption_style="dim",
        caption_justify="left",
        min_width=len(caption or ""),
    )


def _add_columns(table: Table, first: str, *numbers: str) -> None:
    table.add_column(first, style="bold")
    for name in numbers:
        table.add_column(name, justify="right")


def _add_rows(table: Table, names: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
    for name, row in zip(names, rows, strict=True):
        table.add_row(name, *_amounts(row))
    _add_totals(table, "total", rows=rows)


def _add_totals(table: Table, *first: str, rows: Sequence[Sequence[int]]) -> None:
    table.add_section()
    table.add_row(*first, *_amounts([sum(column) for column in zip(*rows, strict=True)]), style="bold")


def _amounts(row: Sequence[int]) -> list[str]:
    return [f"{amount:,}" for amount in row]
