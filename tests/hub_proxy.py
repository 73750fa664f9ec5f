"""A faulty line between a node and its hub: passes frames on, unless a test says what to do to them.

A fault looks at each frame and says what is to arrive in its place: nothing, something else, or several things.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Frame:
    """One message on its way.

    Attributes:
        is_from_hub: Or else from the node.
        kind: `request`, `response` or `justsaying`; empty for what is no message.
        name: The command or the subject; for a response, the command that it answers.
        body: What comes after the kind.
        text: The frame as it is.
    """

    is_from_hub: bool
    kind: str
    name: str
    body: dict[str, Any] = field(repr=False)
    text: str = field(repr=False)

    def with_body(self, **fields: Any) -> str:
        """The frame with other fields in its body."""
        return json.dumps([self.kind, {**self.body, **fields}])

    def answer(self, response: Any) -> str:
        """A response to this request."""
        return json.dumps(["response", {"tag": self.body["tag"], "command": self.name, "response": response}])


class HangUp:
    """Instead of a frame: the line is cut."""


@dataclass(frozen=True)
class Back:
    """Instead of a frame: another one that goes back to where it came from."""

    text: str


@dataclass(frozen=True)
class Late:
    """Instead of a frame: one that arrives some seconds later, after those that come meanwhile."""

    text: str
    seconds: float


Arrival = str | bytes | Back | Late | HangUp
Fault = Callable[[Frame], Sequence[Arrival] | None]
"""What arrives in place of a frame; None leaves the frame alone."""


class HubProxy:
    """A line to a hub, on a port of its own.

    Args:
        url: The hub.

    Attributes:
        passed: All frames that came in, the oldest first.
        delay: Seconds that each frame of the hub takes.
    """

    def __init__(self, url: str) -> None:
        self.url = ""
        self.passed: list[Frame] = []
        self.delay = 0.0
        self._hub_url = url
        self._faults: list[Fault] = []
        self._lines: set[asyncio.Task[Any]] = set()
        self._is_ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="hub-proxy", daemon=True)

    def __enter__(self) -> HubProxy:
        self._thread.start()
        assert self._is_ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[None]:
        """Has a fault look at every frame meanwhile; the newest of several looks first."""
        self._faults.insert(0, fault)
        try:
            yield
        finally:
            self._faults.remove(fault)

    def hang_up(self) -> None:
        """Cuts all lines."""
        self._loop.call_soon_threadsafe(self._cut)

    def requests(self, command: str) -> list[Any]:
        """The parameters of all requests of a command that the node has made."""
        return [
            frame.body.get("params")
            for frame in list(self.passed)
            if not frame.is_from_hub and frame.kind == "request" and frame.name == command
        ]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with serve(self._carry, HOST, 0, compression=None, max_size=None, ping_interval=None) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"ws://{HOST}:{port}"
            self._is_ready.set()
            await self._stopped.wait()
            self._cut()
            await asyncio.gather(*self._lines, return_exceptions=True)

    def _cut(self) -> None:
        for line in self._lines:
            line.cancel()

    async def _carry(self, node: ServerConnection) -> None:
        if self._stopped.is_set():
            return  # websockets overlooks a connection that opens in the moment in which its server closes
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        commands: dict[Any, str] = {}
        try:
            async with connect(self._hub_url, compression=None, max_size=None, ping_interval=None) as hub:
                directions = [
                    asyncio.ensure_future(self._pass_on(hub, node, commands, is_from_hub=True)),
                    asyncio.ensure_future(self._pass_on(node, hub, commands, is_from_hub=False)),
                ]
                try:
                    await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    hub.transport.abort()
                    for direction in directions:
                        direction.cancel()
                    await asyncio.gather(*directions, return_exceptions=True)
        except (asyncio.CancelledError, OSError):
            pass  # the line is cut, or the hub is not there
        finally:
            self._lines.discard(line)
            node.transport.abort()

    async def _pass_on(
        self,
        source: ClientConnection | ServerConnection,
        target: ClientConnection | ServerConnection,
        commands: dict[Any, str],
        *,
        is_from_hub: bool,
    ) -> None:
        late: list[asyncio.Task[None]] = []
        try:
            with suppress(ConnectionClosed):
                async for text in source:
                    frame = _read(text if isinstance(text, str) else text.decode(), commands, is_from_hub)
                    self.passed.append(frame)
                    if is_from_hub and self.delay:
                        await asyncio.sleep(self.delay)
                    for arrival in self._arrivals(frame):
                        if isinstance(arrival, HangUp):
                            return
                        if isinstance(arrival, Late):
                            late.append(asyncio.create_task(_send_late(target, arrival)))
                        elif isinstance(arrival, Back):
                            await source.send(arrival.text)
                        else:
                            await target.send(arrival)
        finally:
            for task in late:
                task.cancel()

    def _arrivals(self, frame: Frame) -> Sequence[Arrival]:
        for fault in list(self._faults):
            arrivals = fault(frame)
            if arrivals is not None:
                return arrivals
        return [frame.text]


async def _send_late(target: ClientConnection | ServerConnection, arrival: Late) -> None:
    await asyncio.sleep(arrival.seconds)
    with suppress(ConnectionClosed):
        await target.send(arrival.text)


def _read(text: str, commands: dict[Any, str], is_from_hub: bool) -> Frame:
    try:
        kind, body = json.loads(text)
    except (ValueError, TypeError):
        return Frame(is_from_hub, "", "", {}, text)
    name = body.get("command") or body.get("subject") or ""
    if kind == "request":
        commands[body.get("tag")] = name
    elif kind == "response":
        name = commands.get(body.get("tag"), name)
    return Frame(is_from_hub, kind, name, body, text)


# --- faults ----------------------------------------------------------------------------------------------------------


def in_response(command: str, change: Callable[[Any], Any]) -> Fault:
    """Has the responses to a command say something else."""

    def fault(frame: Frame) -> Sequence[Arrival] | None:
        if not frame.is_from_hub or frame.kind != "response" or frame.name != command:
            return None
        response = frame.body.get("response")
        changed = change(response)
        return None if changed == response else [frame.with_body(response=changed)]

    return fault


def instead_of_responses(command: str, *arrivals: Arrival) -> Fault:
    """Has something else arrive in place of each response to a command."""

    def fault(frame: Frame) -> Sequence[Arrival] | None:
        is_meant = frame.is_from_hub and frame.kind == "response" and frame.name == command
        return arrivals if is_meant else None

    return fault


def instead_of_requests(command: str, make: Fault) -> Fault:
    """Has something else happen to each request of a command."""

    def fault(frame: Frame) -> Sequence[Arrival] | None:
        is_meant = not frame.is_from_hub and frame.kind == "request" and frame.name == command
        return make(frame) if is_meant else None

    return fault


def once(fault: Fault) -> Fault:
    """Lets a fault happen a single time."""
    has_happened = False

    def one(frame: Frame) -> Sequence[Arrival] | None:
        nonlocal has_happened
        arrivals = None if has_happened else fault(frame)
        has_happened = has_happened or arrivals is not None
        return arrivals

    return one
