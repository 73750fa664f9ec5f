"""The connection to a hub: one websocket, requests with answers, and what the hub says by itself.

It keeps the connection alive, connects again after a loss, and belongs to one process: a forked child opens
its own when it first needs one. It knows commands only as names. It must not judge answers (`light` does),
repeat a request whose outcome is unknown, or log what a message contains: payment packages and signatures
pass through here.
"""

from __future__ import annotations

import atexit
import encodings.idna  # noqa: F401 - else by the thread that connects, and a fork meanwhile leaves a child half of it
import logging
import os
import random
import secrets
import socket
import struct
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from threading import Condition, Thread, current_thread
from time import monotonic
from typing import Any, NoReturn
from weakref import WeakSet

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from paypercall.announcer import Announcer
from paypercall.obyte.errors import HubError, HubRefused, HubTimeout
from paypercall.obyte.frames import (
    is_on_this_machine,
    parse_frame,
    print_frame,
    refusal_text,
    websocket_url,
)
from paypercall.obyte.network import Network

REQUEST_SECONDS = 30.0
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 2.0
SEND_SECONDS = 20.0
HEARTBEAT_SECONDS = 10.0  # of silence before we ask whether the hub is there, as ocore does
SILENCE_SECONDS = 60.0  # before the connection counts as lost, as ocore does
FIRST_RETRY_SECONDS = 0.25
LAST_RETRY_SECONDS = 30.0
STEADY_SECONDS = 10.0  # a connection that lasted so long counts, and earns a quick retry
MAX_FRAME_BYTES = 64 * 1024 * 1024  # a history of 2,000 units takes several megabytes

# Hubs turn away every client that claims less than 0.4.0 here, whatever its library is called.
_LIBRARY_VERSION = "0.4.6"
_LIGHT = {"error": "I'm light, cannot subscribe you to updates"}

_logger = logging.getLogger(__name__)
# The library logs the beginning of each frame at DEBUG, which no setting of a host may bring to light.
_wire_logger = logging.getLogger(f"{__name__}.wire")
_wire_logger.setLevel(logging.WARNING)


