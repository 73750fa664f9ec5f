"""A bad line between a party and its hub: frames get lost, cut, garbled, repeated, late and out of order."""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress
from types import TracebackType

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

MISHAPS = ("lose", "cut", "garble", "repeat", "repeat", "delay", "delay", "swap", "swap")
FREQUENCY = 0.3
HOLD_SECONDS = 0.05

Connection = ClientConnection | ServerConnection


class BrokenLine:
    """A websocket server that passes frames on to a hub and back, with mishaps until there have been enough.

    What a real connection cannot lose without breaking is followed by its end.

    Args:
        url: The hub's.
        seed: Decides what happens.
        mishaps: How many frames something happens to; afterwards the line is good.

    Attributes:
        happened: What happened so far.
        url: Where to connect instead.
    """

    def __init__(self, url: str, *, seed: int, mishaps: int) -> None:
        self.happened: list[str] = []
        self._hub_url = url
        self._random = random.Random(seed)
        self._mishaps = mishaps
        self._lock = threading.Lock()
        self._ends: list[Connection] = []
        self._server: Server = serve(self._serve, "127.0.0.1", 0, max_size=None, compression=None)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> BrokenLine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        for end in self._ends:
            end.close()
        self._thread.join()

    def _serve(self, client: ServerConnection) -> None:
        with suppress(OSError), connect(self._hub_url, max_size=None, compression=None) as hub:
            self._ends += [client, hub]
            back = threading.Thread(target=self._pass_on, args=(hub, client))
            back.start()
            self._pass_on(client, hub)
            back.join()

    def _pass_on(self, source: Connection, target: Connection) -> None:
        """Passes frames on until one of the ends is gone; then both are."""
        held: str | bytes | None = None
        with suppress(ConnectionClosed):
            while True:
                try:
                    frame = source.recv(timeout=None if held is None else HOLD_SECONDS)
                except TimeoutError:
                    target.send(held or "")
                    held = None
                    continue
                mishap = self._draw()
                if mishap == "swap" and held is None:
                    held = frame
                    continue
                if not self._send(target, frame, mishap):
                    break
                if held is not None:
                    target.send(held)
                    held = None
        source.close()
        target.close()

    def _send(self, target: Connection, frame: str | bytes, mishap: str) -> bool:
        """Sends a frame as far as the mishap lets it; tells whether the line still holds."""
        text = frame if isinstance(frame, str) else frame.decode()
        if mishap == "delay":
            time.sleep(HOLD_SECONDS)
        if mishap == "cut":
            text = text[: len(text) // 2]
        if mishap == "garble":
            place = self._random.randrange(len(text))
            text = text[:place] + self._random.choice('x0"]A') + text[place + 1 :]
        for _ in range({"lose": 0, "repeat": 2}.get(mishap, 1)):
            target.send(text)
        return mishap not in ("lose", "cut", "garble")

    def _draw(self) -> str:
        with self._lock:
            if len(self.happened) >= self._mishaps or self._random.random() > FREQUENCY:
                return "none"
            self.happened.append(self._random.choice(MISHAPS))
            return self.happened[-1]
