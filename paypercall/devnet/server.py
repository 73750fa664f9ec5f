"""The wire of the hub: websockets on the loopback interface, served by one thread.

Texts go out through a queue a connection, so that a slow client holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event, Thread

from websockets.asyncio.server import Server as WebsocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from paypercall.devnet.hub import Hub

HOST = "127.0.0.1"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


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
        self._loop = asyncio.new_event_loop()
        self._websocket_server: WebsocketServer | None = None
        self._problem: OSError | None = None
        self._is_ready = Event()
        self._thread = Thread(target=self._run, args=(port,), name="devnet-hub", daemon=True)
        self._thread.start()
        self._is_ready.wait()
        if self._problem is not None:
            raise self._problem

    @property
    def url(self) -> str:
        """Where clients connect to."""
        assert self._websocket_server is not None
        port = next(iter(self._websocket_server.sockets)).getsockname()[1]
        return f"ws://{HOST}:{port}"

    def close(self) -> None:
        """Drops all connections and stops."""
        self._loop.call_soon_threadsafe(self._close_soon)
        self._thread.join()

    def _run(self, port: int) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(port))
        except OSError as error:
            self._problem = error
            self._is_ready.set()
        finally:
            self._loop.close()

    async def _serve(self, port: int) -> None:
        async with serve(
            self._converse,
            HOST,
            port,
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            ping_interval=None,
            close_timeout=1,
        ) as server:
            self._websocket_server = server
            self._is_ready.set()
            await server.wait_closed()

    def _close_soon(self) -> None:
        assert self._websocket_server is not None
        self._websocket_server.close()

    async def _converse(self, connection: ServerConnection) -> None:
        outgoing: asyncio.Queue[str] = asyncio.Queue()
        session = self._hub.welcome(self._from_any_thread(outgoing.put_nowait), self._hanging_up(connection))
        writer = asyncio.ensure_future(_write(connection, outgoing))
        try:
            async for text in connection:
                self._hub.hear(session, text)
        except ConnectionClosed:
            pass  # the client went away without a word, which is its right
        finally:
            self._hub.forget(session)
            writer.cancel()

    def _from_any_thread(self, function: Callable[[str], None]) -> Callable[[str], None]:
        def call(text: str) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(function, text)

        return call

    def _hanging_up(self, connection: ServerConnection) -> Callable[[], None]:
        def hang_up() -> None:
            if not self._loop.is_closed():
                asyncio.run_coroutine_threadsafe(connection.close(), self._loop)

        return hang_up


async def _write(connection: ServerConnection, outgoing: asyncio.Queue[str]) -> None:
    try:
        while True:
            await connection.send(await outgoing.get())
    except ConnectionClosed:
        return
