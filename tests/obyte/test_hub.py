"""The connection to a hub, against a real websocket server: how it speaks, and what wrongs it bears."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from paypercall.obyte import hub as hub_module
from paypercall.obyte.errors import HubError, HubRefused, HubTimeout
from paypercall.obyte.frames import is_on_this_machine
from paypercall.obyte.hub import Hub
from paypercall.obyte.network import devnet

RECORDING = Path(__file__).parents[1] / "recordings" / "traffic-extra.jsonl"
NETWORK = devnet("RTUynATsgV1FZCSMfIfqUMH2wjfrh0O9k891Ec+d65k=", ("XZ33YNFB76VTXXUGNTNHU3QSD43FSURX",))
Reply = Callable[[ServerConnection, dict[str, Any]], None]


class HubServer:
    """A websocket server that keeps what it hears and replies as the test tells it."""

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {
            "ping": lambda connection, request: answer(connection, request, "pong")
        }
        self.greet: Callable[[ServerConnection], None] = lambda connection: None
        self.heard: list[list[Any]] = []
        self.connections: list[ServerConnection] = []
        self._server = serve(self._serve, "127.0.0.1", 0, max_size=2**26)
        self.port: int = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        self.greet(connection)
        with suppress(ConnectionClosed):
            for text in connection:
                kind, body = json.loads(text)
                self.heard.append([kind, body])
                reply = self.replies.get(body.get("command", ""))
                if kind == "request" and reply is not None:
                    reply(connection, body)

    def requests(self, command: str) -> list[dict[str, Any]]:
        return [body for kind, body in self.heard if kind == "request" and body["command"] == command]

    def stop(self) -> None:
        self._server.shutdown()
        for connection in self.connections:
            connection.close()
        self._thread.join()


def send(connection: ServerConnection, kind: str, body: Any) -> None:
    connection.send(json.dumps([kind, body]))


def answer(connection: ServerConnection, request: dict[str, Any], response: Any) -> None:
    send(connection, "response", {"tag": request["tag"], "command": request["command"], "response": response})


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def server() -> Iterator[HubServer]:
    hub_server = HubServer()
    yield hub_server
    hub_server.stop()


@pytest.fixture
def hub(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(hub_module, "FIRST_RETRY_SECONDS", 0.01)
    connection = Hub(server.url, NETWORK)
    yield connection
    connection.close()


def test_a_hub_of_this_machine_is_asked_past_a_proxy(
    hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert hub.request("ping") == "pong"


@pytest.mark.parametrize("scheme", ["http_proxy", "https_proxy"])
def test_another_hub_is_asked_through_the_environments_proxy(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(10)
        for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv(scheme, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        hub = Hub("ws://hub.invalid:6611", NETWORK)
        hub.start()
        connection, _ = proxy.accept()
        with connection:
            assert connection.recv(100).startswith(b"CONNECT hub.invalid:6611 HTTP/1.1")
        hub.close()


@pytest.mark.parametrize(
    "url",
    ["ws://127.0.0.1:6611", "wss://127.9.9.9", "ws://localhost:6611/bb", "ws://LOCALHOST", "ws://[::1]:6611"],
)
def test_an_address_of_the_loopback_interface_is_on_this_machine(url: str) -> None:
    assert is_on_this_machine(url)


@pytest.mark.parametrize(
    "url",
    [
        "wss://obyte.org/bb",
        "ws://10.0.0.1",
        "ws://localhost.obyte.org",
        "ws://[2001:db8::1]",
        "ws://1270.0.0.1",
    ],
)
def test_any_other_address_is_not_on_this_machine(url: str) -> None:
    assert not is_on_this_machine(url)


def test_it_introduces_itself_before_it_asks(hub: Hub, server: HubServer) -> None:
    assert hub.request("ping") == "pong"
    kind, body = server.heard[0]
    assert (kind, body["subject"]) == ("justsaying", "version")
    assert (body["body"]["protocol_version"], body["body"]["alt"]) == ("4.0dev", "3")
    assert server.heard[1][1]["command"] == "ping"


def test_each_request_of_a_recorded_session_gets_the_recorded_answer(hub: Hub, server: HubServer) -> None:
    lines = [json.loads(line) for line in RECORDING.read_text().splitlines()]
    messages = [(line["dir"], *line["msg"]) for line in lines if "msg" in line]
    asked = [body for way, kind, body in messages if (way, kind) == ("client->hub", "request")]
    recorded = {
        body["tag"]: body for way, kind, body in messages if (way, kind) == ("hub->client", "response")
    }

    for request in asked:
        response = recorded[request["tag"]].get("response")
        server.replies[request["command"]] = lambda connection, body, response=response: send(
            connection,
            "response",
            {"tag": body["tag"], "command": body["command"]}
            if response is None
            else {"tag": body["tag"], "command": body["command"], "response": response},
        )
        if isinstance(response, dict) and "error" in response:
            with pytest.raises(HubRefused) as refusal:
                hub.request(request["command"], request.get("params"))
            assert str(refusal.value) == response["error"]
        else:
            assert hub.request(request["command"], request.get("params")) == response
        assert server.heard[-1][1].get("params") == request.get("params")
    assert len(asked) > 15


def test_the_hubs_own_requests_are_answered(hub: Hub, server: HubServer) -> None:
    hub.request("ping")
    send(server.connections[0], "request", {"command": "subscribe", "params": {}, "tag": "s"})
    send(server.connections[0], "request", {"command": "heartbeat", "tag": "h"})
    wait_until(lambda: len([1 for kind, _ in server.heard if kind == "response"]) == 2)
    responses = [body for kind, body in server.heard if kind == "response"]
    light = {"error": "I'm light, cannot subscribe you to updates"}
    assert responses == [
        {"tag": "s", "command": "subscribe", "response": light},
        {"tag": "h", "command": "heartbeat"},
    ]


def test_many_threads_get_each_its_own_answer(hub: Hub, server: HubServer) -> None:
    waiting: list[tuple[ServerConnection, dict[str, Any]]] = []
    server.replies["echo"] = lambda connection, request: waiting.append((connection, request))
    results: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda number=number: results.update({number: hub.request("echo", number)}))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(waiting) == 20)
    for connection, request in reversed(waiting):
        answer(connection, request, request["params"])
    for thread in threads:
        thread.join()
    assert results == {number: number for number in range(20)}
    tags = {request["tag"] for _, request in waiting}
    assert len(tags) == 20
    assert all(len(tag) <= 44 for tag in tags), "hubs refuse longer tags"


def test_silence_ends_in_a_time_out(hub: Hub) -> None:
    hub.request("ping")
    with pytest.raises(HubTimeout, match=r"light/get_history within 0\.05 seconds"):
        hub.request("light/get_history", {}, timeout=0.05)
    assert hub.request("ping") == "pong"


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "not json",
        b"\x00\xff",
        "[1, 2]",
        "{}",
        '["response"]',
        '["response", []]',
        '["response", {"tag": {}, "response": 1}]',
        '["response", {"tag": "unknown", "response": 1}]',
        '["justsaying", {"subject": 7}]',
        '["request", {"command": "subscribe"}]',
        '["request", {"command": 5, "tag": "x"}]',
        '["nonsense", {"tag": "x"}]',
        '["justsaying", NaN]',
        '["response", {"tag": "x", "response": ' + "[" * 100_000,
        '["justsaying", {"subject": "x", "body": 1' + "0" * 5_000 + "}]",
    ],
)
def test_garbage_is_ignored(hub: Hub, server: HubServer, frame: str | bytes) -> None:
    def reply(connection: ServerConnection, request: dict[str, Any]) -> None:
        connection.send(frame)
        answer(connection, request, "still here")

    server.replies["x"] = reply
    assert hub.request("x", timeout=5) == "still here"
    assert len(server.connections) == 1


def test_an_answer_under_a_wrong_tag_is_nobodys_answer(hub: Hub, server: HubServer) -> None:
    server.replies["x"] = lambda connection, request: answer(connection, {**request, "tag": "other"}, "wrong")
    hub.request("ping")
    with pytest.raises(HubTimeout):
        hub.request("x", timeout=0.05)


def test_a_late_answer_is_dropped(hub: Hub, server: HubServer) -> None:
    late: list[tuple[ServerConnection, dict[str, Any]]] = []
    server.replies["x"] = lambda connection, request: late.append((connection, request))
    hub.request("ping")
    with pytest.raises(HubTimeout):
        hub.request("x", timeout=0.05)
    wait_until(lambda: bool(late))
    answer(*late[0], "late")
    assert hub.request("ping") == "pong"


def test_a_hang_up_fails_what_waits_and_the_next_request_uses_a_new_connection(
    hub: Hub, server: HubServer
) -> None:
    server.replies["x"] = lambda connection, request: connection.close()
    with pytest.raises(HubError, match="was lost") as failure:
        hub.request("x")
    assert not isinstance(failure.value, HubTimeout | HubRefused)
    assert hub.request("ping") == "pong"
    assert len(server.connections) == 2


def test_a_broken_transport_is_like_a_hang_up(hub: Hub, server: HubServer) -> None:
    def reset(connection: ServerConnection, request: dict[str, Any]) -> None:
        connection.socket.shutdown(socket.SHUT_RDWR)

    server.replies["x"] = reset
    with pytest.raises(HubError, match="was lost"):
        hub.request("x")
    assert hub.request("ping") == "pong"


def test_a_frame_above_the_limit_ends_the_connection(
    hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub_module.MAX_FRAME_BYTES == 64 * 1024 * 1024
    monkeypatch.setattr(hub_module, "MAX_FRAME_BYTES", 100_000)
    server.replies["large"] = lambda connection, request: answer(connection, request, "x" * 99_000)
    server.replies["huge"] = lambda connection, request: answer(connection, request, "x" * 100_001)
    assert len(hub.request("large")) == 99_000
    with pytest.raises(HubError, match="was lost"):
        hub.request("huge")
    assert hub.request("ping") == "pong"


def test_a_history_of_several_megabytes_arrives(hub: Hub, server: HubServer) -> None:
    server.replies["x"] = lambda connection, request: answer(connection, request, ["y" * 1000] * 5000)
    assert len(hub.request("x")) == 5000


def test_retries_come_at_growing_intervals(
    hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub_module.random, "uniform", lambda low, high: high)
    monkeypatch.setattr(hub_module, "LAST_RETRY_SECONDS", 0.05)
    server.greet = lambda connection: connection.close()
    hub.start()
    wait_until(lambda: len(server.connections) >= 6)
    pauses = [record.args[2] for record in caplog.records if "next try" in record.message]  # type: ignore[index]
    assert pauses[:5] == [0.01, 0.02, 0.04, 0.05, 0.05]


def test_a_hub_that_comes_up_later_is_found(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "FIRST_RETRY_SECONDS", 0.01)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    hub = Hub(f"ws://127.0.0.1:{port}", NETWORK)
    try:
        with pytest.raises(HubError, match=r"no connection to .* within 0.5 seconds: ConnectionRefusedError"):
            hub.request("ping", timeout=0.5)
        late = serve(
            lambda connection: answer(connection, first_request(connection), "up"), "127.0.0.1", port
        )
        thread = threading.Thread(target=late.serve_forever)
        thread.start()
        assert hub.request("ping") == "up"
        hub.close()
        late.shutdown()
        thread.join()
    finally:
        hub.close()


def first_request(connection: ServerConnection) -> dict[str, Any]:
    while True:
        kind, body = json.loads(connection.recv())
        if kind == "request":
            return dict(body)


def test_an_error_of_ours_in_the_reader_is_logged_and_survived(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    connect = hub_module.connect

    def fail_once(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(hub_module, "connect", connect)
        raise LookupError("a fault of the reader")

    monkeypatch.setattr(hub_module, "connect", fail_once)
    assert hub.request("ping") == "pong"
    assert "Traceback" in caplog.text
    assert "a fault of the reader" in caplog.text


def test_each_new_connection_is_announced(hub: Hub, server: HubServer) -> None:
    seen: list[Any] = []
    hub.on_connect(lambda: seen.append(hub.request("ping")))
    hub.start()
    wait_until(lambda: len(seen) == 1)
    server.connections[0].close()
    wait_until(lambda: seen == ["pong", "pong"])


def test_pushes_reach_their_subscribers_who_may_ask_the_hub(hub: Hub, server: HubServer) -> None:
    seen: list[Any] = []
    hub.subscribe("light/have_updates", lambda body: seen.append((body, hub.request("ping"))))
    hub.subscribe("light/sequence_became_bad", seen.append)
    hub.request("ping")
    send(server.connections[0], "justsaying", {"subject": "light/have_updates"})
    send(server.connections[0], "justsaying", {"subject": "something/else", "body": 1})
    send(server.connections[0], "justsaying", {"subject": "light/sequence_became_bad", "body": ["a unit"]})
    wait_until(lambda: len(seen) == 2)
    assert seen == [(None, "pong"), ["a unit"]]


def test_an_ended_subscription_hears_nothing_more(hub: Hub, server: HubServer) -> None:
    seen: list[Any] = []
    end = hub.subscribe("joint", lambda body: seen.append(("ended", body)))
    hub.subscribe("joint", seen.append)
    end_connect = hub.on_connect(lambda: seen.append("connected"))
    end()
    end_connect()
    end()
    hub.request("ping")
    send(server.connections[0], "justsaying", {"subject": "joint", "body": 1})
    wait_until(lambda: seen == [1])


def test_an_error_in_a_callback_is_logged_and_the_next_push_arrives(
    hub: Hub, server: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    def fail(body: Any) -> None:
        raise LookupError("the callback's own fault")

    hub.subscribe("joint", fail)
    hub.subscribe("joint", seen.append)
    hub.request("ping")
    send(server.connections[0], "justsaying", {"subject": "joint", "body": 1})
    send(server.connections[0], "justsaying", {"subject": "joint", "body": 2})
    wait_until(lambda: seen == [1, 2])
    assert "the callback's own fault" in caplog.text
    assert "Traceback" in caplog.text
    assert hub.request("ping") == "pong"


def test_a_quiet_hub_is_asked_for_a_heartbeat_and_given_up_when_it_gives_none(
    hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(hub_module, "SILENCE_SECONDS", 0.05)
    hub.start()
    wait_until(lambda: len(server.requests("heartbeat")) >= 2)
    wait_until(lambda: len(server.connections) >= 2)


def test_a_quiet_hub_that_answers_heartbeats_stays(
    hub: Hub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(hub_module, "SILENCE_SECONDS", 1.0)
    server.replies["heartbeat"] = lambda connection, request: send(
        connection, "response", {"tag": request["tag"], "command": "heartbeat"}
    )
    hub.start()
    wait_until(lambda: len(server.requests("heartbeat")) >= 110)
    assert len(server.connections) == 1


def test_a_hub_on_another_network_is_not_used(server: HubServer, hub: Hub) -> None:
    version = {"protocol_version": "4.0", "alt": "1", "library_version": "0.4.6"}
    server.greet = lambda connection: send(connection, "justsaying", {"subject": "version", "body": version})
    server.replies.clear()
    with pytest.raises(HubError, match=r"another network \(its alt is '1', ours '3'\)"):
        hub.request("ping")


@pytest.mark.parametrize("url", ["http://hub.example", "hub.example:x y://", "ws://", ""])
def test_an_address_that_is_no_websocket_is_refused(url: str) -> None:
    with pytest.raises(HubError, match="no websocket address"):
        Hub(url, NETWORK)


def test_an_address_without_a_scheme_means_a_secure_websocket() -> None:
    assert Hub("obyte.example/bb", NETWORK).url == "wss://obyte.example/bb"


def test_closing_fails_what_waits_ends_the_threads_and_is_final(server: HubServer) -> None:
    hub = Hub(server.url, NETWORK)
    hub.request("ping")
    failures: list[Exception] = []

    def ask() -> None:
        try:
            hub.request("never answered")
        except HubError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: bool(server.requests("never answered")))
    hub.close()
    thread.join()
    assert len(failures) == 1
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("paypercall-hub")]
    for use in (lambda: hub.request("ping"), hub.start):
        with pytest.raises(HubError, match="closed"):
            use()
    hub.close()


def test_a_callback_may_close_the_connection(server: HubServer) -> None:
    hub = Hub(server.url, NETWORK)
    hub.subscribe("bye", lambda body: hub.close())
    hub.request("ping")
    send(server.connections[0], "justsaying", {"subject": "bye"})
    wait_until(
        lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("paypercall-hub")]
    )


def test_a_forked_child_opens_its_own_connection_and_leaves_the_parents_alone(
    hub: Hub, server: HubServer
) -> None:
    hub.request("ping")
    child = os.fork()
    if child == 0:
        outcome = 1
        try:
            outcome = 0 if hub.request("ping", timeout=10) == "pong" else 2
            hub.close()
        finally:
            os._exit(outcome)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert hub.request("ping") == "pong"
    assert len(server.connections) == 2, "one of the parent, one of the child"


def test_a_program_that_forgets_to_close_exits_quietly(server: HubServer) -> None:
    program = f"""
