"""One client's connection to the hub, apart from the wire: who it is, and what it wants to be told about."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Session:
    """A connected client.

    Attributes:
        send_text: Sends a text to it; may be called from any thread and never blocks.
        hang_up: Ends the connection.
        challenge: What it must sign to log in.
        device: Its device address once it has logged in.
        has_asked_for_history: The first time, the hub tells it the voted parameters, even if it logged in before.
        addresses: It hears of units of these.
        units: It hears when these become stable.
        agents: It hears of requests to and answers of these; values: the parties of interest, None for all.
    """

    send_text: Callable[[str], None]
    hang_up: Callable[[], None]
    challenge: str
    device: str | None = None
    has_asked_for_history: bool = False
    addresses: set[str] = field(default_factory=set)
    units: set[str] = field(default_factory=set)
    agents: dict[str, set[str | None]] = field(default_factory=dict)

    def say(self, subject: str, body: Any = None) -> None:
        """Says something that needs no answer."""
        content = {"subject": subject} if body is None else {"subject": subject, "body": body}
        self.send("justsaying", content)

    def send(self, kind: str, content: dict[str, Any]) -> None:
        """Sends a message: `justsaying`, `request` or `response`."""
        self.send_text(json.dumps([kind, content], separators=(",", ":")))

    def watches_any(self, addresses: set[str]) -> bool:
        """Tells whether one of the addresses is of interest."""
        return not self.addresses.isdisjoint(addresses)

    def watches_agent(self, agent: str, parties: Any) -> bool:
        """Tells whether an agent is of interest when it deals with the given addresses."""
        wanted = self.agents.get(agent, set())
        return None in wanted or not wanted.isdisjoint(parties)
