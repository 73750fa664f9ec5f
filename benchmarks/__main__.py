"""Runs every benchmark, prints a table, writes latest.json, and fails when a value is over its limit."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from benchmarks import deposits, following, histories, memory, payments, scale
from benchmarks.result import Result

LATEST = Path(__file__).parent / "latest.json"


def main() -> int:
    """Runs all of them.

    Returns:
        The exit status: 1 if a value is over its limit.
    """
    logging.getLogger("paypercall").setLevel(logging.CRITICAL)
    results: list[Result] = []
    for measure in (
        payments.verify,
        payments.create,
        scale.verify_among_many,
        scale.list_many,
        following.event,
        following.first_look,
        histories.verify,
        histories.reconnect,
        memory.follow,
        deposits.start,
        deposits.stabilise,
    ):
        result = measure()
        results.append(result)
        verdict = "ok" if result.is_within_limit else "OVER THE LIMIT"
        print(
            f"{result.name:<44} {result.value:>8.2f} {result.unit:<8} limit {result.limit:<6g} {verdict}",
            flush=True,
        )
    LATEST.write_text(json.dumps({result.name: result.as_json() for result in results}, indent=2) + "\n")
    return 0 if all(result.is_within_limit for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