import threading
from paypercall.obyte.hub import Hub
from paypercall.obyte.network import devnet
hub = Hub({server.url!r}, devnet("RTUynATsgV1FZCSMfIfqUMH2wjfrh0O9k891Ec+d65k=", ("X" * 32,)))
print(hub.request("ping"))
waiting = threading.Thread(target=lambda: hub.request("never answered"), daemon=True)
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "pong\n", "")
    wait_until(lambda: server.connections[0].protocol.close_code is not None)
    assert server.connections[0].protocol.close_code == 1000, "the hub was told good-bye"


def test_no_log_holds_what_is_said(hub: Hub, server: HubServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.replies["post_joint"] = lambda connection, request: answer(
        connection, request, {"secret": "answer"}
    )
    hub.subscribe("joint", lambda body: None)
    hub.request("post_joint", {"unit": {"authentifiers": {"r": "a-signature"}}})
    send(server.connections[0], "justsaying", {"subject": "joint", "body": "secret push"})
    server.connections[0].send("secret garbage")
    hub.request("ping")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("paypercall")]
    assert any("post_joint" in message for message in ours)
    assert not [message for message in ours if "secret" in message or "a-signature" in message]


@contextmanager
def deaf_server() -> Iterator[str]:
    """A server that completes the handshake and then never reads again."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        accepted: list[socket.socket] = []

        def serve_deaf() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                accepted.append(connection)
                head = connection.recv(4096).decode()
                key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
                digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
                accept = base64.b64encode(digest).decode()
                connection.sendall(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
                )

        thread = threading.Thread(target=serve_deaf)
        thread.start()
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in accepted:
            connection.close()


def test_a_hub_that_stops_reading_cannot_hold_a_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "SEND_SECONDS", 0.1)
    with deaf_server() as url:
        hub = Hub(url, NETWORK)
        try:
            with pytest.raises(HubError, match="was lost"):
                hub.request("post_joint", os.urandom(20_000_000).hex(), timeout=20)
        finally:
            hub.close()


def test_the_thread_that_connects_imports_nothing() -> None:
    """A fork in the middle of an import leaves the child with half a module, and its requests fail or hang."""
    code = "import sys, paypercall.obyte.hub; print('encodings.idna' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "True"
