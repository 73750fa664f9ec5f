"""The command `paypercall`.

Each module of this package has a function `register`, which adds its commands to the parser. A command
imports what it runs when it runs: help must not need a framework. No rule about money lives here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from paypercall import __version__
from paypercall.cli import demo, devnet, migrate, wallet
from paypercall.errors import PaypercallError

COMMANDS = (demo, devnet, migrate, wallet)
INTERRUPTED = 130  # what a shell reports of a command that Ctrl-C ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The command line after the program's name; that of the process by default.

    Returns:
        The exit status: 0, 1 if the command failed for a reason that it could name, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="paypercall", description="Micropayments for any API, over Obyte.")
    parser.add_argument("--version", action="version", version=f"paypercall {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.register(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except PaypercallError as error:
        print(f"paypercall: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("paypercall: interrupted", file=sys.stderr)
        return INTERRUPTED
