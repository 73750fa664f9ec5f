"""The hub: what it says to its clients, and what it tells them without being asked.

Speaks ocore's protocol for light clients, `["justsaying" | "request" | "response", {…}]` in JSON, without
caring how the texts travel (see `server.py`). Chat between devices is not carried; logging in is, because
clients do.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from paypercall.devnet.answers import Answers
from paypercall.devnet.faucet import Faucet
from paypercall.devnet.fees import system_vars
from paypercall.devnet.form import Refused
from paypercall.devnet.history import BadRequest, prepare_history
from paypercall.devnet.node import Node
from paypercall.devnet.notices import Notices
from paypercall.devnet.session import Session
from paypercall.devnet.validation import UnknownParents
from paypercall.errors import PaypercallError
from paypercall.obyte.address import HASH_LENGTH, PUBLIC_KEY_LENGTH, device_address, is_valid_address
from paypercall.obyte.canonical import encode_text, source_string
from paypercall.obyte.keys import verify_signature

LIBRARY = "ocore"
LIBRARY_VERSION = "0.4.6"  # clients check what a hub's version can do
PROGRAM = "paypercall-devnet"

_WITHOUT_RESPONSE = ("heartbeat", "devnet/settle")


class Hub:
    """The hub of a node.

    Args:
        node: The network's node.
        faucet: For the requests that only this network knows.
    """

    def __init__(self, node: Node, faucet: Faucet) -> None:
        self._node = node
        self._faucet = faucet
        self._sessions: set[Session] = set()
        self._devices: set[str] = set()
        self._is_mute = False
        self._requests: dict[str, Callable[[Session, Any], Any]] = {
            **{command: _without_session(answer) for command, answer in Answers(node).by_command.items()},
            "heartbeat": lambda session, params: None,
            "light/get_history": self._history,
            "subscribe": self._refuse_subscription,
            "hub/temp_pubkey": self._take_temporary_key,
            "post_joint": self._post_joint,
            "devnet/advance": lambda session, params: self._advance(params),
            "devnet/faucet": lambda session, params: self._fund(params),
            "devnet/settle": lambda session, params: node.settle(),
        }
        self._sayings: dict[str, Callable[[Session, Any], None]] = {
            "version": self._check_version,
            "hub/login": self._log_in,
            "joint": self._take_joint,
            "light/new_address_to_watch": self._watch_address,
            "light/new_aa_to_watch": self._watch_agent,
        }
        self._notices = Notices(node.ledger, self._sessions)
        node.listen(self._notices.tell)

    # --- connections ----------------------------------------------------------------------------------

    def welcome(self, send_text: Callable[[str], None], hang_up: Callable[[], None]) -> Session:
        """Begins a session with the messages that every client gets first."""

        def send_unless_mute(text: str) -> None:
            if not self._is_mute:
                send_text(text)

        session = Session(send_unless_mute, hang_up, challenge=secrets.token_urlsafe(30))
        with self._node.lock:
            self._sessions.add(session)
            network = self._node.ledger.network
            version = {
                "protocol_version": network.version,
                "alt": network.alt,
                "library": LIBRARY,
                "library_version": LIBRARY_VERSION,
                "program": PROGRAM,
            }
            session.say("version", version)
            session.say("hub/challenge", session.challenge)
            subscription = {
                "subscription_id": secrets.token_urlsafe(30),
                "last_mci": self._node.ledger.graph.newest_index,
                "library_version": LIBRARY_VERSION,
            }
            tag = b64encode(secrets.token_bytes(32)).decode()
            session.send("request", {"command": "subscribe", "params": subscription, "tag": tag})
        return session

    def forget(self, session: Session) -> None:
        """Ends a session whose connection is gone."""
        with self._node.lock:
            self._sessions.discard(session)

    def hang_up(self) -> None:
        """Drops all connections."""
        with self._node.lock:
            for session in self._sessions:
                session.hang_up()

    def mute(self) -> None:
        """Goes silent: whatever clients say is lost, and they hear nothing."""
        with self._node.lock:
            self._is_mute = True

    def unmute(self) -> None:
        """Speaks again."""
        with self._node.lock:
            self._is_mute = False

    def hear(self, session: Session, text: str | bytes) -> None:
        """Takes one message of a client; what is no message is ignored, as ocore does."""
        if self._is_mute:
            return
        try:
            message = json.loads(text, parse_float=_parse_float, parse_constant=_refuse_constant)
            kind, content = message[0], message[1]
        except (ValueError, LookupError, TypeError, RecursionError):
            return
        if not isinstance(content, dict):
            return
        with self._node.lock:
            if kind == "request":
                self._answer(session, content.get("tag"), content.get("command"), content.get("params"))
            elif kind == "justsaying":
                self._listen(session, content.get("subject"), content.get("body"))

    # --- requests -------------------------------------------------------------------------------------

    def _answer(self, session: Session, tag: Any, command: Any, params: Any) -> None:
        if not isinstance(command, str) or not isinstance(tag, str) or not tag:
            return
        respond = self._requests.get(command)
        if respond is None:
            return  # a real hub says nothing to a command that it does not know
        content: dict[str, Any] = {"tag": tag, "command": command}
        try:
            if len(tag) > HASH_LENGTH:
                raise BadRequest("tag too long")
            content["response"] = respond(session, params)
        except (BadRequest, Refused) as error:
            content["response"] = {"error": str(error)}
        if command in _WITHOUT_RESPONSE:
            del content["response"]
        session.send("response", content)

    def _history(self, session: Session, params: Any) -> dict[str, Any]:
        if not session.has_asked_for_history:
            session.has_asked_for_history = True
            self._say_system_vars(session)
        history = prepare_history(self._node.ledger, params)
        session.addresses.update(params.get("addresses") or ())
        known = self._node.ledger.graph.vertices.keys()
        session.units.update(known & (params.get("requested_joints") or ()))
        return history

    def _refuse_subscription(self, session: Session, params: Any) -> Any:
        raise BadRequest("the local network has one node, there is nothing to subscribe to")

    def _post_joint(self, session: Session, params: Any) -> str:
        self._notices.speaker = session
        try:
            self._node.post(params)
        finally:
            self._notices.speaker = None
        return "accepted"

    def _take_temporary_key(self, session: Session, params: Any) -> str:
        if session.device is None:
            raise BadRequest("please log in first")
        names = ("temp_pubkey", "pubkey", "signature")
        if not isinstance(params, dict) or not all(isinstance(params.get(name), str) for name in names):
            raise BadRequest("no temp_pubkey params")
        if len(params["temp_pubkey"]) != PUBLIC_KEY_LENGTH:
            raise BadRequest("wrong temp_pubkey length")
        if device_address(params["pubkey"]) != session.device:
            raise BadRequest("signed by another pubkey")
        if not _is_signed(params):
            raise BadRequest("wrong signature")
        return "updated"

    def _advance(self, params: Any) -> int:
        try:
            self._node.advance(params["seconds"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadRequest("devnet/advance takes seconds, an integer from 0 up") from error
        return self._node.clock.now()

    def _fund(self, params: Any) -> str:
        if not isinstance(params, dict) or not is_valid_address(params.get("address")):
            raise BadRequest("devnet/faucet takes address, amount and optionally asset")
        try:
            return self._faucet.fund(params["address"], params.get("amount"), params.get("asset", "base"))
        except PaypercallError as error:
            raise BadRequest(str(error)) from error

    # --- what clients just say ------------------------------------------------------------------------

    def _listen(self, session: Session, subject: Any, body: Any) -> None:
        reaction = self._sayings.get(subject) if isinstance(subject, str) else None
        if reaction is not None:
            reaction(session, body)

    def _check_version(self, session: Session, body: Any) -> None:
        if not isinstance(body, dict):
            return
        network = self._node.ledger.network
        problem = None
        if body.get("protocol_version") != network.version:
            problem = (
                f"Incompatible versions, I support {network.version}, yours {body.get('protocol_version')}"
            )
        elif body.get("alt") != network.alt:
            problem = f"Incompatible alts, mine {network.alt}, yours {body.get('alt')}"
        if problem is not None:
            session.say("error", problem)
            session.hang_up()

    def _log_in(self, session: Session, body: Any) -> None:
        problem = _login_problem(session, body)
        if problem is not None:
            session.say("error", problem)
            return
        session.device = device_address(body["pubkey"])
        self._say_system_vars(session)
        session.say("hub/push_project_number", {"projectNumber": 0, "hasKeyId": False})
        if session.device in self._devices:
            session.say("info", "0 messages sent")
            session.say("hub/message_box_status", "empty")
        else:
            self._devices.add(session.device)
            session.say("info", "address created")

    def _take_joint(self, session: Session, body: Any) -> None:
        unit = (
            body["unit"].get("unit")
            if isinstance(body, dict) and isinstance(body.get("unit"), dict)
            else None
        )
        self._notices.speaker = session
        try:
            vertex = self._node.take(body)
        except Refused as error:
            session.say("result", {"unit": unit, "result": "error", "error": str(error)})
        except UnknownParents as error:
            session.say("info", {"unit": unit, "info": f"unresolved dependencies: {error}"})
        else:
            session.say("result", {"unit": unit, "result": "known" if vertex is None else "accepted"})
        finally:
            self._notices.speaker = None

    def _watch_address(self, session: Session, body: Any) -> None:
        if not is_valid_address(body):
            session.say("error", "address not valid")
            return
        session.addresses.add(body)
        session.say("info", f"now watching {body}")

    def _watch_agent(self, session: Session, body: Any) -> None:
        if not isinstance(body, dict) or not body:
            return
        agent, party = body.get("aa"), body.get("address")
        problem = None
        if not is_valid_address(agent):
            problem = "invalid AA"
        elif party and not is_valid_address(party):
            problem = "invalid address"
        elif agent not in self._node.ledger.agents.known and agent not in self._node.ledger.agents.announced:
            problem = f"not an AA: {agent}"
        if problem is not None:
            session.say("error", problem)
            return
        session.agents.setdefault(str(agent), set()).add(party or None)
        session.say("info", f"now watching AA {agent} address {party or 'all'}")

    def _say_system_vars(self, session: Session) -> None:
        session.say("system_vars", system_vars(self._node.ledger.witnesses))


def _without_session(answer: Callable[[Any], Any]) -> Callable[[Session, Any], Any]:
    return lambda session, params: answer(params)


def _login_problem(session: Session, body: Any) -> str | None:
    if not isinstance(body, dict) or body.get("challenge") != session.challenge:
        return "wrong challenge"
    public_key, signature = body.get("pubkey"), body.get("signature")
    if not isinstance(public_key, str) or not isinstance(signature, str):
        return "no login params"
    if len(public_key) != PUBLIC_KEY_LENGTH:
        return "wrong pubkey length"
    return None if _is_signed(body) else "wrong signature"


def _is_signed(message: dict[str, Any]) -> bool:
    """Tells whether a device signed a message: the hash of its source string without the signature."""
    unsigned = {name: value for name, value in message.items() if name != "signature"}
    try:
        digest = hashlib.sha256(encode_text(source_string(unsigned))).digest()
    except PaypercallError:
        return False
    return verify_signature(digest, message["signature"], message["pubkey"])


def _refuse_constant(name: str) -> None:
    """Python reads NaN and Infinity, JSON has none."""
    raise ValueError(f"{name} is no JSON")


def _parse_float(text: str) -> int | float:
    """JavaScript has one kind of number: 1.0 is the integer 1."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number
