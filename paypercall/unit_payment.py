"""A unit of the ledger as the payment for a request: bound to a secret, read strictly, weighed. Pure.

Every unit is public as soon as it is posted, so a unit alone proves nothing about who presents it, nor what for. The
payer therefore writes the hash of a secret into it, and shows the secret to the payee only: nobody else can use the
unit, and no other payment that ever reached the payee can be used. Whether a unit is good is the ledger's business.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paypercall.errors import Refusal, RefusalCode
from paypercall.obyte.amounts import BASE
from paypercall.obyte.composer import Message
from paypercall.obyte.errors import ProofError
from paypercall.obyte.joint import (
    address_of,
    check_content,
    check_payloads,
    check_sizes,
    is_signed,
    read_joint,
)
from paypercall.obyte.network import Network
from paypercall.obyte.shape import require, require_plain_json
from paypercall.obyte.unit import Unit, hash_to_sign, single_signature_key
from paypercall.paid_call import PaymentRefused

SECRET_LENGTH = 43
"""Characters of a secret: 32 random bytes in base64url."""

COMMITMENT = "paypercall_commitment"
"""The name under which a unit's data message has the hash of its secret."""

_PURPOSE = "paypercall: this unit pays for a request"
_ADDED_BY_HUB = ("main_chain_index", "actual_tps_fee")


@dataclass(frozen=True, slots=True)
class UnitPayment:
    """A unit that pays for a request. Whoever has unit and secret can use it, once.

    Attributes:
        unit: The signed unit.
        secret: What it is bound to.
    """

    unit: Unit = field(repr=False)
    secret: str = field(repr=False)

    @property
    def hash(self) -> str:
        """The unit's hash."""
        return str(self.unit["unit"])

    @property
    def authors(self) -> tuple[dict[str, Any], ...]:
        """Who must have signed it."""
        return tuple(self.unit["authors"])

    def to_wire(self) -> dict[str, Any]:
        """The payment as `wire.encode_unit` takes it."""
        return {"unit": self.unit, "secret": self.secret}


def commitment(secret: str, payee: str) -> str:
    """The hash that binds a unit to a secret and to one payee, who else could use it at another payee."""
    return b64encode(hashlib.sha256("\0".join((_PURPOSE, payee, secret)).encode()).digest()).decode()


def commitment_message(secret: str, payee: str) -> Message:
    """The message that binds a unit."""
    return {"app": "data", "payload": {COMMITMENT: commitment(secret, payee)}}


def read_unit_payment(value: Mapping[str, Any], network: Network, payee: str) -> UnitPayment:
    """Reads a payment, and checks all that can be without asking anybody but for its signatures.

    Args:
        value: `{unit, secret}`, as it came.
        network: The network that the unit must be of.
        payee: Whom it must be bound to.

    Raises:
        Refusal: With `wrong_shape`, when the unit contradicts itself, or is not bound to the secret and the payee.
    """
    try:
        require(value.keys() == {"unit", "secret"}, "a payment has a unit and a secret, and nothing else")
        require_plain_json(value)
        secret = value["secret"]
        is_secret = isinstance(secret, str) and len(secret) == SECRET_LENGTH and secret.isascii()
        require(is_secret, f"the secret has {SECRET_LENGTH} ASCII characters")
        joint = read_joint({"unit": value["unit"]}, network)
        check_payloads(joint)
        check_content(joint, network)
        check_sizes(joint)
        unit = joint.unit
        require(unit["version"] == network.version, "the unit is of an older version")
        require(unit.keys().isdisjoint(_ADDED_BY_HUB), "the unit has fields that only a hub adds")
        messages = unit["messages"]
        is_public = all(message["payload_location"] == "inline" for message in messages)
        require(is_public, "all of the unit must be public")
        others = [(message["app"], message["payload"]) for message in messages if message["app"] != "payment"]
        is_bound = others == [("data", {COMMITMENT: commitment(secret, payee)})]
        require(is_bound, f"besides payments the unit must have one message, the {COMMITMENT} of the secret")
    except ProofError as error:
        raise Refusal(RefusalCode.WRONG_SHAPE, str(error)) from None
    return UnitPayment(unit, secret)


def check_signatures(payment: UnitPayment, look_up: Callable[[str], Any]) -> None:
    """Checks that every author has signed, with the definition in the unit or a known one.

    Args:
        payment: Read.
        look_up: Gives an address's definition, from anybody, or None; asked where it is not in the unit, and not for
            another author before this one has signed: it may cost a request each, and authors are free to invent.

    Raises:
        Refusal: With `wrong_signer` for an address whose definition is unknown, foreign or not a single signature, or
            with `wrong_signature`.
    """
    digest = hash_to_sign(payment.unit)
    for author in payment.authors:
        address = author["address"]
        definition = author["definition"] if "definition" in author else look_up(address)
        public_key = single_signature_key(definition)
        if public_key is None or not _is_definition_of(address, definition):
            raise Refusal(
                RefusalCode.WRONG_SIGNER,
                f"{address} must be an address of a single signature, and its definition in the unit or on the ledger",
            )
        if not is_signed(author, digest, public_key):
            raise Refusal(RefusalCode.WRONG_SIGNATURE, f"{address} has not signed the unit")


def amount_paid(payment: UnitPayment, payee: str) -> tuple[int, str]:
    """What a unit pays to a payee, and in which asset: one output. Others of its outputs are its authors' business.

    Raises:
        PaymentRefused: With `wrong_payee`, `several_outputs` or `own_unit`.
    """
    if any(author["address"] == payee for author in payment.authors):
        raise PaymentRefused("the unit spends from the payee itself", code="own_unit")
    outputs = [
        (int(output["amount"]), str(message["payload"].get("asset", BASE)))
        for message in payment.unit["messages"]
        if message["app"] == "payment"
        for output in message["payload"]["outputs"]
        if output["address"] == payee
    ]
    if not outputs:
        raise PaymentRefused(f"the unit pays nothing to {payee}", code="wrong_payee")
    if len(outputs) > 1:
        raise PaymentRefused("the unit must have one output to the payee only", code="several_outputs")
    return outputs[0]


def _is_definition_of(address: str, definition: object) -> bool:
    try:
        return address_of(definition) == address
    except ProofError:
        return False
