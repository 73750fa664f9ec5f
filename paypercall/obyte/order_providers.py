"""What a hub's list of order providers means beside ours. Pure; no word of a hub changes our list.

They are elected: `system_vote` messages name them, and a `system_vote_count` has each full node add up what the voters
own at that point (ocore `main_chain.countVotes`). The result is on no ledger: units name no witnesses since version
4.0 (ocore `validation`), and no ball covers it. Who counts again needs the balances of all voters, and a hub can leave
out any of them. So a light node can prove no election, and ocore light does not try: it believes `get_witnesses` while
it has no list at all (`network.initWitnessesIfNecessary`), and replaces a provider only when its owner says so
(`my_witnesses.replaceWitness`, of which the wallet asks once a day). The `system_vars` that a hub pushes to ocore light
nodes name the elected ones as well, and are the hub's word like all of that. Ours begins with the list of the network
or the conf, and believes no hub at all: twelve addresses of its own would let it prove whatever it likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paypercall.obyte.network import Network

REMEDY = "if others were elected, and a source that you trust says so, set order_providers"


@dataclass(frozen=True, slots=True)
class OtherList:
    """A list that differs from ours.

    Attributes:
        hubs: Who names it.
        added: The addresses that only this list has, sorted.
        missing: The addresses that only ours has, sorted.
        kept: How many both have.
        majority: How many of ours must sign what is to be final.
    """

    hubs: tuple[str, ...]
    added: tuple[str, ...]
    missing: tuple[str, ...]
    kept: int
    majority: int

    @property
    def ends_proofs(self) -> bool:
        """Whether nothing new can be proven by our list any more, if this one is true."""
        return self.kept < self.majority

    def __str__(self) -> str:
        listed = f"{', '.join(self.added) or 'none'} instead of {', '.join(self.missing) or 'none'}"
        named = f"{self.kept} of ours are still named, and {self.majority} of ours must sign what is final"
        consequence = ", so that nothing new would be" if self.ends_proofs else ""
        return (
            f"other order providers are named by {', '.join(self.hubs)}: {listed}. Nothing is changed on a hub's word:"
            f" {named}{consequence}. They are elected; {REMEDY}"
        )


def find_other_lists(network: Network, told: Mapping[str, frozenset[str]]) -> list[OtherList]:
    """Returns the lists that differ from the network's, each once.

    Args:
        network: Whose list is ours.
        told: The list of each hub, by its address.
    """
    ours = frozenset(network.order_providers)
    return [
        OtherList(
            hubs=tuple(hub for hub, named in told.items() if named == theirs),
            added=tuple(sorted(theirs - ours)),
            missing=tuple(sorted(ours - theirs)),
            kept=len(theirs & ours),
            majority=network.majority_of_order_providers,
        )
        for theirs in dict.fromkeys(told.values())
        if theirs != ours
    ]
