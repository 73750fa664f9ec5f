"""What makes a network survive a restart: its keys, and all units in the order in which the ledger took
them.

Answers of agents, balls and balances follow from these, so they are made again, not stored. One JSON text a
line; a last line that was cut off by a crash is dropped.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from paypercall.devnet.graph import Vertex
from paypercall.devnet.ledger import Ledger
from paypercall.devnet.wallets import Purses
from paypercall.obyte.unit import Unit

FILE_NAME = "network.jsonl"


@dataclass(slots=True)
class Story:
    """What a journal tells.

    Attributes:
        purses: The keys of the network.
        genesis: Its first unit.
        ahead: Seconds by which its clock is ahead.
        entries: The other units with what they contradict.
    """

    purses: Purses
    genesis: Unit
    ahead: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)

    def replay(self, ledger: Ledger) -> None:
        """Puts all units on a ledger that has only the genesis unit."""
        for entry in self.entries:
            rivals: list[Vertex] = [ledger.graph.vertices[rival] for rival in entry["rivals"]]
            ledger.add(entry["unit"], rivals=rivals, spoilt=entry["is_spoilt"])


class Journal:
    """The file of a network, or nothing for a network that is to be forgotten.

    Args:
        folder: Where the file is or will be; None writes nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        self._file: TextIO | None = None

    def read(self) -> Story | None:
        """Reads the file, if there is one.

        Raises:
            ValueError: The file is damaged before its last line.
        """
        if self._path is None or not self._path.exists():
            return None
        lines = self._path.read_text().splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            lines.pop()
            self._path.write_text("".join(lines))
        if not lines:
            return None
        head, *records = (json.loads(line) for line in lines)
        story = Story(Purses(**head["purses"]), head["genesis"])
        for record in records:
            if "ahead" in record:
                story.ahead = record["ahead"]
            else:
                story.entries.append(record)
        return story

    def begin(self, purses: Purses, genesis: Unit) -> None:
        """Starts the file of a new network."""
        keys = {"witness": purses.witness, "faucet": purses.faucet, "wallet": purses.wallet}
        self._write({"purses": keys, "genesis": genesis})

    def write_unit(self, unit: Unit, rivals: list[str], is_spoilt: bool) -> None:
        """Adds a unit."""
        self._write({"unit": unit, "rivals": rivals, "is_spoilt": is_spoilt})

    def write_clock(self, ahead: int) -> None:
        """Adds a move of the clock, as the seconds by which it is ahead now."""
        self._write({"ahead": ahead})

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, record: dict[str, Any]) -> None:
        if self._path is None:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(descriptor, "a")
        self._file.write(json.dumps(record, separators=(",", ":")) + "\n")
        self._file.flush()
