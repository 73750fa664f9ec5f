"""`paypercall demo`: reads the options; the demonstration itself is `paypercall.demo`."""

from __future__ import annotations

import argparse

from paypercall.cli.arguments import number
from paypercall.errors import PaypercallError

DEFAULT_CALLS = 1_000
MAX_CALLS = 10_000
"""For more, the customer of the demonstration has not enough money."""
EXTRA = ("flask", "rich", "werkzeug")


class ExtraMissing(PaypercallError):
    """The demonstration needs packages that are not installed."""

    code = "extra_missing"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "demo",
        help="show a merchant, a customer and a liar on a local network",
        description="Plays the main job from end to end on a local network, and accounts for every byte.",
    )
    parser.add_argument(
        "--calls",
        type=number(int, 1, MAX_CALLS),
        default=DEFAULT_CALLS,
        help="paid calls to make (%(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Plays the demonstration.

    Raises:
        DemoFailed: Naming the step that failed.
        ExtraMissing: Flask or rich is not installed.
    """
    try:
        from paypercall.demo.show import show
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA:
            raise
        raise ExtraMissing(f"the demo needs {package}: run `pip install 'paypercall[demo]'`") from error
    show(options.calls)
    return 0
