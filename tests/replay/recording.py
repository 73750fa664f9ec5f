"""The recorded websocket sessions between JavaScript nodes and a real hub, line by line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from paypercall.obyte.address import definition_address
from paypercall.obyte.keys import key_from_mnemonic, verify_signature
from paypercall.obyte.network import devnet

FOLDER = Path(__file__).parents[1] / "recordings"
NETWORK = devnet("RTUynATsgV1FZCSMfIfqUMH2wjfrh0O9k891Ec+d65k=", ("XZ33YNFB76VTXXUGNTNHU3QSD43FSURX",))

CUSTOMER = key_from_mnemonic("abandon " * 11 + "about")
"""The client's key in all recordings, which the phrase of all examples gives."""

MERCHANT = "KI5P7RJZMQ53QTY3YA7HM3BFZPXZEMLM"
"""The server's address; its key is not known."""

HISTORY = "light/get_history"
PARENTS = "light/get_parents_and_last_ball_and_witness_list_unit"
POST = "post_joint"


@dataclass(frozen=True)
class Line:
    """One message; do not change it.

    Attributes:
        number: Its line in the file, from 1.
        seconds: When it passed, by the clock of the machine.
        is_from_client: Who sent it.
        kind: `request`, `response` or `justsaying`.
        content: What stands beside the kind.
    """

    number: int
    seconds: int
    is_from_client: bool
    kind: str
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """The command or subject."""
        return str(self.content.get("command", self.content.get("subject")))

    @property
    def is_request(self) -> bool:
        return self.is_from_client and self.kind == "request"

    @property
    def is_push(self) -> bool:
        """Whether the hub said it by itself."""
        return not self.is_from_client and self.kind != "response"


@dataclass(frozen=True)
class Recording:
    """One session."""

    name: str
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return self.name

    def requests(self, *commands: str) -> list[Line]:
        """What the client asked, of some commands or of all."""
        return [line for line in self.lines if line.is_request and (line.name in commands or not commands)]

    def pushes(self, *subjects: str) -> list[Line]:
        """What the hub said by itself, of some subjects or of all."""
        return [line for line in self.lines if line.is_push and (line.name in subjects or not subjects)]

    def answer_to(self, request: Line) -> Line:
        """The hub's answer; a tag can come back later for the same question."""
        return next(
            line
            for line in self.lines
            if line.number > request.number
            and line.kind == "response"
            and not line.is_from_client
            and line.content["tag"] == request.content["tag"]
        )

    def units(self) -> dict[str, dict[str, Any]]:
        """All units with their messages in the session by hash, as they were told last."""
        return {
            unit["unit"]: unit
            for line in self.lines
            for unit in _dictionaries(line.content)
            if "messages" in unit and "parent_units" in unit and "unit" in unit
        }

    def proven_units(self, answers: Iterable[Line] | None = None) -> dict[str, dict[str, Any]]:
        """Those of the units for which some answers, or any, have given the ball that proves them."""
        if answers is None:
            answers = [self.answer_to(request) for request in self.requests(HISTORY)]
        balls = {
            ball["unit"]
            for answer in answers
            for ball in answer.content["response"].get("proofchain_balls", ())
        }
        return {hash_: unit for hash_, unit in self.units().items() if hash_ in balls}


@cache
def recording(name: str) -> Recording:
    """Reads a session: `client`, `client-asset`, `server` or `extra`."""
    lines = []
    for number, text in enumerate((FOLDER / f"traffic-{name}.jsonl").read_text().splitlines(), 1):
        record = json.loads(text)
        if "msg" in record:
            is_from_client = record["dir"] == "client->hub"
            lines.append(Line(number, record["ms"] // 1000, is_from_client, *record["msg"]))
    return Recording(name, tuple(lines))


class RecordedKey:
    """A key that is not known, but much of what it signed: it signs that again and nothing else."""

    def __init__(self, public_key: str, signatures: set[str]) -> None:
        self.public_key = public_key
        self.definition = ["sig", {"pubkey": public_key}]
        self.address = definition_address(self.definition)
        self._signatures = signatures

    def sign(self, digest: bytes) -> str:
        """Returns the recorded signature of a digest."""
        for signature in self._signatures:
            if verify_signature(digest, signature, self.public_key):
                return signature
        raise LookupError("the recorded owner of this key signed something else")


def merchant_key(session: Recording) -> RecordedKey:
    """The server's key, as far as a session shows it."""
    signed = [
        author
        for unit in _dictionaries([line.content for line in session.lines])
        for author in unit.get("authors", ())
        if author["address"] == MERCHANT and "authentifiers" in author
    ]
    definition = next(author["definition"] for author in signed if "definition" in author)
    return RecordedKey(definition[1]["pubkey"], {author["authentifiers"]["r"] for author in signed})


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, (dict, list)):
        for element in value.values() if isinstance(value, dict) else value:
            yield from _dictionaries(element)


def payments_to(unit: dict[str, Any], address: str) -> Iterator[tuple[int, int, str, int]]:
    """What a unit pays an address: message, output, asset, amount."""
    for message_index, message in enumerate(unit["messages"]):
        if message["app"] == "payment":
            asset = message["payload"].get("asset", "base")
            for output_index, output in enumerate(message["payload"]["outputs"]):
                if output["address"] == address:
                    yield message_index, output_index, asset, output["amount"]
