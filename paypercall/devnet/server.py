"""The wire of the hub: websockets on the loopback interface, served by one thread.

Texts go out through a queue a connection, so that a slow client holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread

from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from paypercall.devnet.hub import Hub

HOST = "127.0.0.1"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
CLOSING_SECONDS = 1
ROUNDS_TO_ACCEPT = 3


class Server:
    """Serves a hub until it is closed.

    Args:
        hub: Whose words it carries.
        port: 0 for any free one.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, hub: Hub, port: int) -> None:
        self._hub = hub
        self._port = port
        self._is_ready = Event()
        self._shall_close = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._websocket_server: WebsocketServer | None = None
        self._connections: set[ServerConnection] = set()
        self._problem: OSError | None = None
        self._thread = Thread(target=self._run, name="devnet-hub", daemon=True)
        self._thread.start()
        self._is_ready.wait()
        if self._problem is not None:
            self._thread.join()
            raise self._problem

    @property
    def url(self) -> str:
        """Where clients connect to."""
        assert self._websocket_server is not None
        port = next(iter(self._websocket_server.sockets)).getsockname()[1]
        return f"ws://{HOST}:{port}"

    def close(self) -> None:
        """Drops all connections and stops."""
        self._in_its_thread(self._shall_close.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            if self._is_ready.is_set():
                raise
            self._problem = error
            self._is_ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with serve(
            self._converse,
            HOST,
            self._port,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            ping_interval=None,
            close_timeout=CLOSING_SECONDS,
        ) as server:
            self._websocket_server = server
            self._is_ready.set()
            await self._shall_close.wait()
            # asyncio loses a connection that is being accepted in the moment in which its server closes
            for listening in server.sockets:
                self._loop.remove_reader(listening.fileno())
            for _ in range(ROUNDS_TO_ACCEPT):
                await asyncio.sleep(0)
            server.close()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 2 * CLOSING_SECONDS)
            # a client that has said goodbye and stays on the line would hold us up for ever
            for connection in self._connections:
                connection.transport.abort()

    def _in_its_thread(self, function: Callable[..., object], *arguments: object) -> None:
        """Has the serving thread call a function soon; when it has stopped, nobody waits for that any more."""
        assert self._loop is not None
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    async def _converse(self, connection: ServerConnection) -> None:
        if self._shall_close.is_set():
            return  # websockets overlooks a connection that opens in the moment in which its server closes
        outgoing: asyncio.Queue[str] = asyncio.Queue()
        closing: set[asyncio.Task[None]] = set()

        def send_text(text: str) -> None:
            self._in_its_thread(outgoing.put_nowait, text)

        def hang_up() -> None:
            self._in_its_thread(lambda: closing.add(asyncio.ensure_future(connection.close())))

        self._connections.add(connection)
        session = self._hub.welcome(send_text, hang_up)
        writer = asyncio.ensure_future(_write(connection, outgoing))
        try:
            async for text in connection:
                self._hub.hear(session, text)
        except ConnectionClosed:
            pass  # the client went away without a word, which is its right
        finally:
            self._connections.discard(connection)
            self._hub.forget(session)
            writer.cancel()


async def _write(connection: ServerConnection, outgoing: asyncio.Queue[str]) -> None:
    try:
        while True:
            await connection.send(await outgoing.get())
    except ConnectionClosed:
        return
