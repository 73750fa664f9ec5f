"""A recorded client in front of our local hub: its messages again, on a network brought to the state that they need.

The recorded units cannot be posted here: they belong to another chain. So each is composed anew, from the same
messages and amounts, and whatever the client says afterwards names the new one. The witness is held, and writes as many
units between two questions as the real one did.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from paypercall.devnet import Devnet
from paypercall.obyte.canonical import source_string
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.package import compose_package
from tests.devnet.local_node import make_key
from tests.devnet.raw_client import RawClient
from tests.replay.names import renamed
from tests.replay.recording import (
    CUSTOMER,
    HISTORY,
    MERCHANT,
    NETWORK,
    POST,
    Line,
    Recording,
    payments_to,
)
from tests.replay.session import parameters_of

STAND_IN = make_key(71)
"""For the recorded merchant, whose key is not known."""

FUNDER = "A4UWFUSNVXVSX6YUAZDJOJLLWRFYZKUR"
"""Who paid the recorded accounts; here it is the network's wallet."""

SOMEBODY = make_key(72)
DEVICE = make_key(73)
Data = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """A recorded request with the answers of both hubs, and what each said by itself since the request before.

    Attributes:
        request: As recorded; None after the last one.
        real: What the real hub answered, in the names of the local network.
        local: What the local hub answered.
        real_pushes: What the real hub said by itself, in the names of the local network.
        local_pushes: What the local one said.
    """

    request: Line | None
    real: Data
    local: Data
    real_pushes: list[Data]
    local_pushes: list[Data]


