"""What lists of order providers are told to the owner, and that a list that is out of date is named as the reason."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from paypercall.devnet import Devnet
from paypercall.obyte.errors import HubRefused, ProofError
from paypercall.obyte.hub import Hub
from paypercall.obyte.light import LightClient
from paypercall.obyte.network import LIVENET
from paypercall.obyte.order_providers import find_other_lists
from tests.hub_proxy import HubProxy, instead_of_requests
from tests.obyte.small_ledger import key_named
from tests.settlement.faults import HISTORY

OURS = frozenset(LIVENET.order_providers)
NEW = sorted(key_named(f"new {number}").address for number in range(6))
PAYEE = key_named("payee").address


def elected(count: int) -> frozenset[str]:
    """The network's list with so many replaced."""
    return frozenset([*LIVENET.order_providers[count:], *NEW[:count]])


def test_hubs_that_name_our_order_providers_are_not_mentioned() -> None:
    assert find_other_lists(LIVENET, {"a": OURS, "b": OURS}) == []
    assert find_other_lists(LIVENET, {}) == []


def test_each_other_list_is_told_once_with_all_who_name_it() -> None:
    told = {"a": elected(2), "b": OURS, "c": elected(1), "d": elected(2)}
    first, second = find_other_lists(LIVENET, told)
    assert (first.hubs, first.added, first.missing) == (
        ("a", "d"),
        tuple(NEW[:2]),
        LIVENET.order_providers[:2],
    )
    assert second.hubs == ("c",)
    assert "set order_providers" in str(first)
    assert all(word in str(first) for word in (*first.hubs, *first.added, *first.missing))
    assert "10 of ours are still named, and 7 of ours must sign" in str(first)


@pytest.mark.parametrize(("count", "ends_proofs"), [(1, False), (5, False), (6, True)])
def test_proofs_end_when_fewer_than_a_majority_of_ours_is_left(count: int, ends_proofs: bool) -> None:
    [other] = find_other_lists(LIVENET, {"a": elected(count)})
    assert other.ends_proofs is ends_proofs
    assert ("nothing new would be" in str(other)) is ends_proofs


def test_a_list_that_is_too_short_or_too_long_is_another_one() -> None:
    for named in (frozenset(NEW), OURS | {NEW[0]}, OURS - {LIVENET.order_providers[0]}):
        assert len(find_other_lists(LIVENET, {"a": named})) == 1


def test_a_list_that_is_out_of_date_is_named_as_the_reason_why_nothing_can_be_proven() -> None:
    with Devnet(speed=20) as net, HubProxy(net.url) as line:
        net.fund(PAYEE, 1_000)
        net.settle()
        outdated = replace(net.network, order_providers=(key_named("voted out").address,))
        with closing(LightClient(Hub(line.url, outdated), outdated)) as light:
            with pytest.raises(HubRefused, match=r"might be too much off.*set order_providers"):
                light.history([PAYEE])
            helpful = instead_of_requests(
                HISTORY,
                lambda frame: [
                    frame.with_body(
                        params={**frame.body["params"], "witnesses": list(net.network.order_providers)}
                    )
                ],
            )
            with line.fault(helpful), pytest.raises(ProofError):
                light.history([PAYEE])
            assert light.network is outdated
