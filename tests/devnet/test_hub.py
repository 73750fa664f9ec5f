"""How the hub talks: first words, logins, what it makes of garbage, units that are passed on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from paypercall.devnet import Devnet
from paypercall.devnet.hub import _is_signed
from paypercall.obyte.address import device_address
from paypercall.obyte.canonical import source_string
from paypercall.obyte.keys import Key
from paypercall.obyte.unit import unit_hash
from tests.devnet.local_channel import (
    PAYEE,
    PAYER,
    UNKNOWN_UNIT,
    channel,
    pay,
    requests_of,
)
from tests.devnet.local_node import make_key
from tests.devnet.raw_client import RawClient
from tests.devnet.shapes import (
    paths,
    recorded_messages,
    recorded_sayings,
)


def log_in(client: RawClient, key: Key) -> None:
    challenge = client.wait_for("hub/challenge")
    client.say("hub/login", signed_by(key, {"challenge": challenge, "pubkey": key.public_key}))


def signed_by(key: Key, message: dict[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(source_string(message).encode()).digest()
    return {**message, "signature": key.sign(digest)}


def test_the_hub_introduces_itself_as_a_real_one(client: RawClient) -> None:
    client.ask("heartbeat")
    kinds = [(kind, content.get("subject") or content.get("command")) for kind, content in client.heard]
    assert kinds == [("justsaying", "version"), ("justsaying", "hub/challenge"), ("request", "subscribe")]
    for kind, content in client.heard[:2]:
        assert paths(content) == recorded_sayings()[content["subject"]], kind
    recorded = next(c for d, (k, c) in recorded_messages() if d == "hub->client" and k == "request")
    assert paths(client.heard[2][1]) == paths(recorded)


def test_a_device_can_log_in(client: RawClient) -> None:
    log_in(client, PAYER)
    said = client.hear_all()
    assert [subject for subject, _ in said] == ["version", "system_vars", "hub/push_project_number", "info"]
    for subject, body in said:
        assert paths({"subject": subject, "body": body}) <= recorded_sayings()[subject]
    temporary = {"temp_pubkey": make_key(9).public_key, "pubkey": PAYER.public_key}
    assert client.request("hub/temp_pubkey", signed_by(PAYER, temporary)) == "updated"


def test_a_device_that_comes_again_has_an_empty_message_box(net: Devnet) -> None:
    for expected in (
        [("info", "address created")],
        [("info", "0 messages sent"), ("hub/message_box_status", "empty")],
    ):
        with RawClient(net) as client:
            log_in(client, PAYER)
            assert client.hear_all()[3:] == expected


def test_the_recorded_logins_are_right_by_the_hubs_rule() -> None:
    messages = [c for d, (_, c) in recorded_messages() if d == "client->hub"]
    signed = [c["body"] for c in messages if c.get("subject") == "hub/login"]
    signed += [c["params"] for c in messages if c.get("command") == "hub/temp_pubkey"]
    assert len(signed) == 7
    assert all(_is_signed(message) for message in signed)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"challenge": "another"}, "wrong challenge"),
        ({"pubkey": "short"}, "wrong pubkey length"),
        ({"signature": "A" * 88}, "wrong signature"),
        ({"signature": 5}, "no login params"),
    ],
)
def test_a_wrong_login_is_refused(client: RawClient, change: dict[str, Any], error: str) -> None:
    message = {"challenge": client.wait_for("hub/challenge"), "pubkey": PAYER.public_key}
    client.say("hub/login", {**signed_by(PAYER, message), **change})
    assert client.wait_for("error") == error
    temporary = {"temp_pubkey": make_key(9).public_key, "pubkey": PAYER.public_key}
    answer = client.request("hub/temp_pubkey", signed_by(PAYER, temporary))
    assert answer == {"error": "please log in first"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"temp_pubkey": "short"}, "wrong temp_pubkey length"),
        ({"pubkey": PAYEE.public_key}, "signed by another pubkey"),
        ({"signature": "A" * 88}, "wrong signature"),
        ({"signature": "A" * 88, "foo": "\0"}, "wrong signature"),
        ({"signature": 5}, "no temp_pubkey params"),
    ],
)
def test_a_wrong_temporary_key_is_refused(client: RawClient, change: dict[str, Any], error: str) -> None:
    log_in(client, PAYER)
    temporary = {"temp_pubkey": make_key(9).public_key, "pubkey": PAYER.public_key}
    answer = client.request("hub/temp_pubkey", {**signed_by(PAYER, temporary), **change})
    assert answer == {"error": error}


@pytest.mark.parametrize(("field", "value"), [("protocol_version", "4.0"), ("alt", "1")])
def test_a_client_of_another_network_is_hung_up_on(client: RawClient, field: str, value: str) -> None:
    version = {"protocol_version": "4.0dev", "alt": "3", "library_version": "0.4.6", field: value}
    client.say("version", version)
    assert client.is_hung_up()
    (error,) = (content["body"] for _, content in client.heard if content.get("subject") == "error")
    assert error.startswith("Incompatible ")
    assert value in error


@pytest.mark.parametrize(
    "text", ["", "x", "[]", "[1]", "5", "null", '["request"]', '["request", 5]', "[" * 5000]
)
def test_garbage_is_ignored(client: RawClient, text: str) -> None:
    client.send_text(text)
    client.send_text(json.dumps(["request", {"command": "no/such/command", "tag": "t"}]))
    client.send_text(json.dumps(["request", {"command": ["x"], "tag": "t"}]))
    client.send_text(json.dumps(["request", {"command": "get_witnesses", "tag": 5}]))
    client.send_text(
        json.dumps(["response", {"command": "subscribe", "tag": "t", "response": {"error": "no"}}])
    )
    client.say("result", {"unit": "x", "result": "accepted"})
    client.say("no/such/subject", None)
    assert "response" not in client.ask("heartbeat")


SCALARS: list[Any] = [None, True, -1, 1.5, "", UNKNOWN_UNIT, PAYER.address, [], {}]


GARBAGE: list[Any] = [*SCALARS, *([value] for value in SCALARS), *({"address": value} for value in SCALARS)]


def test_no_garbage_breaks_a_connection(busy: RawClient, net: Devnet) -> None:
    """Whatever a request carries, it gets its answer, and whatever is just said leaves the hub listening."""
    requests: dict[str, Any] = {
        **requests_of(net),
        "devnet/advance": {"seconds": 1},
        "devnet/faucet": {"address": PAYER.address, "amount": 1, "asset": "base"},
        "hub/temp_pubkey": {"temp_pubkey": "", "pubkey": "", "signature": ""},
        "light/get_aa_responses": {"aas": [], "aa": "", "max_mci": 1, "min_mci": 1, "order": "ASC"},
        "light/get_aa_state_vars": {"address": channel().aa_address, "var_prefix": "", "limit": 1},
        "light/get_aas_by_base_aas": {"base_aas": [], "base_aa": "", "params": {}},
        "post_joint": {"unit": busy.compose(PAYER, pay(PAYEE.address))},
        "subscribe": {},
    }
    for command, params in requests.items():
        fields = params if isinstance(params, dict) else ()
        changed = [{**params, field: value} for field in fields for value in GARBAGE]
        for value in [*GARBAGE, *changed]:
            assert busy.ask(command, value)["command"] == command
    for subject in ("hub/login", "joint", "light/new_address_to_watch", "light/new_aa_to_watch", "result"):
        for field in (None, "unit", "aa", "challenge"):
            for value in GARBAGE:
                busy.say(subject, value if field is None else {field: value})
        busy.ask("heartbeat")


def test_a_long_tag_is_refused(client: RawClient) -> None:
    client.send_text(json.dumps(["request", {"command": "get_witnesses", "tag": "t" * 45}]))
    client.ask("heartbeat")
    (answer,) = (content for kind, content in client.heard if kind == "response")
    assert answer["response"] == {"error": "tag too long"}


def test_passing_on_a_unit_gets_a_result(client: RawClient, net: Devnet) -> None:
    net.fund(PAYER.address, 100_000)
    net.settle()
    unit = client.compose(PAYER, pay(PAYEE.address))
    client.say("joint", {"unit": unit})
    assert client.wait_for("result") == {"unit": unit["unit"], "result": "accepted"}
    client.say("joint", {"unit": unit})
    assert client.wait_for("result") == {"unit": unit["unit"], "result": "known"}
    orphan = {**unit, "parent_units": [UNKNOWN_UNIT]}
    orphan = {**orphan, "unit": unit_hash(orphan)}
    client.say("joint", {"unit": orphan})
    info = client.wait_for("info")
    assert info == {"unit": orphan["unit"], "info": f"unresolved dependencies: {UNKNOWN_UNIT}"}
    client.say("joint", {"unit": {**unit, "unit": UNKNOWN_UNIT}})
    result = client.wait_for("result")
    assert result["result"] == "error"
    assert "wrong unit hash" in result["error"]


def test_device_addresses_are_no_payment_addresses() -> None:
    assert device_address(PAYER.public_key).startswith("0")
