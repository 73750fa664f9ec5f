"""A running client at the mercy of its hub: whatever frames arrive, no thread dies and nothing unproven is believed.

The hub plays a recorded session to a wallet that could be the recorded one, and breaks, swaps, invents and repeats what
it likes. `test_hostile_history.py` does so to the proofs alone; here everything has to pass a real connection.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from paypercall.errors import PaypercallError
from paypercall.obyte import hub as hub_module
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Draft, Output
from paypercall.obyte.errors import HubError
from paypercall.obyte.hub import Hub
from paypercall.obyte.light import LightClient
from paypercall.obyte.unit import ball_hash
from paypercall.obyte.wallet import Wallet
from tests.obyte.test_hostile_history import JSON, Change
from tests.parties import wait_until
from tests.replay.recording import (
    CUSTOMER,
    HISTORY,
    MERCHANT,
    NETWORK,
    PARENTS,
    POST,
    payments_to,
    recording,
)

SESSION = recording("client")
MAX_TPS_FEE = 1_000
PAYMENT = Draft({BASE: (Output(MERCHANT, 1_000),)})
NEWS = ("light/have_updates", "joint", "light/aa_response", "light/sequence_became_bad", "version", "x")
NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # over connections it would take minutes
TAG = "@tag@"
REQUEST = {"tag": TAG, "command": "x"}
Place = tuple[str, int, int]
Frame = str | bytes


class HostileHub:
    """A hub that sends, for each request, whatever frames the test wants.

    Attributes:
        frames_for: Makes the frames that a request is answered with.
    """

    def __init__(self) -> None:
        self.frames_for: Callable[[dict[str, Any]], list[Frame]] = self.honest_frames
        self._connections: list[ServerConnection] = []
        self._server = serve(self._serve, "127.0.0.1", 0, max_size=None, compression=None)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def honest_frames(self, request: dict[str, Any]) -> list[Frame]:
        return [response_frame(request, "pong")] if request["command"] == "ping" else []

    def push(self, frame: Frame) -> None:
        self._connections[-1].send(frame)

    def close(self) -> None:
        self._server.shutdown()
        for connection in self._connections:
            connection.close()
        self._thread.join()

    def _serve(self, connection: ServerConnection) -> None:
        self._connections.append(connection)
        with suppress(ConnectionClosed):
            for text in connection:
                kind, body = json.loads(text)
                if kind == "request" and body.get("params") == NETWORK.genesis_unit:
                    connection.send(response_frame(body, {"joint": {"unit": {"unit": NETWORK.genesis_unit}}}))
                    continue
                for frame in self.frames_for(body) if kind == "request" else ():
                    connection.send(frame)


class Failures(logging.Handler):
    """Collects what the client logs with a traceback: its own faults."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.records.append(self.format(record))


class Running:
    """A hub, and a client that stays up through all examples."""

    def __init__(self) -> None:
        self.server = HostileHub()
        self.failures = Failures()
        logging.getLogger("paypercall").addHandler(self.failures)
        self.hub = Hub(self.server.url, NETWORK)
        self.light = LightClient(self.hub, NETWORK)
        self.news: list[None] = []
        self.light.on_news(lambda unit: self.news.append(None))

    def wallet(self) -> Wallet:
        return Wallet(CUSTOMER, self.light, max_tps_fee=MAX_TPS_FEE)

    def is_sound(self) -> bool:
        """Whether an honest hub would be understood at once, its hints included, and nothing has failed before."""
        self.server.frames_for = self.server.honest_frames
        wait_until(self._is_answered, "the client asks an honest hub")
        heard = len(self.news)
        self.server.push(json.dumps(["justsaying", {"subject": "light/have_updates"}]))
        wait_until(lambda: len(self.news) > heard, "the client hears of news")
        return self.failures.records == []

    def _is_answered(self) -> bool:
        try:
            return bool(self.hub.request("ping", timeout=5) == "pong")
        except HubError:  # what came before may have ended the connection
            return False

    def close(self) -> None:
        self.light.close()
        self.server.close()
        logging.getLogger("paypercall").removeHandler(self.failures)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub_module, "FIRST_RETRY_SECONDS", 0.001)
        patch.setattr(hub_module, "LAST_RETRY_SECONDS", 0.01)
        patch.setattr(hub_module.random, "uniform", lambda low, high: high)
        client = Running()
        yield client
        client.close()


# --- what is true ----------------------------------------------------------------------------------------


@cache
def true_answers(command: str) -> tuple[Any, ...]:
    return tuple(SESSION.answer_to(request).content["response"] for request in SESSION.requests(command))


def proven_by(answer: Any) -> set[str]:
    return (
        {ball["unit"] for ball in answer.get("proofchain_balls", ())} if isinstance(answer, dict) else set()
    )


