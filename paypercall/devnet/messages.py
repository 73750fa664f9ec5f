"""What the messages of a unit may say, payments apart.

The apps that channels and their wallets use are carried: payment, data, text, data_feed, definition (of
channel agents) and asset (public, divisible, issued by its definer). Others of ocore's are refused by name.
"""

from __future__ import annotations

from typing import Any

from paypercall.devnet.agent import BASE_AGENT, AgentParameters, NotModelled
from paypercall.devnet.form import Refused, is_integer, is_positive, require
from paypercall.devnet.ledger import Ledger
from paypercall.devnet.payments import PaymentCheck
from paypercall.obyte.address import definition_address, is_valid_address
from paypercall.obyte.amounts import MAX_CAP
from paypercall.obyte.errors import CanonicalError
from paypercall.obyte.unit import Unit

MAX_FEED_NAME_LENGTH = 64
MAX_FEED_VALUE_LENGTH = 64
ASSET_SWITCHES = {  # what each must be here; ocore demands that all are there
    "is_private": False,
    "is_transferrable": True,
    "auto_destroy": False,
    "fixed_denominations": False,
    "issued_by_definer_only": True,
    "cosigned_by_definer": False,
    "spender_attested": False,
}

_MESSAGE_FIELDS = {
    "app",
    "payload_hash",
    "payload_location",
    "payload",
    "payload_uri",
    "payload_uri_hash",
    "spend_proofs",
}
_OTHER_APPS = {
    "address_definition_change",
    "asset_attestors",
    "attestation",
    "definition_template",
    "poll",
    "profile",
    "system_vote",
    "system_vote_count",
    "temp_data",
    "vote",
}


def check_message(ledger: Ledger, unit: Unit, message: dict[str, Any], payments: PaymentCheck) -> None:
    """Checks one message of a unit whose form is right.

    Raises:
        Refused: With ocore's text where it has one.
    """
    app, payload = message.get("app"), message["payload"]
    require(isinstance(app, str), "no app")
    require(set(message) <= _MESSAGE_FIELDS, "unknown fields in message")
    require(
        "payload_uri" not in message and "payload_uri_hash" not in message, "must not contain payload_uri"
    )
    require("spend_proofs" not in message, "you don't need spend proofs when you have inline payload")
    if app == "payment":
        payments.check(payload)
    elif app == "text":
        require(isinstance(payload, str), "payload must be string")
    elif app == "data":
        require(isinstance(payload, (dict, list)), "data payload must be object")
    elif app == "data_feed":
        _check_data_feed(payload)
    elif app == "definition":
        _check_agent_definition(payload)
    elif app == "asset":
        _check_asset(unit, payload)
    elif app in _OTHER_APPS:
        raise Refused(f"the local network does not carry {app} messages")
    else:
        raise Refused(f"unknown app: {app}")


def _check_data_feed(payload: Any) -> None:
    require(isinstance(payload, dict) and bool(payload), "data feed payload must be non-empty object")
    for name, value in payload.items():
        require(len(name) <= MAX_FEED_NAME_LENGTH, f"feed name {name} too long")
        require("\n" not in name, f"feed name {name} contains \\n")
        if isinstance(value, str):
            require(len(value) <= MAX_FEED_VALUE_LENGTH, f"data feed value too long: {value}")
            require("\n" not in value, f"value {value} of feed name {name} contains \\n")
            continue
        require(not isinstance(value, float), "fractional numbers not allowed in data feeds")
        require(is_integer(value), f"data feed {name} must be string or number")


def _check_agent_definition(payload: Any) -> None:
    require(isinstance(payload, dict) and bool(payload), "payload must be a non empty object")
    require(set(payload) <= {"address", "definition"}, "unknown fields in app definition")
    definition = payload.get("definition")
    try:
        address = definition_address(definition)
    except CanonicalError as error:
        raise Refused("bad definition") from error
    require(payload.get("address") == address, "definition doesn't match the chash")
    is_agent = isinstance(definition, list) and len(definition) == 2 and definition[0] == "autonomous agent"
    require(is_agent and isinstance(definition[1], dict), "AA definition must be a 2-element array")
    template = definition[1]
    require("messages" not in template, "the local network runs channel agents only")
    require(set(template) <= {"base_aa", "params"}, "foreign fields in parameterized AA definition")
    require(is_valid_address(template.get("base_aa")), "base_aa is not a valid address")
    require(template["base_aa"] == BASE_AGENT, "base AA not found")
    require(isinstance(template.get("params"), dict), "no params in parameterized AA")
    try:
        AgentParameters.from_definition(definition)
    except NotModelled as error:
        raise Refused(str(error)) from error


def _check_asset(unit: Unit, payload: Any) -> None:
    require(len(unit["authors"]) == 1, "asset definition must be single-authored")
    require(isinstance(payload, dict) and bool(payload), "asset definition must be a non-empty object")
    require(set(payload) <= {"cap", *ASSET_SWITCHES}, "unknown fields in asset definition")
    has_all = all(isinstance(payload.get(name), bool) for name in ASSET_SWITCHES)
    require(has_all, "some required fields in asset definition are missing")
    is_sound_cap = "cap" not in payload or (is_positive(payload["cap"]) and payload["cap"] <= MAX_CAP)
    require(is_sound_cap, "invalid cap")
    for name, value in ASSET_SWITCHES.items():
        require(
            payload[name] is value,
            f"the local network takes only assets whose {name} is {str(value).lower()}",
        )
