"""Arguments that several commands have; a mistyped number is answered with the usage."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from paypercall.obyte.amounts import BASE, MAX_CAP

Number = TypeVar("Number", int, float)


def number(kind: type[Number], least: Number, most: Number) -> Callable[[str], Number]:
    """Returns a reader of numbers for argparse."""

    def read(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {kind.__name__}") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be from {least} to {most}, not {text}")
        return value

    return read


def add_amount(parser: argparse.ArgumentParser) -> None:
    """Adds the argument `amount`."""
    parser.add_argument(
        "amount", metavar="AMOUNT", type=number(int, 1, MAX_CAP), help="bytes, or units of the asset"
    )


def add_asset(parser: argparse.ArgumentParser, what: str = "an asset") -> None:
    """Adds the option `--asset`."""
    parser.add_argument("--asset", default=BASE, help=f"the id of {what} (base, for bytes)")
