"""What becomes of an answer's body that the program reads by itself. Knows no HTTP library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum


class Fate(Enum):
    """What became of the body of an answer: of what breaks off, the rest can be had."""

    READ = "read"
    BROKEN = "broken"
    DROPPED = "dropped"


class Rest:
    """The body of an answer that is handed on before it was read. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fate: Fate | None = None
        self._tell: Callable[[Fate], None] | None = None

    def watch(self, tell: Callable[[Fate], None]) -> None:
        """Has its fate told, once."""
        with self._lock:
            self._tell = tell
            fate = self._fate
        if fate is not None:
            tell(fate)

    def end(self, fate: Fate = Fate.READ) -> None:
        """Tells its fate; the first one counts. It is read, too, when the program closes it early."""
        with self._lock:
            if self._fate is not None:
                return
            self._fate = fate
        if self._tell is not None:
            self._tell(fate)
