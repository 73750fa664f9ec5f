"""Answers of real hubs to `light/get_history`, each with what ocore's own light client made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from paypercall.obyte.errors import ObyteError
from paypercall.obyte.network import Network, devnet
from paypercall.obyte.proof import History
from paypercall.obyte.unit import headers_size, message_payload_hash, total_payload_size, unit_hash

TESTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class HubAnswer:
    """One answer; `verdict` is ocore's. The answer is shared between tests: do not change it.

    Attributes:
        sequences: What became of units that conflict, in the hub's own database: by hash, the sequence and whether the
            unit was stable then.
    """

    name: str
    network: Network
    response: Any
    verdict: dict[str, Any]
    sequences: Mapping[str, tuple[str, bool]] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


@cache
def all_answers() -> tuple[HubAnswer, ...]:
    """The untampered answers: to requests of every kind, and to the recorded JavaScript nodes."""
    return (*_traced("cases"), *_traced("error_cases"), *_recorded())


@cache
def histories() -> tuple[HubAnswer, ...]:
    """Those of the answers that are histories and that ocore believes."""
    return tuple(answer for answer in all_answers() if answer.verdict["ok"] and "joints" in answer.response)


@cache
def tampered_answers() -> tuple[HubAnswer, ...]:
    """Answers that were changed on the way, some of them so that ocore does not notice."""
    return tuple(_traced("tampered"))


def history_named(name: str, *, providers: int = 1) -> HubAnswer:
    """The history of one name on the network with that many order providers."""
    return next(
        answer
        for answer in histories()
        if answer.name.endswith(f" {name}") and len(answer.network.order_providers) == providers
    )


def stable(history: History) -> list[str]:
    return sorted(unit.hash for unit in history.units if unit.is_stable)


def final_bad(history: History) -> list[str]:
    return sorted(unit.hash for unit in history.units if unit.is_final_bad)


def hash_again(joint: Any) -> None:
    """Makes all hashes and sizes of a changed unit right, as far as it still is one."""
    try:
        unit = joint["unit"]
        for message in unit.get("messages", ()):
            if "payload" in message:
                message["payload_hash"] = message_payload_hash(message, unit["version"])
        unit["unit"] = unit_hash(unit)
        if "content_hash" not in unit:
            unit["headers_commission"] = headers_size(unit)
            unit["payload_commission"] = total_payload_size(unit)
    except (ObyteError, KeyError, TypeError, AttributeError):
        return


def _traced(kind: str) -> Iterator[HubAnswer]:
    for traced in json.loads((TESTS / "traces" / "history.json").read_text())["networks"]:
        network = _network(traced["network"])
        for case in traced[kind]:
            name = f"{len(network.order_providers)} {case['name']}"
            verdict = case.get("expected") or case.get("ocore") or {"ok": False}
            sequences = {
                row["unit"]: (row["sequence"], bool(row["is_stable"]))
                for row in case.get("hub_sequences", ())
            }
            yield HubAnswer(name, network, case["response"], verdict, sequences)


def _recorded() -> Iterator[HubAnswer]:
    expected = json.loads((TESTS / "recordings" / "get_history_expected.json").read_text())
    network = _network(expected)
    for file_name, exchanges in expected["files"].items():
        lines = (TESTS / "recordings" / file_name).read_text().split("\n")
        for exchange in exchanges:
            number = exchange["response_line"]
            kind, body = json.loads(lines[number - 1])["msg"]
            assert kind == "response"
            yield HubAnswer(f"{file_name}:{number}", network, body["response"], exchange["expected"])


def _network(described: dict[str, Any]) -> Network:
    return devnet(described["genesis_unit"], tuple(described["witnesses"]))
