"""Whether a payment package counts for an agent: `is_valid_signed_package` as ocore executes it.

The ledger is stricter than its own clients in some points (no timestamp, no version 1.0, few signatures) and
more generous in others (older versions or none, several authors). This module must not be mistaken for the
check that a party makes: that one lives in `paypercall/package.py` and accepts one shape only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from paypercall.devnet.agent_language import NotModelled, Value, text_length
from paypercall.obyte.address import (
    HASH_LENGTH,
    PUBLIC_KEY_LENGTH,
    definition_address,
    is_valid_address,
    is_valid_base64,
)
from paypercall.obyte.canonical import encode_text, json_source_string, source_string
from paypercall.obyte.errors import CanonicalError
from paypercall.obyte.keys import verify_signature

MAX_COMPLEXITY = 10
"""How many operations the definitions of all authors may have together; a single key is one."""
MAX_AUTHENTIFIER_LENGTH = 4096

_PACKAGE_FIELDS = frozenset({"signed_message", "last_ball_unit", "authors", "version"})
_AUTHOR_FIELDS = frozenset({"address", "definition", "authentifiers"})
_SHARED_SIGNATURES = ("and", "or", "r of set", "weighted and", "address", "definition template")
_ACCEPTED_GENERATIONS = ("2.0", "3.0", "4.0")


class DefinitionHistory(Protocol):
    """What the ledger knows of units and definitions; asked only for packages that name a last ball unit."""

    def main_chain_index(self, unit: str) -> int | None:
        """The index of a unit, or None when it has none or is unknown."""

    def definition(self, address: str, main_chain_index: int) -> list[Any] | None:
        """The definition of an address that units up to an index have revealed, or None."""


@dataclass(frozen=True, slots=True)
class PackageRules:
    """What the validity of a package depends on besides itself.

    Attributes:
        network_version: The version of the network's units, such as "4.0dev".
        main_chain_index: The index of the trigger; nothing newer is known to the agent.
        definitions: The ledger, for packages that rely on it.
    """

    network_version: str
    main_chain_index: int
    definitions: DefinitionHistory

    def is_valid(self, package: Value, address: str) -> bool:
        """Tells whether a package carries a good signature of an address, and nothing that the ledger
        refuses.

        Raises:
            NotModelled: An author's definition is something else than a single key.
        """
        if not isinstance(package, Mapping) or not _has_package_shape(package, self.network_version):
            return False
        authors: list[Any] = package["authors"]
        if address not in [author["address"] for author in authors]:
            return False
        last_ball_index = self._last_ball_index(package)
        if "last_ball_unit" in package and last_ball_index is None:
            return False
        try:
            digest = _hash_to_sign(package)
        except CanonicalError:
            return False
        return all(self._is_signed_by(author, last_ball_index, digest) for author in authors)

    def _last_ball_index(self, package: Mapping[str, Any]) -> int | None:
        last_ball_unit: Any = package.get("last_ball_unit")
        if not is_valid_base64(last_ball_unit, HASH_LENGTH):
            return None
        index = self.definitions.main_chain_index(last_ball_unit)
        return None if index is None or index > self.main_chain_index else index

    def _is_signed_by(self, author: Mapping[str, Any], last_ball_index: int | None, digest: bytes) -> bool:
        definition: list[Any] | None = author.get("definition")
        if last_ball_index is not None:
            known = self.definitions.definition(author["address"], last_ball_index)
            if known is not None and definition is not None:
                return False  # a definition is revealed once
            definition = known or definition
        return definition is not None and _is_signed_with(definition, author["authentifiers"], digest)


def _has_package_shape(package: Mapping[str, Any], network_version: str) -> bool:
    if not package.keys() <= _PACKAGE_FIELDS or "signed_message" not in package:
        return False
    suffix = network_version[len("4.0") :]
    versions = [generation + suffix for generation in _ACCEPTED_GENERATIONS]
    if "version" in package and package["version"] not in versions:
        return False
    authors = package.get("authors")
    if not isinstance(authors, list) or not 1 <= len(authors) <= MAX_COMPLEXITY:
        return False
    if not all(_has_author_shape(author) for author in authors):
        return False
    addresses = [author["address"] for author in authors]
    return addresses == sorted(set(addresses))


def _has_author_shape(author: Any) -> bool:
    if not isinstance(author, Mapping) or not author.keys() <= _AUTHOR_FIELDS:
        return False
    if not is_valid_address(author.get("address")):
        return False
    if "definition" in author and not _is_definition_of(author["definition"], author["address"]):
        return False
    authentifiers = author.get("authentifiers")
    if not isinstance(authentifiers, Mapping) or not authentifiers:
        return False
    return all(_is_authentifier(authentifier) for authentifier in authentifiers.values())


def _is_definition_of(definition: Any, address: str) -> bool:
    if not isinstance(definition, list) or len(definition) != 2:
        return False
    try:
        return definition_address(definition) == address
    except CanonicalError:
        return False


def _is_authentifier(candidate: Any) -> bool:
    return isinstance(candidate, str) and 0 < text_length(candidate) <= MAX_AUTHENTIFIER_LENGTH


def _is_signed_with(definition: list[Any], authentifiers: Mapping[str, str], digest: bytes) -> bool:
    operation, arguments = definition
    if operation in _SHARED_SIGNATURES:
        raise NotModelled("a package is signed by an address that is not a single key")
    if operation != "sig" or not isinstance(arguments, Mapping) or arguments.keys() != {"pubkey"}:
        return False
    public_key = arguments["pubkey"]
    if not isinstance(public_key, str) or text_length(public_key) != PUBLIC_KEY_LENGTH:
        return False
    return authentifiers.keys() == {"r"} and verify_signature(digest, authentifiers["r"], public_key)


def _hash_to_sign(package: Mapping[str, Any]) -> bytes:
    authors = [
        {field: author[field] for field in author if field != "authentifiers"}
        for author in package["authors"]
    ]
    unsigned = {**package, "authors": authors}
    text = json_source_string(unsigned) if "version" in package else source_string(unsigned)
    return hashlib.sha256(encode_text(text)).digest()
