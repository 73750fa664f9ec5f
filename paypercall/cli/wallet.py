"""The commands `wallet …` about money: its address, what is there, what came and went, and moving it.

What looks asks the hub alone. What moves money writes into the books what is to be sent, so that it does not matter
whether another process of the wallet is at work. No rule about money lives here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from paypercall.cli import keys
from paypercall.cli.arguments import add_amount, add_asset
from paypercall.obyte.amounts import BASE

if TYPE_CHECKING:
    from paypercall.conf import Conf
    from paypercall.funds import Funds, Moved
    from paypercall.obyte.wallet import Transaction, Wallet


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the commands."""
    wallet = commands.add_parser(
        "wallet",
        help="look at the wallet, move its money, keep it safe",
        description="The wallet of this project.",
    )
    parsers = wallet.add_subparsers(title="commands", required=True, metavar="COMMAND")
    address = parsers.add_parser("address", help="print the address; makes the wallet if there is none")
    address.set_defaults(run=run_address)
    balance = parsers.add_parser("balance", help="print what there is, asset by asset")
    balance.set_defaults(run=run_balance)
    history = parsers.add_parser("history", help="print what came and what went")
    history.set_defaults(run=run_history)

    send = parsers.add_parser("send", help="send an amount, leaving the byte reserve in the wallet")
    send.add_argument("address", metavar="ADDRESS", help="whom to pay")
    add_amount(send)
    add_asset(send)
    send.set_defaults(run=run_send)

    sweep_out = parsers.add_parser(
        "sweep-out",
        help="send everything to an address",
        description="Sends every asset and all bytes, less the fees. All channels have to be closed.",
    )
    sweep_out.add_argument("address", metavar="ADDRESS", help="where to")
    sweep_out.set_defaults(run=run_sweep_out)

    consolidate = parsers.add_parser(
        "consolidate",
        help="make one coin of many",
        description="Makes one coin of many small ones. A payment does so by itself as far as it must.",
    )
    add_asset(consolidate)
    consolidate.set_defaults(run=run_consolidate)
    keys.register(parsers)


def run_address(options: argparse.Namespace) -> int:
    """Prints the wallet's address."""
    with _wallet() as (wallet, _):
        print(wallet.address)
    return 0


def run_balance(options: argparse.Namespace) -> int:
    """Prints what there is of each asset."""
    with _wallet() as (wallet, _):
        wallet.refresh()
        for asset, balance in sorted(wallet.balance().items(), key=lambda item: (item[0] != BASE, item[0])):
            print(f"{asset}: {balance.stable} stable, {balance.pending} pending")
    return 0


def run_history(options: argparse.Namespace) -> int:
    """Prints what came and went, the oldest first."""
    with _wallet() as (wallet, _):
        for transaction in wallet.transactions():
            print(_describe(transaction))
    return 0


def run_send(options: argparse.Namespace) -> int:
    """Sends an amount, and prints the unit's hash."""
    with _funds() as funds:
        print(funds.send(options.amount, options.address, options.asset))
    return 0


def run_sweep_out(options: argparse.Namespace) -> int:
    """Sends everything, and prints the units' hashes."""
    with _funds() as funds:
        return _report(funds.sweep_out(options.address))


def run_consolidate(options: argparse.Namespace) -> int:
    """Makes one coin of many, and prints the units' hashes."""
    with _funds() as funds:
        return _report(funds.consolidate(options.asset))


@contextmanager
def _wallet() -> Iterator[tuple[Wallet, Conf]]:
    from paypercall.cli.asking import environment_for
    from paypercall.conf import load_conf
    from paypercall.wiring import open_wallet

    conf = load_conf()
    wallet = open_wallet(conf, environment_for(conf))
    try:
        yield wallet, conf
    finally:
        wallet.close()


@contextmanager
def _funds() -> Iterator[Funds]:
    from paypercall.party import Party

    with _wallet() as (wallet, conf):
        party = Party(conf, wallet)
        try:
            yield party.funds
        finally:
            party.close_node()


def _report(moved: Moved) -> int:
    if not moved.units:
        print("there is nothing to move")
    for unit in moved.units:
        print(unit)
    if moved.obstacle is None:
        return 0
    print(f"paypercall: the rest stays: {moved.obstacle}", file=sys.stderr)
    return 1


def _describe(transaction: Transaction) -> str:
    time = datetime.fromtimestamp(transaction.timestamp, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    state = "stable" if transaction.is_stable else "pending"
    amounts = [f"{amount:+d} {asset}" for asset, amount in sorted(transaction.amounts.items(), reverse=True)]
    what = "the hub withholds it" if transaction.is_withheld else ", ".join(amounts)
    return f"{time}  {transaction.unit}  {state}  {what}"
