"""A client that says exactly what it is told to, over a real websocket, and accounts that pay with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from paypercall.devnet import Devnet
from paypercall.obyte.composer import Coin, Draft, Parents, compose
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import Unit

PATIENCE_SECONDS = 10

Message = list[Any]


class RawClient:
    """A connection to the hub of a network.

    Attributes:
        heard: All that the hub said so far, apart from responses.
    """

    def __init__(self, net: Devnet) -> None:
        self.net = net
        self.heard: list[Message] = []
        self._tag = 0
        self._connection = connect(net.url, compression=None, max_size=None)
        self._websocket = self._connection.__enter__()

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.__exit__(kind, error, traceback)

    def send_text(self, text: str) -> None:
        """Sends any text."""
        self._websocket.send(text)

    def say(self, subject: str, body: Any) -> None:
        """Sends a justsaying."""
        self.send_text(json.dumps(["justsaying", {"subject": subject, "body": body}]))

    def ask(self, command: str, params: Any = None) -> dict[str, Any]:
        """Sends a request and returns the content of its response, with `response` or without."""
        self._tag += 1
        tag = f"tag{self._tag}"
        request = {"command": command, "tag": tag}
        if params is not None:
            request["params"] = params
        self.send_text(json.dumps(["request", request]))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            message = self._receive(deadline)
            if message[0] == "response" and message[1]["tag"] == tag:
                return dict(message[1])
            self.heard.append(message)

    def request(self, command: str, params: Any = None) -> Any:
        """Sends a request and returns the response."""
        return self.ask(command, params)["response"]

    def wait_for(self, subject: str, is_wanted: Callable[[Any], bool] = lambda body: True) -> Any:
        """Returns the body of the first justsaying of a subject that was not waited for before."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            for message in self.heard:
                content = message[1]
                if content.get("subject") == subject and is_wanted(content.get("body")):
                    self.heard.remove(message)
                    return content.get("body")
            self.heard.append(self._receive(deadline))

    def hear_all(self) -> list[tuple[str, Any]]:
        """Everything that the hub said until now and was not waited for, as subjects and bodies."""
        self.ask("heartbeat")
        said = [(m[1]["subject"], m[1].get("body")) for m in self.heard if m[0] == "justsaying"]
        self.heard.clear()
        return said

    def is_hung_up(self) -> bool:
        """Waits for the hub to end the connection."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while True:
                self.heard.append(self._receive(deadline))
        except ConnectionClosed:
            return True

    def is_quiet(self, seconds: float) -> bool:
        """Tells whether the hub says nothing for a while."""
        try:
            self.heard.append(json.loads(self._websocket.recv(timeout=seconds)))
        except TimeoutError:
            return True
        return False

    def history(self, **request: Any) -> Any:
        """A history of some addresses or units."""
        return self.request(
            "light/get_history", {"witnesses": list(self.net.network.order_providers), **request}
        )

    def compose(self, key: Key, draft: Draft) -> Unit:
        """Composes a unit from the hub's answers."""
        payees = {output.address for outputs in draft.outputs.values() for output in outputs}
        answer = self.request(
            "light/get_parents_and_last_ball_and_witness_list_unit",
            {
                "witnesses": list(self.net.network.order_providers),
                "from_addresses": [key.address],
                "output_addresses": sorted({key.address, *payees}),
                "max_aa_responses": 10 if draft.max_aa_responses is None else draft.max_aa_responses,
            },
        )
        parents = Parents(
            timestamp=answer["timestamp"],
            parent_units=tuple(answer["parent_units"]),
            last_ball=answer["last_stable_mc_ball"],
            last_ball_unit=answer["last_stable_mc_ball_unit"],
            last_ball_mci=answer["last_stable_mc_ball_mci"],
            tps_fee=answer["tps_fee"],
            primary_aa_triggers=answer["count_primary_aa_triggers"],
        )
        joints = self.history(addresses=[key.address]).get("joints", [])
        is_known = any(
            author["address"] == key.address
            and (joint["unit"]["main_chain_index"] or 1e9) <= parents.last_ball_mci
            for joint in joints
            for author in joint["unit"]["authors"]
        )
        return compose(
            self.net.network, key, draft, coins_in(joints, key.address), parents, with_definition=not is_known
        )

    def post(self, key: Key, draft: Draft) -> Unit:
        """Composes and posts a unit, which the hub must take."""
        unit = self.compose(key, draft)
        answer = self.request("post_joint", {"unit": unit})
        assert answer == "accepted", answer
        return unit

    def _receive(self, deadline: float) -> Message:
        message: Message = json.loads(self._websocket.recv(timeout=max(0, deadline - time.monotonic())))
        return message


def coins_in(joints: list[dict[str, Any]], address: str) -> list[Coin]:
    """The outputs of an address that no unit of a history spends."""
    coins: dict[tuple[str, int, int], Coin] = {}
    spent: set[tuple[str, int, int]] = set()
    for joint in joints:
        unit = joint["unit"]
        for message_index, message in enumerate(unit.get("messages", [])):
            if message["app"] != "payment":
                continue
            payload = message["payload"]
            for source in payload["inputs"]:
                if "unit" in source:
                    spent.add((source["unit"], source["message_index"], source["output_index"]))
            for output_index, output in enumerate(payload["outputs"]):
                if output["address"] == address:
                    key = (unit["unit"], message_index, output_index)
                    coins[key] = Coin(*key, output["amount"], payload.get("asset", "base"), address)
    return [coin for key, coin in coins.items() if key not in spent]