def coins_in(units: dict[str, Any]) -> dict[Place, tuple[str, int]]:
    """All coins that units make for the wallet, with asset and amount."""
    return {
        (hash_, message_index, output_index): (asset, amount)
        for hash_, unit in units.items()
        for message_index, output_index, asset, amount in payments_to(unit, CUSTOMER.address)
    }


class Truth:
    """What a wallet may believe.

    Args:
        proven: The units that the hub has proved.
    """

    def __init__(self, proven: set[str]) -> None:
        self.proven = proven
        self.units = dict(SESSION.units())

    def check(self, wallet: Wallet) -> None:
        coins = coins_in(self.units)
        for coin in wallet._book.spendable():
            assert coins[coin.unit, coin.message_index, coin.output_index] == (coin.asset, coin.amount)
            author = self.units[coin.unit]["authors"][0]["address"]
            assert coin.unit in self.proven if coin.is_stable else author == CUSTOMER.address
        assert set(wallet._book.undecided_units()) <= self.units.keys()

    def check_payment(self, unit: dict[str, Any]) -> None:
        """Checks a unit that the wallet has composed, and counts it as one of its own from now on."""
        coins = coins_in(self.units)
        [payment] = [message["payload"] for message in unit["messages"]]
        spent = [(i["unit"], i["message_index"], i["output_index"]) for i in payment["inputs"]]
        paid = sum(output["amount"] for output in payment["outputs"])
        fees = unit["tps_fee"] + unit["headers_commission"] + unit["payload_commission"]
        assert [o["amount"] for o in payment["outputs"] if o["address"] == MERCHANT] == [1_000]
        assert {output["address"] for output in payment["outputs"]} == {MERCHANT, CUSTOMER.address}
        assert 0 <= unit["tps_fee"] <= MAX_TPS_FEE
        assert sum(coins[place][1] for place in spent) == paid + fees
        self.units[unit["unit"]] = unit


# --- what arrives ----------------------------------------------------------------------------------------


def response_frame(request: dict[str, Any], response: Any) -> str:
    """An answer; none at all where JSON has no word for it, since such a frame would only be waited for in vain."""
    body = {"tag": request["tag"], "command": request["command"], "response": response}
    try:
        return json.dumps(["response", body], allow_nan=False)
    except ValueError:
        return json.dumps(["response", {**body, "response": None}])


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


RAW_FRAMES: tuple[Frame, ...] = (
    "",
    "x",
    "[1, 2]",
    '["response"]',
    '["justsaying", NaN]',
    '["request", {"command": "subscribe", "tag": "t"}]',
    '["request", {"command": "heartbeat", "tag": {}}]',
    f'["justsaying", {{"subject": "joint", "body": {nested(900)}}}]',
    f'["justsaying", {{"subject": "joint", "body": {nested(100_000)}}}]',
    '["justsaying", {"subject": "joint", "body": 1' + "0" * 5_000 + "}]",
    b"\x00\xff",
)


