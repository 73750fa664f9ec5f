"""A real websocket server that says again what the hub of a recorded session said.

A request gets the answer that the same request got in the session, and before it come the pushes that came before that
answer. Requests of the recorded client that nobody makes are passed over, together with their answers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.replay.recording import HISTORY, NETWORK, Line, Recording

NOT_RECORDED = "not in the recording"


class RecordedHub:
    """The hub of one session.

    Args:
        recording: The session.
        is_strict: Takes only the recorded requests to the letter. Otherwise a history may be asked for in other words,
            as long as it is of the same addresses; the recorded answer then lacks what lies below `min_mci`.
        known_definitions: By address, for requests that the recorded client did not need to make.

    Attributes:
        heard: All that the client said, kind and content.
        matched: The recorded requests that were made again, in order.
        unrecorded: The other requests, command and parameters.
        next_request: The number of the line from which on requests are still to be made.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        is_strict: bool = False,
        known_definitions: Mapping[str, Any] | None = None,
    ) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.matched: list[Line] = []
        self.unrecorded: list[tuple[str, Any]] = []
        self.next_request = 1
        self._next_push = 1
        self._recording = recording
        self._is_strict = is_strict
        self._definitions = known_definitions or {}
        self._addresses = {
            address
            for request in recording.requests(HISTORY)
            for address in request.content["params"].get("addresses", ())
        }
        self._connections: list[ServerConnection] = []
        self._server = serve(self._serve, "127.0.0.1", 0, max_size=None, compression=None)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        for connection in self._connections:
            connection.close()
        self._thread.join()

    def finish(self) -> None:
        """Says what the hub said by itself after the last request."""
        self._play(self._connections[-1], len(self._recording.lines) + 1)

    def _serve(self, connection: ServerConnection) -> None:
        self._connections.append(connection)
        first_request = self._recording.requests()[0]
        with suppress(ConnectionClosed):
            self._play(connection, first_request.number)
            for text in connection:
                kind, content = json.loads(text)
                self.heard.append((kind, content))
                if kind == "request":
                    self._answer(connection, content)

    def _answer(self, connection: ServerConnection, request: dict[str, Any]) -> None:
        answer = {"tag": request["tag"], "command": request["command"]}
        recorded = self._find(request)
        if recorded is None:
            answer["response"] = self._answer_unrecorded(request["command"], request.get("params"))
        else:
            self.matched.append(recorded)
            self.next_request = recorded.number + 1
            recorded_answer = self._recording.answer_to(recorded)
            self._play(connection, recorded_answer.number)
            if "response" in recorded_answer.content:
                answer["response"] = _above(recorded_answer.content["response"], request.get("params"))
        connection.send(json.dumps(["response", answer]))

    def _play(self, connection: ServerConnection, until: int) -> None:
        for line in self._recording.pushes():
            if self._next_push <= line.number < until:
                connection.send(json.dumps([line.kind, line.content]))
        self._next_push = max(self._next_push, until)

    def _find(self, request: dict[str, Any]) -> Line | None:
        if request["command"] == "get_witnesses" and not self._is_strict:
            return None
        if is_about_the_network(request["command"], request.get("params")):
            return None
        for line in self._recording.requests(request["command"]):
            if line.number >= self.next_request and self._is_same(
                request["command"], request.get("params"), line.content.get("params")
            ):
                return line
        return None

    def _is_same(self, command: str, params: Any, recorded: Any) -> bool:
        if command != HISTORY or self._is_strict:
            return _in_order(params) == _in_order(recorded)
        asked = self._addresses.intersection(params.get("addresses", ()))
        is_of_all = bool(asked) and asked == set(recorded.get("addresses", ()))
        return is_of_all and params["witnesses"] == recorded["witnesses"]

    def _answer_unrecorded(self, command: str, params: Any) -> Any:
        if command == "get_witnesses":
            [request, *_] = self._recording.requests(command)  # the answer is the same at any time
            return self._recording.answer_to(request).content["response"]
        if is_about_the_network(command, params):
            return {"joint": {"unit": {"unit": params}}}
        if command == "light/get_definition_for_address" and params["address"] in self._definitions:
            address = params["address"]
            definition = self._definitions[address]
            return {"definition_chash": address, "definition": definition, "is_stable": True}
        self.unrecorded.append((command, params))
        return {"error": NOT_RECORDED}


def is_about_the_network(command: str, params: Any) -> bool:
    """Whether our node makes sure that this is its network, which it does in each connection."""
    return command == "get_joint" and params == NETWORK.genesis_unit


def _in_order(params: Any) -> Any:
    """Parameters without what makes no difference: the order of the payees, and a beginning at 0."""
    if not isinstance(params, dict):
        return params
    params = {name: value for name, value in params.items() if (name, value) != ("min_mci", 0)}
    if "output_addresses" in params:
        params["output_addresses"] = sorted(params["output_addresses"])
    return params


def _above(response: Any, params: Any) -> Any:
    """A history without the units below the index from which on it was asked for."""
    lowest = params.get("min_mci", 0) if isinstance(params, dict) else 0
    if not lowest or "joints" not in response:
        return response
    response = deepcopy(response)
    kept = [
        joint
        for joint in response["joints"]
        if joint["unit"]["main_chain_index"] is None or joint["unit"]["main_chain_index"] >= lowest
    ]
    hashes = {joint["unit"]["unit"] for joint in kept}
    rows = [row for row in response.get("aa_responses", ()) if row["trigger_unit"] in hashes]
    return {**response, "joints": kept, "aa_responses": rows} if kept else {}
