"""The network's own wallets: the witness that orders the units, the faucet that hands out money, and a
wallet to use.

They compose units like everybody else, from the ledger instead of a hub's answers. The keys are made for
one network and are worth nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from paypercall.devnet.attachment import MAX_PARENTS, attach
from paypercall.devnet.graph import Sequence, Vertex
from paypercall.devnet.ledger import Ledger
from paypercall.obyte.composer import Coin, Draft, compose
from paypercall.obyte.keys import Key, key_from_mnemonic
from paypercall.obyte.mnemonics import new_mnemonic
from paypercall.obyte.unit import (
    Unit,
    headers_size,
    payload_hash,
    sign_unit,
    total_payload_size,
)

TOTAL_BYTES = 1_000_000_000_000_000
WALLET_BYTES = 1_000_000_000_000
WITNESS_BYTES = 100_000_000_000_000
PATIENCE = 3

_EVERY_SIGNATURE = "-" * 88


@dataclass(frozen=True, slots=True)
class Purses:
    """The mnemonics of a network.

    Attributes:
        witness: Of the first order provider.
        faucet: Owns nearly everything.
        wallet: For the users of the network, with a million million bytes.
        other_witnesses: Of the other order providers.
    """

    witness: str = field(repr=False)
    faucet: str = field(repr=False)
    wallet: str = field(repr=False)
    other_witnesses: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def fresh(cls, witnesses: int = 1) -> Purses:
        """Makes new ones, with so many order providers."""
        others = tuple(new_mnemonic() for _ in range(witnesses - 1))
        return cls(new_mnemonic(), new_mnemonic(), new_mnemonic(), others)

    def witness_keys(self) -> tuple[Key, ...]:
        """The keys of the order providers, the first one's first."""
        return tuple(map(key_from_mnemonic, (self.witness, *self.other_witnesses)))


def compose_genesis(version: str, alt: str, purses: Purses, timestamp: int) -> Unit:
    """Composes the first unit, which issues all bytes, elects the witnesses and reveals the definition of the first."""
    witnesses = purses.witness_keys()
    witness = witnesses[0]
    each = WITNESS_BYTES // len(witnesses)
    outputs = [
        {"address": key_from_mnemonic(purses.wallet).address, "amount": WALLET_BYTES},
        *({"address": key.address, "amount": each} for key in witnesses),
        {"address": key_from_mnemonic(purses.faucet).address, "amount": 0},
    ]
    payload = {
        "inputs": [{"type": "issue", "serial_number": 1, "amount": TOTAL_BYTES}],
        "outputs": sorted(outputs, key=lambda output: str(output["address"])),
    }
    contents = {
        "payment": payload,
        "system_vote": {"subject": "op_list", "value": sorted(key.address for key in witnesses)},
        "system_vote_count": "op_list",
    }
    messages = [
        {"app": app, "payload_location": "inline", "payload_hash": "-" * 44, "payload": content}
        for app, content in contents.items()
    ]
    author = {
        "address": witness.address,
        "authentifiers": {"r": _EVERY_SIGNATURE},
        "definition": witness.definition,
    }
    unit: Unit = {
        "version": version,
        "alt": alt,
        "timestamp": timestamp,
        "messages": messages,
        "authors": [author],
    }
    unit["headers_commission"] = headers_size(unit)
    unit["payload_commission"] = total_payload_size(unit)
    fees = unit["headers_commission"] + unit["payload_commission"]
    outputs[-1]["amount"] = TOTAL_BYTES - WALLET_BYTES - len(witnesses) * each - fees
    for message in messages:
        message["payload_hash"] = payload_hash(message["payload"])
    return sign_unit(unit, witness)


def compose_from_ledger(
    ledger: Ledger, now: int, key: Key, draft: Draft, parents: Iterable[Vertex] | None = None
) -> Unit:
    """Composes a unit for one of the network's own keys.

    Args:
        ledger: What there is.
        now: The network's time in seconds.
        key: The author.
        draft: What the unit shall do.
        parents: To use instead of the good tips.

    Raises:
        InsufficientFunds: The key's coins do not suffice.
    """
    payees = {output.address for outputs in draft.outputs.values() for output in outputs}
    attachment = attach(ledger, now, [key.address], payees, draft.max_aa_responses, parents)
    index = attachment.last_ball.main_chain_index or 0
    coins = [
        Coin(*holding.key, holding.amount, holding.asset, holding.address, is_stable=holding.vertex.is_stable)
        for holding in ledger.books.spendable(key.address)
        if holding.vertex.is_stable or ledger.graph.includes(attachment.parents, holding.vertex)
    ]
    return compose(
        ledger.network,
        key,
        draft,
        coins,
        attachment.for_composer(),
        with_definition=ledger.definition(key.address, index) is None,
    )


@dataclass(slots=True)
class Witnesses:
    """The order providers, which write in turn: their units carry the main chain on.

    Attributes:
        favoured: Units that they include before what contradicts them.
    """

    keys: tuple[Key, ...]
    favoured: set[str] = field(default_factory=set)

    def compose_next(self, ledger: Ledger, now: int, milliseconds: int) -> Unit:
        """Composes the next witness unit, above the tips and contradicted units that waited long enough."""
        feed = {"app": "data_feed", "payload": {"timestamp": milliseconds}}
        last = ledger.graph.main_chain[-1].authors
        turn = next(number for number, key in enumerate(self.keys) if key.address in last) + 1
        key = self.keys[turn % len(self.keys)]
        return compose_from_ledger(ledger, now, key, Draft(messages=(feed,)), self._pick_parents(ledger))

    def _pick_parents(self, ledger: Ledger) -> list[Vertex]:
        """The good tips, and contradicted ones: the favoured, or if there are none those that waited long enough.

        Of those that share an author it takes one, so that the others come later and lose.
        """
        tips = sorted(
            ledger.graph.tips.values(), key=lambda tip: (not ledger.graph.is_of_witness(tip), tip.level)
        )
        contradicted = [tip for tip in tips if tip.sequence is not Sequence.GOOD]
        favoured = [tip for tip in contradicted if self._is_favoured(ledger, tip)]
        newest_index = len(ledger.graph.main_chain) - 1
        late = [tip for tip in contradicted if newest_index - tip.latest_included_index >= PATIENCE]
        wanted: list[Vertex] = []
        authors: set[str] = set()
        for tip in [*(tip for tip in tips if tip.sequence is Sequence.GOOD), *(favoured or late)]:
            if authors.isdisjoint(tip.authors):
                wanted.append(tip)
                authors.update(tip.authors)
        return ledger.graph.pick_parents(wanted, MAX_PARENTS)

    def _is_favoured(self, ledger: Ledger, tip: Vertex) -> bool:
        vertices = ledger.graph.vertices
        return any(
            unit in vertices and ledger.graph.includes([tip], vertices[unit]) for unit in self.favoured
        )