class Hub:
    """A connection to one hub, shared by all threads of a process.

    Args:
        url: `wss://…` or `ws://…`; without a scheme, `wss://` is meant.
        network: The network that the hub must be on.
        program: What the hub is told we are.

    Attributes:
        url: The hub's websocket address.
        connections: How many connections there have been; with each new one the hub knows nothing of us.
        unconnected_since: When the last steady connection was lost, or the first one was tried, in seconds of the
            monotonic clock.

    Raises:
        HubError: The url is no websocket address.
    """

    def __init__(self, url: str, network: Network, *, program: str = "paypercall") -> None:
        self.url = websocket_url(url)
        self._network = network
        self._program = program
        self._subscribers: dict[str, list[Callable[..., None]]] = {}
        self._connect_callbacks: list[Callable[..., None]] = []
        self._announcer = Announcer("paypercall-hub-events")
        self._closed = False
        self._begin()
        _hubs.add(self)

    def _begin(self) -> None:
        self._changed = Condition()
        self._connection: ClientConnection | None = None
        self._pending: dict[str, Future[Any]] = {}
        self._reader: Thread | None = None
        self._failure = "it was not tried yet"
        self.unconnected_since = monotonic()
        self.connections = 0
        self._connected_at = monotonic()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    def start(self) -> None:
        """Starts to connect, and returns at once; needed only to receive what the hub says by itself.

        Raises:
            HubError: The hub was closed.
        """
        with self._changed:
            if self._closed:
                raise HubError(f"the connection to {self.url} was closed")
            if self._reader is None:
                self.unconnected_since = monotonic()
                self._reader = Thread(target=self._run, name="paypercall-hub-reader", daemon=True)
                self._reader.start()

    def close(self) -> None:
        """Closes the connection for good and ends the threads; requests under way fail with HubError."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            connection, reader = self._connection, self._reader
            self._lose_connection("it was closed")
        if connection is not None:
            connection.close()
        if reader is not None and reader is not current_thread():
            reader.join(CLOSE_SECONDS)
        self._announcer.flush(CLOSE_SECONDS)

    def subscribe(self, subject: str, callback: Callable[[Any], None]) -> Callable[[], None]:
        """Calls back with the body, or None, whenever the hub says something under that subject.

        Callbacks run one after the other in a thread of their own, so they may ask the hub. An error in one
        is logged. When a thousand calls wait, further ones are dropped: what the hub says is a hint, not the
        truth.

        Returns:
            A function that ends the subscription.
        """
        return self._add(self._subscribers.setdefault(subject, []), callback)

    def on_connect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back after each new connection, in the same thread as `subscribe`.

        That is the time to ask for histories again: with the connection, a hub forgets who watches which
        address.

        Returns:
            A function that ends the subscription.
        """
        return self._add(self._connect_callbacks, callback)

    def _add(self, callbacks: list[Callable[..., None]], callback: Callable[..., None]) -> Callable[[], None]:
        with self._changed:
            callbacks.append(callback)

        def remove() -> None:
            with self._changed, suppress(ValueError):
                callbacks.remove(callback)

        return remove

    def request(self, command: str, params: Any = None, timeout: float = REQUEST_SECONDS) -> Any:
        """Asks the hub and waits for its answer.

        Args:
            command: For example "light/get_history".
            params: Anything JSON; left out if None.
            timeout: Seconds for all of it, waiting for a connection included.

        Returns:
            The response as parsed JSON; None if the hub gave none.

        Raises:
            HubRefused: The hub answered with an error; the text is its own.
            HubTimeout: No answer in time; whether the hub acted is unknown.
            HubError: No connection, or it was lost while waiting: then, too, the outcome is unknown.
        """
        deadline = monotonic() + timeout
        # Never the same tag twice: a hub ignores a request whose tag it is still busy with, and remembers the
        # tags of histories that were too large, for all its clients together.
        tag = secrets.token_urlsafe(16)
        answer: Future[Any] = Future()
        with self._changed:
            connection = self._await_connection(deadline, timeout)
            self._pending[tag] = answer
        body = {"command": command, "tag": tag}
        if params is not None:
            body["params"] = params
        try:
            self._send(connection, "request", body, command)
            response = answer.result(max(0.0, deadline - monotonic()))
        except FutureTimeout:
            raise HubTimeout(f"{self.url} did not answer {command} within {timeout:g} seconds") from None
        finally:
            with self._changed:
                self._pending.pop(tag, None)
        if isinstance(response, dict) and "error" in response:
            raise HubRefused(refusal_text(response["error"]))
        return response

    def say(self, subject: str, body: Any) -> None:
        """Says something that the hub does not answer.

        Raises:
            HubError: There is no connection, or it was lost.
        """
        connection = self._connection
        if connection is None:
            raise HubError(f"no connection to {self.url}: {self._failure}")
        self._send(connection, "justsaying", {"subject": subject, "body": body}, subject)

    def _await_connection(self, deadline: float, timeout: float) -> ClientConnection:
        self.start()
        with self._changed:
            self._changed.wait_for(
                lambda: self._connection is not None or self._closed, max(0.0, deadline - monotonic())
            )
            if self._closed:
                raise HubError(f"the connection to {self.url} was closed")
            if self._connection is None:
                raise HubError(f"no connection to {self.url} within {timeout:g} seconds: {self._failure}")
            return self._connection

    def _send(self, connection: ClientConnection, kind: str, body: dict[str, Any], name: str) -> None:
        text = print_frame(kind, body)
        _logger.debug("to the hub: %s %s, %d characters", kind, name, len(text))
        try:
            connection.send(text)
        except (WebSocketException, OSError) as error:
            reason = _reason(error) if self._connection is connection else self._failure
            raise HubError(f"the connection to {self.url} was lost: {reason}") from error

    def _run(self) -> None:
        """The reader thread: connects, reads until the connection is lost, waits, and connects again."""
        delay = FIRST_RETRY_SECONDS
        while not self._closed:
            began = monotonic()
            failure = self._connect_and_read()
            with self._changed:
                if self._closed:
                    return
                self._lose_connection(failure)
                delay = FIRST_RETRY_SECONDS if monotonic() - began > STEADY_SECONDS else delay
                pause = delay * random.uniform(0.5, 1.0)
                _logger.warning("no connection to %s: %s; next try in %.2f seconds", self.url, failure, pause)
                self._changed.wait_for(lambda: self._closed, pause)
            delay = min(delay * 2, LAST_RETRY_SECONDS)

    def _connect_and_read(self) -> str:
        """Returns why the connection failed or ended."""
        try:
            connection = connect(
                self.url,
                # A proxy of the environment would look for a hub of this machine on its own one.
                proxy=None if is_on_this_machine(self.url) else True,
                max_size=MAX_FRAME_BYTES,
                open_timeout=OPEN_SECONDS,
                close_timeout=CLOSE_SECONDS / 2,
                logger=_wire_logger,
            )
            with connection:
                try:
                    self._greet(connection)
                    self._read(connection)
                except (WebSocketException, OSError, HubError) as error:
                    # Said before the closing handshake, for which a hub that is gone would let everyone wait.
                    with self._changed:
                        self._lose_connection(_reason(error))
        except (WebSocketException, OSError, ValueError) as error:
            return _reason(error)
        except Exception as error:
            _logger.exception("the reader of %s failed", self.url)
            return _reason(error)
        return self._failure

    def _greet(self, connection: ClientConnection) -> None:
        # Without this limit a hub that stops reading could hold a sender, and with it all senders, for ever.
        limit = struct.pack("ll", int(SEND_SECONDS), int(SEND_SECONDS % 1 * 1_000_000))
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        version = {
            "protocol_version": self._network.version,
            "alt": self._network.alt,
            "library": "paypercall",
            "library_version": _LIBRARY_VERSION,
            "program": self._program,
        }
        self._send(connection, "justsaying", {"subject": "version", "body": version}, "version")
        with self._changed:
            if self._closed:
                raise HubError("it was closed")
            self._connection = connection
            self.connections += 1
            self._connected_at = monotonic()
            self._changed.notify_all()
            for callback in self._connect_callbacks:
                self._announcer.announce(callback)
        _logger.info("connected to %s", self.url)

    def _read(self, connection: ClientConnection) -> NoReturn:
        last_heard = monotonic()
        while True:
            try:
                frame = connection.recv(timeout=HEARTBEAT_SECONDS)
            except TimeoutError:
                if monotonic() - last_heard > SILENCE_SECONDS:
                    raise HubError(f"it was silent for {SILENCE_SECONDS:g} seconds") from None
                heartbeat = {"command": "heartbeat", "tag": secrets.token_urlsafe(16)}
                self._send(connection, "request", heartbeat, "heartbeat")
                continue
            last_heard = monotonic()
            self._handle(connection, frame)

    def _handle(self, connection: ClientConnection, frame: str | bytes) -> None:
        kind, body = parse_frame(frame)
        if kind == "response":
            self._take_answer(body, len(frame))
        elif kind == "justsaying":
            self._take_saying(body, len(frame))
        elif kind == "request":
            self._answer(connection, body)
        else:
            _logger.warning("%s sent %d characters that are no message; ignored", self.url, len(frame))

    def _take_answer(self, body: dict[str, Any], size: int) -> None:
        tag = body.get("tag")
        with self._changed:
            answer = self._pending.pop(tag, None) if isinstance(tag, str) else None
        _logger.debug(
            "from the hub: response %s, %d characters", "expected" if answer else "not awaited", size
        )
        if answer is not None:
            answer.set_result(body.get("response"))

    def _take_saying(self, body: dict[str, Any], size: int) -> None:
        subject = body.get("subject")
        if not isinstance(subject, str):
            return
        _logger.debug("from the hub: justsaying %.50s, %d characters", subject, size)
        content = body.get("body")
        if subject == "version":
            self._check_network(content)
        with self._changed:
            callbacks = tuple(self._subscribers.get(subject, ()))
        for callback in callbacks:
            self._announcer.announce(callback, content)

    def _check_network(self, version: Any) -> None:
        alt = version.get("alt") if isinstance(version, dict) else None
        if alt != self._network.alt:
            ours = self._network.alt
            raise HubError(f"the hub is on another network (its alt is {str(alt)[:10]!r}, ours {ours!r})")

    def _answer(self, connection: ClientConnection, body: dict[str, Any]) -> None:
        tag, command = body.get("tag"), body.get("command")
        if not isinstance(tag, str) or not isinstance(command, str):
            return
        response: dict[str, Any] = {"tag": tag, "command": command}
        if command != "heartbeat":
            response["response"] = _LIGHT
        self._send(connection, "response", response, command[:50])

    def _lose_connection(self, failure: str) -> None:
        """Forgets the connection and fails what waits for it; the caller holds the condition."""
        if self._connection is not None and monotonic() - self._connected_at > STEADY_SECONDS:
            self.unconnected_since = monotonic()
        self._connection = None
        self._failure = failure
        for answer in self._pending.values():
            answer.set_exception(HubError(f"the connection to {self.url} was lost: {failure}"))
        self._pending.clear()
        self._changed.notify_all()

    def _begin_in_child(self) -> None:
        inherited = self._connection
        self._begin()
        if inherited is not None:
            # Only this process's handle: a closing handshake would end the parent's connection.
            with suppress(OSError):
                inherited.socket.close()


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, HubError) else f"{type(error).__name__}: {error}"


def _begin_in_child() -> None:
    for hub in tuple(_hubs):
        hub._begin_in_child()


def _close_all() -> None:
    for hub in tuple(_hubs):
        hub.close()


_hubs: WeakSet[Hub] = WeakSet()
os.register_at_fork(after_in_child=_begin_in_child)
atexit.register(_close_all)
