"""Runs every benchmark, prints a table, writes latest.json, and fails when a value is over its limit."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from benchmarks import (
    deposits,
    following,
    histories,
    many_calls,
    memory,
    paid_calls,
    payments,
    reservations,
    round_trips,
    scale,
)
from benchmarks.loopback import allow_loopback_alone
from benchmarks.result import Result

LATEST = Path(__file__).parent / "latest.json"


def main() -> int:
    """Runs all of them.

    Returns:
        The exit status: 1 if a value is over its limit.
    """
    allow_loopback_alone()
    logging.getLogger("paypercall").setLevel(logging.CRITICAL)
    results: list[Result] = []
    for measure in (
        payments.verify,
        payments.create,
        scale.verify_among_many,
        scale.list_many,
        reservations.reserve_among_many,
        paid_calls.asgi,
        paid_calls.wsgi,
        paid_calls.x402,
        paid_calls.pympp,
        many_calls.answer_all,
        round_trips.ask_again,
        following.event,
        following.first_look,
        histories.verify,
        histories.reconnect,
        memory.follow,
        deposits.start,
        deposits.stabilise,
    ):
        result = measure()
        if result is None:
            continue
        results.append(result)
        print(f"{result.name:<44} {result.value:>8.2f} {result.unit:<8} {_verdict(result)}", flush=True)
    LATEST.write_text(json.dumps({result.name: result.as_json() for result in results}, indent=2) + "\n")
    return 0 if all(result.is_within_limit for result in results) else 1


def _verdict(result: Result) -> str:
    if result.limit is None:
        return "to compare with"
    return f"limit {result.limit:<6g} {'ok' if result.is_within_limit else 'OVER THE LIMIT'}"


if __name__ == "__main__":
    sys.exit(main())