class Mischief:
    """A hub that is honest for a while and then is not; what it does is drawn beforehand, piece by piece.

    Attributes:
        honest_histories: How many histories it gives as they are.
        truth: What a wallet may believe of all that it says.
    """

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw
        self._data = data
        self.honest_histories: int = self._draw(st.integers(0, 12))
        histories = true_answers(HISTORY)[: self.honest_histories + 2]
        self.truth = Truth(set().union(*map(proven_by, histories)))
        parents = true_answers(PARENTS)
        self._frames = {
            HISTORY: [[response_frame(REQUEST, history)] for history in histories[: self.honest_histories]],
            PARENTS: [[response_frame(REQUEST, parents[0])]],
            POST: [self._frames_for("accepted")],
        }
        self._frames[HISTORY] += [self._frames_for(history) for history in histories[-2:]]
        self._frames[PARENTS] += [self._frames_for(answer) for answer in parents[1:3]]

    def __call__(self, request: dict[str, Any]) -> list[Frame]:
        """The next drawn frames, or a plain error."""
        drawn = self._frames.get(request["command"])
        frames = drawn.pop(0) if drawn else [response_frame(REQUEST, {"error": "no"})]
        return [frame.replace(TAG, request["tag"]) if isinstance(frame, str) else frame for frame in frames]

    def _frames_for(self, answer: Any) -> list[Frame]:
        """Frames, among them one that answers."""
        around = [self._noise() for _ in range(self._draw(st.integers(0, 2)))]
        place = self._draw(st.integers(0, len(around)))
        return [*around[:place], response_frame(REQUEST, self._answer(answer)), *around[place:]]

    def _answer(self, answer: Any) -> Any:
        kind = self._draw(st.sampled_from(("true", "changed", "forged", "forged", "any", "error")))
        if kind == "any":
            return self._draw(JSON)
        if kind == "error":
            return {"error": self._draw(JSON)}
        if kind == "true" or not isinstance(answer, dict):
            return answer
        if kind == "changed":
            return self._changed(answer)
        return self._dear(answer) if "tps_fee" in answer else self._forged(answer)

    def _dear(self, answer: Any) -> Any:
        fee = self._draw(st.sampled_from((-1, -(10**6), 1_001, 10**6, 10**18, 1.5, "1", True, None)))
        return {**answer, "tps_fee": fee}

    def _forged(self, answer: Any) -> Any:
        """Adds a ball for each unit that has none: rightly hashed but connected to nothing, or the other way round."""
        balls = answer.get("proofchain_balls", [])
        proven = {ball["unit"] for ball in balls}
        is_hashed = self._draw(st.booleans())
        [last_ball, *_] = [joint["unit"]["last_ball"] for joint in answer["unstable_mc_joints"]]
        forged = [
            {"unit": unit, "ball": ball_hash(unit, [last_ball]), "parent_balls": [last_ball]}
            if is_hashed
            else {"unit": unit, "ball": last_ball}
            for unit in (joint["unit"]["unit"] for joint in answer["joints"])
            if unit not in proven
        ]
        return {**answer, "proofchain_balls": [*forged, *balls]}

    def _changed(self, answer: Any) -> Any:
        changed = deepcopy(answer)
        change = Change(self._data, changed)
        for _ in range(self._draw(st.integers(1, 3))):
            with suppress(KeyError, IndexError, TypeError, AttributeError):
                change.apply()
        return changed

    def _noise(self) -> Frame:
        kind = self._draw(st.sampled_from(("raw", "saying", "answer", "twisted", "cut", "push")))
        if kind == "raw":
            return self._draw(st.sampled_from(RAW_FRAMES))
        if kind == "saying":
            body = {"subject": self._draw(st.sampled_from(NEWS)), "body": self._draw(JSON)}
            return json.dumps(["justsaying", body])
        if kind == "answer":
            return response_frame({**REQUEST, "tag": self._draw(JSON)}, self._draw(JSON))
        if kind == "twisted":
            return json.dumps(
                [self._draw(st.sampled_from(("request", "response", "justsaying"))), self._draw(JSON)]
            )
        line = self._draw(st.sampled_from(SESSION.pushes()))
        text = json.dumps([line.kind, line.content])
        return text[: self._draw(st.integers(0, len(text)))] if kind == "cut" else text


# --- tests -----------------------------------------------------------------------------------------------


def test_the_true_session_is_understood(running: Running) -> None:
    """Otherwise the tests below could pass because nothing is believed at all."""
    wallet = running.wallet()
    answers = {HISTORY: iter(true_answers(HISTORY)), PARENTS: iter(true_answers(PARENTS))}
    running.server.frames_for = lambda request: [response_frame(request, next(answers[request["command"]]))]
    for _ in range(3):
        wallet.refresh()
    truth = Truth(set().union(*map(proven_by, true_answers(HISTORY)[:3])))
    truth.check(wallet)
    assert wallet.spendable_bytes() > 0
    truth.check_payment(wallet.compose(PAYMENT))
    assert running.is_sound()


@settings(max_examples=60, deadline=None, phases=NO_SHRINKING)
@given(st.data())
def test_whatever_frames_arrive_the_client_goes_on_and_believes_nothing_unproven(
    running: Running, data: st.DataObject
) -> None:
    wallet = running.wallet()
    mischief = running.server.frames_for = Mischief(data)
    for _ in range(mischief.honest_histories):
        wallet.refresh()
    for step in (wallet.refresh, lambda: pay(wallet, mischief.truth), wallet.refresh):
        with suppress(PaypercallError):
            step()
        mischief.truth.check(wallet)
    assert running.is_sound()


def pay(wallet: Wallet, truth: Truth) -> None:
    """Composes a payment, if the wallet can, and posts it."""
    unit = wallet.compose(PAYMENT)
    truth.check_payment(unit)
    wallet.post(unit)


@settings(max_examples=20, deadline=None, phases=NO_SHRINKING)
@given(st.lists(JSON, max_size=5), st.sampled_from(NEWS))
def test_whatever_the_hub_says_of_its_own_accord_is_a_hint_and_no_fact(
    running: Running, bodies: list[Any], subject: str
) -> None:
    wallet = running.wallet()
    assert running.is_sound()
    for body in bodies:
        with suppress(ConnectionClosed):
            running.server.push(json.dumps(["justsaying", {"subject": subject, "body": body}]))
    assert running.is_sound()
    assert wallet._book.spendable() == []
