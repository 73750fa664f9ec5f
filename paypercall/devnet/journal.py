"""What makes a network survive a restart: its keys, and all units in the order in which the ledger took
them.

Answers of agents, balls and balances follow from these, so they are made again, not stored. One JSON text a
line; a last line that was cut off by a crash is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from paypercall.devnet.graph import Vertex
from paypercall.devnet.ledger import Ledger
from paypercall.devnet.wallets import Purses
from paypercall.errors import PaypercallError
from paypercall.obyte.unit import Unit, unit_hash

FILE_NAME = "network.jsonl"
DAMAGED = "the journal of the network is damaged; start with an empty folder"

_DAMAGE = (AttributeError, LookupError, TypeError, ValueError)  # whatever a record of the wrong shape causes


class JournalError(PaypercallError):
    """The folder holds a network that cannot be run."""

    code = "devnet_journal"


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
        """Puts all units on a ledger that has only the genesis unit.

        Raises:
            JournalError: They do not fit together.
        """
        try:
            for entry in self.entries:
                rivals: list[Vertex] = [ledger.graph.vertices[rival] for rival in entry["rivals"]]
                ledger.add(entry["unit"], rivals=rivals, spoilt=entry["is_spoilt"])
        except _DAMAGE as error:
            raise JournalError(DAMAGED) from error


class Journal:
    """The file of a network, or nothing for a network that is to be forgotten.

    Args:
        folder: Where the file is or will be; None writes nothing.

    Raises:
        JournalError: Another process runs the network of this folder.
        OSError: The folder cannot be used.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else _open_alone(folder)

    def read(self) -> Story | None:
        """Reads the file, if there is anything in it.

        Raises:
            JournalError: The file is damaged before its last line.
        """
        if self._file is None:
            return None
        self._file.seek(0)
        text = self._file.read()
        complete = text[: text.rfind("\n") + 1]
        if len(complete) < len(text):
            self._file.seek(0)
            self._file.truncate(len(complete.encode()))
        try:
            return _read_story(complete.splitlines())
        except _DAMAGE as error:
            raise JournalError(DAMAGED) from error

    def begin(self, purses: Purses, genesis: Unit) -> None:
        """Starts the file of a new network."""
        keys = asdict(purses)
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

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(record, separators=(",", ":")) + "\n")
            self._file.flush()


def _open_alone(folder: Path) -> TextIO:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalError("another process runs the network of this folder") from None
    return os.fdopen(descriptor, "r+")


def _read_story(lines: list[str]) -> Story | None:
    if not lines:
        return None
    head, *records = (json.loads(line) for line in lines)
    keys = head["purses"]
    others = tuple(keys.pop("other_witnesses", ()))  # missing in the journals of before
    story = Story(Purses(**keys, other_witnesses=others), head["genesis"])
    if story.genesis["unit"] != unit_hash(story.genesis):
        raise ValueError("the genesis unit is not what was written")
    for record in records:
        if "ahead" in record:
            story.ahead = record["ahead"]
        else:
            story.entries.append({name: record[name] for name in ("unit", "rivals", "is_spoilt")})
    return story
