"""What the network charges beyond the size of a unit: the oversize fee and the TPS fee.

The formulas are ocore's (`storage`), but the load is made up: a unit is charged as if it were alone in its
second, so that tests get the same fee on every machine. The parameters are those of a young network.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, exp
from typing import Any

from paypercall.obyte.unit import Unit

THRESHOLD_SIZE = 10_000
BASE_TPS_FEE = 10
TPS_INTERVAL = 20
TPS_FEE_MULTIPLIER = 10
MAX_AGENT_RESPONSES = 10


def system_vars(witnesses: Iterable[str]) -> dict[str, Any]:
    """The voted parameters as a hub reports them."""
    votes = {
        "op_list": list(witnesses),
        "threshold_size": THRESHOLD_SIZE,
        "base_tps_fee": BASE_TPS_FEE,
        "tps_interval": TPS_INTERVAL,
        "tps_fee_multiplier": TPS_FEE_MULTIPLIER,
    }
    return {
        subject: [{"vote_count_mci": -1, "value": value, "is_emergency": 0}]
        for subject, value in votes.items()
    }


def required_tps_fee(count_units: int) -> int:
    """Bytes that a unit must pay which may cause `count_units` units, itself included."""
    return count_units * round(TPS_FEE_MULTIPLIER * BASE_TPS_FEE * (exp(count_units / TPS_INTERVAL) - 1))


def actual_tps_fee(count_responses: int) -> int:
    """Bytes that a unit is charged in the end; the rest of what it paid stays to its author's credit."""
    count_units = 1 + count_responses
    return count_units * round(BASE_TPS_FEE * (exp(count_units / TPS_INTERVAL) - 1))


def count_charged_units(count_triggers: int, max_agent_responses: int | None) -> int:
    """How many units a unit pays for in advance: itself, and the answers of the agents that it triggers."""
    limit = MAX_AGENT_RESPONSES if max_agent_responses is None else max_agent_responses
    return 1 + count_triggers * limit


def oversize_fee(size: int) -> int:
    """Bytes that a unit of `size` bytes pays for being large; 0 up to the threshold."""
    if size <= THRESHOLD_SIZE:
        return 0
    return ceil(size * (exp(size / THRESHOLD_SIZE - 1) - 1))


def unit_fees(unit: Unit) -> int:
    """All bytes that a unit takes out of circulation."""
    names = ("headers_commission", "payload_commission", "oversize_fee", "tps_fee", "burn_fee")
    return sum(unit.get(name, 0) for name in names)