@dataclass
class LocalSession:
    """One recorded session with the local hub.

    Attributes:
        offset: By how much the indexes of the real main chain are larger. A multiple of 10, as skiplists need it.
        names: What stands for a recorded address, unit or asset here.
    """

    recording: Recording
    net: Devnet
    offset: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._funder = key_from_mnemonic(self.net.mnemonic)
        sides = {"server": (STAND_IN, CUSTOMER), "extra": (SOMEBODY, self._funder)}
        self._me, self._peer = sides.get(self.recording.name, (CUSTOMER, STAND_IN))
        self.names |= {
            NETWORK.order_providers[0]: self.net.network.order_providers[0],
            NETWORK.genesis_unit: self.net.network.genesis_unit,
            MERCHANT: STAND_IN.address,
            CUSTOMER.address: CUSTOMER.address,
            FUNDER: self._funder.address,
        }

    def begin(self) -> None:
        """Brings the network to the state in which the session begins."""
        recorded = parameters_of(self.recording)
        with RawClient(self.net) as client:
            self._fill(client, 6)
            self.net.settle()
            if recorded.asset == "base":
                self._begin_in_bytes(client)
            else:
                self._begin_in_asset(client)
        self.net.settle()
        parameters = replace(
            recorded, address_a=STAND_IN.address, asset=self.names.get(recorded.asset, recorded.asset)
        )
        self.names[recorded.aa_address] = parameters.aa_address

    def _begin_in_bytes(self, client: RawClient) -> None:
        self._fund(client, STAND_IN, 10_000_000)
        self.net.settle()
        self._fund(client, CUSTOMER, 10_000_000)

    def _begin_in_asset(self, client: RawClient) -> None:
        """Both sides have written units before, and the client's device has been here."""
        self.net.fund(SOMEBODY.address, 1)
        self.net.settle()
        asset = self.names[parameters_of(self.recording).asset] = self.net.issue_asset(10_000_000)
        self.net.fund(self._funder.address, 10_000_000, asset)
        for key in (STAND_IN, *[CUSTOMER] * 6):
            self._fund(client, key, 20_000 if key is CUSTOMER else 100_000)
        self.net.settle()
        for key in (STAND_IN, CUSTOMER):
            unit = client.post(key, Draft({"base": (Output(SOMEBODY.address, 1),)}))
        self.names[self._first_unit_of(CUSTOMER)] = unit["unit"]
        client.say("hub/login", self._login(client))
        self.net.settle()
        self.offset = 390
        self._fill(client, 436 - self.offset)
        self._fund(client, CUSTOMER, 1_000_000, asset)

    def play(self) -> Iterator[Exchange]:
        """Goes through the session; what happens after the last request comes last."""
        with RawClient(self.net) as client, RawClient(self.net) as other:
            answered = 0
            for line in self.recording.lines:
                if line.is_push and line.name == "joint":
                    self._post(other, other, self._peer, line.content["body"]["unit"])
                elif line.is_from_client and line.kind == "justsaying":
                    client.say(line.name, self._saying(client, line))
                elif line.is_request:
                    answer = self.recording.answer_to(line)
                    if line.name == HISTORY:
                        self._catch_up(other, answer.content["response"])
                    local = self._ask(client, other, line)
                    yield self._exchange(client, line, answer.content, local, (answered, answer.number))
                    answered = answer.number
            self.net.settle()
            client.ask("heartbeat")
            yield self._exchange(client, None, {}, {}, (answered, len(self.recording.lines) + 9))

    def _exchange(
        self, client: RawClient, request: Line | None, real: Data, local: Data, between: tuple[int, int]
    ) -> Exchange:
        first, last = between
        pushes = [line.content for line in self.recording.pushes() if first < line.number < last]
        heard = [content for _, content in client.heard]
        client.heard.clear()
        return Exchange(request, self.named(real), local, self.named(pushes), heard)

    def named(self, value: Any) -> Any:
        """The same JSON in the names of the local network."""
        return renamed(value, self.names)

    # --- the client ------------------------------------------------------------------------------------

    def _ask(self, client: RawClient, other: RawClient, line: Line) -> Data:
        if line.name == POST and "messages" in line.content["params"]["unit"]:
            return self._post(client, other, self._me, line.content["params"]["unit"])
        params = self.named(line.content.get("params"))
        if line.name == "hub/temp_pubkey":
            params = _signed({"temp_pubkey": params["temp_pubkey"], "pubkey": DEVICE.public_key})
        if isinstance(params, dict) and params.get("min_mci"):
            params["min_mci"] -= self.offset
        return client.ask(line.name, params)

    def _saying(self, client: RawClient, line: Line) -> Any:
        return self._login(client) if line.name == "hub/login" else self.named(line.content.get("body"))

    def _login(self, client: RawClient) -> Data:
        client.ask("heartbeat")  # to have heard the challenge
        challenge = next(c["body"] for _, c in client.heard if c.get("subject") == "hub/challenge")
        return _signed({"challenge": challenge, "pubkey": DEVICE.public_key})

    def _post(self, client: RawClient, composing: RawClient, key: Key, recorded: Data) -> Data:
        unit = composing.compose(key, self._draft(recorded))
        self.names[recorded["unit"]] = unit["unit"]
        return client.ask(POST, {"unit": unit})

    def _draft(self, recorded: Data) -> Draft:
        author = recorded["authors"][0]["address"]
        outputs, messages = {}, []
        for message in recorded["messages"]:
            payload = message["payload"]
            if message["app"] == "payment":
                asset = self.names.get(payload.get("asset"), "base")
                outputs[asset] = tuple(
                    Output(self.named(output["address"]), output["amount"])
                    for output in payload["outputs"]
                    if output["address"] != author
                )
            else:
                messages.append({"app": message["app"], "payload": self._signed_again(self.named(payload))})
        return Draft(outputs, tuple(messages))

    def _signed_again(self, payload: Data) -> Data:
        if "sentByPeer" not in payload:
            return payload
        package = compose_package(
            STAND_IN, NETWORK.version, announce=None, **payload["sentByPeer"]["signed_message"]
        )
        return {**payload, "sentByPeer": package}

    # --- the network -----------------------------------------------------------------------------------

    def _catch_up(self, other: RawClient, history: Data) -> None:
        """Lets happen what the real network had seen when it gave a history."""
        for joint in history.get("joints", ())[::-1]:
            unit = joint["unit"]
            is_new = unit["unit"] not in self.names and "ball" not in joint
            if is_new and unit["authors"][0]["address"] == self._recorded_peer:
                self._post(other, other, self._peer, unit)
        if "unstable_mc_joints" in history:
            newest = history["unstable_mc_joints"][0]["unit"]["main_chain_index"] - self.offset
            while self._newest_index() < newest:
                assert self.net.step(), "the real witness had more to do"
            assert self._newest_index() == newest
        for row in history.get("aa_responses", ()):
            self._name_answer(row)

    @property
    def _recorded_peer(self) -> str:
        return {"server": CUSTOMER.address, "extra": FUNDER}.get(self.recording.name, MERCHANT)

    def _name_answer(self, row: Data) -> None:
        for answer in self.net.responses(self.named(row["aa_address"])):
            if answer["trigger_unit"] == self.names[row["trigger_unit"]] and answer["response_unit"]:
                self.names[row["response_unit"]] = answer["response_unit"]["unit"]

    def _newest_index(self) -> int:
        return max(
            joint["unit"]["main_chain_index"]
            for joint in self.net.units()
            if joint["unit"]["main_chain_index"] is not None
        )

    def _fund(self, client: RawClient, key: Key, amount: int, asset: str = "base") -> None:
        """Pays an account; the unit stands for one that paid the recorded account, if the recording tells of any."""
        unit = client.post(self._funder, Draft({asset: (Output(key.address, amount),)}))
        recorded_address = MERCHANT if key is STAND_IN else key.address
        for hash_, recorded in self.recording.units().items():
            assets = [self.named(paid) for _, _, paid, _ in payments_to(recorded, recorded_address)]
            is_free = hash_ not in self.names and recorded["authors"][0]["address"] == FUNDER
            if is_free and asset in assets:
                self.names[hash_] = unit["unit"]
                return

    def _first_unit_of(self, key: Key) -> str:
        """The first unit of an account that the recording tells of."""
        return next(
            hash_
            for hash_, unit in self.recording.units().items()
            if unit["authors"][0]["address"] == key.address
        )

    def _fill(self, client: RawClient, index: int) -> None:
        """Has somebody paid until the main chain has so many units."""
        for number in range(self._newest_index() + 1, index + 1):
            client.post(self._funder, Draft({"base": (Output(SOMEBODY.address, 1),)}))
            assert self._newest_index() == number


def _signed(message: Data) -> Data:
    digest = hashlib.sha256(source_string(message).encode()).digest()
    return {**message, "signature": DEVICE.sign(digest)}
