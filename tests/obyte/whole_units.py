"""Reading a unit with every check that the package has for one, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paypercall.obyte.joint import (
    Joint,
    check_content,
    check_payloads,
    check_sizes,
    is_signed,
    read_joint,
)
from paypercall.obyte.network import Network
from paypercall.obyte.unit import Unit, hash_to_sign, single_signature_key


def read_whole(joint: Any, network: Network) -> Joint:
    """Reads a joint and checks its payloads, content and sizes, too."""
    read = read_joint(joint, network)
    check_payloads(read)
    check_content(read, network)
    check_sizes(read)
    return read


def signers(unit: Unit, definitions: Mapping[str, Any]) -> set[str]:
    """The authors that signed the unit, by the definitions that it carries or that are known by address."""
    digest = hash_to_sign(unit)
    signed = set()
    for author in unit["authors"]:
        definition = author.get("definition", definitions.get(author["address"]))
        public_key = single_signature_key(definition)
        if public_key is not None and is_signed(author, digest, public_key):
            signed.add(author["address"])
    return signed
