"""Every unit that was ever recorded on a real network: the same hash, the same sizes, the same signatures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from paypercall.obyte.address import definition_address
from paypercall.obyte.joint import is_signed
from paypercall.obyte.unit import (
    ball_hash,
    content_hash,
    hash_to_sign,
    headers_size,
    message_payload_hash,
    single_signature_key,
    total_payload_size,
    unit_hash,
)
from tests.replay.recording import recording

TRACES = Path(__file__).parents[1] / "traces"
Unit = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """The units of one file, each spelling of each once."""

    name: str
    units: tuple[Unit, ...]

    def __str__(self) -> str:
        return self.name


def units_in(value: Any) -> Iterator[Unit]:
    """Everything inside a JSON value that looks like a whole or a stripped unit."""
    if isinstance(value, dict):
        if isinstance(value.get("unit"), str) and "authors" in value and "version" in value:
            yield value
            return
        for element in value.values():
            yield from units_in(element)
    elif isinstance(value, list):
        for element in value:
            yield from units_in(element)


def distinct(name: str, *values: Any) -> Source:
    spellings = {json.dumps(unit, sort_keys=True): unit for unit in units_in(list(values))}
    return Source(name, tuple(spellings.values()))


def load(name: str) -> Any:
    return json.loads((TRACES / name).read_text(encoding="utf-8"))


@cache
def sources() -> tuple[Source, ...]:
    """All files; what was tampered with or refused on purpose is left out."""
    units = load("units.json")
    return (
        distinct("units", units["units"], units["accepted_oddities"]),
        distinct("agent_traces", load("agent_traces.json")["traces"]),
        *(
            distinct(f"history {len(network['network']['witnesses'])}", network["cases"])
            for network in load("history.json")["networks"]
        ),
        *(distinct(name, sound_messages(name)) for name in ("client", "client-asset", "server", "extra")),
    )


def sound_messages(name: str) -> list[Any]:
    """All messages of a session, but for the post of what is no unit."""
    return [
        line.content
        for line in recording(name).lines
        if not (line.is_request and line.name == "post_joint" and name == "extra")
    ]


@cache
def definitions() -> dict[str, Any]:
    """The definitions of all authors who ever showed one."""
    return {
        author["address"]: author["definition"]
        for source in sources()
        for unit in source.units
        for author in unit["authors"]
        if "definition" in author and definition_address(author["definition"]) == author["address"]
    }


def whole(source: Source) -> list[Unit]:
    """The units that came with their messages, all of them."""
    return [unit for unit in source.units if "messages" in unit and not is_masked(unit)]


def is_masked(unit: Unit) -> bool:
    """Whether the recorder took a text out of the unit's payload."""
    return any("masked" in json.dumps(message["payload"]) for message in unit["messages"])


every_source = pytest.mark.parametrize("source", sources(), ids=str)


def test_nothing_is_left_out() -> None:
    assert {source.name: len(source.units) for source in sources()} == {
        "units": 88,
        "agent_traces": 957,
        "history 1": 154,
        "history 3": 197,
        "client": 98,
        "client-asset": 207,
        "server": 101,
        "extra": 17,
    }
    units = [unit for source in sources() for unit in source.units]
    assert sum("messages" not in unit for unit in units) == 4
    assert sum("messages" in unit and is_masked(unit) for unit in units) == 1


@every_source
def test_every_unit_has_the_hash_that_the_real_core_gave_it(source: Source) -> None:
    assert [unit["unit"] for unit in source.units if unit_hash(unit) != unit["unit"]] == []


@every_source
def test_every_unit_pays_for_its_size_what_the_real_core_made_it_pay(source: Source) -> None:
    wrong = [
        unit["unit"]
        for unit in whole(source)
        if headers_size(unit) != unit["headers_commission"]
        or total_payload_size(unit) != unit["payload_commission"]
    ]
    assert wrong == []


@every_source
def test_every_message_has_its_payload_hash(source: Source) -> None:
    wrong = [
        unit["unit"]
        for unit in whole(source)
        for message in unit["messages"]
        if message_payload_hash(message, unit["version"]) != message["payload_hash"]
    ]
    assert wrong == []


@every_source
def test_every_unit_is_signed_by_each_author_that_has_one_key(source: Source) -> None:
    """Agents do not sign, and two wallets share their addresses among several keys."""
    wrong, checked = [], 0
    for unit in whole(source):
        digest = hash_to_sign(unit)
        for author in unit["authors"]:
            public_key = single_signature_key(definitions().get(author["address"]))
            if public_key is not None and "authentifiers" in author:
                checked += 1
                wrong += [] if is_signed(author, digest, public_key) else [unit["unit"]]
    assert wrong == []
    assert checked >= len(whole(source)) // 3


@pytest.mark.parametrize("unit", load("units.json")["units"], ids=lambda unit: str(unit["name"]))
def test_every_named_unit_has_all_its_recorded_hashes(unit: Unit) -> None:
    posted, final = unit["joint"]["unit"], unit["final_joint"]
    assert content_hash(posted) == unit["content_hash"]
    assert unit_hash(posted) == unit_hash(final["unit"]) == unit["unit"]
    if "hash_to_sign_hex" in unit:
        assert hash_to_sign(posted).hex() == unit["hash_to_sign_hex"]
    assert ball_hash(unit["unit"], **unit["ball_inputs"]) == unit["ball"] == final["ball"]
