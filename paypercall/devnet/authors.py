"""Who signed a unit: definitions, signatures, and whether its authors write one unit after the other.

Definitions may be a single key or conditions of keys ("sig", "and", "or"); the rest of ocore's language is
refused.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from paypercall.devnet.form import is_text_of, require
from paypercall.devnet.graph import Vertex
from paypercall.devnet.ledger import Ledger
from paypercall.obyte.address import PUBLIC_KEY_LENGTH, definition_address
from paypercall.obyte.keys import verify_signature
from paypercall.obyte.unit import Unit, hash_to_sign

MAX_AUTHORS = 16
MAX_AUTHENTIFIER_LENGTH = 4096


def check_authors(
    ledger: Ledger, unit: Unit, parents: tuple[Vertex, ...], last_ball_index: int
) -> tuple[Vertex, ...]:
    """Checks all authors of a unit.

    Returns:
        Living units of the authors that the unit does not include.

    Raises:
        Refused: With ocore's text.
    """
    authors = unit["authors"]
    require(len(authors) <= MAX_AUTHORS, "too many authors")
    addresses = [author["address"] for author in authors]
    is_sorted = all(first < second for first, second in itertools.pairwise(addresses))
    require(is_sorted, "author addresses not sorted")
    digest = hash_to_sign(unit)
    rivals: dict[str, Vertex] = {}
    for author in authors:
        _check_shape(author)
        _check_signatures(author, _definition_of(ledger, author, last_ball_index), digest)
        own_rivals = ledger.graph.competitors(author["address"], parents)
        rivals.update((rival.hash, rival) for rival in own_rivals)
        _check_definition(ledger, author, last_ball_index, bool(own_rivals))
    return tuple(rivals.values())


def _check_shape(author: dict[str, Any]) -> None:
    require(set(author) <= {"address", "authentifiers", "definition"}, "unknown fields in author")
    authentifiers = author.get("authentifiers")
    require(isinstance(authentifiers, dict) and bool(authentifiers), "no authentifiers")
    assert isinstance(authentifiers, dict)
    for signature in authentifiers.values():
        require(isinstance(signature, str) and bool(signature), "authentifiers must be nonempty strings")
        require(len(signature) <= MAX_AUTHENTIFIER_LENGTH, "authentifier too long")


def _definition_of(ledger: Ledger, author: dict[str, Any], last_ball_index: int) -> Any:
    if "definition" in author:
        definition = author["definition"]
        require(isinstance(definition, list) and bool(definition), "bad type of definition")
        require(definition[0] != "autonomous agent", "AA cannot be defined in authors")
        return definition
    address = author["address"]
    known = ledger.definition(address, last_ball_index)
    require(
        known is not None,
        f"definition {address} bound to address {address} not found before last ball",
    )
    return known


def _check_definition(ledger: Ledger, author: dict[str, Any], last_ball_index: int, has_rivals: bool) -> None:
    if "definition" not in author:
        return
    address = author["address"]
    is_known = ledger.definition(address, last_ball_index) is not None
    nonserial = "true" if has_rivals else "false"
    require(not is_known, f"duplicate definition of address {address}, bNonserial={nonserial}")
    actual = definition_address(author["definition"])
    require(actual == address, f"wrong definition: {actual}!=={address}")


def _check_signatures(author: dict[str, Any], definition: Any, digest: bytes) -> None:
    authentifiers = author["authentifiers"]
    evaluation = _Evaluation(authentifiers, digest)
    is_satisfied = evaluation.satisfies(definition, "r")
    if len(evaluation.used_paths) != len(authentifiers):
        result = "true" if is_satisfied else "false"
        passed = json.dumps(authentifiers, separators=(",", ":"), ensure_ascii=False)
        used = ",".join(evaluation.used_paths)
        require(False, f"some authentifiers are not used, res={result}, used={used}, passed={passed}")
    require(is_satisfied, "authentifier verification failed")


@dataclass(slots=True)
class _Evaluation:
    """Which of the signatures a definition uses, and whether they satisfy it."""

    authentifiers: dict[str, str]
    digest: bytes
    used_paths: list[str] = field(default_factory=list)

    def satisfies(self, definition: Any, path: str) -> bool:
        is_pair = isinstance(definition, list) and len(definition) == 2
        require(is_pair, "expression must be 2-element array")
        operation, arguments = definition
        if operation == "sig":
            return self._is_signed(arguments, path)
        is_known = operation in ("and", "or") and isinstance(arguments, list) and len(arguments) > 1
        require(is_known, f"the local network does not know the definition op {operation!r}")
        results = [self.satisfies(argument, f"{path}.{i}") for i, argument in enumerate(arguments)]
        return all(results) if operation == "and" else any(results)

    def _is_signed(self, arguments: Any, path: str) -> bool:
        require(isinstance(arguments, dict) and set(arguments) == {"pubkey"}, "unknown fields in sig")
        public_key = arguments["pubkey"]
        require(is_text_of(PUBLIC_KEY_LENGTH, public_key), "wrong pubkey length")
        signature = self.authentifiers.get(path)
        if signature is None:
            return False
        self.used_paths.append(path)
        is_good = verify_signature(self.digest, signature, public_key)
        require(is_good, f"bad signature at path {path}")
        return True
